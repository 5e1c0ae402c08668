"""Sounds over HTTP: jobs that are checked, queued, survive a crash, and can be followed and cancelled.

settings -> store (SQLite) <- intake (uploads) and worker (models); routes and application put them on HTTP.
`frieren serve` runs it; `client` speaks to it.
"""

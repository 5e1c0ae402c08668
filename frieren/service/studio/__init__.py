"""The studio: the page, and what it asks of the service besides jobs.

`page` serves the files of frieren/assets/studio; `sight` says what is seen of a video, and what it may be called.
`frieren studio` opens it.
"""

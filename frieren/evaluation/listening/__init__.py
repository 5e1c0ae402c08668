"""Listening tests: a web page that asks people (`page`), and what they said, with intervals (`mos`)."""

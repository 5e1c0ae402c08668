"""A sign of life with every packet that is read, for whoever waits for a reader (`isolation`)."""

from __future__ import annotations

from collections.abc import Callable


class Heartbeat:
    """What is called with every packet; at first nothing."""

    beat: Callable[[], object] = staticmethod(lambda: None)

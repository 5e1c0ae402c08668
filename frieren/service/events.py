"""Events of jobs, as they happen: coroutines wait for what threads report, and the store has what they missed."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import suppress

from frieren.service.schema import ENDED
from frieren.service.store import Store, StoredEvent

LOOK = 5.0  # seconds after which the store is looked at without news


class Bulletin:
    """Wakes whoever waits for news of a job."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._closed = False

    def open(self) -> None:
        """Begin, in the running event loop."""
        self._loop, self._closed = asyncio.get_running_loop(), False

    def publish(self, job: str) -> None:
        """Say that there is news of a job, from any thread."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended, and with it all who waited
                self._loop.call_soon_threadsafe(self._wake, job)

    def close(self) -> None:
        """End all streams; clients come back to the next process."""
        self._closed = True
        for job in [*self._waiting]:
            self._wake(job)

    def _wake(self, job: str) -> None:
        for event in self._waiting.get(job, ()):
            event.set()

    async def follow(self, job: str, after: int = 0) -> AsyncIterator[StoredEvent]:
        """The events of a job after number `after`, until it has ended, is removed, or the service stops."""
        news = asyncio.Event()
        self._waiting[job].add(news)
        try:
            while not self._closed:
                news.clear()
                found = self.store.get(job)
                for event in self.store.events(job, after):
                    after = event.number
                    yield event
                if found is None or found.state in ENDED:
                    return
                with suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), LOOK)
        finally:
            self._waiting[job].discard(news)
            if not self._waiting[job]:
                del self._waiting[job]

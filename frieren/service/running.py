"""A service that runs: its parts, put together, begun and ended in order."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import IO

from frieren.errors import OutputError
from frieren.service.events import Bulletin
from frieren.service.intake import Intake
from frieren.service.metrics import Metrics
from frieren.service.schema import Job
from frieren.service.settings import Settings
from frieren.service.status import status
from frieren.service.store import Store, StoredJob
from frieren.service.worker import Workers
from frieren.unfinished import lock

SWEEP = 60.0  # seconds between two looks for what has expired


class Running:
    """The parts of one service.

    Attributes:
        is_closing: whether it is being stopped, and takes nothing in.
    """

    def __init__(self, settings: Settings) -> None:
        """Open the folder.

        Raises:
            OutputError: it cannot be used, or another service has it.
        """
        self.settings, self.is_closing = settings, False
        self._lock = _locked(settings)
        self.store = Store(settings.folder / "jobs.sqlite")
        self.metrics = Metrics(self.store.counts)
        self.bulletin = Bulletin(self.store)
        self.workers = Workers(settings, self.store, self.metrics, self.bulletin.publish)
        self.intake = Intake(settings, self.store, self.metrics)

    def told(self, job: StoredJob) -> Job:
        """The job as clients see it."""
        return status(job, self.store, self.settings)

    def close_streams(self) -> None:
        """Take nothing in any more, and end all streams of events: a server waits for its connections."""
        self.is_closing = True
        self.bulletin.close()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Work until the context ends; then running jobs have a while to end."""
        self._sweep_orphans()
        self.bulletin.open()
        self.workers.start()
        sweeping = asyncio.create_task(self._sweep())
        try:
            yield
        finally:
            self.close_streams()
            sweeping.cancel()
            await asyncio.to_thread(self.workers.stop, self.settings.grace)
            self.store.close()
            self._lock.close()

    def remove(self, name: str) -> None:
        """Forget a job that has ended, and remove its files."""
        folder = self.store.remove(name)
        if folder is not None:
            shutil.rmtree(self.settings.folder / folder, ignore_errors=True)

    async def _sweep(self) -> None:
        """Remove what has expired, again and again."""
        while True:
            for name in self.store.expired(time.time() - self.settings.keep_hours * 3600):
                await asyncio.to_thread(self.remove, name)
            await asyncio.sleep(SWEEP)

    def _sweep_orphans(self) -> None:
        """Remove folders without a job: uploads that a crash came upon before they were accepted."""
        known = self.store.folders()
        for folder in (self.settings.folder / "jobs").iterdir():
            if f"jobs/{folder.name}" not in known:
                shutil.rmtree(folder, ignore_errors=True)


def _locked(settings: Settings) -> IO[bytes]:
    """Make the folder, for this user alone, and keep other services out of it."""
    try:
        settings.folder.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):  # a file system without permissions
            settings.folder.chmod(0o700)
        (settings.folder / "jobs").mkdir(exist_ok=True)
        file = (settings.folder / "lock").open("ab")
    except OSError as error:
        raise OutputError(f"{settings.folder}: cannot be used ({error.strerror}); choose another --folder") from error
    if not lock(file):
        file.close()
        raise OutputError(f"{settings.folder}: another service is at work in it; stop it, or choose another --folder")
    return file

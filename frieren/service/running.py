"""A service that runs: its parts, put together, begun and ended in order; and its jobs as clients are told of them."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import IO

from frieren.errors import OutputError
from frieren.service.events import Bulletin
from frieren.service.intake import Intake
from frieren.service.metrics import Metrics
from frieren.service.schema import ENDED, Job, JobOptions, Progress, Result, Video
from frieren.service.settings import Settings
from frieren.service.store import Store, StoredJob
from frieren.service.studio.sight import Sights
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
        self.sights = Sights(self.intake)

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


def status(job: StoredJob, store: Store, settings: Settings) -> Job:
    """The job as it stands."""
    outcome, result, progress = json.loads(job.outcome), None, None
    if job.state == "done":
        place = f"/v1/jobs/{job.id}"
        told = {"bytes": outcome["bytes"], "warnings": outcome.get("warnings", [])}
        result = Result(url=f"{place}/result", record=f"{place}/record", **told)
    if job.state == "running" and (last := store.last_progress(job.id)):
        progress = Progress(**last)
    waits = job.state not in ENDED
    ahead = store.ahead(job) if waits else []
    return Job(
        id=job.id,
        state=job.state,  # type: ignore[arg-type]  # the table holds no other
        options=JobOptions.model_validate_json(job.options),
        video=Video.model_validate_json(job.video),
        created=_time(job.created),
        started=None if job.started is None else _time(job.started),
        finished=None if job.finished is None else _time(job.finished),
        expires=None if job.finished is None else _time(job.finished + settings.keep_hours * 3600),
        position=len(ahead) + 1 if job.state == "queued" else 0 if waits else None,
        estimated_seconds=_seconds_left([*ahead, job], store, settings) if waits else None,
        progress=progress,
        result=result,
        error=outcome.get("error"),
    )


def _seconds_left(jobs: list[StoredJob], store: Store, settings: Settings) -> float | None:
    """Seconds until all of these are done, by the averages of jobs before; None where a model has not run yet.

    What a running job has had of its time is taken off, but never all of it.
    """
    paces, left, now = {job.model: store.pace(job.model) for job in jobs}, 0.0, datetime.now(UTC).timestamp()
    for job in jobs:
        pace = paces[job.model]
        if pace is None:
            return None
        whole = pace * job.seconds
        left += whole if job.started is None else max(0.1 * whole, whole - (now - job.started))
    return round(left / len(settings.devices), 1)


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)

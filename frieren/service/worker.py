"""Workers: a thread per device that takes jobs from the store, a batch at a time, until it is told to stop."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable

from frieren.service.cluster import ClusterSynthesis
from frieren.service.metrics import Metrics
from frieren.service.schema import JobOptions
from frieren.service.settings import Settings
from frieren.service.store import Store, StoredJob
from frieren.service.synthesis import RECORD, EndedError, LostError, Synthesis, Work, told

EVERY = 0.25  # seconds between two notes of a stage's progress
log = logging.getLogger("frieren.service")


class Workers:
    """The workers of a service."""

    def __init__(
        self, settings: Settings, store: Store, metrics: Metrics, on_change: Callable[[str], None] = lambda job: None
    ) -> None:
        """on_change: called with a job's id whenever something happened to it, from any thread."""
        self.settings, self.store, self.metrics, self.on_change = settings, store, metrics, on_change
        self._synthesis = [self._placed(device) for device in settings.devices]
        self._threads = [
            threading.Thread(target=self._run, args=(one,), name=f"frieren {one.device}", daemon=True)
            for one in self._synthesis
        ]
        self._news = threading.Condition()
        self._closing = threading.Event()  # no new batch is begun
        self._stopped = threading.Event()  # what runs is put back

    def _placed(self, device: str) -> Synthesis | ClusterSynthesis:
        """What makes the sounds of one worker: here, or on the cluster."""
        if self.settings.ray is None:
            return Synthesis(device, self.settings.reader, self.settings.precision)
        return ClusterSynthesis(self.settings.ray, device, self.settings.reader, self.settings.precision)

    def start(self) -> None:
        """Take up what a process before this one has left, and begin."""
        self.store.requeue()
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Say that there is a new job."""
        with self._news:
            self._news.notify_all()

    def stop(self, grace: float) -> None:
        """Let running batches end within `grace` seconds; after that their jobs wait for the next start."""
        self._closing.set()
        self.wake()
        until = time.monotonic() + grace
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        for one in self._synthesis:
            one.close()

    @property
    def alive(self) -> int:
        """Number of workers at work."""
        return sum(thread.is_alive() for thread in self._threads)

    @property
    def loaded(self) -> set[str]:
        """Names of the models in memory."""
        return {one.loaded for one in self._synthesis} - {""}

    def _run(self, synthesis: Synthesis | ClusterSynthesis) -> None:
        while not self._closing.is_set():
            batch = self.store.claim(self.settings.batch, self.settings.attempts)
            if batch:
                self._make(synthesis, batch)
            else:
                with self._news:
                    self._news.wait(1.0)  # a job may have come between the look and the wait

    def _make(self, synthesis: Synthesis | ClusterSynthesis, batch: list[StoredJob]) -> None:
        """Make the results of a batch, and end each of its jobs, or let it wait again."""
        works = [(self._work(job), job) for job in batch]
        for made in synthesis.make([work for work, _ in works]):
            self._end(next(job for work, job in works if work is made), made)

    def _work(self, job: StoredJob) -> Work:
        """A job as `Synthesis` takes it."""
        self.on_change(job.id)
        video, last = json.loads(job.video), ("", 0.0)

        def report(stage: str, done: int, total: int) -> None:
            nonlocal last
            if self._stopped.is_set():
                raise EndedError
            is_news = stage != last[0] or done == total or time.monotonic() - last[1] > EVERY
            if is_news:
                last = stage, time.monotonic()
                if not self.store.note(job.id, {"stage": stage, "done": done, "total": total}):
                    raise EndedError
                self.on_change(job.id)

        options = JobOptions.model_validate_json(job.options)
        return Work(options, video["name"], video["sha256"], self.settings.folder / job.folder, report)

    def _end(self, job: StoredJob, work: Work) -> None:
        """Write down how a job ended."""
        if isinstance(work.error, EndedError | LostError):  # one that was cancelled does not run, and stays as it is
            self.store.requeue([job.id], counts=isinstance(work.error, LostError))
        elif work.error is not None:
            log.warning("job %s: %s", job.id, work.error, exc_info=work.error)
            if self.store.finish(job.id, {"error": told(work.error, work)}, work.seconds):
                self.metrics.ended("failed")
        else:
            outcome = {"file": work.target.name, "bytes": work.target.stat().st_size, "record": RECORD}
            outcome |= {"warnings": work.warnings}
            if self.store.finish(job.id, outcome, work.seconds):
                self.metrics.ended("done")
                self.metrics.made(job.model, job.seconds, work.spent)
        self.on_change(job.id)

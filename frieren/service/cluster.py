"""Sounds made on a Ray cluster: an actor per worker, with the model in its memory, which sees the service's folder.

What goes over the wire is how far a job is and how it ended; uploads and results are files.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from frieren.dataset.scatter import connect
from frieren.errors import FrierenError
from frieren.isolation import Limits
from frieren.service.schema import JobOptions
from frieren.service.settings import Precision
from frieren.service.synthesis import EndedError, LostError, Synthesis, Work, told

EVERY = 0.25  # seconds between two reports of a stage
Message = tuple[str, int, Any]  # "at" or "made", index of the job, what there is to say


class RemoteError(FrierenError):
    """A job failed on the cluster; the text is what the client hears."""


class ClusterSynthesis:
    """Makes the sounds of jobs as `Synthesis` does, in an actor of a Ray cluster."""

    def __init__(self, address: str, device: str, limits: Limits, precision: Precision) -> None:
        """Start the actor.

        Args:
            address: of the cluster.
            device: "auto" and "cpu" take a core of it, "cuda" a GPU.

        Raises:
            ClusterError: there is no Ray, or no cluster.
        """
        self._ray, self.device = connect(address), device
        gpus = 1 if device == "cuda" else 0
        actor = self._ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=-1, max_concurrency=2)(Actor)
        self._actor = actor.remote(device, limits, precision)
        self.loaded = ""

    def make(self, works: Sequence[Work]) -> Iterator[Work]:
        """Make the results of jobs, and yield each as it is there, has failed or ended; all that is left if it dies."""
        left = dict(enumerate(works))
        jobs = [(work.options.model_dump_json(), work.name, work.sha256, str(work.folder)) for work in works]
        try:
            for reference in self._actor.make.options(num_returns="streaming").remote(jobs):
                kind, index, said = self._ray.get(reference)
                if kind == "at" and index in left:
                    self._report(left[index], index, said)
                elif kind == "made":
                    self.loaded = works[0].options.model
                    yield _ended(left.pop(index), said)
        except self._ray.exceptions.RayError as error:
            self.loaded = ""
            for work in left.values():
                work.error = LostError(str(error))
                yield work

    def _report(self, work: Work, index: int, at: tuple[str, int, int]) -> None:
        """Report, and tell the actor where a job is not wanted any more."""
        try:
            work.report(*at)
        except EndedError:
            self._actor.end.remote(index)

    def close(self) -> None:
        """End the actor."""
        self._ray.kill(self._actor)


class Actor:
    """What runs on the cluster."""

    def __init__(self, device: str, limits: Limits, precision: Precision) -> None:
        self._synthesis = Synthesis(device, limits, precision)
        self._unwanted: set[int] = set()

    def make(self, jobs: Sequence[tuple[str, str, str, str]]) -> Iterator[Message]:
        """Make jobs, each given by its options, name, hash and folder; say how far they are and how they ended."""
        self._unwanted, messages = set(), SimpleQueue[Message | None]()
        works = [
            Work(JobOptions.model_validate_json(text), name, sha256, Path(folder), self._reporter(index, messages))
            for index, (text, name, sha256, folder) in enumerate(jobs)
        ]
        thread = threading.Thread(target=partial(self._run, works, messages))
        thread.start()
        while (message := messages.get()) is not None:
            yield message
        thread.join()

    def end(self, index: int) -> None:
        """Give a job of the present batch up."""
        self._unwanted.add(index)

    def _run(self, works: list[Work], messages: SimpleQueue[Message | None]) -> None:
        try:
            for work in self._synthesis.make(works):
                error = None if work.error is None else told(work.error, work)
                outcome = (error, isinstance(work.error, EndedError), work.seconds, work.spent, work.warnings)
                messages.put(("made", next(i for i, one in enumerate(works) if one is work), outcome))
        finally:
            messages.put(None)

    def _reporter(self, index: int, messages: SimpleQueue[Message | None]) -> Any:
        last = ("", 0.0)

        def report(stage: str, done: int, total: int) -> None:
            nonlocal last
            if index in self._unwanted:
                raise EndedError
            if stage != last[0] or done == total or time.monotonic() - last[1] > EVERY:
                last = stage, time.monotonic()
                messages.put(("at", index, (stage, done, total)))

        return report


def _ended(work: Work, outcome: tuple[str | None, bool, float, dict[str, float], list[str]]) -> Work:
    """A job as the actor left it."""
    error, is_ended, work.seconds, work.spent, work.warnings = outcome
    if error is not None:
        work.error = EndedError() if is_ended else RemoteError(error)
    return work

"""Work that falls into independent jobs, each of which makes one file: over local processes or a Ray cluster.

A job is done when its file is there, so that a run that was stopped, however it was, does only what is missing.

failures = scatter(render, [ShardJob(Path("00000.safetensors"), range(100)), ...], workers=8)

A script that calls it needs `if __name__ == "__main__":` around the call, since local processes import the script.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from frieren.errors import FrierenError

RETRIES = 2  # further attempts at a job whose worker dies


class ClusterError(FrierenError):
    """A Ray cluster is asked for and cannot be used: package missing, nobody at the address."""


@dataclass(frozen=True)
class ShardJob:
    """One file to be made.

    Attributes:
        target: the file; it must appear whole or not at all.
        what: input of the work, which is sent to another process.
    """

    target: Path
    what: Any


Work = Callable[[ShardJob], None]
Outcome = tuple[ShardJob, str | None]  # why it failed, if it did
OnDone = Callable[[int, int], None]  # jobs done, jobs in all


def scatter(
    work: Work,
    jobs: Sequence[ShardJob],
    *,
    workers: int | None = None,
    ray: str | None = None,
    threads: int = 1,
    gpus: float = 0,
    on_done: OnDone = lambda done, total: None,
) -> dict[Path, str]:
    """Does `work(job)` for every job whose target is not there yet.

    A job whose worker dies is tried again, twice; one that raises is not. Either way the others go on.

    Args:
        work: a function that can be pickled; it keeps between jobs what it loads (`functools.cache`).
        workers: local processes; None: one per core, 0: none but this one, where errors of the program are raised.
        ray: address of a Ray cluster ("auto", "local", "ray://host:10001") that sees the targets' folder under the
            same path; instead of local processes.
        threads: torch's threads per worker. Sums depend on it in their last digits, and so not on the workers.
        gpus: that a job on a Ray cluster is given; Ray hides the others from it.
        on_done: called with (jobs done, jobs in all), those done before included.

    Returns:
        Why each job that failed did, by target; empty if all is done.

    Raises:
        ClusterError: there is no Ray, or no cluster at this address.
        ValueError: workers is negative.
    """
    if workers is not None and workers < 0:
        raise ValueError(f"workers must be 0 or more, got {workers}")
    missing = [job for job in jobs if not job.target.exists()]
    done, failures = len(jobs) - len(missing), dict[Path, str]()
    on_done(done, len(jobs))
    if ray is not None:
        outcomes = on_cluster(work, missing, ray, threads, gpus)
    elif workers == 0:
        outcomes = in_this_process(work, missing, threads)
    else:
        outcomes = over_processes(work, missing, workers or os.cpu_count() or 1, threads)
    with closing(outcomes):  # Ctrl-C stops the workers, too
        for job, failure in outcomes:
            if failure is None:
                done += 1
                on_done(done, len(jobs))
            else:
                failures[job.target] = failure
    return failures


def attempt(work: Work, job: ShardJob, threads: int) -> str | None:
    """Does one job in this process; why it failed, if it did."""
    import torch

    torch.set_num_threads(threads)
    try:
        if not job.target.exists():  # the cluster may ask again for what was done just before a node was lost
            work(job)
    except FrierenError as error:
        return str(error)
    except Exception:  # whatever it is must not take the other jobs along; it is reported in full
        return traceback.format_exc().strip()
    return None


def in_this_process(work: Work, jobs: Sequence[ShardJob], threads: int) -> Generator[Outcome]:
    """The jobs one after the other in this process."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for job in jobs:
            try:
                work(job)
                yield job, None
            except FrierenError as error:
                yield job, str(error)
    finally:
        torch.set_num_threads(before)


def over_processes(work: Work, jobs: Sequence[ShardJob], workers: int, threads: int) -> Generator[Outcome]:
    """The jobs over processes of this machine.

    Pebble's pool, since a worker that dies takes only its own job along there; in those of concurrent.futures and loky
    it breaks the pool.
    """
    from pebble import ProcessExpired, ProcessPool

    # Spawned: a forked child of a threaded torch process can hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPool(max(1, min(workers, len(jobs))), initializer=end_with_parent, context=context)
    deaths = Counter[Path]()
    try:
        pending: dict[Future[str | None], ShardJob] = {}
        pending |= {pool.schedule(attempt, (work, job, threads)): job for job in jobs}
        while pending:
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                job = pending.pop(future)
                try:
                    yield job, future.result()
                except ProcessExpired as death:
                    deaths[job.target] += 1
                    if deaths[job.target] <= RETRIES:
                        pending[pool.schedule(attempt, (work, job, threads))] = job
                    else:
                        yield job, f"its worker died {RETRIES + 1} times (exit code {death.exitcode})"
    finally:
        pool.stop()  # type: ignore[no-untyped-call]
        pool.join()


def end_with_parent() -> None:
    """Lets this worker end when its parent is gone, in the middle of a job if need be."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def on_cluster(work: Work, jobs: Sequence[ShardJob], address: str, threads: int, gpus: float) -> Generator[Outcome]:
    """The jobs over a Ray cluster, which starts lost ones again."""
    ray = connect(address)
    remote = ray.remote(num_cpus=threads, num_gpus=gpus, max_retries=RETRIES)(attempt)
    pending = {remote.remote(work, job, threads): job for job in jobs}
    while pending:
        (first, *_), _ = ray.wait(list(pending), num_returns=1)
        job = pending.pop(first)
        try:
            outcome = ray.get(first)
        except ray.exceptions.RayError as error:
            outcome = f"Ray gave it up after {RETRIES + 1} attempts ({type(error).__name__})"
        yield job, outcome


def connect(address: str) -> ModuleType:
    """Ray's module, connected to a cluster.

    Raises:
        ClusterError: there is no Ray, or no cluster at this address.
    """
    try:
        import ray
    except ImportError as error:
        raise ClusterError("--ray needs Ray; install it here and on the nodes: pip install 'frieren[ray]'") from error
    if not ray.is_initialized():
        try:
            ray.init(address=address, log_to_driver=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ClusterError(
                f"{address}: no Ray cluster to be reached ({error}); start one: ray start --head"
            ) from error
    module: ModuleType = ray
    return module

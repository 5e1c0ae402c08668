"""Independent jobs: every one once, whatever dies; a rerun does what is missing."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from frieren.dataset.scatter import ClusterError, ShardJob, scatter
from frieren.errors import FrierenError


def write(job: ShardJob) -> None:
    """The work of these tests: `what` goes into the target; every attempt leaves a line in the log beside it."""
    with (job.target.parent / "log").open("a") as log:
        log.write(f"{job.target.name} {os.getpid()} {torch.get_num_threads()}\n")
    if job.what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if job.what == "fail":
        raise FrierenError("this one cannot be done")
    if job.what == "break":
        raise ZeroDivisionError("a fault of the program")
    if job.what == "die once" and not (mark := job.target.with_suffix(".died")).exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    part = job.target.with_suffix(".part")
    part.write_text(str(job.what))
    os.replace(part, job.target)


def made(folder: Path, *what: object) -> list[ShardJob]:
    return [ShardJob(folder / f"{number:05d}", each) for number, each in enumerate(what)]


def attempts(folder: Path) -> list[str]:
    return [line.split()[0] for line in (folder / "log").read_text().splitlines()]


def test_jobs_that_die_fail_or_break_do_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frieren.dataset.scatter.RETRIES", 1)
    jobs = made(tmp_path, "a", "die", "fail", "die once", "break", "b")
    counts = []
    failures = scatter(write, jobs, workers=2, on_done=lambda *count: counts.append(count))
    assert {path.name for path in failures} == {"00001", "00002", "00004"}
    assert "died 2 times" in failures[jobs[1].target] and "-9" in failures[jobs[1].target]
    assert failures[jobs[2].target] == "this one cannot be done"
    assert "ZeroDivisionError" in failures[jobs[4].target] and "in write" in failures[jobs[4].target]
    assert counts == [(0, 6), (1, 6), (2, 6), (3, 6)]
    seen = attempts(tmp_path)
    assert [seen.count(job.target.name) for job in jobs] == [1, 2, 1, 2, 1, 1]
    assert {line.split()[2] for line in (tmp_path / "log").read_text().splitlines()} == {"1"}, "threads per worker"
    assert [job.target.read_text() for job in jobs if job.target.exists()] == ["a", "die once", "b"]


def test_a_rerun_does_only_what_is_missing(tmp_path: Path) -> None:
    jobs = made(tmp_path, "a", "b", "c")
    jobs[1].target.write_text("made before")
    threads = torch.get_num_threads()
    counts = []
    assert scatter(write, jobs, workers=0, on_done=lambda *count: counts.append(count)) == {}
    assert attempts(tmp_path) == ["00000", "00002"] and counts == [(1, 3), (2, 3), (3, 3)]
    assert jobs[1].target.read_text() == "made before"
    assert torch.get_num_threads() == threads
    assert scatter(write, jobs, workers=0) == {} and len(attempts(tmp_path)) == 2


def test_in_this_process_faults_of_the_program_are_raised(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        scatter(write, made(tmp_path, "break"), workers=0)
    assert list(scatter(write, made(tmp_path, "fail"), workers=0).values()) == ["this one cannot be done"]
    with pytest.raises(ValueError, match="workers must be 0 or more"):
        scatter(write, [], workers=-1)


def test_ray_that_is_not_there_is_an_error_that_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(ClusterError, match=r"pip install 'frieren\[ray\]'"):
        scatter(write, made(tmp_path, "a"), ray="auto")


def slowly(folder: Path, job: ShardJob) -> None:
    """Writes every item of the job's shard after a while; the process of the seventh job is killed half-way, once."""
    time.sleep(0.1)
    if job.what == 6 and not (folder / "killed").exists():
        (folder / "killed").write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGKILL)
    part = job.target.with_suffix(".part")
    part.write_text("\n".join(str(job.what * 10 + item) for item in range(10)))
    os.replace(part, job.target)


@pytest.mark.slow
def test_a_ray_cluster_that_loses_a_worker_makes_every_item_once(tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    tests = str(Path(__file__).parent)
    ray.init(num_cpus=2, include_dashboard=False, runtime_env={"env_vars": {"PYTHONPATH": tests}})
    try:
        jobs = [ShardJob(tmp_path / f"{number:05d}", number) for number in range(12)]
        assert scatter(partial(slowly, tmp_path), jobs, ray="local") == {}
        assert (tmp_path / "killed").exists()
        items = [int(line) for job in jobs for line in job.target.read_text().splitlines()]
        assert items == list(range(120))
        failures = scatter(write, [ShardJob(tmp_path / "dies", "die")], ray="local")
        assert "gave it up after 3 attempts" in failures[tmp_path / "dies"]
    finally:
        ray.shutdown()

"""The store by itself: order, batches, attempts, ends; and what a crash leaves."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from frieren.errors import OutputError
from frieren.service.store import KnownJobError, Store, StoredJob


def job(id: str, key: str = "a", model: str = "tiny", seconds: float = 2.0) -> StoredJob:
    return StoredJob(id, f"jobs/{id}", f"digest {id}", model, key, "{}", "{}", seconds)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "jobs.sqlite")


def ids(jobs: list[StoredJob]) -> list[str]:
    return [one.id for one in jobs]


def states(store: Store, id: str) -> list[str]:
    return [event.data for event in store.events(id) if event.kind == "state"]


def test_batches_are_of_one_key_in_order_and_no_larger_than_asked(store: Store) -> None:
    for id, key in (("1", "a"), ("2", "b"), ("3", "a"), ("4", "a"), ("5", "a"), ("6", ""), ("7", "")):
        store.add(job(id, key))
    found = [ids(store.claim(3, 5)) for _ in range(5)]
    assert found == [["1", "3", "4"], ["2"], ["5"], ["6"], ["7"]]
    assert store.claim(3, 5) == [] and store.counts() == {"running": 7}


def test_an_id_is_taken_once(store: Store) -> None:
    store.add(job("1"))
    with pytest.raises(KnownJobError) as known:
        store.add(job("1"))
    assert known.value.job.digest == "digest 1" and states(store, "1") == ['{"state": "queued"}']


def test_a_job_ends_once_whoever_is_first(store: Store) -> None:
    for id in "123":
        store.add(job(id))
    store.claim(3, 5)
    assert store.finish("1", {"file": "x"}, 1.0) and not store.cancel("1") and not store.finish("1", {}, 1.0)
    assert store.cancel("2") and not store.finish("2", {"file": "x"}, 1.0) and not store.note("2", {"stage": "x"})
    assert store.finish("3", {"error": "no"}, 1.0)
    assert states(store, "3")[-1] == '{"state": "failed", "error": "no"}'
    assert store.counts() == {"done": 1, "cancelled": 1, "failed": 1}


def test_what_a_dead_process_left_waits_again_alone_and_not_for_ever(tmp_path: Path) -> None:
    store = Store(tmp_path / "jobs.sqlite")
    for id in "12":
        store.add(job(id))
    assert ids(store.claim(2, 3)) == ["1", "2"]
    for _ in range(2):  # the process dies, another one starts
        store = Store(tmp_path / "jobs.sqlite")
        store.requeue()
        assert ids(store.claim(2, 3)) == ["1"]
    store.requeue()
    assert ids(store.claim(2, 3)) == ["2"]
    found = store.get("1")
    assert found is not None and found.state == "failed" and "ended 3 times" in found.outcome


def test_a_stop_is_no_attempt(store: Store) -> None:
    store.add(job("1"))
    for _ in range(4):
        assert ids(store.claim(1, 2)) == ["1"]
        store.requeue(["1"], counts=False)
    found = store.get("1")
    assert found is not None and found.attempts == 0 and found.started is None


def test_a_job_that_was_interrupted_is_not_sampled_with_others(store: Store) -> None:
    for id in "12":
        store.add(job(id))
    assert ids(store.claim(2, 5)) == ["1", "2"]
    store.requeue(["1"], counts=False)
    store.requeue(["2"])
    assert [ids(store.claim(2, 5)) for _ in range(2)] == [["1"], ["2"]]


def test_events_are_numbered_without_gaps(store: Store) -> None:
    store.add(job("1"))
    store.claim(1, 5)
    for done in range(3):
        assert store.note("1", {"done": done})
    assert store.last_progress("1") == {"done": 2}
    store.finish("1", {"file": "x"}, 1.0)
    assert [event.number for event in store.events("1")] == [1, 2, 3, 4, 5, 6]
    assert [event.number for event in store.events("1", 4)] == [5, 6]
    assert store.last_progress("1") is None


def test_a_pace_is_work_over_length_of_the_last_jobs_of_a_model(store: Store) -> None:
    assert store.pace("tiny") is None
    for id, model, seconds in (("1", "tiny", 2.0), ("2", "tiny", 6.0), ("3", "mini", 1.0), ("4", "tiny", 100.0)):
        store.add(job(id, id, model, seconds))
    for id, busy in (("1", 1.0), ("2", 7.0), ("3", 50.0)):
        assert ids(store.claim(1, 5)) == [id]
        store.finish(id, {"file": "x"}, busy)
    store.claim(1, 5)
    store.finish("4", {"error": "x"}, 1000.0)
    assert store.pace("tiny") == 1.0 and store.pace("mini") == 50.0


def test_what_has_ended_can_be_removed_and_nothing_else(store: Store) -> None:
    for id in "123":
        store.add(job(id, id))
    store.claim(1, 5)
    store.cancel("3")
    assert store.remove("1") is None and store.remove("2") is None and store.remove("3") == "jobs/3"
    assert store.get("3") is None and store.events("3") == []
    store.finish("1", {"file": "x"}, 1.0)
    assert store.expired(time.time() - 60) == [] and store.expired(time.time() + 60) == ["1"]
    assert store.folders() == {"jobs/1", "jobs/2"}


def test_many_threads_take_every_job_once(store: Store) -> None:
    for number in range(60):
        store.add(job(str(number), ""))
    taken: list[str] = []

    def work() -> None:
        while batch := store.claim(1, 5):
            taken.append(batch[0].id)
            store.note(batch[0].id, {"stage": "x"})
            store.finish(batch[0].id, {"file": "x"}, 0.1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken, key=int) == [str(number) for number in range(60)]


def test_a_file_that_is_none_is_an_error_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "jobs.sqlite").write_bytes(b"not a database at all, but long enough to be looked at" * 10)
    with pytest.raises(OutputError, match="choose another --folder"):
        Store(tmp_path / "jobs.sqlite")

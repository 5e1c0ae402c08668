"""Jobs on a Ray cluster: by a stand-in that runs actors in this process, and by Ray itself where it is installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from command import make_video
from serving import done, ended, service, submit, until

import frieren
from frieren.isolation import Limits
from frieren.service import cluster
from frieren.service.schema import JobOptions

LIMITS = Limits(memory=4 * 2**30, seconds=300, silence=120.0)


class LostNodeError(Exception):
    """The stand-in for RayError."""


class StandIn:
    """The part of Ray that is used: actors here, whose messages go through as they are."""

    exceptions = SimpleNamespace(RayError=LostNodeError)

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}
        self.killed = 0
        self.ended: list[int] = []  # jobs that were given up
        self.losses = 0  # batches that are lost after their first message

    def remote(self, **options: Any) -> Any:
        self.options = options

        def decorate(kind: type) -> Any:
            return SimpleNamespace(remote=lambda *arguments: self.handle(kind(*arguments)))

        return decorate

    def handle(self, actor: Any) -> Any:
        def make(jobs: list[tuple[str, str, str, str]]) -> Iterator[Any]:
            for message in actor.make(jobs):
                yield message
                if self.losses:
                    self.losses -= 1
                    raise LostNodeError("the node died")

        def end(index: int) -> None:
            self.ended.append(index)
            actor.end(index)

        streaming = lambda num_returns: SimpleNamespace(remote=make)  # noqa: E731
        return SimpleNamespace(make=SimpleNamespace(options=streaming), end=SimpleNamespace(remote=end))

    def get(self, reference: Any) -> Any:
        return reference

    def kill(self, actor: Any) -> None:
        self.killed += 1


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn()
    monkeypatch.setattr(cluster, "connect", lambda address: stand_in)
    return stand_in


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_video(tmp_path / "clip.mp4", 0.6)


def check_jobs(folder: Path, clip: Path, address: str) -> None:
    """A sound that is that of this machine, one that is cancelled in mid-sampling, one that fails with its reason."""
    with service(folder, ray=address) as client:
        job = done(client, submit(client, clip, seed=3, loudness=None).json()["id"])
        wave, _ = soundfile.read(folder / client.app.state.running.store.get(job["id"]).folder / "result.wav")
        wanted = frieren.load("tiny", device="cpu").generate(clip, seed=3).wave.numpy()
        assert np.abs(wave - wanted).max() < 1e-4
        assert client.get("/v1/models").json()[0]["loaded"]

        long = submit(client, clip, steps=1000, solver="rk4").json()["id"]
        until(lambda: (client.get(f"/v1/jobs/{long}").json()["progress"] or {}).get("stage") == "sample")
        other = submit(client, make_video(clip.with_name("b.mp4"), 0.5), name="b.mp4").json()["id"]
        running = client.app.state.running
        (running.settings.folder / running.store.get(other).folder / "input").write_bytes(b"damaged")
        client.delete(f"/v1/jobs/{long}")
        assert ended(client, long)["state"] == "cancelled"
        failed = ended(client, other)
        assert failed["state"] == "failed" and failed["error"].startswith("b.mp4: ")
        assert "/jobs/" not in failed["error"] and "RemoteError" not in failed["error"]


def test_jobs_are_made_on_a_cluster(ray: StandIn, tmp_path: Path, clip: Path) -> None:
    check_jobs(tmp_path / "jobs", clip, "auto")
    assert ray.options == {"num_cpus": 1, "num_gpus": 0, "max_restarts": -1, "max_concurrency": 2} and ray.killed == 1
    assert ray.ended and {*ray.ended} == {0}


def test_an_actor_gives_up_what_is_not_wanted_any_more(tmp_path: Path, clip: Path) -> None:
    (tmp_path / "input").write_bytes(clip.read_bytes())
    options = JobOptions(model="tiny", format="wav", steps=1000, solver="rk4")
    actor, told = cluster.Actor("cpu", LIMITS, "float32"), []
    for message in actor.make([(options.model_dump_json(), "x.mp4", "hash", str(tmp_path))]):
        told.append(message)
        if message[2][0] == "sample":
            actor.end(0)
    kind, index, (_, is_ended, *_) = told[-1]
    assert (kind, index, is_ended) == ("made", 0, True) and not (tmp_path / "result.wav").exists()


def test_a_gpu_is_asked_for(ray: StandIn, tmp_path: Path) -> None:
    with service(tmp_path, ray="auto", devices=("cuda",)):
        assert ray.options["num_gpus"] == 1


def test_jobs_of_a_node_that_is_lost_are_made_again_and_not_for_ever(ray: StandIn, tmp_path: Path, clip: Path) -> None:
    with service(tmp_path / "jobs", ray="auto", attempts=3) as client:
        ray.losses = 2
        first = submit(client, clip).json()["id"]
        assert done(client, first) and client.app.state.running.store.get(first).attempts == 3
        ray.losses = 3
        second = ended(client, submit(client, clip, seed=1).json()["id"])
        assert second["state"] == "failed" and "ended 3 times" in second["error"]
        ray.losses = 0
        assert done(client, submit(client, clip, seed=2).json()["id"])


@pytest.mark.slow
def test_jobs_are_made_on_ray(tmp_path: Path, clip: Path) -> None:
    real = pytest.importorskip("ray")
    paths = ":".join(path for path in sys.path if path)
    real.init(num_cpus=2, include_dashboard=False, runtime_env={"env_vars": {"PYTHONPATH": paths}})
    try:
        check_jobs(tmp_path / "jobs", clip, "auto")
    finally:
        real.shutdown()

"""A service in a process of its own: killed and started again, stopped, and spoken to by the client."""

from __future__ import annotations

import random
from pathlib import Path

import httpx2
import pytest
import soundfile
from command import make_video
from serving import PATIENCE, Process, done, events, processes, submit, until  # noqa: F401

from frieren.service.client import Client, ServiceError

TOKEN = "a-token-of-this-test"
STEPS = 600  # of a job that is killed


def kill_again_and_again(folder: Path, clips: Path, started: list[Process], kills: int) -> None:
    """Every accepted job ends once, and its events go on where they were; some are killed in mid-sampling."""
    video, dice, seeds = make_video(clips / "clip.mp4", 0.4), random.Random(0), {}
    started.append(Process(folder))
    for number in range(kills):
        with httpx2.Client(base_url=started[-1].url, timeout=PATIENCE) as client:
            for id in (f"job-{number}-a", f"job-{number}-b"):
                seeds[id] = len(seeds)
                assert submit(client, video, id=id, steps=STEPS, seed=seeds[id]).status_code == 202

            least = dice.random() * 0.6 * STEPS

            def is_sampled() -> bool:  # one of these two: a job that is killed five times is given up
                jobs = [client.get(f"/v1/jobs/job-{number}-{id}").json() for id in "ab"]  # noqa: B023
                told = [job["progress"] or {} for job in jobs]
                return any(each.get("stage") == "sample" and each["done"] >= least for each in told)  # noqa: B023

            until(is_sampled)
        started[-1].kill()
        started.append(Process(folder))
    interrupted = 0
    with httpx2.Client(base_url=started[-1].url, timeout=PATIENCE) as client:
        for id, seed in seeds.items():
            done(client, id)
            told = events(client, id)
            states = [data["state"] for _, kind, data in told if kind == "state"]
            assert states.count("done") == 1 and states[-1] == "done"
            assert [number for number, _, _ in told] == list(range(1, len(told) + 1))
            interrupted += states.count("running") > 1
            again = submit(client, video, id=id, steps=STEPS, seed=seed)
            assert again.status_code == 200 and again.json()["state"] == "done"
        assert interrupted >= kills / 2, interrupted
        assert len(list((folder / "jobs").iterdir())) == len(seeds)
        health = client.get("/v1/health").json()
        assert (health["queued"], health["running"], health["status"]) == (0, 0, "ok")


def test_accepted_jobs_outlive_a_kill(tmp_path: Path, processes: list[Process]) -> None:  # noqa: F811
    kill_again_and_again(tmp_path / "jobs", tmp_path, processes, kills=1)


@pytest.mark.slow
def test_accepted_jobs_outlive_twenty_kills(tmp_path: Path, processes: list[Process]) -> None:  # noqa: F811
    kill_again_and_again(tmp_path / "jobs", tmp_path, processes, kills=20)


def test_the_client_follows_a_job_through_a_stop_and_a_start(tmp_path: Path, processes: list[Process]) -> None:  # noqa: F811
    """A stop is graceful: streams end, the job that is too long for the grace waits, and its events go on."""
    video = make_video(tmp_path / "clip.mp4", 0.4)
    processes.append(Process(tmp_path / "jobs", token=TOKEN))
    with Client(processes[0].url) as stranger, pytest.raises(ServiceError, match="Bearer"):
        stranger.models()
    with Client(processes[0].url, token=TOKEN) as client:
        assert [card.name for card in client.models()] == ["tiny"] and client.health().status == "ok"
        with pytest.raises(ServiceError, match="there is no 'mini' here") as refused:
            client.submit(video)
        assert refused.value.status == 422 and refused.value.retry_after is None
        job = client.submit(video, id="mine", model="tiny", format="wav", seed=3)
        assert client.submit(video, id="mine", model="tiny", format="wav", seed=3).created == job.created
        assert client.save("mine", tmp_path / "mine.wav") == tmp_path / "mine.wav"
        assert soundfile.info(tmp_path / "mine.wav").frames == 6400
        assert client.record("mine")["options"]["seed"] == 3
        long = client.submit(video, model="tiny", format="wav", steps=1000, solver="rk4")
        told = []
        for event in client.events(long.id):
            told.append(event)
            if event.get("stage") == "sample":
                break
        assert told[0] == {"state": "queued"}
        client.cancel(long.id)
        assert client.wait(long.id).state == "cancelled"
        with pytest.raises(ServiceError, match="was cancelled"):
            client.save(long.id, tmp_path / "none.wav")
        assert not (tmp_path / "none.wav").exists()
    assert processes[0].stop() in (0, 143)
    processes.append(Process(tmp_path / "jobs", token=TOKEN))
    with Client(processes[1].url, token=TOKEN) as client:
        assert client.job("mine").state == "done" and client.job(long.id).state == "cancelled"
        assert client.cancel("mine").state == "done"
        with pytest.raises(ServiceError, match="no job mine"):
            client.job("mine")

"""Jobs from end to end: the command line's sound, its record, ranges, events, cancelling, batches."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from command import make_video, run
from fastapi.testclient import TestClient
from serving import done, ended, events, service, submit, until

import frieren
from frieren import sound_recognition
from frieren.conditioning import feature_size
from frieren.isolation import Limits
from frieren.nets.field import VectorField
from frieren.pipeline import Model
from frieren.redo import Redo
from frieren.service import synthesis as synthesis_module
from frieren.service.schema import JobOptions
from frieren.service.synthesis import Synthesis, Work
from frieren.sound_recognition import Unasked

LIMITS = Limits(memory=4 * 2**30, seconds=300, silence=120.0)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("clips") / "clip.mp4", 1.0, sound=True)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with service(tmp_path_factory.mktemp("service")) as client:
        yield client


def test_a_job_gives_the_very_sound_of_the_command_line_and_a_record_that_replays(
    client: TestClient, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = submit(client, clip, seed=5, steps=3, format="mp4", keep_original=True)
    assert answer.status_code == 202 and answer.headers["Location"] == f"/v1/jobs/{answer.json()['id']}"
    job = done(client, answer.json()["id"])
    assert job["video"]["name"] == "clip.mp4" and job["video"]["seconds"] == 1.0
    record = client.get(job["result"]["record"])
    assert 'filename="clip_frieren.mp4.json"' in record.headers["Content-Disposition"]

    out = tmp_path / "out.mp4"
    assert run("generate", clip, "-o", out, "--model", "tiny", "--seed", 5, "--steps", 3, "--keep-original") == 0
    told = json.loads((tmp_path / "out.mp4.json").read_text())
    assert record.json()["wave_sha256"] == told["wave_sha256"]
    result = client.get(job["result"]["url"])
    assert result.headers["Content-Type"] == "video/mp4"
    assert result.content == out.read_bytes() and len(result.content) == job["result"]["bytes"]

    (tmp_path / "clip.mp4").write_bytes(clip.read_bytes())
    (tmp_path / "clip_frieren.mp4.json").write_bytes(record.content)
    capsys.readouterr()
    assert run("generate", "--replay", tmp_path / "clip_frieren.mp4.json") == 0
    assert "identical: every sample is the one recorded" in capsys.readouterr().out


def test_options_reach_the_sound(client: TestClient, clip: Path) -> None:
    """Each of these changes the file; loudness and rate, which the record of a sound does not tell, too."""
    variants = [{}, {"seed": 1}, {"steps": 2}, {"guidance": 1.0}, {"solver": "heun"}, {"loudness": None}]
    variants += [{"sample_rate": 48_000}, {"format": "flac"}]
    ids = [submit(client, clip, **options).json()["id"] for options in variants]
    files = [client.get(done(client, id)["result"]["url"]).content for id in ids]
    assert len({hashlib.sha256(file).digest() for file in files}) == len(variants)
    wave, rate = soundfile.read(io.BytesIO(files[6]))
    assert rate == 48_000 and len(wave) == 48_000
    assert files[7].startswith(b"fLaC")


def test_a_job_may_ask_for_another_precision_and_its_record_replays(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The service's own is float32 here, then bfloat16: the same sound as that of a job that asks for it."""
    hashes = []
    for own, wishes in (("float32", ["bfloat16"]), ("bfloat16", [None, "float32"])):
        with service(tmp_path / own, precision=own) as client:
            for asked in wishes:
                more = {} if asked is None else {"precision": asked}
                job = done(client, submit(client, clip, seed=5, steps=1, **more).json()["id"])
                record = client.get(job["result"]["record"]).json()
                assert record["options"]["precision"] == record["command"]["precision"] == (asked or own)
                hashes.append(record["wave_sha256"])
    assert hashes[0] == hashes[1] != hashes[2]
    (tmp_path / "clip.mp4").write_bytes(clip.read_bytes())
    record["command"]["precision"], record["wave_sha256"] = "bfloat16", hashes[0]
    (tmp_path / "clip.wav.json").write_text(json.dumps(record))
    assert run("generate", "--replay", tmp_path / "clip.wav.json") == 0
    assert "identical" in capsys.readouterr().out


def test_jobs_of_two_precisions_are_not_sampled_together(tmp_path: Path, clip: Path) -> None:
    with service(tmp_path) as client:
        client.app.state.running.workers.stop(0)
        for precision in (None, "float32", "bfloat16", None):
            assert submit(client, clip, **({} if precision is None else {"precision": precision})).status_code == 202
        store = client.app.state.running.store
        assert [len(store.claim(8, 5)) for _ in range(3)] == [3, 1, 0]


def test_a_stretch_is_redone_as_on_the_command_line(client: TestClient, clip: Path) -> None:
    stretch = {"from": 0.4, "to": 0.8, "seed": 9}
    jobs = []
    for more in ({}, {"redo": [stretch]}):  # one after the other: sampled alone
        jobs.append(submit(client, clip, seed=5, **more).json()["id"])
        done(client, jobs[-1])
    files = [client.get(done(client, id)["result"]["url"]).content for id in jobs]
    before, after = (soundfile.read(io.BytesIO(file))[0] for file in files)
    changed = np.flatnonzero(before != after) / 16_000
    assert 0.4 <= changed[0] < 0.42 and 0.78 < changed[-1] < 0.8
    record = client.get(f"/v1/jobs/{jobs[1]}/record").json()
    assert record["redo"] == record["command"]["redo"] == [stretch]
    wave = frieren.load("tiny", device="cpu").generate(clip, seed=5, redo=[Redo(0.4, 0.8, 9)]).wave.numpy()
    assert record["wave_sha256"] == hashlib.sha256(wave.tobytes()).hexdigest()


def test_jobs_sampled_together_are_within_rounding_of_those_alone(clip: Path, tmp_path: Path) -> None:
    """Other lengths and seeds; one of them is damaged, which is its own affair."""
    other, synthesis = make_video(tmp_path / "other.mp4", 0.6), Synthesis("cpu", LIMITS)
    works = []
    for number, source in enumerate([clip, other, clip, None]):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "input").write_bytes(b"nothing" if source is None else source.read_bytes())
        options = {"model": "tiny", "seed": number, "format": "wav", "loudness": None}
        works.append(Work(JobOptions(**options), "x.mp4", str(source), folder, lambda *at: None))
    made = list(synthesis.make(works))
    assert {id(work) for work in made} == {id(work) for work in works}
    assert isinstance(works[3].error, frieren.VideoError) and not works[3].target.exists()
    model = frieren.load("tiny", device="cpu")
    for number, source in enumerate([clip, other, clip]):
        assert works[number].error is None
        alone = model.generate(source, seed=number).wave.numpy()
        together, _ = soundfile.read(works[number].target, dtype="float32")
        assert np.abs(together - alone).max() < 1e-4
        told = json.loads((works[number].folder / "record.json").read_text())
        assert told["options"]["sampled_together"] == 3


def test_other_sounds_of_the_same_video_are_made_anew_and_what_nobody_asked_for_is_said(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By `tiny` as a model that sees cue sheets; what is seen of a video is kept for the same sounds alone."""
    tiny = frieren.load("tiny", device="cpu")
    field = VectorField(dataclasses.replace(tiny.field.config, features=feature_size()))
    cued = Model(dataclasses.replace(tiny.config, condition="cues"), {**tiny.parts, "field": field})
    synthesis = Synthesis("cpu", LIMITS)
    monkeypatch.setattr(synthesis, "load", lambda *_: cued)
    heard = Unasked("music", "piano", 1.5, 0.9)
    monkeypatch.setattr(sound_recognition, "find_unasked", lambda *given: [heard] if "dog" in [*given[2]] else [])
    hashes, works = [], []
    for number, sounds in enumerate(("dog", "rain", "dog")):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "input").write_bytes(clip.read_bytes())
        options = JobOptions(model="tiny", sounds=sounds, format="wav", cues={"strikes": [{"time": 0.5}]})
        works.append(Work(options, "x.mp4", "the same", folder, lambda *at: None))
        assert [work.error for work in synthesis.make(works[-1:])] == [None]
        record = json.loads((folder / "record.json").read_text())
        assert record["cues"]["sounds"][0]["name"] == sounds
        assert ("unasked" in record) == bool(works[-1].warnings) == (sounds == "dog")
        hashes.append(record["wave_sha256"])
    assert hashes[0] == hashes[2] != hashes[1]
    assert works[0].warnings == ["the sound holds music (piano, at 1.5 s) that was not asked for; another seed may do"]


def test_warnings_are_told_with_the_result(client: TestClient, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = synthesis_module._write

    def warned(model: Model, work: Work, *more: Any) -> bool:
        whole(model, work, *more)
        work.warnings = ["the sound holds music"]
        return True

    monkeypatch.setattr(synthesis_module, "_write", warned)
    job = done(client, submit(client, clip, seed=91).json()["id"])
    assert job["result"]["warnings"] == ["the sound holds music"]


def test_ranges_are_served(client: TestClient, clip: Path) -> None:
    url = done(client, submit(client, clip).json()["id"])["result"]["url"]
    whole = client.get(url).content
    part = client.get(url, headers={"Range": "bytes=100-199"})
    assert part.status_code == 206 and part.content == whole[100:200]
    assert part.headers["Content-Range"] == f"bytes 100-199/{len(whole)}"
    assert client.get(url, headers={"Range": f"bytes={len(whole)}-"}).status_code == 416


def test_events_tell_every_stage_once_and_can_be_taken_up_anywhere(client: TestClient, clip: Path) -> None:
    id = submit(client, clip, seed=11).json()["id"]
    told = events(client, id)
    assert [number for number, _, _ in told] == list(range(1, len(told) + 1))
    assert [data["state"] for _, kind, data in told if kind == "state"] == ["queued", "running", "done"]
    stages = [data["stage"] for _, kind, data in told if kind == "progress"]
    assert list(dict.fromkeys(stages)) == ["encode", "sample", "decode", "vocode", "write"]
    assert ("progress", {"stage": "sample", "done": 4, "total": 4}) in [each[1:] for each in told]
    for after in (1, len(told) - 1, len(told)):
        assert events(client, id, after) == told[after:]
    assert events(client, id, "nonsense") == told


def test_a_job_is_cancelled_in_the_midst_of_sampling_and_the_next_one_begins(client: TestClient, clip: Path) -> None:
    long = submit(client, clip, steps=1000, solver="rk4").json()["id"]
    waiting = submit(client, clip, seed=21).json()
    assert waiting["position"] == 2
    until(lambda: (client.get(f"/v1/jobs/{long}").json()["progress"] or {}).get("stage") == "sample")
    assert client.delete(f"/v1/jobs/{long}").json()["state"] == "cancelled"
    done(client, waiting["id"])
    told = events(client, long)
    assert told[-1][1:] == ("state", {"state": "cancelled"})
    assert 0 < [data["done"] for _, kind, data in told if kind == "progress"][-1] < 1000
    refused = client.get(f"/v1/jobs/{long}/result")
    assert refused.status_code == 409 and "cancelled" in refused.json()["detail"]


def test_one_of_a_batch_is_cancelled_and_the_others_are_not(client: TestClient, clip: Path) -> None:
    first = submit(client, clip, steps=1000, solver="rk4").json()["id"]
    pair = [submit(client, clip, steps=400, seed=seed).json()["id"] for seed in (31, 32)]
    client.delete(f"/v1/jobs/{first}")
    until(lambda: (client.get(f"/v1/jobs/{pair[0]}").json()["progress"] or {}).get("stage") == "sample")
    client.delete(f"/v1/jobs/{pair[0]}")
    job = done(client, pair[1])
    assert ended(client, pair[0])["state"] == "cancelled"
    assert client.get(job["result"]["record"]).json()["options"]["sampled_together"] == 2


def test_a_job_that_waits_is_cancelled_and_one_that_is_done_is_removed(client: TestClient, clip: Path) -> None:
    first = submit(client, clip, steps=1000, solver="rk4").json()["id"]
    waiting = submit(client, clip, seed=41).json()["id"]
    assert client.delete(f"/v1/jobs/{waiting}").json()["state"] == "cancelled"
    client.delete(f"/v1/jobs/{first}")
    assert [data["state"] for _, _, data in events(client, waiting)] == ["queued", "cancelled"]
    id = submit(client, clip, seed=42).json()["id"]
    done(client, id)
    jobs = client.app.state.running.settings.folder / "jobs"
    before = len(list(jobs.iterdir()))
    assert client.delete(f"/v1/jobs/{id}").json()["state"] == "done"
    assert client.get(f"/v1/jobs/{id}").status_code == 404 and len(list(jobs.iterdir())) == before - 1


def test_the_same_id_is_the_same_job_and_never_another(client: TestClient, clip: Path) -> None:
    first = submit(client, clip, id="mine", seed=51)
    again = submit(client, clip, id="mine", seed=51)
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json()["created"] == first.json()["created"]
    assert submit(client, clip, id="mine", seed=52).status_code == 409
    assert submit(client, make_video(clip.with_name("other.mp4"), 0.4), id="mine", seed=51).status_code == 409
    done(client, "mine")
    assert submit(client, clip, id="mine", seed=51).json()["state"] == "done"


def test_estimates_come_from_what_was_measured(client: TestClient, clip: Path) -> None:
    done(client, submit(client, clip, seed=61).json()["id"])
    store = client.app.state.running.store
    pace = store.pace("tiny")
    blocking = submit(client, clip, steps=1000, solver="rk4").json()["id"]
    until(lambda: client.get(f"/v1/jobs/{blocking}").json()["state"] == "running")
    waiting = [submit(client, clip, seed=seed).json() for seed in (62, 63)]
    assert [job["position"] for job in waiting] == [2, 3]
    added = waiting[1]["estimated_seconds"] - waiting[0]["estimated_seconds"]
    assert added <= pace + 0.11 and waiting[0]["estimated_seconds"] > 0
    for id in [blocking, *(job["id"] for job in waiting)]:
        client.delete(f"/v1/jobs/{id}")


def test_models_health_and_metrics(client: TestClient, clip: Path) -> None:
    done(client, submit(client, clip, seed=71).json()["id"])
    (card,) = client.get("/v1/models").json()
    assert card["name"] == "tiny" and card["loaded"] and card["sample_rate"] == 16_000 and card["steps"] == 4
    health = client.get("/v1/health")
    assert health.status_code == 200 and health.json()["status"] == "ok" and health.json()["workers"] == 1
    text = client.get("/metrics").text
    counts = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("frieren_"))
    assert float(counts['frieren_jobs_ended_total{state="done"}']) >= 1
    assert float(counts['frieren_jobs_ended_total{state="cancelled"}']) >= 1
    accepted = float(counts["frieren_jobs_accepted_total"])
    by_end = [float(count) for name, count in counts.items() if name.startswith("frieren_jobs_ended_total")]
    assert accepted == sum(by_end) and counts["frieren_jobs_queued"] == "0.0"
    assert float(counts['frieren_stage_seconds_count{stage="sample"}']) >= 1


def test_a_worker_that_died_is_told(tmp_path: Path) -> None:
    with service(tmp_path) as client:
        workers = client.app.state.running.workers
        workers._closing.set()
        workers.wake()
        until(lambda: workers.alive == 0)
        answer = client.get("/v1/health")
    assert answer.status_code == 503 and answer.json()["status"] == "failing"


def test_results_expire(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frieren.service.running.SWEEP", 0.05)
    with service(tmp_path, keep_hours=2 / 3600) as client:
        id = submit(client, clip).json()["id"]
        until(lambda: client.get(f"/v1/jobs/{id}").status_code == 404)
        until(lambda: not list((tmp_path / "jobs").iterdir()))


def test_a_fault_of_one_job_is_told_and_the_service_goes_on(client: TestClient, clip: Path) -> None:
    running = client.app.state.running
    blocking = submit(client, clip, steps=1000, solver="rk4").json()["id"]
    until(lambda: client.get(f"/v1/jobs/{blocking}").json()["state"] == "running")
    id = submit(client, make_video(clip.with_name("third.mp4"), 0.5), name="../../evil.mp4").json()["id"]
    upload = running.settings.folder / running.store.get(id).folder / "input"
    upload.write_bytes(b"damaged")
    client.delete(f"/v1/jobs/{blocking}")
    job = ended(client, id)
    assert job["state"] == "failed" and job["error"].startswith("evil.mp4: ") and str(upload.parent) not in job["error"]
    assert client.get(f"/v1/jobs/{id}/result").status_code == 409
    assert done(client, submit(client, clip, seed=81).json()["id"])

"""What is refused before it is queued: each with a status, a reason in one line, and nothing left behind."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import clips
import numpy as np
import pytest
from command import make_video
from fastapi.testclient import TestClient
from serving import service, submit, until

from frieren.service import inspection, intake
from frieren.service.intake import clean

MIB = 2**20


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make_video(tmp_path_factory.mktemp("clips") / "clip.mp4", 0.4).read_bytes()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service that never makes a sound: what these tests send does not get so far."""
    folder = tmp_path_factory.mktemp("service")
    with service(folder, max_bytes=MIB, max_seconds=5.0, max_pixels=10_000) as client:
        client.app.state.running.workers.stop(0)
        yield client


@pytest.fixture(autouse=True)
def nothing_stays(client: TestClient) -> Iterator[None]:
    yield
    running = client.app.state.running
    assert len(list((running.settings.folder / "jobs").iterdir())) == len(running.store.folders())


def refused(answer: Any, status: int, said: str) -> None:
    assert answer.status_code == status, answer.text
    detail = answer.json()["detail"]
    assert said in detail and "\n" not in detail and "/jobs/" not in detail


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        ({"steps": 0}, 422, "options: steps: Input should be greater than or equal to 1"),
        ({"precision": "float16"}, 422, "options: precision: float16 needs a GPU"),
        ({"precision": "float8"}, 422, "options: precision"),
        ({"steps": "3"}, 422, "options: steps: Input should be a valid integer"),
        ({"steps": 10**9}, 422, "options: steps"),
        ({"guidance": -1}, 422, "options: guidance"),
        ({"seed": 2**63}, 422, "options: seed"),
        ({"solver": "magic"}, 422, "options: solver"),
        ({"loudness": 3}, 422, "options: loudness"),
        ({"format": "exe"}, 422, "options: format"),
        ({"sample_rate": 12}, 422, "options: sample_rate"),
        ({"colour": 1}, 422, "options: colour: Extra inputs are not permitted"),
        ({"model": "/etc/passwd"}, 422, "options: model: there is no '/etc/passwd' here; choose one of tiny"),
        ({"sounds": "dgo"}, 422, "options: sounds: "),
        ({"sounds": "dog"}, 422, "options: tiny sees frames and takes no sounds or cues"),
        ({"cues": {"strikes": [{"time": -1}]}}, 422, "options: cues: strikes[0]: time must be 0"),
        ({"cues": {"sounds": 3}}, 422, "options: cues: sounds must be a list"),
        ({"redo": [{"from": 2, "to": 1, "seed": 0}]}, 422, "options: redo.0: from must lie before to"),
        ({"redo": [{"from": 1, "to": 2, "seed": 0}]}, 422, "options: redo: 1 s lies beyond the end, 0.4 s"),
        ({"keep_original": True, "as_track": True, "format": "mp4"}, 422, "leave one of them out"),
        ({"levels": [0]}, 422, "levels"),
        ({"levels": [0, 41]}, 422, "levels.1: Input should be less than or equal to 40"),
        ({"keep_original": True}, 422, "are for videos, not for .wav"),
    ],
)
def test_options_out_of_range(client: TestClient, clip: bytes, options: dict[str, Any], status: int, said: str) -> None:
    refused(submit(client, clip, **options), status, said)


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("{", 400, "options: no JSON"),
        ("[]", 422, "options: Input should be an object"),
        ("[" * 100_000, 400, "options: no JSON"),
        ('{"steps": NaN}', 422, "options: steps"),
        ('{"guidance": Infinity}', 422, "options: guidance"),
        ("\ud83d", 400, "options: no JSON"),
    ],
)
def test_options_that_are_none(client: TestClient, clip: bytes, text: str, status: int, said: str) -> None:
    body = text.encode("utf-8", "surrogatepass")
    answer = client.post("/v1/jobs", files={"video": ("a.mp4", clip), "options": (None, body)})
    refused(answer, status, said)


def test_forms_that_are_none(client: TestClient, clip: bytes) -> None:
    refused(client.post("/v1/jobs", content=clip, headers={"Content-Type": "video/mp4"}), 415, "multipart/form-data")
    refused(client.post("/v1/jobs", json={"video": "a"}), 415, "multipart/form-data")
    refused(client.post("/v1/jobs"), 415, "multipart/form-data")
    tiny = {"options": '{"model": "tiny"}'}
    form = {"Content-Type": "multipart/form-data"}
    assert client.post("/v1/jobs", content=b"x", headers=form).status_code == 400
    broken = {"Content-Type": "multipart/form-data; boundary=b"}
    assert client.post("/v1/jobs", content=b"--b\r\nnonsense", headers=broken).status_code in (400, 422)
    refused(client.post("/v1/jobs", files={"film": ("a.mp4", clip)}, data=tiny), 422, "unknown part 'film'")
    refused(client.post("/v1/jobs", files={"options": (None, tiny["options"])}), 422, "video is missing")
    assert client.post("/v1/jobs", files={"video": (None, clip)}, data=tiny).status_code == 400
    refused(client.post("/v1/jobs", files={"video": ("a.mp4", b"")}, data=tiny), 422, "an empty file")
    two = [("video", ("a.mp4", clip)), ("video", ("b.mp4", clip))]
    assert client.post("/v1/jobs", files=two).status_code == 400


def test_uploads_that_are_too_large_too_long_or_too_wide(client: TestClient, tmp_path: Path) -> None:
    refused(submit(client, bytes(MIB + 1)), 413, "more than")
    limit = client.app.state.running.settings.max_bytes + intake.MOST_OPTIONS
    assert client.post("/v1/jobs", files={"video": ("a.mp4", bytes(limit + 2**17))}).status_code == 413
    long = clips.video(tmp_path / "long.mp4", [0, 3, 6])
    refused(submit(client, long), 422, "seconds long, more than 5")
    wide = clips.video(tmp_path / "wide.mp4", clips.EVEN, size=(128, 96))
    refused(submit(client, wide), 422, "128 x 96 pixels, more than 10000")


def test_files_that_are_no_videos(client: TestClient, tmp_path: Path) -> None:
    """Under the name that the client gave them, and never where they lie."""
    for what, path in clips.bad_files(tmp_path).items():
        if path.is_file() and path.stat().st_size and what != "decoded":
            answer = submit(client, path, name="holiday.mp4")
            assert answer.status_code in (415, 422), (what, answer.text)
            refused(answer, answer.status_code, "holiday.mp4: ")


def test_what_a_container_cannot_hold_is_said_before_the_work(client: TestClient, tmp_path: Path) -> None:
    gif = clips.video(tmp_path / "a.avi", clips.EVEN, codec="mpeg2video", pix_fmt="yuv420p")
    refused(submit(client, gif, format="mov", encode=False, audio_codec="opus"), 422, "opus")
    notes = submit(client, gif, format="mp4").json()["video"]["notes"]
    assert all("input" not in note for note in notes)


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back(tmp_path: Path, clip: bytes) -> None:
    with service(tmp_path, queue=2) as client:
        client.app.state.running.workers.stop(0)
        assert submit(client, clip, id="one").status_code == submit(client, clip, id="two").status_code == 202
        full = submit(client, b"not even looked at")
        refused(full, 429, "the queue is full (2 jobs)")
        assert 1 <= int(full.headers["Retry-After"]) <= 60
        assert submit(client, clip, id="two").status_code == 200
        client.delete("/v1/jobs/one")
        assert submit(client, clip, id="three").status_code == 202
        text = client.get("/metrics").text
        assert 'frieren_refused_total{status="429"} 1.0' in text


def test_ids_are_names_and_no_paths(client: TestClient, clip: bytes) -> None:
    for id in ("a b", "a" * 65, "a.b", "%2e%2e", "..%2Fx"):
        assert submit(client, clip, id=id).status_code in (404, 405, 422)
        assert client.get(f"/v1/jobs/{id}").status_code in (404, 422)


@pytest.mark.parametrize(
    ("given", "cleaned"),
    [
        ("clip.mp4", "clip.mp4"),
        ("../../etc/passwd", "passwd"),
        ("C:\\films\\clip.mp4", "clip.mp4"),
        ("a\x1b[31m\n.mp4", "a[31m.mp4"),
        ("..", "video"),
        (None, "video"),
        ("x" * 500 + ".mp4", "x" * 116 + ".mp4"),
    ],
)
def test_names_are_only_told(given: str | None, cleaned: str) -> None:
    assert clean(given) == cleaned


def test_an_inspection_measures_and_says_what_is_missing(tmp_path: Path) -> None:
    images = list(np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), np.uint8))
    whole = clips.video(tmp_path / "a.mkv", [number / 10 for number in range(20)], images=images)
    upload = tmp_path / "input"
    upload.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.5)])
    found = inspection.inspect(str(upload), "mp4", encode=True)
    assert found["width"] == 64 and found["height"] == 48 and 0.5 < found["seconds"] < 1.5
    assert any(note.startswith("truncated after") for note in found["notes"])


def mutants(clip: bytes, count: int) -> Iterator[tuple[str, bytes, dict[str, Any]]]:
    """Names, bodies and options of uploads that nothing good comes of."""
    dice = random.Random(0)
    heads = [b"\x1f\x8b", b"PK\x03\x04", b"#!/bin/sh\n", b"<svg", b"RIFF\xff\xff\xff\xffAVI ", b"\x1aE\xdf\xa3"]
    names = ["a.mp4", "../../../etc/cron.d/x", "..\\..\\x.mp4", "/dev/sda", "a\x00.mp4", "x" * 4000, "", "concat:a|b"]
    huge = np.array([2**31 - 1], ">u4").tobytes()
    for number in range(count):
        kind = number % 6
        body = bytearray(clip)
        if kind == 0:  # truncated
            body = body[: dice.randrange(1, len(body) // 2)]
        elif kind == 1:  # of another type
            body = bytearray(dice.choice(heads) + dice.randbytes(dice.randrange(1, 4000)))
        elif kind == 2:  # a header that claims the largest number
            for _ in range(40):
                at = dice.randrange(4, len(body) - 4)
                body[at : at + 4] = huge
            body[4:8] = dice.choice([b"ftyp", b"junk"])
            body = body[: len(body) - dice.randrange(8, 200)]
        elif kind == 3:  # a bomb: much of nothing
            body = bytearray(dice.choice(heads) + bytes(dice.randrange(10_000, 500_000)))
        elif kind == 4:  # a playlist of files of this machine
            body = bytearray(b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n" * dice.randrange(1, 20))
        yield dice.choice(names) if kind != 5 else "a.mp4", bytes(body), {} if kind != 5 else {"steps": -number}


def check_mutants(client: TestClient, clip: bytes, count: int) -> None:
    """Each is refused with a reason, or is a video after all."""
    accepted = 0
    for name, body, options in mutants(clip, count):
        try:
            answer = submit(client, body, name=name, **options)
        except (ValueError, UnicodeError):  # the client's library refuses the name
            continue
        if answer.status_code == 202:
            accepted += 1
            client.delete(f"/v1/jobs/{answer.json()['id']}")
            client.delete(f"/v1/jobs/{answer.json()['id']}")
        else:
            assert 400 <= answer.status_code < 500 and answer.json()["detail"], (name, answer.text)
    assert accepted <= count / 6
    assert client.get("/v1/health").json()["status"] in ("ok", "failing")
    assert client.app.state.running.intake._entering == 0


def test_malformed_uploads_are_refused_with_a_reason(client: TestClient, clip: bytes) -> None:
    check_mutants(client, clip, 12)


@pytest.mark.slow
def test_five_hundred_malformed_uploads(client: TestClient, clip: bytes) -> None:
    check_mutants(client, clip, 500)


def test_a_client_that_leaves_in_the_midst_leaves_nothing(client: TestClient) -> None:
    """The body ends before the form does."""
    head = b'--b\r\nContent-Disposition: form-data; name="video"; filename="a.mp4"\r\n\r\nhalf of a vid'
    answer = client.post("/v1/jobs", content=head, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert 400 <= answer.status_code < 500
    until(lambda: client.app.state.running.intake._entering == 0)
    assert json.loads(answer.text)["detail"]


def test_a_job_that_is_not_there(client: TestClient) -> None:
    """Everywhere, also where a stream would begin."""
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/events"), ("GET", "/result"), ("GET", "/record")):
        refused(client.request(method, f"/v1/jobs/none{path}"), 404, "there is no job none")
    allowed = client.request("PATCH", "/v1/jobs/none")
    assert allowed.status_code == 405 and allowed.headers["Allow"] == "DELETE, GET, PUT"

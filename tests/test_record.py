"""Records of sounds: what they say is what was done, and older ones read like new ones."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import pytest
import torch

import frieren
from frieren.apps.generate import record as records
from frieren.configs import from_table
from frieren.cues import Cues, Motion, Strike
from frieren.files import write_json
from frieren.formats import RECORD_LIMIT, is_output
from frieren.longwave import LongWave
from frieren.record import Stopwatch, make_record, sampling_settings, settings


@pytest.fixture(scope="module")
def model():
    return frieren.load("tiny", device="cpu")


def test_a_record_says_what_was_done(model, tmp_path):
    source, wave = tmp_path / "clip.mp4", torch.linspace(-1, 1, 32_000)
    source.write_bytes(b"any video")
    made_by = settings(model, source, "video", {"steps": 4})
    record = make_record(made_by, 3, wave, 16_000, {"sample": 1.5})
    assert json.loads(json.dumps(record)) == record
    assert record["input"] == {"name": "clip.mp4", "sha256": hashlib.sha256(b"any video").hexdigest(), "kind": "video"}
    assert record["wave_sha256"] == hashlib.sha256(wave.numpy().tobytes()).hexdigest()
    assert record["seconds"] == {"sound": 2.0, "sample": 1.5}
    options = record["options"]
    assert (options["seed"], options["steps"], options["vocoder"]) == (3, 4, "model")
    assert options["sampling"] == {"windows": "seamless", "regulator": "time", "time": "truncated to 1/1000"}
    assert "sampling" not in settings(model, source, "mel", {})["options"]
    pieces = LongWave(lambda: [wave.numpy()[:1000], wave.numpy()[1000:]], len(wave))
    assert make_record(made_by, 3, pieces, 16_000, {"sample": 1.5}) == record


def test_a_stage_within_a_stage_is_not_its(monkeypatch):
    now = iter(range(100))
    monkeypatch.setattr("time.perf_counter", lambda: float(next(now)))  # every look takes a second
    spent = Stopwatch()
    with spent("vocode"):
        assert list(spent.over("decode", "abc")) == ["a", "b", "c"]
    assert spent.seconds == {"decode": 4.0, "vocode": 5.0}


def test_the_record_of_a_film_of_six_hours_is_read(tmp_path):
    """Motion 25 times a second, a strike every second."""
    curve = tuple(index % 1000 / 1000 for index in range(6 * 3600 * 25))
    sheet = Cues((), tuple(Strike(float(at)) for at in range(6 * 3600)), Motion(25.0, curve))
    command = {"video": "in.mp4", "output": "out.mp4", "model": "mini", "seed": 0}
    write_json(tmp_path / "out.mp4.json", {"cues": json.loads(sheet.to_json()), "command": command, "wave_sha256": ""})
    assert from_table(Cues, records.read(tmp_path / "out.mp4.json")["cues"]) == sheet
    assert is_output(tmp_path / "out.mp4")


def test_a_rescaled_guidance_is_said(model):
    rescaled = frieren.Model(dataclasses.replace(model.config, guidance_rescale=2.5), model.parts)
    assert sampling_settings(rescaled)["guidance_rescale"] == "as guided by 2.5"


def test_a_stage_that_fails_has_no_time():
    spent = Stopwatch()
    with spent("sample"):
        pass
    with pytest.raises(ValueError), spent("decode"):
        raise ValueError
    assert spent.seconds.keys() == {"sample"} and spent.seconds["sample"] < 1


def test_an_older_record_reads_like_a_new_one(tmp_path):
    path = tmp_path / "out.json"
    command = {"video": "in.mp4", "output": "out.mp4", "model": "mini-1step", "seed": 0}
    old = {"command": command, "wave_sha256": "", "options": {"sampling": {"spread": "as guided by 2"}}}
    path.write_text(json.dumps(old))
    read = records.read(path)
    new = {**old, "options": {"sampling": {"guidance_rescale": "as guided by 2"}}}
    assert not list(records.changes(read, new))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 200_000, "not a record"),
        (" " * (RECORD_LIMIT + 1), "larger than any record"),
        (
            '{"wave_sha256": "", "command": {"video": "a\\u0000.mp4", "output": "b.wav", "model": "", "seed": 0}}',
            "not a name",
        ),
        (
            '{"wave_sha256": "", "command": {"video": "a.mp4", "output": "b\\u0000.wav", "model": "", "seed": 0}}',
            "not a name",
        ),
    ],
)
def test_a_hostile_record_is_one_line(tmp_path, text, said):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(records.RecordError, match=said) as caught:
        records.read(path)
    assert len(str(caught.value)) < 300

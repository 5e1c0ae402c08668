"""Records of sounds: what they say is what was done, and older ones read like new ones."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import pytest
import torch

import frieren
from frieren.apps.generate import record as records
from frieren.record import Stopwatch, make_record, sampling_settings


@pytest.fixture(scope="module")
def model():
    return frieren.load("tiny", device="cpu")


def test_a_record_says_what_was_done(model, tmp_path):
    source, wave = tmp_path / "clip.mp4", torch.linspace(-1, 1, 32_000)
    source.write_bytes(b"any video")
    record = make_record(model, source, "video", wave, {"seed": 3, "steps": 4}, {"sample": 1.5})
    assert json.loads(json.dumps(record)) == record
    assert record["input"] == {"name": "clip.mp4", "sha256": hashlib.sha256(b"any video").hexdigest(), "kind": "video"}
    assert record["wave_sha256"] == hashlib.sha256(wave.numpy().tobytes()).hexdigest()
    assert record["seconds"] == {"sound": 2.0, "sample": 1.5}
    options = record["options"]
    assert (options["seed"], options["steps"], options["vocoder"]) == (3, 4, "model")
    assert options["sampling"] == {"windows": "seamless", "regulator": "time", "time": "truncated to 1/1000"}
    assert "sampling" not in make_record(model, source, "mel", wave, {}, {})["options"]


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
    assert not list(records.differences(read, new))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 200_000, "not a record"),
        (" " * (1 << 21), "larger than any record"),
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

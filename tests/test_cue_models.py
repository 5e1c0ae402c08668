"""Models that are conditioned by cue sheets, on tiny parts: what is given, spotted and recorded is what is used."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from clips import video
from command import run
from cue_model import save_cue_model

import frieren
from frieren.conditioning import cue_features
from frieren.cues import Cues, Motion, SoundCue, Strike, from_json
from frieren.errors import ConfigError
from frieren.pipeline import Model
from frieren.spotting import spot
from frieren.weights import fingerprint

SHEET = Cues((SoundCue("dog", certainty=0.8),), (Strike(0.4), Strike(0.9, 0.5)), Motion(25.0, (0.1, 0.9)), 7.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of random parameters that is conditioned by cues."""
    path = save_cue_model(tmp_path_factory.mktemp("model"))
    assert fingerprint(path)
    return path


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return frieren.load(folder, device="cpu")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    video(path, [index / 30 for index in range(45)])
    return path


def test_a_given_sheet_is_what_the_sound_is_made_of(model: Model, clip: Path) -> None:
    sound = model.generate(clip, seed=3, cues=SHEET)
    features = cue_features(SHEET, 1.5, model.clock, decided=True)
    latent = model.sample(features, seconds=1.5, seed=3)
    assert torch.equal(sound.wave, model.vocode(model.decode(latent))[: len(sound.wave)])
    assert len(sound.wave) == 24_000
    recorded = from_json(json.dumps(sound.record["cues"]))
    assert recorded == dataclasses.replace(SHEET, seconds=1.5)


def test_what_is_likeliest_is_made_as_if_it_were_certain(model: Model, clip: Path) -> None:
    unsure, sure = (Cues((SoundCue("dog", certainty=each),), SHEET.strikes) for each in (0.3, 1.0))
    assert torch.equal(model.generate(clip, cues=unsure).wave, model.generate(clip, cues=sure).wave)


def test_strikes_are_delayed_by_what_the_model_is_early(model: Model, clip: Path) -> None:
    late = Model(dataclasses.replace(model.config, strike_delay=0.02), model.parts)
    moved = tuple(dataclasses.replace(strike, time=strike.time + 0.02) for strike in SHEET.strikes)
    expected = model.generate(clip, cues=dataclasses.replace(SHEET, strikes=moved)).wave
    assert torch.equal(late.generate(clip, cues=SHEET).wave, expected)


def test_without_a_sheet_the_video_is_spotted(model: Model, clip: Path) -> None:
    sheet = model.spot(clip)
    assert sheet == spot(clip)
    assert torch.equal(model.generate(clip).wave, model.generate(clip, cues=sheet).wave)


def test_sounds_replace_what_is_there_and_keep_when(model: Model, clip: Path) -> None:
    sheet = model.spot(clip, cues=SHEET, sounds="rain, bark@0.5-1")
    assert [(cue.category.name, cue.start, cue.end) for cue in sheet.sounds] == [
        ("rain_storm", 0.0, None),
        ("dog", 0.5, 1.0),
    ]
    assert (sheet.strikes, sheet.motion) == (SHEET.strikes, SHEET.motion)
    assert not torch.equal(model.generate(clip, cues=SHEET).wave, model.generate(clip, cues=SHEET, sounds="rain").wave)
    with pytest.raises(ConfigError, match="dog"):
        model.spot(clip, cues=SHEET, sounds="dogg")


def test_a_model_that_sees_frames_takes_no_cues(clip: Path) -> None:
    with pytest.raises(ConfigError, match="takes no cues"):
        frieren.load("tiny", device="cpu").generate(clip, cues=SHEET)


def test_cues_and_sound_on_the_command_line_and_in_a_replay(
    folder: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    SHEET.save(tmp_path / "sheet.json")
    options = ("--model", folder, "--device", "cpu", "--cues", tmp_path / "sheet.json", "--sound", "cat")
    assert run("generate", clip, "-o", tmp_path / "out.wav", *options) == 0
    record = json.loads((tmp_path / "out.wav.json").read_text())
    assert [each["name"] for each in record["cues"]["sounds"]] == ["cat"] and len(record["cues"]["strikes"]) == 2
    assert record["command"]["sounds"] == "cat"
    (tmp_path / "sheet.json").unlink()  # the record holds what was used
    assert run("generate", "--replay", tmp_path / "out.wav.json") == 0
    assert "identical" in capsys.readouterr().out


def test_unknown_sounds_and_two_videos_with_a_sheet_are_refused_before_the_work(
    folder: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("generate", clip, "--model", folder, "--sound", "dogg", "-o", tmp_path / "a.wav") == 1
    assert "dog" in capsys.readouterr().err
    SHEET.save(tmp_path / "sheet.json")
    other = tmp_path / "other.mp4"
    other.write_bytes(clip.read_bytes())
    assert run("generate", clip, other, "--model", folder, "--cues", tmp_path / "sheet.json", "-o", tmp_path) == 2
    assert "one VIDEO" in capsys.readouterr().err

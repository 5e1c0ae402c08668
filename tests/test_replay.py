"""Replays of records: the identical sound again, and what a damaged record says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command import FakeModel, make_video, names, run


def test_replay_makes_the_identical_sound(fake_model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "out"
    clip = make_video(tmp_path / "clip.mp4")
    options = ["--steps", 5, "--seed", 3, "--samples", 2, "--loudness", "off", "--format", "wav"]
    assert run("generate", clip, "-o", out, *options) == 0
    path = out / "clip_frieren_seed4.wav.json"
    assert run("generate", "--replay", path) == 0
    assert (out / "clip_frieren_seed4_replay.wav").read_bytes() == (out / "clip_frieren_seed4.wav").read_bytes()
    captured = capsys.readouterr()
    assert "identical" in captured.out
    assert captured.err == ""
    used = {"kind": "video", "seeds": [4], "steps": 5, "guidance": 4.5, "solver": "euler"}
    assert fake_model.calls[-1] == used | {"video": fake_model.calls[-1]["video"]}


def test_a_replay_takes_every_option_from_the_record(fake_model: FakeModel, tmp_path: Path) -> None:
    options = "--model m --guidance 2 --solver heun --seed 7 --device cpu --precision bfloat16 --vocoder griffin-lim"
    more = "--refine time --refine windows --loudness -30 --keep-original"
    clip = make_video(tmp_path / "clip.mp4", sound=True)
    assert run("generate", clip, *options.split(), *more.split()) == 0
    assert run("generate", "--replay", tmp_path / "clip_frieren.mp4.json") == 0
    assert fake_model.loads[0] == fake_model.loads[1] and fake_model.loads[0][1]["refine"] == ("time", "windows")
    assert fake_model.calls[1] == fake_model.calls[0] | {
        "steps": 25,
        "video": fake_model.calls[1]["video"],
    }  # steps: as were used
    commands = [json.loads((tmp_path / f"{name}.mp4.json").read_text())["command"] for name in REPLAYED]
    assert commands[1] == commands[0] | {"output": "clip_frieren_replay.mp4", "steps": 25}


REPLAYED = ("clip_frieren", "clip_frieren_replay")


def test_replay_works_after_the_folder_has_moved(fake_model: FakeModel, tmp_path: Path) -> None:
    make_video(tmp_path / "a" / "clip.mp4")
    assert run("generate", tmp_path / "a" / "clip.mp4") == 0
    (tmp_path / "a").rename(tmp_path / "b")
    assert run("generate", "--replay", tmp_path / "b" / "clip_frieren.mp4.json", "-o", tmp_path / "again.wav") == 0
    assert (tmp_path / "again.wav").exists()


def test_replay_warns_of_everything_that_differs(
    fake_model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    clip = make_video(tmp_path / "clip.mp4")
    assert run("generate", clip, "-o", tmp_path / "x.wav") == 0
    fake_model.threads = 8
    make_video(clip, seconds=0.8)
    assert run("generate", "--replay", tmp_path / "x.wav.json") == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("frieren: warning: input.sha256 was ")
    assert lines[1] == "frieren: warning: versions.threads was 2, is 8"
    assert "not identical" in lines[2]
    assert len(lines) == 3


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"command": {"video": "x"}}', "\x00"])
def test_a_file_that_is_no_record_is_one_line(
    fake_model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture, text: str
) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    assert run("generate", "--replay", path) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "not a record" in error
    assert run("generate", "--replay", tmp_path / "missing.json") == 1


def test_replay_into_a_new_folder_keeps_the_kind_of_file(fake_model: FakeModel, tmp_path: Path) -> None:
    assert run("generate", make_video(tmp_path / "clip.mp4"), "-o", tmp_path / "x.wav") == 0
    assert run("generate", "--replay", tmp_path / "x.wav.json", "-o", tmp_path / "new") == 0
    assert names(tmp_path / "new") == ["x.wav", "x.wav.json"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", 3),
        ("steps", 0),
        ("steps", 2.5),
        ("guidance", float("nan")),
        ("solver", "magic"),
        ("seed", -1),
        ("seed", True),
        ("vocoder", []),
        ("device", "toaster"),
        ("precision", None),
        ("loudness", 5),
        ("keep_original", "yes"),
        ("levels", [0.0]),
        ("levels", [0.0, 90.0]),
        ("video", 1),
        ("output", "x.exe"),
    ],
)
def test_a_record_with_an_impossible_value_is_one_line(
    fake_model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture, name: str, value: Any
) -> None:
    assert run("generate", make_video(tmp_path / "clip.mp4"), "-o", tmp_path / "x.wav") == 0
    path = tmp_path / "x.wav.json"
    record = json.loads(path.read_text())
    record["command"][name] = value
    record["options"].pop(name, None)
    path.write_text(json.dumps(record))
    assert run("generate", "--replay", path) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"frieren: {path}: ") and error.count("\n") == 1 and name in error

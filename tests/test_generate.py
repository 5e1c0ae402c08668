"""The verb generate: exit codes, names of outputs, records and replays, and that the flags are the keywords.

Most of it runs on a fake model, which is exact and free, and is itself compared with a real one; the last part runs the
real pipeline with `tiny`.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import av
import clips
import numpy as np
import pytest
import torch
from command import RATE, FakeModel, make_video, names, run

import frieren
from frieren import configs, remux, sounds, video
from frieren.apps import checks
from frieren.apps.generate import record
from frieren.apps.generate.command import generate, kind_of
from frieren.apps.generate.options import Options, parse_levels, parse_loudness
from frieren.errors import OutputError, SamplingError


def test_the_fake_model_is_like_a_real_one(tmp_path: Path) -> None:
    clip = make_video(tmp_path / "clip.mp4")
    real, fake = frieren.load("tiny"), FakeModel()
    parameters = [inspect.signature(one.takes).parameters for one in (real, fake)]
    assert [(name, item.kind, item.default) for name, item in parameters[0].items()] == [
        (name, item.kind, item.default) for name, item in parameters[1].items()
    ]
    sounds, stages = [], []
    for one in (real, fake):
        reported: list[str] = []
        sounds += one.takes(clip, [3], steps=1, on_progress=lambda stage, done, total, to=reported: to.append(stage))
        stages.append(list(dict.fromkeys(reported)))
    assert stages[0] == stages[1]
    flat = [dict(configs.flat(sound.record)) for sound in sounds]
    assert flat[0].keys() == flat[1].keys()
    assert type(sounds[0]) is type(sounds[1]) and sounds[0].wave.dtype == sounds[1].wave.dtype
    assert sounds[0].wave.shape == sounds[1].wave.shape and sounds[0].source == sounds[1].source


# -- one video --


def test_default_output_stands_beside_the_input(
    fake_model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    clip = make_video(tmp_path / "clip.mp4")
    before = clip.read_bytes()
    assert run("generate", clip) == 0
    assert names(tmp_path) == ["clip.mp4", "clip_frieren.mp4", "clip_frieren.mp4.json"]
    assert clip.read_bytes() == before
    line = capsys.readouterr().out.strip().splitlines()[-1]
    assert line.startswith(f"{tmp_path / 'clip_frieren.mp4'}  0.40 s of sound in ")
    assert "real-time factor" in line


def test_silent_on_stderr_when_it_is_not_a_terminal(
    fake_model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert run("generate", make_video(tmp_path / "clip.mp4")) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mov", ".mkv", ".mp4"])
def test_the_suffix_chooses_the_kind_of_output(fake_model: FakeModel, tmp_path: Path, suffix: str) -> None:
    target = tmp_path / "new" / f"x{suffix}"
    assert run("generate", make_video(tmp_path / "clip.mp4"), "-o", target) == 0
    assert names(target.parent) == [f"x{suffix}", f"x{suffix}.json"]
    assert abs(len(sounds.read(target, RATE)) - 0.4 * RATE) < 1024


def test_a_codec_that_mp4_cannot_hold_is_copied_elsewhere_or_encoded_and_it_says_so(
    fake_model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    clip = make_video(tmp_path / "clip.mov", codec="prores_ks")
    assert run("generate", clip) == 0  # we choose the name: a container that takes the video as it is
    assert names(tmp_path) == ["clip.mov", "clip_frieren.mov", "clip_frieren.mov.json"]
    assert json.loads((tmp_path / "clip_frieren.mov.json").read_text())["command"]["output"] == "clip_frieren.mov"
    out = capsys.readouterr().out
    assert "clip.mov: its video (prores) is copied into .mov, not encoded for .mp4" in out and "H.264" not in out
    assert run("generate", clip, "-o", tmp_path / "out.mp4") == 0
    assert "clip.mov: .mp4 cannot hold its video (prores), which is encoded as H.264" in capsys.readouterr().out
    assert video.probe(tmp_path / "out.mp4").codec == "h264" and video.probe(tmp_path / "out.mp4").frames == 10


def test_refusals_come_before_the_work(fake_model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    clip = make_video(tmp_path / "clip.mov", codec="prores_ks")
    assert run("generate", clip, "-o", tmp_path / "out.mp4", "--no-encode") == 1
    assert "clip.mov: its video (prores) cannot be copied into .mp4; name an output" in capsys.readouterr().err
    assert run("generate", clip, "-o", tmp_path / "out.mov", "--audio-codec", "opus") == 1
    assert "mov holds no opus, only aac" in capsys.readouterr().err
    assert not fake_model.calls and names(tmp_path) == ["clip.mov"]


def test_the_old_sound_as_a_track_and_the_codec_of_the_new_one(fake_model: FakeModel, tmp_path: Path) -> None:
    clip = make_video(tmp_path / "clip.mp4", sound=True)
    assert run("generate", clip, "-o", tmp_path / "out.mp4", "--as-track", "--audio-codec", "flac") == 0
    with av.open(tmp_path / "out.mp4") as file:
        assert [stream.name for stream in file.streams.audio] == ["flac", "aac"]
    assert run("generate", clip, "-o", tmp_path / "two.mp4", "--as-track", "--keep-original") == 2


def test_options_reach_the_model(fake_model: FakeModel, tmp_path: Path) -> None:
    clip = make_video(tmp_path / "clip.mp4")
    options = "--model m --steps 3 --guidance 2 --solver heun --seed 7 --device cpu --precision bfloat16"
    assert run("generate", clip, *options.split(), "--vocoder", "griffin-lim", "--refine", "time") == 0
    wanted = {"device": "cpu", "precision": "bfloat16", "vocoder": "griffin-lim", "refine": ("time",)}
    assert fake_model.loads == [("m", wanted)]
    assert fake_model.calls == [
        {"video": clip, "kind": "video", "seeds": [7], "steps": 3, "guidance": 2.0, "solver": "heun"}
    ]


# -- many videos, many takes --


def test_takes_have_a_seed_each_and_share_one_encoding(fake_model: FakeModel, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("generate", make_video(tmp_path / "clip.mp4"), "--samples", 3, "--seed", 4, "-o", out) == 0
    assert [call["seeds"] for call in fake_model.calls] == [[4, 5, 6]]
    takes = [f"clip_frieren_seed{seed}.mp4" for seed in (4, 5, 6)]
    assert names(out) == sorted(takes + [f"{take}.json" for take in takes])
    seeds = [json.loads((out / f"{take}.json").read_text())["command"]["seed"] for take in takes]
    assert seeds == [4, 5, 6]


def test_a_folder_a_glob_and_a_file_make_a_batch(fake_model: FakeModel, tmp_path: Path) -> None:
    for name in ("a/one.mp4", "a/two.MOV", "b/three.mkv", "four.mp4"):
        make_video(tmp_path / name)
    (tmp_path / "a" / "notes.txt").write_text("no video")
    arguments = [tmp_path / "a", f"{tmp_path}/b/*.mkv", tmp_path / "four.mp4", tmp_path / "a" / "one.mp4"]
    assert run("generate", *arguments, "-o", tmp_path / "out", "--format", "wav") == 0
    assert [call["video"].name for call in fake_model.calls] == ["one.mp4", "two.MOV", "three.mkv", "four.mp4"]
    wanted = {f"{stem}_frieren.wav" for stem in ("one", "two", "three", "four")}
    assert {name for name in names(tmp_path / "out") if name.endswith(".wav")} == wanted


def test_a_second_run_over_a_folder_leaves_our_own_outputs_out(fake_model: FakeModel, tmp_path: Path) -> None:
    make_video(tmp_path / "clip.mp4")
    for _ in range(2):
        assert run("generate", tmp_path) == 0
    assert names(tmp_path) == ["clip.mp4", "clip_frieren.mp4", "clip_frieren.mp4.json"]


def test_inputs_of_the_same_stem_do_not_overwrite_one_another(fake_model: FakeModel, tmp_path: Path) -> None:
    clips = [make_video(tmp_path / name) for name in ("clip.mp4", "clip.mov", "b/clip.mp4")]
    assert run("generate", *clips, "-o", tmp_path / "out") == 0
    videos = [name for name in names(tmp_path / "out") if name.endswith(".mp4")]
    assert videos == ["clip_frieren.mp4", "clip_frieren_2.mp4", "clip_frieren_3.mp4"]


def test_an_input_named_like_an_output_survives(fake_model: FakeModel, tmp_path: Path) -> None:
    clips = [make_video(tmp_path / name) for name in ("clip.mp4", "clip_frieren.mp4", "clip_frieren_2.mkv")]
    before = [clip.read_bytes() for clip in clips]
    assert run("generate", *clips) == 0
    assert [clip.read_bytes() for clip in clips] == before
    assert (tmp_path / "clip_frieren_3.mp4").exists()


def test_in_a_batch_the_others_go_on_and_the_end_lists_what_failed(
    fake_model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"not a video at all")
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "nothing").mkdir()
    good = [make_video(tmp_path / f"good{number}.mp4") for number in (1, 2)]
    bad = [tmp_path / "bad.mp4", tmp_path / "empty.mp4", tmp_path / "missing.mp4", tmp_path / "nothing"]
    arguments = [good[0], *bad, f"{tmp_path}/*.avi", good[1]]
    assert run("generate", *arguments, "-o", tmp_path / "out") == 1
    assert {name for name in names(tmp_path / "out") if name.endswith(".mp4")} == {
        "good1_frieren.mp4",
        "good2_frieren.mp4",
    }
    end = capsys.readouterr().err.split("frieren: 5 of 7 failed:\n")[1].splitlines()
    assert len(end) == 5
    for name in ("bad.mp4", "empty.mp4", "missing.mp4", "nothing", "*.avi"):
        assert any(line.startswith(f"  {tmp_path / name}: ") for line in end)


def test_one_bad_file_is_one_line(fake_model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert run("generate", tmp_path / "missing.mp4") == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith(f"frieren: {tmp_path / 'missing.mp4'}: no such file")
    assert not fake_model.loads  # nothing to do: the model is not even loaded


def test_a_failure_leaves_the_old_output_and_nothing_half_written(
    fake_model: FakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, target = make_video(tmp_path / "clip.mp4"), tmp_path / "out.mp4"
    target.write_bytes(b"old")

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(remux, "mux", broken)
    assert run("generate", clip, "-o", target) == 1
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["clip.mp4", "out.mp4"]


def test_output_folder_that_cannot_be_made(
    fake_model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    clip = make_video(tmp_path / "clip.mp4")
    (tmp_path / "file").write_text("in the way")
    assert run("generate", clip, "-o", tmp_path / "file" / "out.mp4") == 1
    assert "choose another" in capsys.readouterr().err


def fail_on(bad: str, error: Exception, fake_model: FakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the model raise `error` for the video of this name."""
    takes = fake_model.takes

    def sometimes(source: Path, *arguments: Any, **options: Any) -> Iterator[frieren.Sound]:
        if source.stem == bad:
            raise error
        return takes(source, *arguments, **options)

    monkeypatch.setattr(fake_model, "takes", sometimes)


OURS = "this is a fault in frieren, please report it; --debug shows the traceback"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(5, "Input/output error"), "Input/output error; convert it to .mp4, or see `frieren doctor`"),
        (av.error.UnknownError(1, "unknown"), "unknown; convert it to .mp4, or see `frieren doctor`"),
        (MemoryError(), "out of memory (MemoryError); try --device cpu, or a shorter video"),
        (
            torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 20 GiB"),
            "out of memory (CUDA out of memory.); try --device cpu, or a shorter video",
        ),
        (RuntimeError("shapes (2) and (3) differ\nin line 7"), f"RuntimeError: shapes (2) and (3) differ; {OURS}"),
        (RuntimeError("not out of memory at all"), f"RuntimeError: not out of memory at all; {OURS}"),
        (ValueError("odd value"), f"ValueError: odd value; {OURS}"),
        (KeyError("steps"), f"KeyError: 'steps'; {OURS}"),
        (AssertionError(), f"AssertionError; {OURS}"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_in_one_video_is_told_by_its_type_and_the_others_go_on(
    fake_model: FakeModel,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    said: str,
) -> None:
    bad, good = (make_video(tmp_path / f"{name}.mp4") for name in ("bad", "good"))
    fail_on("bad", error, fake_model, monkeypatch)
    assert run("generate", bad, good, "-o", tmp_path / "out") == 1
    assert names(tmp_path / "out") == ["good_frieren.mp4", "good_frieren.mp4.json"]
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"frieren: {bad}: {said}", "frieren: 1 of 2 failed:", f"  {bad}: {said}"]


def test_an_error_that_has_a_name_is_said_as_it_is(
    fake_model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_on("bad", SamplingError("not finite; try float32"), fake_model, monkeypatch)
    assert run("generate", make_video(tmp_path / "bad.mp4")) == 1
    assert capsys.readouterr().err == "frieren: not finite; try float32\n"


@pytest.mark.parametrize("place", ["before", "after"])
def test_debug_shows_the_traceback_and_the_others_go_on(
    fake_model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    bad, good = (make_video(tmp_path / f"{name}.mp4") for name in ("bad", "good"))
    fail_on("bad", ValueError("odd value"), fake_model, monkeypatch)
    arguments = ["--debug", "generate", bad, good] if place == "before" else ["generate", bad, good, "--debug"]
    assert run(*arguments) == 1
    error = capsys.readouterr().err
    assert (
        "Traceback (most recent call last)" in error and "in sometimes\n    raise error\nValueError: odd value" in error
    )
    assert f"\nfrieren: {bad}: ValueError: odd value; this is a fault in frieren, please report it\n" in error
    assert "good_frieren.mp4" in names(tmp_path)
    assert run("generate", bad) == 1 and "Traceback" not in capsys.readouterr().err  # only where it is asked for


@pytest.mark.parametrize("name", ["a" * 300 + ".mp4", "a" * 300, "a" * 300 + "*.mp4"])
def test_names_that_the_system_does_not_take_are_one_line(
    fake_model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture, name: str
) -> None:
    clip = make_video(tmp_path / "clip.mp4")
    assert run("generate", name, clip, "-o", tmp_path / "out") == 1
    assert capsys.readouterr().err.splitlines()[0].startswith(f"frieren: {name}: ")
    assert len(names(tmp_path / "out")) == 2
    if "*" not in name:
        assert run("generate", clip, "-o", tmp_path / name) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and "-o" in error
    assert not [call for call in fake_model.calls[1:]]


def test_a_folder_that_one_may_not_enter_is_one_line(
    fake_model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refused)
    assert run("generate", tmp_path) == 1
    assert capsys.readouterr().err.startswith(f"frieren: {tmp_path}: Permission denied; ")


def test_an_output_whose_record_has_too_long_a_name_is_found_before_the_work(
    fake_model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    clip, target = make_video(tmp_path / "clip.mp4"), tmp_path / ("a" * 251 + ".wav")  # 255 bytes, and 5 for ".json"
    assert run("generate", clip, "-o", target) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"frieren: {target}: cannot be written (") and error.endswith(
        "choose another name with -o\n"
    )
    assert not fake_model.calls


def test_a_device_that_is_not_there_is_found_before_the_work(
    fake_model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert run("generate", make_video(tmp_path / "clip.mp4"), "--device", "cuda:99") == 1
    assert capsys.readouterr().err.startswith("frieren: cuda:99: there is no such device here")
    assert not fake_model.loads


def test_long_names_leave_room_for_what_is_put_behind_them(fake_model: FakeModel, tmp_path: Path) -> None:
    clip = make_video(tmp_path / ("音" * 83 + ".mp4"))
    assert run("generate", tmp_path, "--samples", 2, "--seed", 2**50) == 0
    assert len(names(tmp_path)) == 5 and clip.exists()


def test_hidden_files_of_a_folder_are_left_out(fake_model: FakeModel, tmp_path: Path) -> None:
    make_video(tmp_path / "clip.mp4")
    (tmp_path / "._clip.mp4").write_bytes(b"a shadow that another system left")
    assert run("generate", tmp_path, "-o", tmp_path / "out") == 0
    assert [call["video"].name for call in fake_model.calls] == ["clip.mp4"]


def test_a_place_where_nothing_can_be_written_is_found_before_the_work(
    fake_model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(checks.tempfile, "TemporaryFile", refused)
    assert run("generate", make_video(tmp_path / "clip.mp4")) == 1
    assert "cannot write in this folder (Permission denied); choose another\n" in capsys.readouterr().err
    assert not fake_model.calls


@pytest.mark.parametrize("existed", [False, True])
def test_without_its_record_an_output_does_not_stay(
    fake_model: FakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existed: bool
) -> None:
    clip, target = make_video(tmp_path / "clip.mp4"), tmp_path / "out.mp4"
    if existed:
        target.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OutputError("out.mp4.json: no room; make some")

    monkeypatch.setattr(record, "write", full)
    assert run("generate", clip, "-o", target) == 1
    assert target.exists() == existed


# -- wrong options --


@pytest.mark.parametrize(
    "options",
    [
        "",
        "clip.mp4 -o out.xyz",
        "clip.mp4 -o clip.mp4",
        "clip.mp4 ./other.mp4 -o out.mp4",
        "clip.mp4 --samples 2 -o out.mp4",
        "clip.mp4 -o out.mp4 --format wav",
        "clip.mp4 -o out.wav --keep-original",
        "clip.mp4 --steps 0",
        "clip.mp4 --guidance nan",
        "clip.mp4 --guidance inf",
        "clip.mp4 --solver magic",
        "clip.mp4 --device toaster",
        "clip.mp4 --device cpus",
        "clip.mp4 --precision int3",
        "clip.mp4 --precision float16 --device cpu",
        "clip.mp4 --loudness quiet",
        "clip.mp4 --loudness 3",
        "clip.mp4 --refine magic",
        "clip.mp4 --features --mel",
        "clip.mp4 --mel --steps 3",
        "clip.mp4 --mel --refine time",
        "clip.mp4 --mel -o out.mp4",
        "clip.mp4 --features --format mp4",
        "clip.mp4 --nonsense",
        "clip.mp4 --replay out.json",
        "--replay out.json --steps 3",
    ],
)
def test_wrong_options_exit_with_2_and_write_nothing(
    fake_model: FakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make_video(tmp_path / "clip.mp4")
    make_video(tmp_path / "other.mp4")
    assert run("generate", *options.split()) == 2
    assert names(tmp_path) == ["clip.mp4", "other.mp4"]
    assert not fake_model.calls


def test_loudness_values() -> None:
    assert parse_loudness("off") is None
    assert parse_loudness("-14.5") == -14.5
    assert parse_levels("-3.5,6") == (-3.5, 6.0)
    for text in ("loud", "0", "1,2,3"):
        with pytest.raises(ValueError, match="two numbers of dB"):
            parse_levels(text)


def test_flags_and_keywords_share_names_and_defaults() -> None:
    flags = {name: item.default for name, item in inspect.signature(generate).parameters.items()}
    flags["loudness"] = parse_loudness(flags["loudness"])
    flags["levels"] = parse_levels(flags["levels"])
    flags["sounds"] = flags.pop("sound")  # one name or several
    flags["redo"] = flags["redo"] or ()  # on the command line one stretch of a record, in Python several
    compared = set()
    for function in (frieren.load, frieren.Model.generate, frieren.Model.takes, frieren.Sound.save):
        for name, item in inspect.signature(function).parameters.items():
            if (item.kind is inspect.Parameter.KEYWORD_ONLY or name == "name") and name not in (
                "on_progress",
                "kind",
                "unfinished",
            ):
                name = "model" if name == "name" else name
                assert flags[name] == item.default, name
                compared.add(name)
    assert compared == flags.keys() - {
        "context",
        "videos",
        "out",
        "samples",
        "best",
        "form",
        "replay",
        "before",
        "features",
        "mel",
        "max_length",
        "overwrite",
        "resume",
        "watch",
        "debug",
    }
    flags["kind"] = kind_of(flags["features"], flags["mel"])
    assert flags["kind"] == inspect.signature(frieren.Model.takes).parameters["kind"].default
    options = {item.name: item.default for item in Options.__dataclass_fields__.values()}
    assert options == {name: flags[name] for name in options}


# -- the real pipeline --


def test_tiny_end_to_end_and_replay(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    clip = make_video(tmp_path / "clip.mp4", seconds=1.0)
    out = tmp_path / "out"
    assert run("generate", clip, "--model", "tiny", "--steps", 2, "--format", "wav", "-o", out) == 0
    assert len(sounds.read(out / "clip_frieren.wav", RATE)) == RATE
    assert run("generate", "--replay", out / "clip_frieren.wav.json") == 0
    assert "identical" in capsys.readouterr().out
    assert (out / "clip_frieren.wav").read_bytes() == (out / "clip_frieren_replay.wav").read_bytes()


def test_arrays_stand_in_for_a_video(tmp_path: Path) -> None:
    rng, tiny = np.random.default_rng(0), frieren.load("tiny")
    np.save(tmp_path / "features.npy", rng.standard_normal((4, tiny.field.config.features)).astype(np.float32))
    np.save(tmp_path / "mel.npy", rng.uniform(-5, 0, (tiny.config.mel.bins, 40)).astype(np.float32))
    for kind, steps in (("features", ["--steps", 1]), ("mel", [])):
        path = tmp_path / f"{kind}.npy"
        assert run("generate", f"--{kind}", path, "--model", "tiny", *steps, "--loudness", "off") == 0
        (sound,) = tiny.takes(path, [0], kind=kind, steps=1)
        sound.save(tmp_path / "api.wav", loudness=None)
        assert (tmp_path / f"{kind}_frieren.wav").read_bytes() == (tmp_path / "api.wav").read_bytes()
        assert run("generate", "--replay", tmp_path / f"{kind}_frieren.wav.json", "-o", tmp_path / "again.wav") == 0
        assert (tmp_path / "again.wav").read_bytes() == (tmp_path / "api.wav").read_bytes()


@pytest.mark.parametrize(("flag", "keyword"), [("-20", -20.0), ("off", None), ("-9", -9.0)])
def test_command_line_and_api_give_the_same_sound(tmp_path: Path, flag: str, keyword: float | None) -> None:
    clip = make_video(tmp_path / "clip.mp4", seconds=0.8)
    options = ["--model", "tiny", "--steps", 2, "--seed", 5, "--loudness", flag]
    assert run("generate", clip, *options, "-o", tmp_path / "cli.wav") == 0
    sound = frieren.load("tiny").generate(clip, seed=5, steps=2)
    assert sound.save(tmp_path / "api.wav", loudness=keyword) == tmp_path / "api.wav"
    assert (tmp_path / "api.wav").read_bytes() == (tmp_path / "cli.wav").read_bytes()


@pytest.mark.parametrize("fps", [25, 120])
def test_the_sound_of_the_mp4_is_that_of_the_wav(tmp_path: Path, fps: int) -> None:
    clip = clips.video(tmp_path / "clip.mp4", [index / fps for index in range(fps)])
    options = ["--model", "tiny", "--steps", 1, "--loudness", "off"]
    for name in ("a.wav", "a.mp4"):
        assert run("generate", clip, *options, "-o", tmp_path / name) == 0
    wave = sounds.read(tmp_path / "a.wav", RATE)
    assert abs(len(wave) - RATE) <= 16 and np.abs(wave).max() > 0.001
    found, rate, start = sounds.decode(tmp_path / "a.mp4")
    late = clips.lag(found[0], wave) / RATE + start - video.probe(tmp_path / "a.mp4").start
    assert rate == RATE and abs(late) < 0.005


def test_tiny_keeps_the_video_packets(tmp_path: Path) -> None:
    clip = make_video(tmp_path / "clip.mp4", seconds=0.8, sound=True)
    assert run("generate", clip, "--model", "tiny", "--steps", 1, "--keep-original") == 0

    def packets(path: Path) -> list[bytes]:
        with av.open(str(path)) as container:
            return [bytes(packet) for packet in container.demux(video=0) if packet.size]

    assert packets(clip) == packets(tmp_path / "clip_frieren.mp4")


def test_an_unknown_model_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    clip = make_video(tmp_path / "clip.mp4")
    assert run("generate", clip, "--model", "./nowhere") == 1
    error = capsys.readouterr().err
    assert error.startswith("frieren: ./nowhere: ")
    assert error.count("\n") == 1


ENDS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGQUIT, 131)]


@pytest.mark.parametrize(("sent", "code_wanted"), ENDS)
def test_being_stopped_leaves_nothing_half_written(tmp_path: Path, sent: int, code_wanted: int) -> None:
    clip = make_video(tmp_path / "clip.mp4", seconds=1.0)
    code = (
        "import sys, time\nfrom frieren import remux\nfrom frieren.apps.cli import main\n"
        "def slow(*_, **__):\n    print('writing', flush=True)\n    time.sleep(10**6)\n"
        "remux.mux = slow\nmain(sys.argv[1:])"
    )
    arguments = ["generate", str(clip), "--model", "tiny", "--steps", "1"]
    command = [sys.executable, "-c", code, *arguments]
    listen = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore Ctrl-C
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=listen) as process:
        assert process.stdout.readline() == "writing\n"
        process.send_signal(sent)
        assert process.wait() == code_wanted
    assert names(tmp_path) == ["clip.mp4"]


# -- what must not be lost, and what has to be said --


def test_an_empty_name_is_not_the_whole_folder(
    fake_model: FakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    make_video(tmp_path / "clip.mp4")
    monkeypatch.chdir(tmp_path)
    assert run("generate", "") == 1
    assert "an empty name" in capsys.readouterr().err and names(tmp_path) == ["clip.mp4"]


def test_a_json_of_an_album_hides_no_video_and_skipping_is_said(
    fake_model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    make_video(tmp_path / "IMG_0001.MP4")
    (tmp_path / "IMG_0001.MP4.json").write_text('{"title": "IMG_0001.MP4"}')
    assert run("generate", tmp_path) == 0
    assert "IMG_0001_frieren.mp4" in names(tmp_path) and "left out" not in capsys.readouterr().err
    assert run("generate", tmp_path) == 0  # the second time there is an output among the files
    assert f"{tmp_path}: 1 with a record of frieren beside them: left out" in capsys.readouterr().err


@pytest.mark.parametrize("there", ["out.mp4", "out.mp4.json"])
def test_a_strangers_file_is_not_replaced(
    fake_model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture, there: str
) -> None:
    clip, target = make_video(tmp_path / "clip.mp4"), tmp_path / "out.mp4"
    (tmp_path / there).write_text("{}")
    assert run("generate", clip, "-o", target) == 1
    assert f"{there}: exists, and was not made by frieren" in capsys.readouterr().err
    assert (tmp_path / there).read_text() == "{}" and not fake_model.calls  # before the work
    assert run("generate", clip, "-o", target, "--overwrite") == 0
    assert run("generate", clip, "-o", target) == 0  # what is ours is made again
    before = target.read_bytes()
    assert run("generate", clip, "-o", target, "--no-overwrite", "--seed", 1) == 1
    assert target.read_bytes() == before and len(fake_model.calls) == 2


def test_a_second_name_of_the_input_is_not_replaced(fake_model: FakeModel, tmp_path: Path) -> None:
    clip = make_video(tmp_path / "clip.mp4")
    os.link(clip, tmp_path / "link.mp4")
    before = clip.read_bytes()
    assert run("generate", clip, "-o", tmp_path / "link.mp4", "--overwrite") == 1
    assert clip.read_bytes() == before and not fake_model.calls


def test_a_video_that_claims_to_be_long_is_asked_about(
    fake_model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    clip = make_video(tmp_path / "clip.mp4", seconds=6.4)
    assert run("generate", clip, "--max-length", "0.1") == 1
    assert "0 minutes long by its timestamps, more than 0.1; is that right?" in capsys.readouterr().err
    assert not fake_model.calls
    assert run("generate", clip, "--max-length", "0.2") == 0


@pytest.mark.parametrize(
    ("level", "wanted", "said"),
    [
        (0.0, "-20", "silent, and left as it is"),
        (1e-3, "-20", r"nearly silent \(-\d\d LUFS\), and left as it is"),
        (1e-2, "-20", r"-2\d\.\d LUFS, not -20: 12 dB of gain are the most"),
        (0.2, "-5", r"-\d+\.\d LUFS, not -5: its peaks would clip"),
        (0.1, "-20", ""),
        (0.0, "off", ""),
    ],
)
def test_a_level_that_is_not_reached_is_said(
    fake_model: FakeModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    level: float,
    wanted: str,
    said: str,
) -> None:
    drawn = torch.randn
    monkeypatch.setattr(torch, "randn", lambda *a, **k: 10 * level * drawn(*a, **k))  # the fake model's is 0.1 of it
    assert run("generate", make_video(tmp_path / "clip.mp4", seconds=1.0), "--loudness", wanted) == 0
    error = capsys.readouterr().err
    assert re.search(said, error) if said else error == ""


def test_the_first_line_says_what_loading_cost(
    fake_model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    clips = [make_video(tmp_path / name) for name in ("a.mp4", "b.mp4")]
    assert run("generate", *clips) == 0
    first, second = capsys.readouterr().out.splitlines()
    factor, with_loading = map(float, re.search(r"factor ([\d.]+) \(([\d.]+) with loading\)", first).groups())
    assert with_loading > factor and "with loading" not in second


def test_an_animated_webp_is_called_by_its_name(
    fake_model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "anim.webp"
    path.write_bytes(b"RIFF\x00\x01\x00\x00WEBPVP8X" + bytes(200))
    assert run("generate", path) == 1
    assert "an animated WebP, which FFmpeg's libraries cannot read" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["x.wav", "x.mp4"])
def test_the_sample_rate_of_what_is_written(fake_model: FakeModel, tmp_path: Path, name: str) -> None:
    clip = make_video(tmp_path / "clip.mp4")
    assert run("generate", clip, "-o", tmp_path / name, "--sample-rate", 48_000) == 0
    assert sounds.read_channels(tmp_path / name)[1] == 48_000
    assert run("generate", clip, "-o", tmp_path / name, "--sample-rate", 22_050) == 2
    assert json.loads((tmp_path / f"{name}.json").read_text())["command"]["sample_rate"] == 48_000

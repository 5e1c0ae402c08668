"""The command line: exit codes, names of outputs, records and replays, and that the flags are the keywords.

Most of it runs on a fake model, which is exact and free; the last part runs the real pipeline with `tiny`.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, get_args

import av
import clips
import numpy as np
import pytest
import torch

import frieren
from frieren import formats, remux, sounds, video
from frieren.apps import checks, jobs
from frieren.apps import generate as verb
from frieren.apps.cli import main
from frieren.errors import OutputError, SamplingError, VideoError

RATE = 16_000


@dataclass
class FakeSound:
    """What a model yields, with the real way of saving."""

    wave: torch.Tensor
    source: Path
    record: dict[str, Any]
    sample_rate: int = RATE

    @property
    def seconds(self) -> float:
        return len(self.wave) / self.sample_rate

    def save(self, target: Path, *, loudness: float | None = -20.0, keep_original: bool = False) -> Path:
        if target.suffix in formats.SOUND_FILES:
            return sounds.write(target, self.wave, self.sample_rate)
        return remux.write(self.source, self.wave, target, self.sample_rate, keep_original=keep_original)


@dataclass
class FakeModel:
    """Noise of the video's length that depends on the seed and the steps."""

    calls: list[dict[str, Any]] = field(default_factory=list)
    threads: int = 2

    def takes(self, path: Path, seeds: list[int], *, on_progress: Callable | None = None, **options: Any):
        self.calls.append({"video": path, "seeds": list(seeds), **options})
        seconds = video.probe(path).seconds
        for stage in ("read", "encode", "sample", "decode", "vocode"):
            on_progress(stage, 1, 1)
        used = {"steps": options["steps"] or 25, "guidance": options["guidance"] or 4.5, "solver": "euler"}
        for seed in seeds:
            generator = torch.Generator().manual_seed(seed * 1000 + used["steps"])
            wave = 0.1 * torch.randn(round(seconds * RATE), generator=generator)
            made = {
                "model": "mini",
                "model_sha256": "abc",
                "options": {"seed": seed, **used},
                "input": {"name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()},
                "versions": {"torch": "2.13.0", "threads": self.threads},
                "seconds": {"sample": time.perf_counter()},
                "wave_sha256": hashlib.sha256(wave.numpy().tobytes()).hexdigest(),
            }
            yield FakeSound(wave, path, made)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    fake = FakeModel()
    fake.loads = []
    monkeypatch.setattr(
        frieren, "load", lambda name, **options: fake.loads.append((name, options)) or fake, raising=False
    )
    return fake


def make_video(path: Path, seconds: float = 0.4, codec: str = "libx264", sound: bool = False) -> Path:
    """A short clip whose picture changes from frame to frame."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuv422p10le" if codec == "prores_ks" else "yuv420p"
        audio = container.add_stream("aac", rate=RATE, layout="mono") if sound else None
        for index in range(round(seconds * 25)):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 9 * index % 255, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if audio is not None:
            wave = np.zeros((1, round(seconds * RATE)), np.float32)
            frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), 0
            container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
    return path


def run(*arguments: object) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return end.value.code or 0


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# -- one video --


def test_default_output_stands_beside_the_input(
    model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture
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
    model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert run("generate", make_video(tmp_path / "clip.mp4")) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mov", ".mkv", ".mp4"])
def test_the_suffix_chooses_the_kind_of_output(model: FakeModel, tmp_path: Path, suffix: str) -> None:
    target = tmp_path / "new" / f"x{suffix}"
    assert run("generate", make_video(tmp_path / "clip.mp4"), "-o", target) == 0
    assert names(target.parent) == [f"x{suffix}", f"x{suffix}.json"]
    assert abs(len(sounds.read(target, RATE)) - 0.4 * RATE) < 1024


def test_a_codec_that_mp4_cannot_hold_goes_to_mkv_and_it_says_so(
    model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    clip = make_video(tmp_path / "clip.mov", codec="prores_ks")
    assert run("generate", clip, "-o", tmp_path / "out.mp4") == 0
    assert names(tmp_path) == ["clip.mov", "out.mkv", "out.mkv.json"]
    out = capsys.readouterr().out
    assert "out.mp4: .mp4 cannot hold the codec" in out
    assert json.loads((tmp_path / "out.mkv.json").read_text())["command"]["output"] == "out.mkv"


def test_options_reach_the_model(model: FakeModel, tmp_path: Path) -> None:
    clip = make_video(tmp_path / "clip.mp4")
    options = "--model m --steps 3 --guidance 2 --solver heun --seed 7 --device cpu --precision bfloat16"
    assert run("generate", clip, *options.split(), "--vocoder", "griffin-lim") == 0
    assert model.loads == [("m", {"device": "cpu", "precision": "bfloat16", "vocoder": "griffin-lim", "refine": None})]
    assert model.calls == [
        {"video": clip, "kind": "video", "seeds": [7], "steps": 3, "guidance": 2.0, "solver": "heun"}
    ]


# -- many videos, many takes --


def test_takes_have_a_seed_each_and_share_one_encoding(model: FakeModel, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("generate", make_video(tmp_path / "clip.mp4"), "--samples", 3, "--seed", 4, "-o", out) == 0
    assert [call["seeds"] for call in model.calls] == [[4, 5, 6]]
    takes = [f"clip_frieren_seed{seed}.mp4" for seed in (4, 5, 6)]
    assert names(out) == sorted(takes + [f"{take}.json" for take in takes])
    seeds = [json.loads((out / f"{take}.json").read_text())["command"]["seed"] for take in takes]
    assert seeds == [4, 5, 6]


def test_a_folder_a_glob_and_a_file_make_a_batch(model: FakeModel, tmp_path: Path) -> None:
    for name in ("a/one.mp4", "a/two.MOV", "b/three.mkv", "four.mp4"):
        make_video(tmp_path / name)
    (tmp_path / "a" / "notes.txt").write_text("no video")
    arguments = [tmp_path / "a", f"{tmp_path}/b/*.mkv", tmp_path / "four.mp4", tmp_path / "a" / "one.mp4"]
    assert run("generate", *arguments, "-o", tmp_path / "out", "--format", "wav") == 0
    assert [call["video"].name for call in model.calls] == ["one.mp4", "two.MOV", "three.mkv", "four.mp4"]
    wanted = {f"{stem}_frieren.wav" for stem in ("one", "two", "three", "four")}
    assert {name for name in names(tmp_path / "out") if name.endswith(".wav")} == wanted


def test_a_second_run_over_a_folder_leaves_our_own_outputs_out(model: FakeModel, tmp_path: Path) -> None:
    make_video(tmp_path / "clip.mp4")
    for _ in range(2):
        assert run("generate", tmp_path) == 0
    assert names(tmp_path) == ["clip.mp4", "clip_frieren.mp4", "clip_frieren.mp4.json"]


def test_inputs_of_the_same_stem_do_not_overwrite_one_another(model: FakeModel, tmp_path: Path) -> None:
    clips = [make_video(tmp_path / name) for name in ("clip.mp4", "clip.mov", "b/clip.mp4")]
    assert run("generate", *clips, "-o", tmp_path / "out") == 0
    videos = [name for name in names(tmp_path / "out") if name.endswith(".mp4")]
    assert videos == ["clip_frieren.mp4", "clip_frieren_2.mp4", "clip_frieren_3.mp4"]


def test_an_input_named_like_an_output_survives(model: FakeModel, tmp_path: Path) -> None:
    clips = [make_video(tmp_path / name) for name in ("clip.mp4", "clip_frieren.mp4", "clip_frieren_2.mkv")]
    before = [clip.read_bytes() for clip in clips]
    assert run("generate", *clips) == 0
    assert [clip.read_bytes() for clip in clips] == before
    assert (tmp_path / "clip_frieren_3.mp4").exists()


def test_in_a_batch_the_others_go_on_and_the_end_lists_what_failed(
    model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture
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


def test_one_bad_file_is_one_line(model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert run("generate", tmp_path / "missing.mp4") == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith(f"frieren: {tmp_path / 'missing.mp4'}: no such file")
    assert not model.loads  # nothing to do: the model is not even loaded


def test_a_failure_leaves_the_old_output_and_nothing_half_written(
    model: FakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, target = make_video(tmp_path / "clip.mp4"), tmp_path / "out.mp4"
    target.write_bytes(b"old")

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(remux, "mux", broken)
    assert run("generate", clip, "-o", target) == 1
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["clip.mp4", "out.mp4"]


def test_output_folder_that_cannot_be_made(model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    clip = make_video(tmp_path / "clip.mp4")
    (tmp_path / "file").write_text("in the way")
    assert run("generate", clip, "-o", tmp_path / "file" / "out.mp4") == 1
    assert "choose another" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        OSError(5, "Input/output error"),
        MemoryError(),
        RuntimeError("CUDA out of memory.\nTried to allocate 20 GiB"),
        ValueError("odd value"),
        av.error.UnknownError(1, "unknown"),
        SamplingError("not finite"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_happens_to_one_video_the_others_go_on(
    model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    clips = [make_video(tmp_path / f"{name}.mp4") for name in ("bad", "good")]
    takes = model.takes

    def sometimes(path: Path, *arguments: Any, **options: Any):
        if path.stem == "bad":
            raise error
        return takes(path, *arguments, **options)

    monkeypatch.setattr(model, "takes", sometimes)
    assert run("generate", *clips, "-o", tmp_path / "out") == 1
    assert names(tmp_path / "out") == ["good_frieren.mp4", "good_frieren.mp4.json"]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and lines[1] == "frieren: 1 of 2 failed:"
    if not isinstance(error, SamplingError):
        assert lines[0].startswith(f"frieren: {clips[0]}: ") and lines[2].startswith(f"  {clips[0]}: ")
    assert ("shorter video" in lines[0]) == ("emory" in repr(error))


@pytest.mark.parametrize("name", ["a" * 300 + ".mp4", "a" * 300, "a" * 300 + "*.mp4"])
def test_names_that_the_system_does_not_take_are_one_line(
    model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture, name: str
) -> None:
    clip = make_video(tmp_path / "clip.mp4")
    assert run("generate", name, clip, "-o", tmp_path / "out") == 1
    assert capsys.readouterr().err.splitlines()[0].startswith(f"frieren: {name}: ")
    assert len(names(tmp_path / "out")) == 2
    if "*" not in name:
        assert run("generate", clip, "-o", tmp_path / name) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and "-o" in error
    assert not [call for call in model.calls[1:]]


def test_a_folder_that_one_may_not_enter_is_one_line(
    model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refused)
    assert run("generate", tmp_path) == 1
    assert capsys.readouterr().err.startswith(f"frieren: {tmp_path}: Permission denied; ")


def test_long_names_leave_room_for_what_is_put_behind_them(model: FakeModel, tmp_path: Path) -> None:
    clip = make_video(tmp_path / ("音" * 83 + ".mp4"))
    assert run("generate", tmp_path, "--samples", 2, "--seed", 2**50) == 0
    assert len(names(tmp_path)) == 5 and clip.exists()


def test_hidden_files_of_a_folder_are_left_out(model: FakeModel, tmp_path: Path) -> None:
    make_video(tmp_path / "clip.mp4")
    (tmp_path / "._clip.mp4").write_bytes(b"a shadow that another system left")
    assert run("generate", tmp_path, "-o", tmp_path / "out") == 0
    assert [call["video"].name for call in model.calls] == ["clip.mp4"]


def test_a_place_where_nothing_can_be_written_is_found_before_the_work(
    model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(checks.tempfile, "TemporaryFile", refused)
    assert run("generate", make_video(tmp_path / "clip.mp4")) == 1
    assert "cannot write in this folder (Permission denied); choose another with -o" in capsys.readouterr().err
    assert not model.calls


@pytest.mark.parametrize("existed", [False, True])
def test_without_its_record_an_output_does_not_stay(
    model: FakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existed: bool
) -> None:
    clip, target = make_video(tmp_path / "clip.mp4"), tmp_path / "out.mp4"
    if existed:
        target.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OutputError("out.mp4.json: no room; make some")

    monkeypatch.setattr(verb.record, "write", full)
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
        "clip.mp4 --solver magic",
        "clip.mp4 --device toaster",
        "clip.mp4 --precision int3",
        "clip.mp4 --precision float16 --device cpu",
        "clip.mp4 --loudness quiet",
        "clip.mp4 --loudness 3",
        "clip.mp4 --nonsense",
        "clip.mp4 --replay out.json",
        "--replay out.json --steps 3",
    ],
)
def test_wrong_options_exit_with_2_and_write_nothing(
    model: FakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make_video(tmp_path / "clip.mp4")
    make_video(tmp_path / "other.mp4")
    assert run("generate", *options.split()) == 2
    assert names(tmp_path) == ["clip.mp4", "other.mp4"]
    assert not model.calls


def test_loudness_values() -> None:
    assert verb.loudness_value("off") is None
    assert verb.loudness_value("-14.5") == -14.5


def test_flags_and_keywords_share_names_and_defaults() -> None:
    flags = {name: item.default for name, item in inspect.signature(verb.generate).parameters.items()}
    flags["loudness"] = verb.loudness_value(flags["loudness"])
    compared = set()
    for function in (frieren.load, frieren.Model.generate, frieren.Model.takes, frieren.Sound.save):
        for name, item in inspect.signature(function).parameters.items():
            if (item.kind is inspect.Parameter.KEYWORD_ONLY or name == "name") and name not in ("on_progress", "kind"):
                name = "model" if name == "name" else name
                assert flags[name] == item.default, name
                compared.add(name)
    assert compared == flags.keys() - {"context", "videos", "out", "samples", "form", "replay", "features", "mel"}
    flags["kind"] = verb.kind_of(flags["features"], flags["mel"])
    assert flags["kind"] == inspect.signature(frieren.Model.takes).parameters["kind"].default
    options = {item.name: item.default for item in verb.Options.__dataclass_fields__.values()}
    assert options == {name: flags[name] for name in options}


# -- records --


def test_replay_makes_the_identical_sound(model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
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
    assert model.calls[-1] == used | {"video": model.calls[-1]["video"]}


def test_replay_works_after_the_folder_has_moved(model: FakeModel, tmp_path: Path) -> None:
    make_video(tmp_path / "a" / "clip.mp4")
    assert run("generate", tmp_path / "a" / "clip.mp4") == 0
    (tmp_path / "a").rename(tmp_path / "b")
    assert run("generate", "--replay", tmp_path / "b" / "clip_frieren.mp4.json", "-o", tmp_path / "again.wav") == 0
    assert (tmp_path / "again.wav").exists()


def test_replay_warns_of_everything_that_differs(
    model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    clip = make_video(tmp_path / "clip.mp4")
    assert run("generate", clip, "-o", tmp_path / "x.wav") == 0
    model.threads = 8
    make_video(clip, seconds=0.8)
    assert run("generate", "--replay", tmp_path / "x.wav.json") == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("frieren: warning: input.sha256 was ")
    assert lines[1] == "frieren: warning: versions.threads was 2, is 8"
    assert "not identical" in lines[2]
    assert len(lines) == 3


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"command": {"video": "x"}}', "\x00"])
def test_a_file_that_is_no_record_is_one_line(
    model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture, text: str
) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    assert run("generate", "--replay", path) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "not a record" in error
    assert run("generate", "--replay", tmp_path / "missing.json") == 1


def test_replay_into_a_new_folder_keeps_the_kind_of_file(model: FakeModel, tmp_path: Path) -> None:
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
        ("video", 1),
        ("output", "x.exe"),
    ],
)
def test_a_record_with_an_impossible_value_is_one_line(
    model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture, name: str, value: Any
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


# -- names --


def test_the_choices_are_those_of_the_package() -> None:
    from frieren import catalogue, pipeline, solver, world
    from frieren.apps import world as render

    assert set(get_args(verb.Solver)) == set(solver.SOLVERS)
    assert get_args(verb.Precision) == pipeline.PRECISIONS
    assert get_args(verb.Vocoder) == catalogue.VOCODERS
    assert get_args(verb.Refinement) == catalogue.REFINEMENTS
    assert get_args(verb.Kind) == tuple(pipeline.NEEDED) == tuple(jobs.SUFFIXES)
    assert get_args(render.Split) == tuple(world.SPLITS)
    assert {f".{form}" for form in get_args(verb.Format)} <= set(formats.OUTPUTS)
    assert verb.POSSIBLE.keys() == {item.name for item in fields(verb.Options)}


def test_folders_and_files_are_told_apart(tmp_path: Path) -> None:
    dotted = tmp_path / "takes.v1"
    assert not jobs.is_folder(str(dotted))
    assert jobs.is_folder(f"{dotted}/")
    assert jobs.is_folder(str(tmp_path / "plain"))
    dotted.mkdir()
    assert jobs.is_folder(str(dotted))


def test_a_pattern_is_taken_literally_if_such_a_file_exists(tmp_path: Path) -> None:
    odd = tmp_path / "clip[1].mp4"
    odd.write_bytes(b"x")
    assert jobs.find_sources([str(odd)]) == ([odd], [])
    assert isinstance(jobs.find_sources([f"{tmp_path}/*.avi"])[1][0].error, VideoError)


# -- the other verbs --


def test_version(capsys: pytest.CaptureFixture) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"frieren {frieren.__version__}\n"


def test_a_warning_is_one_line(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frieren.apps.doctor, "versions", lambda: warnings.warn("mind the gap", stacklevel=1) or ())
    run("doctor")
    assert capsys.readouterr().err == "frieren: warning: mind the gap\n"


def test_world_list_names_every_kind(capsys: pytest.CaptureFixture) -> None:
    from frieren import world

    assert run("world", "list") == 0
    out = capsys.readouterr().out
    lines = {line.split()[0]: line for line in out.splitlines() if line.startswith("  ")}
    for name, kind in world.GALLERY.items():
        assert kind.family in lines[name] and kind.materials[0] in lines[name]
    assert "glass*" in lines["ball"] and "glass*" not in lines["clink"]


def test_world_preview_draws_one_sheet_per_kind(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    command = ("world", "preview", tmp_path, "--examples", 1, "--size", 32)
    assert run(*command, "--kind", "bell", "--kind", "fire") == 0
    assert names(tmp_path) == ["bell.png", "fire.png"]
    assert run(*command, "--kind", "trumpet") == 2


def test_world_render_writes_the_clip_that_the_api_gives(tmp_path: Path) -> None:
    from frieren import world

    assert run("world", "render", tmp_path, "--split", "valid", "--clips", 2, "--size", 64, "--start", 3) == 0
    assert names(tmp_path) == ["0003.json", "0003.mp4", "0004.json", "0004.mp4"]
    clip = world.clip("valid", 4, frieren.Clock(fps=25.0), 64)
    script = json.loads((tmp_path / "0004.json").read_text())
    assert [event["time"] for event in script["events"]] == pytest.approx([e.time for e in clip.events], abs=1e-4)
    info = video.probe(tmp_path / "0004.mp4")
    height, width = clip.film.shape(64)
    assert min(height, width) == 64 and width / height == pytest.approx(script["film"]["aspect"], rel=0.03)
    assert (info.width, info.height, info.codec, info.has_audio) == (width, height, "h264", True)
    assert info.seconds == pytest.approx(world.SECONDS, abs=1e-3)
    heard = sounds.read(tmp_path / "0004.mp4", clip.sample_rate)[: len(clip.wave)]
    error = heard - clip.wave[: len(heard)]
    assert np.mean(error**2) < 0.1 * np.mean(clip.wave**2) + 1e-7


def test_world_render_refuses_an_odd_size(tmp_path: Path) -> None:
    assert run("world", "render", tmp_path / "x", "--size", 65) == 2
    assert not (tmp_path / "x").exists()


def test_world_render_into_a_folder_whose_name_looks_like_a_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("world", "render", "pipe:1", "--clips", 1, "--size", 32, "--fps", 5, "--silent") == 0
    assert names(tmp_path / "pipe:1") == ["0000.json", "0000.mp4"]


def test_world_render_that_fails_leaves_no_script_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from frieren.apps import world as render

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(render, "write_picture", broken)
    assert run("world", "render", tmp_path, "--clips", 1, "--size", 32, "--fps", 5, "--silent") == 1
    assert names(tmp_path) == []


def test_evaluate_timing_with_tiny(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for package in ("librosa", "matplotlib", "scipy"):
        pytest.importorskip(package)
    out = tmp_path / "new" / "out"
    options = ["--model", "tiny", "--clips", 2, "--steady", 2, "--steps", 1, "--pictures", 1, "--out", out]
    assert run("evaluate", "timing", *options) == 0
    printed = capsys.readouterr().out
    assert "| generated / ceiling |" in printed and "| onset_f1_50ms |" in printed and "| envelope, all |" in printed
    assert len(names(out)) == 5
    assert {"timing.json", "timing.md", "steady.json", "steady.md"} < set(names(out))


def test_evaluate_says_what_it_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from frieren.evaluation.timing import clipsets

    def few(*_: object) -> None:
        raise ValueError("test has 1 clip, 2 wanted; ask for fewer")

    monkeypatch.setattr(clipsets, "impact_clips", few)
    assert run("evaluate", "timing", "--model", "tiny", "--clips", 2) == 2
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    capsys.readouterr()
    assert run("evaluate", "timing", "--model", "tiny", "--out", tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "pip install 'frieren[eval]'" in error and names(tmp_path) == []


def test_train_with_one_folder_for_several_recipes(tmp_path: Path) -> None:
    assert run("train", "mini", "tiny", "--out", tmp_path / "run") == 2


def test_train_hands_its_options_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import frieren.training.run as training

    seen = []
    monkeypatch.chdir(Path(__file__).parent.parent)
    monkeypatch.setattr(training, "train_all", lambda *arguments, **options: seen.append((*arguments[:4], options)))
    arguments = ["train", "mini", "--set", "optim.lr=1e-4", "--audio", tmp_path, "--out", tmp_path / "run"]
    assert run(*arguments) == 0
    assert run(*arguments, "--board", "wandb", "--no-resume") == 0
    given = (Path("recipes/mini"), tmp_path / "run", ["optim.lr=1e-4"], tmp_path)
    assert seen[0] == (*given, {"resume": True})
    assert seen[1] == (*given[:2], ["optim.lr=1e-4", "board=wandb"], tmp_path, {"resume": False})


def test_an_unknown_recipe_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert run("train", tmp_path / "nothing.toml", "--out", tmp_path / "run") == 1
    error = capsys.readouterr().err
    assert error.startswith(f"frieren: {tmp_path / 'nothing.toml'}: no such recipe; recipes/ is part of the repository")
    assert error.count("\n") == 1


# -- the real thing --


def test_tiny_end_to_end_and_replay(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    clip = make_video(tmp_path / "clip.mp4", seconds=1.0)
    out = tmp_path / "out"
    assert run("generate", clip, "--model", "tiny", "--steps", 2, "--format", "wav", "-o", out) == 0
    assert len(sounds.read(out / "clip_frieren.wav", RATE)) == RATE
    assert run("generate", "--replay", out / "clip_frieren.wav.json") == 0
    assert "identical" in capsys.readouterr().out
    assert (out / "clip_frieren.wav").read_bytes() == (out / "clip_frieren_replay.wav").read_bytes()


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
    heard, rate, start = sounds.decode(tmp_path / "a.mp4")
    late = clips.lag(heard[0], wave) / RATE + start - video.probe(tmp_path / "a.mp4").start
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


def test_doctor_looks_at_everything(capsys: pytest.CaptureFixture) -> None:
    code = run("doctor")
    out = capsys.readouterr().out
    for what in ("torch", "FFmpeg libraries", "libavcodec", "model tiny", "disk", "threads"):
        assert what in out
    assert code == ("FAIL" in out)


@pytest.mark.parametrize(("sent", "code_wanted"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_being_stopped_leaves_nothing_half_written(tmp_path: Path, sent: int, code_wanted: int) -> None:
    clip = make_video(tmp_path / "clip.mp4", seconds=1.0)
    code = (
        "import sys, time\nfrom frieren import remux\nfrom frieren.apps.cli import main\n"
        "def slow(*_):\n    print('writing', flush=True)\n    time.sleep(60)\n"
        "remux.mux = slow\nmain(sys.argv[1:])"
    )
    arguments = ["generate", str(clip), "--model", "tiny", "--steps", "1"]
    command = [sys.executable, "-c", code, *arguments]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs do not hear Ctrl-C
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=heard) as process:
        assert process.stdout.readline() == "writing\n"
        process.send_signal(sent)
        assert process.wait(30) == code_wanted
    assert names(tmp_path) == ["clip.mp4"]


def test_train_is_told_to_end_after_the_minutes_that_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from frieren.training import run as runs

    monkeypatch.setattr(runs, "train_all", lambda *_, **__: time.sleep(20))
    recipe = Path(__file__).parents[1] / "recipes/tiny/tagger.toml"
    assert run("train", recipe, "-o", tmp_path, "--minutes", 0.002) == 128 + signal.SIGTERM

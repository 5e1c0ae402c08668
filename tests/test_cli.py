"""The command line as a whole: version, warnings, errors, and the verbs that have no file of their own."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from command import FakeModel, make_video, names, run

import frieren
from frieren import sounds, video
from frieren.apps import checks


def test_version(capsys: pytest.CaptureFixture) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"frieren {frieren.__version__}\n"


def test_a_warning_is_one_line(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frieren.apps.doctor, "versions", lambda: warnings.warn("mind the gap", stacklevel=1) or ())
    run("doctor")
    assert capsys.readouterr().err == "frieren: warning: mind the gap\n"


def test_a_fault_outside_of_a_batch_is_one_line(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise IndexError("list index out of range")

    monkeypatch.setattr(frieren.apps.doctor, "versions", broken)
    assert run("doctor") == 1
    said = "frieren: IndexError: list index out of range; this is a fault in frieren, please report it"
    assert capsys.readouterr().err == f"{said}; --debug shows the traceback\n"
    assert run("--debug", "doctor") == 1
    error = capsys.readouterr().err
    assert error.startswith("Traceback (most recent call last)") and error.endswith(f"\n{said}\n")


def test_a_system_error_outside_of_a_batch_is_one_line(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device", "scores.md")

    monkeypatch.setattr(frieren.apps.doctor, "versions", full)
    assert run("doctor") == 1
    assert capsys.readouterr().err == ("frieren: scores.md: No space left on device; see `frieren doctor`\n")


def test_the_splits_are_those_of_foleyworld() -> None:
    from frieren import world
    from frieren.apps import world as verb

    assert get_args(verb.Split) == tuple(world.SPLITS)


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
    height, width = clip.capture.shape(64)
    assert min(height, width) == 64 and width / height == pytest.approx(script["film"]["aspect"], rel=0.03)
    assert (info.width, info.height, info.codec, info.has_audio) == (width, height, "h264", True)
    assert info.seconds == pytest.approx(world.SECONDS, abs=1e-3)
    found = sounds.read(tmp_path / "0004.mp4", clip.sample_rate)[: len(clip.wave)]
    error = found - clip.wave[: len(found)]
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
    assert "| timing: F1, generated / reference " in printed and "| onset_f1_50ms " in printed
    assert "Correlation of the envelope" in printed and max(map(len, printed.splitlines())) <= 80
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


def test_doctor_looks_at_everything(capsys: pytest.CaptureFixture) -> None:
    code = run("doctor")
    out = capsys.readouterr().out
    for what in ("torch", "FFmpeg libraries", "libavcodec", "model tiny", "disk", "threads"):
        assert what in out
    assert code == ("FAIL" in out)


def test_train_is_told_to_end_after_the_minutes_that_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from frieren.training import run as runs

    monkeypatch.setattr(runs, "train_all", lambda *_, **__: time.sleep(10**6))
    recipe = Path(__file__).parents[1] / "recipes/tiny/tagger.toml"
    assert run("train", recipe, "-o", tmp_path, "--minutes", 0.002) == 128 + signal.SIGTERM


@pytest.mark.parametrize(("sent", "wanted"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129), ("SIGQUIT", 131)])
def test_a_signal_during_an_import_ends_the_process_at_once(tmp_path: Path, sent: str, wanted: int) -> None:
    body = f"os.kill(os.getpid(), signal.{sent})\n    print('swallowed')"
    module = f"import os, signal\ntry:\n    {body}\nexcept BaseException:\n    print('caught')\n"
    (tmp_path / "slow.py").write_text(module)
    code = "from frieren.apps import cli\ncli.app = lambda args: __import__('slow')\ncli.main([])"
    command = [sys.executable, "-c", code]

    def ready() -> None:  # a job in the background of a shell is born deaf to some of them
        for name in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(name, signal.SIG_DFL)

    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, preexec_fn=ready)
    assert (found.returncode, found.stdout, found.stderr) == (wanted, "", "")


def test_a_compiler_that_cannot_write_gets_a_folder_of_its_own(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("FRIEREN_CACHE", str(tmp_path / "file"))
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(checks, "find_spec", lambda name: name)
    checks.needs_extra()
    assert os.access(os.environ["NUMBA_CACHE_DIR"], os.W_OK)
    os.rmdir(os.environ.pop("NUMBA_CACHE_DIR"))
    monkeypatch.setenv("FRIEREN_CACHE", str(tmp_path / "cache"))
    checks.needs_extra()
    assert os.environ.pop("NUMBA_CACHE_DIR") == str(tmp_path / "cache" / "numba")


ROOT = Path(frieren.__file__).parents[1]
UNWRITABLE = [
    ("train", ROOT / "recipes" / "tiny", "--out"),
    ("prepare", "foleyworld:train:2", "--fields", "mel", "--workers", 0),
    ("pairs", "mini", "DATA"),
    ("spot", "clip.mp4", "-o"),
    ("world", "render"),
    ("evaluate", "timing", "--model", "tiny", "-o"),
]


@pytest.mark.parametrize("words", UNWRITABLE, ids=lambda words: words[0])
def test_a_folder_that_cannot_be_written_is_found_before_the_work(
    words: tuple[object, ...], tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("training.run.train_all", "dataset.prepare.prepare", "dataset.pairs.make_pairs", "spotting.look"):
        monkeypatch.setattr(f"frieren.{name}", lambda *_, **__: pytest.fail("begun"))
    (tmp_path / "file").touch()  # nobody can write below a file, not even root
    place = tmp_path / "file" / "folder" / "sheet.json"
    assert run(*words, place) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"frieren: {tmp_path / 'file'}") and error.count("\n") == 1
    assert error.endswith("; choose another\n")


PRINTING = [
    ("--version",), ("--help",), ("generate", "--help"), ("world", "list"), ("weights", "list"), ("doctor",),
    ("evaluate", "--help"), ("bench", "--help"),
]  # fmt: skip


class Refusing(io.StringIO):
    """A standard output that takes nothing."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def flush(self) -> None:
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("words", PRINTING, ids=" ".join)
@pytest.mark.parametrize(("number", "lines"), [(errno.ENOSPC, 1), (errno.EPIPE, 0)], ids=["full", "closed"])
def test_a_standard_output_that_takes_nothing_ends_the_program(
    words: tuple[str, ...], number: int, lines: int, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", Refusing(number))
    assert run(*words) == 1
    error = capsys.readouterr().err
    assert error == "frieren: standard output: No space left on device; make room, or send it elsewhere\n" * lines
    assert isinstance(sys.stdout, Refusing)


def test_a_standard_output_that_takes_nothing_is_not_the_videos_fault(
    fake_model: FakeModel, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make_video(tmp_path / "clip.mp4")
    monkeypatch.setattr(sys, "stdout", Refusing(errno.ENOSPC))
    assert run("generate", clip, "-o", tmp_path / "a.wav", "--loudness", "off") == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("frieren: standard output: ")
    assert {path.name for path in tmp_path.iterdir()} == {"clip.mp4", "a.wav", "a.wav.json"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is full")
def test_what_is_left_to_write_at_the_very_end_is_no_second_error() -> None:
    command = [sys.executable, "-m", "frieren", "--version"]
    with open("/dev/full", "w") as full:
        found = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (found.returncode, found.stderr.count("\n")) == (1, 1) and "standard output" in found.stderr
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        found = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True)
    assert (found.returncode, found.stderr) == (1, "")

"""Reading in a process of its own: the same results, and one line for whatever happens to the process."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import clips
import pytest
import torch
from command import make_video, names, run

import frieren
from frieren import isolation, openvideo, remux, spotting, video
from frieren.errors import FrierenError, OutputError, VideoError
from frieren.isolation import Limits, call

pytestmark = pytest.mark.skipif(os.name != "posix", reason="limits of processes are POSIX's")
LIMITS = Limits(memory=2**30, seconds=60, silence=60.0)


@pytest.fixture(autouse=True)
def hostile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the processes find `hostile`."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))


def test_a_result_comes_back_with_warnings_and_progress() -> None:
    seen: list[tuple[int, int]] = []
    with pytest.warns(UserWarning, match="a.mp4 is odd"):
        found = call("hostile:double", "a.mp4", 21, limits=LIMITS, on_progress=lambda *at: seen.append(at))
    assert found == {"doubled": 42} and seen == [(1, 2)]


@pytest.mark.parametrize(
    ("what", "kind", "said"),
    [
        ("crash", VideoError, r"a\.mp4: its reader crashed \(SIGSEGV\); convert it to \.mp4"),
        ("leave", VideoError, r"a\.mp4: its reader crashed \(exit 3\)"),
        ("spin", VideoError, r"a\.mp4: reading it takes more than 1 s of processor time"),
        ("eat", VideoError, r"a\.mp4: reading it takes more memory than it is allowed"),
        ("print_nonsense", VideoError, r"a\.mp4: its reader sent nonsense"),
        ("refuse", OutputError, r"a\.mp4: refused"),
        ("lack", FrierenError, "this needs x"),
        ("fail", RuntimeError, "KeyError: 'steps'"),
    ],
)
def test_whatever_happens_there_is_one_error_here(what: str, kind: type[Exception], said: str) -> None:
    limits = dataclasses.replace(LIMITS, seconds=1) if what == "spin" else LIMITS
    with pytest.raises(kind, match=f"^{said}"):
        call(f"hostile:{what}", "a.mp4", limits=limits)


def test_a_process_that_reads_nothing_is_ended_one_that_reads_slowly_is_not() -> None:
    quick = dataclasses.replace(LIMITS, silence=3.0)
    with pytest.raises(VideoError, match=r"^a\.mp4: nothing was read for 3 s"):
        call("hostile:hang", "a.mp4", limits=quick)
    assert call("hostile:be_slow", "a.mp4", limits=LIMITS) == "done"


def test_what_is_read_is_the_same(tmp_path: Path) -> None:
    clip = clips.video(tmp_path / "a.mkv", clips.VFR, sounds=[(clips.noise(1.5, 16_000), 16_000, 0.0)])
    assert video.probe(clip, isolate=True) == video.probe(clip)
    clock = frieren.Clock(fps=25.0)
    one, other = (video.read_frames(clip, clock, 32, isolate=isolate) for isolate in (False, True))
    assert torch.equal(one.images, other.images) and torch.equal(one.times, other.times)
    assert one.seconds == other.seconds
    for target in ("b.mp4", "b.mov", "b.wmv.mp4"):
        assert remux.choose(clip, tmp_path / target, isolate=True) == remux.choose(clip, tmp_path / target)
    with pytest.raises(OutputError, match="this is the source video"):
        remux.write_video(clip, torch.zeros(100), clip, 16_000, isolate=True)
    wave = torch.from_numpy(clips.noise(1.5, 16_000))
    for isolate in (False, True):
        remux.write_video(clip, wave, tmp_path / f"{isolate}.mp4", 16_000, keep_original=True, isolate=isolate)
    assert (tmp_path / "True.mp4").read_bytes() == (tmp_path / "False.mp4").read_bytes()
    assert names(tmp_path) == ["False.mp4", "True.mp4", "a.mkv"]


def test_a_cue_sheet_is_the_same(tmp_path: Path) -> None:
    clip = make_video(tmp_path / "a.mp4", seconds=1.0)
    assert spotting.spot(clip, isolate=True) == spotting.spot(clip)


@pytest.mark.parametrize("place", ["measure", "_first_frame", "_write"])
def test_a_decoder_that_crashes_is_one_line_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, fake_model: object, place: str
) -> None:
    """Where the length is measured, where a container is chosen, where the output is written."""
    for name in ("bad.mp4", "good.mp4"):
        make_video(tmp_path / name)
    where = "openvideo.OpenVideo" if place == "measure" else "remux.choice" if place == "_first_frame" else "remux"
    crash = "lambda *a, **k: os.kill(os.getpid(), 11) if 'bad.mp4' in sys.argv[1] else before(*a, **k)"
    prelude = "import os, sys, frieren.remux, frieren.openvideo as openvideo, frieren.remux as remux\n"
    prelude += f"import frieren.remux.choice\nbefore = {where}.{place}\n{where}.{place} = {crash}\n"
    monkeypatch.setattr(isolation, "CODE", prelude + isolation.CODE)
    assert run("generate", tmp_path / "bad.mp4", tmp_path / "good.mp4", "--isolate") == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"frieren: {tmp_path / 'bad.mp4'}: its reader crashed (SIGSEGV); convert it to .mp4"
    assert names(tmp_path) == ["bad.mp4", "good.mp4", "good_frieren.mp4", "good_frieren.mp4.json"]


def test_with_isolation_nothing_is_opened_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = make_video(tmp_path / "clip.mp4")
    whole = tmp_path / "whole.mp4"
    assert run("generate", clip, "--model", "tiny", "-o", whole) == 0
    monkeypatch.setattr("frieren.media.open_media", None)
    monkeypatch.setattr(openvideo, "open_media", None)
    assert run("generate", clip, "--model", "tiny", "--isolate", "-o", tmp_path / "same.mp4") == 0
    assert (tmp_path / "same.mp4").read_bytes() == whole.read_bytes()


def test_lower_limits_of_the_system_stay(tmp_path: Path) -> None:
    clip = make_video(tmp_path / "clip.mp4")
    code = "import resource, sys; resource.setrlimit(resource.RLIMIT_CPU, (50, 50))\n"
    code += "from frieren.isolation import Limits, call\n"
    code += "print(call('frieren.openvideo:probe', sys.argv[1], limits=Limits())['frames'])"
    done = subprocess.run([sys.executable, "-c", code, clip], capture_output=True, text=True)
    assert done.stdout == "10\n", done.stderr

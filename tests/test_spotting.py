"""Spotting: the sheet against both eyes run by hand, spans, and videos that are short, still, odd or long."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import av
import clips
import numpy as np
import pytest
import torch

from frieren import motion, recognition, spotting, strikes
from frieren.apps import checks
from frieren.apps.cli import main
from frieren.apps.spot import thumbnails
from frieren.categories import categories, find
from frieren.cues import MOST_CUES, read
from frieren.errors import VideoError
from frieren.nets.motion import MotionConfig, MotionEncoder
from frieren.recognition import Recogniser, smooth
from frieren.spotting import likeliest, look, motion_cue, sound_cues, spot
from frieren.strikes import MotionSpotter
from frieren.video import probe

NAMES = [category.name for category in categories()]


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch) -> MotionEncoder:
    """One that finds strikes everywhere, in place of the one that ships."""
    torch.manual_seed(0)
    made = MotionEncoder(MotionConfig(members=("maxima",), ways=("any",), threshold=0.0)).eval()
    monkeypatch.setattr(spotting, "load_encoder", lambda: made)
    return made


def film(path: Path, seconds: float, fps: float = 10) -> Path:
    """A texture that swings."""
    texture = np.random.default_rng(0).integers(0, 256, (12, 40, 3), np.uint8).repeat(4, 0).repeat(4, 1)
    times = np.arange(0, seconds, 1 / fps).tolist()
    places = [int(48 + 40 * np.sin(5 * time)) for time in times]
    return clips.video(path, times, images=[texture[:, place : place + 64] for place in places])


def test_spans() -> None:
    values = torch.zeros(7, len(NAMES))
    values[1:4, NAMES.index("dog")] = 0.5
    values[4:, NAMES.index("dog")] = 0.8
    starts = torch.tensor([True, False, False, False, True, False, False])
    cues = sound_cues(values, starts, 3.2)
    assert [(cue.name, cue.start, cue.end, cue.certainty) for cue in cues] == [
        ("dog", 0.5, 2.0, 0.5),
        ("dog", 2.0, 3.2, 0.8),
    ]
    assert sound_cues(values * 0.2, starts, 3.2) == ()


def test_a_span_lasts_while_what_was_named_is_likely_enough_and_ends_at_a_cut() -> None:
    """Seven frames of dogs: the span reaches over the unlikely ones beside the likely, whose mean is its certainty."""
    dog = torch.tensor([0.04, 0.1, 0.3, 0.5, 0.06, 0.06, 0.3])
    values = torch.zeros(7, len(NAMES))
    values[:, NAMES.index("dog")] = dog
    starts = torch.tensor([True, False, False, False, False, True, False])
    spans = [(cue.start, cue.end, cue.certainty) for cue in sound_cues(values, starts, 3.5)]
    assert spans == [(0.5, 2.5, 0.4), (2.5, 3.5, 0.3)]
    assert sound_cues(values.clamp(max=0.19), starts, 3.5) == ()  # it lasts, but was never named


def test_the_likeliest_are_means_over_the_whole_video(tmp_path: Path, encoder: MotionEncoder) -> None:
    values = torch.zeros(4, len(NAMES))
    values[:, NAMES.index("harp")], values[3, NAMES.index("dog")] = 0.1, 0.8
    assert likeliest(values)[:2] == (("dog", pytest.approx(0.2)), ("harp", pytest.approx(0.1)))
    path = film(tmp_path / "a.mp4", 4.0)
    recogniser, sight = Recogniser(), look(path)
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            recogniser.push(frame, frame.time)
    probabilities, starts = recogniser.finish(probe(path).seconds)
    means = smooth(probabilities, starts).mean(0)
    assert sight.cues == spot(path) and {name for name, _ in sight.likeliest} == set(NAMES)
    assert [mean for _, mean in sight.likeliest] == pytest.approx(sorted(means.tolist(), reverse=True), abs=1e-5)


def test_strikes_and_motion_are_those_of_the_motion_encoder(tmp_path: Path, encoder: MotionEncoder) -> None:
    path = film(tmp_path / "a.mp4", 3.0)
    spotter = MotionSpotter(encoder)
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            spotter.push(frame, frame.time)
    seconds = probe(path).seconds
    seen, cues = spotter.finish(seconds), spot(path)
    assert cues.seconds == seconds and cues.motion.rate == motion.RATE
    assert len(cues.motion.values) == motion.CLOCK.frames(seconds)
    assert np.abs(np.array(cues.motion.values) - seen.activity).max() <= 0.0005 + 1e-6
    assert len(cues.strikes) == len(seen.strikes) > 3
    for ours, theirs in zip(cues.strikes, seen.strikes, strict=True):
        for key in ("time", "strength", "certainty"):
            assert getattr(ours, key) == pytest.approx(getattr(theirs, key), abs=0.0005 + 1e-6)
    assert np.median(cues.motion.values) > 0.1


def test_a_sheet_does_not_depend_on_how_many_frames_are_looked_at_at_once(
    tmp_path: Path, encoder: MotionEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = film(tmp_path / "a.mp4", 9.0)
    whole = look(path)
    for what, reading, when in [(1, 5, 16), (3, 1000, 1000)]:
        monkeypatch.setattr(recognition, "BATCH", what)
        monkeypatch.setattr(motion, "BLOCK", reading)
        monkeypatch.setattr(strikes, "BLOCK", when)
        parts = look(path)
        assert [cue.name for cue in parts.cues.sounds] == [cue.name for cue in whole.cues.sounds]
        assert dict(parts.likeliest) == pytest.approx(dict(whole.likeliest), abs=1e-4)
        assert parts.cues.motion.values == pytest.approx(whole.cues.motion.values, abs=0.0011)
        assert len(parts.cues.strikes) == len(whole.cues.strikes) > 10
        for ours, theirs in zip(parts.cues.strikes, whole.cues.strikes, strict=True):
            assert astuple(ours) == pytest.approx(astuple(theirs), abs=0.0021)


@pytest.mark.parametrize(("frames", "rate"), [(1, 25), (5, 25), (3, 1)])
def test_short_and_still_videos(tmp_path: Path, encoder: MotionEncoder, frames: int, rate: int) -> None:
    times = [index / rate for index in range(frames)]
    path = clips.video(tmp_path / "short.mp4", times, images=[np.full((48, 64, 3), 90, np.uint8)] * frames)
    cues = spot(path)
    assert len(cues.motion.values) == motion.CLOCK.frames(cues.seconds) and max(cues.motion.values) == 0
    assert all(find(cue.name) and cue.end <= cues.seconds for cue in cues.sounds)
    assert all(strike.time <= cues.seconds for strike in cues.strikes)


def test_a_picture_is_a_still_film_or_refused(tmp_path: Path) -> None:
    from PIL import Image

    pixels = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
    pixels.save(tmp_path / "a.gif")
    assert max(spot(tmp_path / "a.gif").motion.values) == 0
    pixels.save(tmp_path / "a.png")
    with pytest.raises(VideoError, match="a.png: .*convert it to .mp4"):
        spot(tmp_path / "a.png")


def test_a_curve_that_is_too_long_is_thinned() -> None:
    whole = motion_cue(np.arange(10, dtype=np.float32) / 16)
    assert (whole.rate, whole.values[:3]) == (25.0, (0.0, 0.062, 0.125))
    thinned = motion_cue(np.zeros(2 * MOST_CUES + 1, np.float32))
    assert thinned.rate == pytest.approx(25 / 3) and len(thinned.values) == -(-(2 * MOST_CUES + 1) // 3)


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as exit_:
        main(["spot", *map(str, arguments)])
    return int(exit_.value.code or 0)


def test_the_command_writes_the_sheet_draws_it_and_prints_it(
    tmp_path: Path, encoder: MotionEncoder, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    path = film(tmp_path / "a [red].mp4", 6.0)
    assert run(path, "-o", tmp_path / "a.json", "--picture", tmp_path / "a.png") == 0
    printed, cues = capsys.readouterr().out, read(tmp_path / "a.json")
    assert cues == spot(path) and (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    assert "a [red].mp4" in printed
    lines = [line for line in printed.splitlines() if line.startswith("│")]
    strikes = [line.strip("│ ").split()[0] for line in lines][-21:]
    assert strikes == [f"{strike.time:.2f}" for strike in cues.strikes[:20]] + ["and"]
    assert f"and {len(cues.strikes) - 20} more" in printed
    assert run(path, "--json") == 0 and capsys.readouterr().out == cues.to_json()


def test_pictures_that_cannot_be_drawn_are_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(tmp_path / "a.mp4", tmp_path / "b.mp4", "--picture", tmp_path / "a.png") == 2
    assert run(tmp_path / "a.mp4", "--picture", tmp_path / "a.xyz") == 2
    capsys.readouterr()
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    assert run(tmp_path / "a.mp4", "--picture", tmp_path / "a.png") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install 'frieren[eval]'" in line


def test_thumbnails_are_spread_evenly(tmp_path: Path) -> None:
    path = clips.video(tmp_path / "a.mp4", [index / 10 for index in range(48)])
    images = thumbnails(path)
    assert images.shape == (12, 120, 160, 3)
    levels = [round(float(image.mean()) / clips.STEP) for image in images]
    assert levels == [index * 4 % clips.LEVELS for index in range(12)]
    assert len(thumbnails(clips.video(tmp_path / "b.mp4", [0.0, 0.1, 0.2]))) == 3

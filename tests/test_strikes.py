"""Strikes: peaks against instants that are known, and the whole way from films to strikes, whatever the blocks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from frieren import motion, strikes
from frieren.nets.motion import MotionConfig, MotionEncoder


def curve(instants: list[float], frames: int = 100, height: float = 0.9) -> np.ndarray:
    """A probability with a bell at each instant."""
    times = np.arange(frames) / motion.RATE
    bells = [height * np.exp(-0.5 * ((times - instant) / 0.06) ** 2) for instant in instants]
    return np.max(bells, axis=0).astype(np.float32)


@pytest.mark.parametrize("instant", [1.0, 1.013, 1.02, 1.027, 2.5])
def test_peak_lies_between_frames(instant):
    (strike,) = strikes.pick_strikes(curve([instant]), np.full(100, 0.25, np.float32), 0.5)
    assert strike.time == pytest.approx(instant, abs=0.003)
    assert strike.certainty == pytest.approx(0.9, abs=0.05) and strike.strength == 0.25


def test_threshold_delay_and_gap():
    both = curve([1.0, 3.0])
    both[50:] *= 0.5
    assert [round(each.time, 2) for each in strikes.pick_strikes(both, both, 0.6, delay=0.1)] == [1.1]
    assert len(strikes.pick_strikes(both, both, 0.4)) == 2
    double = np.zeros(50, np.float32)
    double[[20, 22, 26]] = 0.7, 0.8, 0.6  # 0.08 s apart: the higher one stays
    assert [each.certainty for each in strikes.pick_strikes(double, double, 0.5)] == pytest.approx([0.8, 0.6])


@pytest.mark.parametrize("values", [[], [0.9], [0.9, 0.9], [0.0, 0.0]])
def test_shortest_curves(values):
    found = strikes.pick_strikes(np.array(values, np.float32), np.array(values, np.float32), 0.5)
    assert len(found) == (1 if 0.9 in values else 0)


@pytest.fixture(scope="module")
def encoder() -> MotionEncoder:
    torch.manual_seed(0)
    return MotionEncoder(MotionConfig(members=("maxima", "speeds", "attention"), ways=("one", "two"))).eval()


def film(seconds: float, fps: float = 25.0) -> list[tuple[torch.Tensor, float]]:
    generator = torch.Generator().manual_seed(1)
    texture = torch.rand(1, 1, 12, 30, generator=generator)
    texture = torch.nn.functional.interpolate(texture, size=(36, 90), mode="bicubic")[0, 0]
    times = np.arange(0, seconds, 1 / fps).tolist()
    return [(texture[:, (place := int(13 + 12 * np.sin(5 * time))) : place + 64], time) for time in times]


def spot(encoder: MotionEncoder, seconds: float) -> strikes.SeenMotion:
    spotter = strikes.MotionSpotter(encoder)
    for image, time in film(seconds):
        spotter.push_grey(image, time)
    return spotter.finish(seconds)


def test_blocks_do_not_matter(encoder, monkeypatch):
    seconds = 24.0
    wanted = encoder(motion.motion_of(film(seconds), seconds).transpose(0, 1)[None])
    seen = spot(encoder, seconds)
    torch.testing.assert_close(torch.from_numpy(seen.strike), wanted.strike[0].sigmoid(), atol=1e-4, rtol=1e-3)
    monkeypatch.setattr(strikes, "BLOCK", 50)
    other = spot(encoder, seconds)
    for name in ("strike", "strength", "sustained", "activity", "embed"):
        ours, theirs = getattr(other, name), getattr(seen, name)
        assert len(ours) == 600 and np.abs(ours - theirs).max() < 1e-4, name
    assert [each.time for each in other.strikes] == pytest.approx([each.time for each in seen.strikes], abs=1e-3)


@pytest.mark.parametrize("seconds", [0.04, 0.2, 1.0])
def test_short_videos(encoder, seconds):
    seen = spot(encoder, seconds)
    assert len(seen.strike) == len(seen.embed) == motion.CLOCK.frames(seconds)
    assert ((seen.activity >= 0) & (seen.activity <= 1)).all() and np.abs(seen.embed).max() <= 1


def test_without_a_frame(encoder):
    with pytest.raises(ValueError, match="no frame"):
        strikes.MotionSpotter(encoder).finish(1.0)


def test_activity_is_how_much_moves(encoder):
    """Of a film that stands still nothing; otherwise the mean m of the motion's last channel as m / (1 + m)."""
    still = strikes.MotionSpotter(encoder)
    for image, time in ((image, index / 25) for index, (image, _) in enumerate(film(0.04) * 25)):
        still.push_grey(image, time)
    assert not still.finish(1.0).activity.any()
    size = motion.motion_of(film(2.0), 2.0)[:, -1].flatten(1).mean(1).numpy()
    assert size.max() > 0.05
    np.testing.assert_allclose(spot(encoder, 2.0).activity, size / (1 + size), atol=1e-5)

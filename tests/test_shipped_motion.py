"""The motion encoder that ships: strikes of puppets at known instants, and what must not change what it sees."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from av import VideoFrame

from frieren import motion, strikes
from frieren.world import puppets

INSTANTS = ((0.8, 0.8), (1.6, 0.8), (2.4, 0.8))
STRIKERS = (27, 29)  # clips before a still camera: a fist, a switch
SECONDS = 3.2


@cache
def film(index: int, fps: float = 30.0) -> tuple[torch.Tensor, list[float]]:
    """Frames [F, h, w] of a puppet that strikes at INSTANTS, and their times."""
    clip = puppets.clip("shipped", index, SECONDS, fps, (36, 64), INSTANTS, clean=True)
    return clip.film.images, clip.film.times.tolist()


def see(images: torch.Tensor, times: list[float], seconds: float = SECONDS) -> strikes.SeenMotion:
    spotter = strikes.MotionSpotter(strikes.load_encoder())
    for image, time in zip(images, times, strict=True):
        spotter.push_grey(image, time)
    return spotter.finish(seconds)


def found(seen: strikes.SeenMotion, late: float = 0.03) -> int:
    """How many of INSTANTS have a strike within 60 ms of where their sound is."""
    times = [strike.time for strike in seen.strikes]
    return sum(any(abs(time - instant - late) <= 0.06 for time in times) for instant, _ in INSTANTS)


@pytest.mark.parametrize("fps", [12, 15, 25, 30, 60])
def test_strikes_are_found_at_any_frame_rate(fps):
    for index in STRIKERS:
        seen = see(*film(index, fps))
        assert found(seen) == len(INSTANTS) and len(seen.strikes) <= 7


@pytest.mark.parametrize("change", [lambda x: 0.5 * x + 0.3, lambda x: 0.7 * x, lambda x: 1 - x])
def test_brightness_contrast_and_negative_leave_the_cues(change):
    """Probabilities within 0.02."""
    images, times = film(STRIKERS[0])
    assert np.abs(see(change(images), times).strike - see(images, times).strike).max() < 0.02


def test_colour_leaves_the_cues():
    """Probabilities within 0.15, in eight bits: the tinted film has less contrast, so its rounding differs."""
    images, times = film(STRIKERS[0])

    def seen(tint: tuple[float, float, float]) -> np.ndarray:
        pixels = images[..., None] * torch.tensor(tint)
        spotter = strikes.MotionSpotter(strikes.load_encoder())
        for one, time in zip((pixels * 255).round().byte().numpy(), times, strict=True):
            large = np.ascontiguousarray(one.repeat(4, 0).repeat(4, 1))
            spotter.push(VideoFrame.from_ndarray(large, format="rgb24"), time)
        return spotter.finish(SECONDS).strike

    assert np.abs(seen((1.0, 0.7, 0.4)) - seen((1.0, 1.0, 1.0))).max() < 0.15


@pytest.mark.parametrize("noise", [0.0, 0.002])
def test_static_film_has_no_strike(noise):
    images, times = film(STRIKERS[0])
    still = images[:1] + noise * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    seen = see(still, times)
    assert seen.strikes == () and seen.activity.max() < 0.5


def test_a_film_played_backwards_strikes_elsewhere():
    """What comes to rest in a film sets out in its reverse: there the same instants are less likely."""

    def at_instants(seen: strikes.SeenMotion, instants: list[float]) -> float:
        frames = np.round(np.array(instants) * motion.RATE).astype(int)
        return float(np.mean([seen.strike[frame - 1 : frame + 3].max() for frame in frames]))

    forward, backward = [], []
    for index in STRIKERS:
        images, times = film(index)
        forward.append(at_instants(see(images, times), [time for time, _ in INSTANTS]))
        end = times[-1]
        backward.append(at_instants(see(images.flip(0), times), [end - time for time, _ in INSTANTS]))
    assert np.mean(forward) > np.mean(backward) + 0.05


def test_blocks_do_not_matter(monkeypatch):
    images, times = film(STRIKERS[1])
    seen = see(images, times)
    monkeypatch.setattr(strikes, "BLOCK", 17)
    monkeypatch.setattr(motion, "BLOCK", 9)
    assert [each.time for each in see(images, times).strikes] == pytest.approx(
        [each.time for each in seen.strikes], abs=1e-3
    )

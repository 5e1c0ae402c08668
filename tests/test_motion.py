"""Local motion: against shifts that are known; the same for any frame rate, block, brightness, contrast and mirror."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from frieren import motion

H, W = 48, 64


def scene(x: float, y: float = 0.0) -> Tensor:
    """A smooth texture [H, W] moved by (x, y) pixels, drawn at its exact place."""
    rows, columns = torch.meshgrid(torch.arange(float(H)) - y, torch.arange(float(W)) - x, indexing="ij")
    waves = ((0.31, 0.17, 0.3), (0.12, -0.35, 1.1), (-0.22, 0.27, 2.0), (0.05, 0.09, 0.7))
    return 0.5 + 0.1 * sum(torch.sin(a * columns + b * rows + c) for a, b, c in waves)


def film(path, fps: float, seconds: float = 2.0) -> list[tuple[Tensor, float]]:
    """Frames of the scene whose place (x, y) at each time is `path`."""
    return [(scene(*path(time)), time) for time in np.arange(0, seconds, 1 / fps).tolist()]


def to_and_fro(time: float) -> tuple[float, float]:
    return 4 * np.sin(2 * np.pi * 0.7 * time), 2 * np.cos(2 * np.pi * 0.7 * time)


def test_shift_is_found():
    found = motion.local_motion(torch.stack([scene(0, 0), scene(0.6, -0.3)]))[0]
    inner = found[:, 1:-1, 1:-1].mean((1, 2))
    for channel, true in ((0, 0.6), (1, -0.3), (3, 0.3), (4, -0.15)):  # the last two at half the scale
        assert 0.7 < inner[channel] / true < 1.05  # the damping makes it smaller
    assert found[2].mean() < 0.5 * found[6].mean()  # a shift explains most of the difference


def test_film_played_backwards_moves_backwards():
    frames = torch.stack([scene(*to_and_fro(time)) for time in np.arange(0, 1, 0.04)])
    forth, back = motion.local_motion(frames), motion.local_motion(frames.flip(0)).flip(0)
    torch.testing.assert_close(back[:, [0, 1, 3, 4]], -forth[:, [0, 1, 3, 4]], atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(back[:, [2, 5, 6]], forth[:, [2, 5, 6]], atol=2e-2, rtol=0)


@pytest.mark.parametrize("fps", [12, 15, 24, 30, 50, 60])
def test_motion_does_not_depend_on_the_frame_rate(fps):
    wanted = motion.motion_of(film(to_and_fro, 25), 2.0)
    found = motion.motion_of(film(to_and_fro, fps), 2.0)
    assert found.shape == wanted.shape == (50, motion.CHANNELS, H // 4, W // 4)
    ours, theirs = (each[3:-3, 3].mean((1, 2)) for each in (found, wanted))  # u at half the scale
    assert np.corrcoef(ours, theirs)[0, 1] > 0.98
    lag = min(range(-2, 3), key=lambda k: (ours.roll(k)[3:-3] - theirs[3:-3]).abs().mean().item())
    assert lag == 0


@pytest.mark.parametrize("block", [7, 1000])
def test_motion_does_not_depend_on_blocks(block, monkeypatch):
    frames = film(to_and_fro, 30, 16.0)  # longer than the window of the normalisation
    wanted = motion.motion_of(frames, 16.0)
    monkeypatch.setattr(motion, "BLOCK", block)
    torch.testing.assert_close(motion.motion_of(frames, 16.0), wanted, atol=1e-5, rtol=1e-4)


def test_normalisation_is_by_the_window_around_each_frame(monkeypatch):
    monkeypatch.setattr(motion, "AROUND", 3)
    monkeypatch.setattr(motion, "STILL", (0.0,) * motion.CHANNELS)
    given = torch.randn(20, motion.CHANNELS, 2, 3, generator=torch.Generator().manual_seed(0))
    normalisation = motion.Normalisation()
    found = normalisation.push(given[:8]) + normalisation.push(given[8:]) + normalisation.finish()
    for index, each in enumerate(found):
        window = given[max(0, index - 3) : index + 4]
        for channels in ([0, 1], [2], [3, 4], [5], [6]):
            scale = window[:, channels].square().mean().sqrt()
            torch.testing.assert_close(each[channels], given[index, channels] / scale)
    assert len(found) == 20


@pytest.mark.parametrize("change", [lambda x: 0.5 * x, lambda x: 0.6 * x + 0.3, lambda x: 1.3 * x - 0.1])
def test_brightness_and_contrast_do_not_matter(change):
    frames = film(to_and_fro, 25)
    wanted = motion.motion_of(frames, 2.0)
    found = motion.motion_of([(change(image), time) for image, time in frames], 2.0)
    assert (found - wanted).abs().mean() < 0.01 * wanted.abs().mean()


def test_mirror_turns_u_around():
    frames = film(to_and_fro, 25)
    wanted = motion.motion_of(frames, 2.0).flip(-1)
    wanted[:, [0, 3]] *= -1
    torch.testing.assert_close(
        motion.motion_of([(image.flip(-1), time) for image, time in frames], 2.0), wanted, atol=1e-3, rtol=1e-3
    )


def test_repeated_frames_are_left_out():
    frames = film(to_and_fro, 15)
    doubled = [(image, time + late) for image, time in frames for late in (0, 1 / 30)]
    torch.testing.assert_close(motion.motion_of(doubled, 2.0), motion.motion_of(frames, 2.0))


def test_still_film_does_not_move():
    still = motion.motion_of([(scene(0), index / 25) for index in range(100)], 4.0)
    assert still.shape[0] == 100 and still.abs().max() == 0
    noise = torch.randn(100, H, W, generator=torch.Generator().manual_seed(0)) / 255  # of one grey level
    noisy = motion.motion_of([(scene(0) + each, index / 25) for index, each in enumerate(noise)], 4.0)
    assert noisy[:, [0, 1, 3, 4]].square().mean().sqrt() < 0.5  # moving films have 1


@pytest.mark.parametrize(("count", "seconds", "rows"), [(1, 0.04, 1), (1, 3.0, 75), (5, 0.2, 5)])
def test_short_films(count, seconds, rows):
    found = motion.motion_of([(scene(index), index / 25) for index in range(count)], seconds)
    assert found.shape == (rows, motion.CHANNELS, H // 4, W // 4) and found.isfinite().all()


def test_picture_that_changes_its_size():
    frames = film(to_and_fro, 25)
    frames[20:] = [(torch.nn.functional.avg_pool2d(image[None], 2)[0], time) for image, time in frames[20:]]
    assert motion.motion_of(frames, 2.0).shape == (50, motion.CHANNELS, H // 4, W // 4)


def test_memory_is_flat():
    reader = motion.MotionReader()
    image = scene(0)
    for index in range(2000):
        reader.push(image, index / 25)
        held = len(reader._normalisation._waiting) + len(reader._normalisation._powers) + len(reader._frames)
        assert held <= 3 * motion.AROUND + 2 * motion.BLOCK + 4

"""Frames: what does not belong together is refused."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from frieren import Frames

IMAGES, TIMES = torch.zeros(2, 3, 4, 6), torch.tensor([0.0, 0.5], dtype=torch.float64)


def test_frames_have_a_length_and_do_not_change():
    frames = Frames(IMAGES, TIMES, 1.0)
    assert len(frames) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        frames.seconds = 2.0


@pytest.mark.parametrize(
    ("images", "times", "seconds", "message"),
    [
        (IMAGES[0], TIMES, 1.0, r"images must be \[F, 3, H, W\].*got \(3, 4, 6\)"),
        (IMAGES[:, :1], TIMES, 1.0, r"got \(2, 1, 4, 6\)"),
        (IMAGES[:0], TIMES[:0], 1.0, "F > 0"),
        (IMAGES, TIMES[:1], 1.0, r"times must be \[2\], one per image, got \(1,\)"),
        (IMAGES, TIMES[None], 1.0, r"times must be \[2\]"),
        (IMAGES, TIMES, 0.0, "seconds must be positive, got 0"),
        (IMAGES, TIMES, float("nan"), "seconds must be positive, got nan"),
    ],
)
def test_what_does_not_belong_together_is_refused(images, times, seconds, message):
    with pytest.raises(ValueError, match=message):
        Frames(images, times, seconds)

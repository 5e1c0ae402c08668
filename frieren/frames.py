"""Frames: images and the times at which they are displayed, as `video` yields and `features` takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Frames:
    """A run of video frames on a time axis that starts with the video's first frame.

    Attributes:
        images: [F, 3, H, W] float32 RGB in 0..1.
        times: [F] float64, presentation times in seconds, increasing.
        seconds: length of the whole video in seconds (the last frame is displayed until then).

    Raises:
        ValueError: if the shapes do not agree or there is no frame.
    """

    images: Tensor
    times: Tensor
    seconds: float

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.shape[1] != 3 or len(self.images) == 0:
            raise ValueError(f"images must be [F, 3, H, W] with F > 0, got {tuple(self.images.shape)}")
        if self.times.shape != self.images.shape[:1]:
            raise ValueError(f"times must be [{len(self.images)}], one per image, got {tuple(self.times.shape)}")
        if not self.seconds > 0:
            raise ValueError(f"seconds must be positive, got {self.seconds}")

    def __len__(self) -> int:
        return len(self.images)

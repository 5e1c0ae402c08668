"""Every rate and every length of a model, in one frozen dataclass.

The stages run at four rates: frames, latent columns, mel columns, samples. Every length is computed here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

# Rates and lengths that a model may have: far beyond every use, and small enough for any memory.
LARGEST = {"sample_rate": 768_000, "hop": 65_536, "stride": 1024, "fps": 1000, "window": 65_536}


@dataclass(frozen=True)
class Clock:
    """Rates of one model. The defaults are the published ones (paper section 4.1 and the official configuration).

    Raises:
        ValueError: if a rate or a length is not positive or beyond `LARGEST`, or the overlap not shorter than the
            window.
    """

    sample_rate: int = 16_000  # samples per second of the wave
    hop: int = 256  # samples per mel column
    stride: int = 2  # mel columns per latent column
    fps: float = 4.0  # video frames per second that the visual encoder sees
    window: int = 256  # latent columns in one window of the vector field
    overlap: int = 64  # latent columns that neighbouring windows share at least
    # How frames are read. As published: picked as FFmpeg's fps filter does, the one displayed half a period after each
    # grid time, and resized by PIL's bilinear filter. Otherwise the nearest one, resized by area.
    published_frames: bool = False

    def __post_init__(self) -> None:
        for name, most in LARGEST.items():
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
            if getattr(self, name) > most:
                raise ValueError(f"{name} must be at most {most}, got {getattr(self, name)}")
        if not 0 <= self.overlap < self.window:
            raise ValueError(f"overlap must lie in 0..{self.window - 1} (window - 1), got {self.overlap}")

    @property
    def mel_rate(self) -> float:
        """Mel columns per second (62.5)."""
        return self.sample_rate / self.hop

    @property
    def latent_rate(self) -> float:
        """Latent columns per second (31.25)."""
        return self.mel_rate / self.stride

    @property
    def samples_per_latent(self) -> int:
        """Samples under one latent column (512)."""
        return self.hop * self.stride

    def samples(self, seconds: float) -> int:
        """Samples in `seconds`, to the nearest one."""
        return round(seconds * self.sample_rate)

    def frames(self, seconds: float) -> int:
        """Frames on the grid 0, 1/fps, 2/fps, ... that start before `seconds`; at least one."""
        return max(1, math.ceil(seconds * self.fps - 1e-6))

    def columns(self, seconds: float) -> int:
        """Latent columns that cover `seconds`; at least one."""
        return max(1, math.ceil(self.samples(seconds) / self.samples_per_latent))

    def frame_times(self, count: int) -> list[float]:
        """Start of each of `count` frames on the clock's own grid, in seconds."""
        return [index / self.fps for index in range(count)]

    def column_times(self, count: int) -> list[float]:
        """Centre of each of `count` latent columns, in seconds."""
        return [(index + 0.5) / self.latent_rate for index in range(count)]

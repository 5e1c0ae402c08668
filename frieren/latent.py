"""Features -> latent: guided sampling along the flow, over windows that share their overlap at every step.

All windows of a video are solved together. At each evaluation the velocities of neighbouring windows are blended where
they overlap, so the latent is one continuous thing at every step and there is nothing to stitch afterwards.

The published way is there too: windows that do not overlap, each with the features that follow by count.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import torch
from torch import Tensor

from frieren.clock import Clock
from frieren.flow import guided_velocity
from frieren.nets.field import FieldConfig, VectorField, column_frames, regulate
from frieren.solver import solve
from frieren.windows import blend, unfold, window_starts


def draw_noise(channels: int, columns: int, seed: int) -> Tensor:
    """Standard normal noise [C, L] from a CPU generator: the same for every device, and for every CPU to within 1.4e-6.

    Drawn column by column, so the first columns do not depend on how many follow.
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randn(channels, generator=generator) for _ in range(columns)], dim=1)


def initial_noise(batch: int, channels: int, columns: int, *, seed: int | None, noise: Tensor | None) -> Tensor:
    """Noise [B, C, L] that a flow starts from: given, or drawn for every item b from `seed + b` (0 if there is none).

    Raises:
        ValueError: if both seed and noise are given, or noise has another shape.
    """
    if noise is None:
        return torch.stack([draw_noise(channels, columns, (seed or 0) + item) for item in range(batch)])
    if seed is not None:
        raise ValueError("noise takes the place of a seed: give one of them")
    noise = noise if noise.ndim == 3 else noise[None]
    if noise.shape != (batch, channels, columns):
        raise ValueError(f"noise must be {(batch, channels, columns)}, got {tuple(noise.shape)}")
    return noise


def sound_samples(features: int, clock: Clock, config: FieldConfig, published: bool) -> int:
    """Samples of the sound of a number of features: laid out by count, 32 of them make 8.192 s, by time 8 s."""
    if published and config.regulator == "repeat":
        return features * config.repeat * clock.samples_per_latent
    return clock.samples(features / clock.fps)


def latent_columns(features: int, samples: int | None, clock: Clock, config: FieldConfig, published: bool) -> int:
    """Latent columns that cover `samples` (None: all features); whole windows if they are laid out as published."""
    if samples is None:
        samples = sound_samples(features, clock, config, published)
    columns = clock.columns(samples / clock.sample_rate)
    if not published:
        return columns
    windows = -(-columns // clock.window)
    if config.regulator == "repeat" and windows > 1:
        late = clock.window * (1 / clock.latent_rate - 1 / (config.repeat * clock.fps))
        warnings.warn(
            f"{windows} windows as published: each begins {late:.2f} s later against its features than the one "
            "before; refine=['windows'] (--refine windows) keeps time",
            stacklevel=2,
        )
    return windows * clock.window


def window_layout(columns: int, clock: Clock, published: bool) -> tuple[list[int], int]:
    """Starts and size of the windows that cover `columns`: overlapping ones, or, as published, side by side.

    Raises:
        ValueError: if columns are not a whole number of published windows.
    """
    if not published:
        return window_starts(columns, clock.window, clock.overlap)
    if columns % clock.window:
        raise ValueError(f"published windows have {clock.window} columns each, got {columns} in all")
    return list(range(0, columns, clock.window)), clock.window


def window_frames(
    field: VectorField, times: Tensor, starts: list[int], size: int, clock: Clock, published: bool = False
) -> Tensor:
    """Index of the frame behind every latent column of every window, [N, size].

    times [F]: seconds at which the frames are displayed.
    """
    columns = torch.tensor(clock.column_times(starts[-1] + size), dtype=torch.float64)
    if field.config.regulator == "time":
        whole = column_frames(times, columns)
        return torch.stack([whole[start : start + size] for start in starts])
    # As published, each frame is repeated a whole number of times. A window begins with the frame that comes next in
    # number (published), or with the one that is displayed: 32 frames last 8 s, the sound of a window 8.192 s.
    if published:
        first = torch.tensor(starts) // field.config.repeat
    else:
        first = column_frames(times, torch.tensor([start / clock.latent_rate for start in starts], dtype=torch.float64))
    index = first[:, None] + torch.arange(size) // field.config.repeat
    return index.clamp(max=len(times) - 1)


class GuidedField:
    """Velocity of the whole latent [B, C, L] under guidance, with everything that is needed only once worked out."""

    def __init__(
        self,
        field: VectorField,
        features: Tensor,
        times: Tensor,
        columns: int,
        clock: Clock,
        guidance: float,
        batch: int,
        published: bool = False,
        guidance_rescale: float = 0.0,
    ) -> None:
        """features [B, F, D], times [F]; `batch` windows at most go through the network at once (it bounds memory)."""
        self.field, self.guidance, self.guidance_rescale, self.batch, self.columns = (
            field,
            guidance,
            guidance_rescale,
            batch,
            columns,
        )
        self.starts, self.size = window_layout(columns, clock, published)
        index = window_frames(field, times, self.starts, self.size, clock, published).to(features.device)
        # Each window by itself, as in training: a field may be given the mean over its window.
        shown = regulate(features, index.flatten()).unflatten(1, index.shape).flatten(0, 1)  # [B * N, size, D]
        self.condition = field.condition(shown, torch.arange(self.size))  # [B * N, size, W / 2]
        self.null = field.null_condition(self.condition)[:1]  # [1, size, W / 2]

    def __call__(self, x: Tensor, t: float) -> Tensor:
        windows = unfold(x, self.starts, self.size)
        parts = zip(windows.flatten(0, 1).split(self.batch), self.condition.split(self.batch), strict=True)
        velocities = torch.cat([self.evaluate(part, condition, t) for part, condition in parts])
        return blend(velocities.unflatten(0, windows.shape[:2]), self.starts, self.columns)

    def evaluate(self, x: Tensor, condition: Tensor, t: float) -> Tensor:
        """One guided evaluation of windows x [N, C, size]: two network evaluations unless guidance is 1."""
        times, null = x.new_full((len(x),), t), self.null.expand_as(condition)
        return guided_velocity(self.field, x, times, condition, null, self.guidance, self.guidance_rescale)


@torch.inference_mode()
def sample_latent(
    field: VectorField,
    features: Tensor,
    times: Tensor,
    noise: Tensor,
    clock: Clock,
    *,
    steps: int,
    guidance: float,
    solver: str,
    guidance_rescale: float = 0.0,
    published: bool = False,
    batch: int = 8,
) -> Iterator[tuple[float, Tensor]]:
    """Yields (t, x [B, C, L]) after every solver step; the last x is the latent.

    Args:
        features: [B, F, D] from the visual encoder.
        times: [F] seconds at which the frames are displayed.
        noise: [B, C, L], at least one window long: a shorter sound is solved over a whole window, the length of the
            field's training, and cut afterwards.
        guidance_rescale: smaller guidance whose standard deviation velocities get (`flow.guided_velocity`); 0: off.
        published: windows side by side; the noise must then be a whole number of windows long.
        batch: windows that go through the network at once.
    """
    columns = noise.shape[-1]
    velocity = GuidedField(field, features, times, columns, clock, guidance, batch, published, guidance_rescale)
    yield from solve(velocity, noise, steps, solver)

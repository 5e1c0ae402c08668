"""Features -> latent: guided sampling along the flow, over windows that share their overlap at every step.

All windows of a video are solved together. At each evaluation the velocities of neighbouring windows are blended where
they overlap, so the latent is one continuous thing at every step and there is nothing to stitch afterwards.

The published way is there too: windows that do not overlap, each with the features that follow by count.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from frieren.autoregression import sample_codes
from frieren.clock import Clock
from frieren.diffusion import steer
from frieren.errors import ConfigError
from frieren.flow import guided_velocity
from frieren.nets.field import FieldConfig, VectorField, column_frames
from frieren.nets.rivals.diff_foley import DiffFoley
from frieren.nets.rivals.im2wav import CodeWriter
from frieren.paths import Predict, path, raise_if_unfit, resumes
from frieren.unfinished import Unfinished
from frieren.windows import weights, window_starts

HELD = 2**25  # bytes of conditions that are kept from step to step


def draw_noise(channels: int, columns: int, seed: int) -> Tensor:
    """Standard normal noise [C, L] from a CPU generator: the same for every device, and for every CPU to within 1.4e-6.

    Drawn column by column, so the first columns do not depend on how many follow.
    """
    generator, drawn = torch.Generator().manual_seed(seed), torch.empty(columns, channels)
    for column in range(columns):
        torch.randn(channels, generator=generator, out=drawn[column])
    return drawn.T.contiguous()


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
    field: VectorField | DiffFoley, times: Tensor, starts: list[int], size: int, clock: Clock, published: bool = False
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


def _laid_out(
    field: VectorField | DiffFoley,
    times: Tensor | Sequence[Tensor],
    columns: int | Sequence[int],
    clock: Clock,
    published: bool,
) -> tuple[list[int], int, Tensor, Tensor]:
    """The windows of sounds that lie one after another: starts, size, frames [N, size] and shares [N, size].

    Each sound has windows of its own, and none reaches into the next.

    Raises:
        ValueError: the sounds have windows of different sizes.
    """
    each = [times] if isinstance(times, Tensor) else times
    starts: list[int] = []
    sizes, frames, shares, column, frame = set(), [], [], 0, 0
    for some, length in zip(each, [columns] if isinstance(columns, int) else columns, strict=True):
        own, size = window_layout(length, clock, published)
        frames.append(window_frames(field, some, own, size, clock, published) + frame)
        shares.append(weights(own, size, length))
        starts += [start + column for start in own]
        sizes.add(size)
        column, frame = column + length, frame + len(some)
    if len(sizes) > 1:
        raise ValueError(f"sounds side by side need windows of one size, got {sorted(sizes)} columns")
    return starts, sizes.pop(), torch.cat(frames), torch.cat(shares)


class GuidedField:
    """Velocity of the whole latent [B, C, L] under guidance, evaluated a batch of windows at a time.

    Beyond the latent itself memory does not grow with its length: of conditions, which are made once as long as they
    fit, no more than `HELD` bytes are kept.
    """

    def __init__(
        self,
        field: VectorField | DiffFoley,
        features: Tensor,
        times: Tensor | Sequence[Tensor],
        columns: int | Sequence[int],
        clock: Clock,
        guidance: float,
        batch: int,
        published: bool = False,
        guidance_rescale: float = 0.0,
        unfinished: Unfinished | None = None,
    ) -> None:
        """Lay out the windows.

        Args:
            features, times: [B, F, D] and [F]; or, of several sounds that lie one after another, features in one piece
                [1, sum of F, D] and times [F] of each.
            columns: of the latent; of several sounds, of each.
            batch: windows at most that go through the network at once (it bounds memory).
            unfinished: keeps the velocities of each batch, and has those that need not be evaluated again; `begin`
                tells it for which step.
        """
        self.field, self.features, self.guidance, self.guidance_rescale = field, features, guidance, guidance_rescale
        self.batch, self.unfinished, self.step, self.stage = batch, unfinished, 0, 0
        self.starts, self.size, index, self.shares = _laid_out(field, times, columns, clock, published)
        self.index = index.to(features.device)
        self.conditions: dict[int, Tensor] = {}
        self.null = field.null_condition(self.condition(0)[:1])  # [1, size, W / 2]

    def begin(self, step: int) -> None:
        """Note that what is evaluated next belongs to this solver step."""
        self.step, self.stage = step, 0

    def __call__(self, x: Tensor, t: float, span: float = 0.0) -> Tensor:
        total, velocity = len(x) * len(self.starts), torch.empty(0)
        for first in range(0, total, self.batch):
            places = [divmod(place, len(self.starts)) for place in range(first, min(first + self.batch, total))]
            windows = torch.stack([x[item, :, start : start + self.size] for item, start in self._starts(places)])
            found = self._kept(first, windows, t, span)
            if not first:
                velocity = found.new_zeros(x.shape)
            for (item, window), part in zip(places, found, strict=True):
                start = self.starts[window]
                velocity[item, :, start : start + self.size] += self.shares[window].to(part) * part
        self.stage += 1
        return velocity

    def _starts(self, places: list[tuple[int, int]]) -> list[tuple[int, int]]:
        return [(item, self.starts[window]) for item, window in places]

    def _kept(self, first: int, windows: Tensor, t: float, span: float) -> Tensor:
        """The velocities of the batch that begins with window `first`, evaluated if they are not there yet."""
        if self.unfinished is None:
            return self.evaluate(windows, self.condition(first), t, span)
        name = f"velocity-{self.step}-{self.stage}-{first}"
        found = self.unfinished.get(name)
        if found is None:
            found = self.evaluate(windows, self.condition(first), t, span)
            self.unfinished.put(name, found)
        return found.to(windows.device)

    def condition(self, first: int) -> Tensor:
        """The conditions of the batch that begins with window `first`, counted through all items: [N, size, W / 2]."""
        if first in self.conditions:
            return self.conditions[first]
        count = len(self.features) * len(self.starts)
        places = [divmod(place, len(self.starts)) for place in range(first, min(first + self.batch, count))]
        # Each window by itself, as in training: a field may be given the mean over its window.
        shown = torch.stack([self.features[item].index_select(0, self.index[window]) for item, window in places])
        condition = self.field.condition(shown, torch.arange(self.size))
        if (len(self.conditions) + 1) * condition.nbytes <= HELD:
            self.conditions[first] = condition
        return condition

    def evaluate(self, x: Tensor, condition: Tensor, t: float, span: float = 0.0) -> Tensor:
        """One guided evaluation of windows x [N, C, size]: two network evaluations unless guidance is 1."""
        times, null = x.new_full((len(x),), t), self.null.expand_as(condition)
        field = partial(self.field, span=span) if span else self.field
        found = guided_velocity(field, x, times, condition, null, self.guidance, self.guidance_rescale)
        return self._aligned(self.field, found, x, condition, t) if isinstance(self.field, DiffFoley) else found

    @staticmethod
    def _aligned(network: DiffFoley, noise: Tensor, x: Tensor, condition: Tensor, t: float) -> Tensor:
        """The noise, steered by the gradient of the alignment classifier if the network's config says how much."""
        if not network.config.alignment:
            return noise

        def log_probability(moved: Tensor) -> Tensor:
            return F.logsigmoid(network.align(moved, moved.new_full((len(moved),), t), condition.clone()))

        return steer(noise, x, t, log_probability, network.config.alignment)


@torch.inference_mode()
def sample_latent(
    field: VectorField | CodeWriter | DiffFoley,
    features: Tensor,
    times: Tensor | Sequence[Tensor],
    noise: Tensor,
    clock: Clock,
    *,
    columns: Sequence[int] | None = None,
    steps: int,
    guidance: float,
    solver: str,
    guidance_rescale: float = 0.0,
    published: bool = False,
    batch: int = 8,
    unfinished: Unfinished | None = None,
    kept: Tensor | None = None,
) -> Iterator[tuple[float, Tensor]]:
    """Yields (t, x [B, C, L]) after every solver step; the last x is the latent.

    Args:
        features: [B, F, D] from the visual encoder.
        times: [F] seconds at which the frames are displayed.
        noise: [B, C, L], at least one window long: a shorter sound is solved over a whole window, the length of the
            field's training, and cut afterwards.
        columns: of several sounds that are solved together and lie one after another in `noise` (B = 1), the columns
            of each; `features` follow one another likewise, and `times` has a tensor for each. Windows of all go
            through the network in the same batches. Not with dopri5, whose steps would be those of all.
        guidance_rescale: smaller guidance whose standard deviation velocities get (`flow.guided_velocity`); 0: off.
        published: windows side by side; the noise must then be a whole number of windows long.
        batch: windows that go through the network at once.
        unfinished: keeps what is finished; a step that is there already is not made again. The steps of dopri5 and
            of diffusions, which depend on one another in more than x, all begin anew.
        kept: [B, C, L] what the latent has to be at the end; NaN where it is free. What is kept goes straight there
            from its noise, and the field sees it on the way, as it has learnt to see data.
    """
    if isinstance(field, CodeWriter):
        yield from _written(field, features, times, noise, clock, columns, solver, guidance, kept)
        return
    if not resumes(solver):
        unfinished = None
    done, x = _last_step(unfinished, steps, noise)
    columns = columns or [noise.shape[-1]]
    times = [times] if isinstance(times, Tensor) else times
    velocity = GuidedField(
        field, features, times, columns, clock, guidance, batch, published, guidance_rescale, unfinished
    )
    if done and done == steps:
        yield 1.0, x
        return
    velocity.begin(done)
    predict, predicts = velocity if kept is None else _held(velocity, kept, noise), field.config.predicts
    for step, (t, after) in enumerate(path(predicts, predict, x, steps, solver, first=done), done + 1):
        if unfinished is not None:
            unfinished.put(f"latent-{step}", after)
            unfinished.drop("velocity-*")
            unfinished.drop(f"latent-{step - 1}")
        velocity.begin(step)
        yield t, after


def _written(
    network: CodeWriter,
    features: Tensor,
    times: Tensor | Sequence[Tensor],
    noise: Tensor,
    clock: Clock,
    columns: Sequence[int] | None,
    solver: str,
    guidance: float,
    kept: Tensor | None,
) -> Iterator[tuple[float, Tensor]]:
    """The path of codes, of one sound after the other; arguments are those of `sample_latent`."""
    raise_if_unfit(solver, network.config.predicts)
    if kept is not None:
        raise ConfigError("redo: a model that writes codes does not hold what is kept; generate it anew")
    each, widths = [times] if isinstance(times, Tensor) else times, columns or [noise.shape[-1]]
    before: list[Tensor] = []
    parts = zip(features.split([len(some) for some in each], 1), each, noise.split(list(widths), -1), strict=True)
    for index, (shown, when, part) in enumerate(parts):
        for share, latent in sample_codes(network, shown, when, part, clock, guidance):
            yield (index + share) / len(widths), torch.cat([*before, latent], dim=-1)
        before.append(latent)


def _held(velocity: GuidedField, kept: Tensor, noise: Tensor) -> Predict:
    """A velocity that leads to `kept` wherever that is a number: the straight path's, which every solver keeps to."""
    if velocity.field.config.predicts == "noise":
        raise ConfigError("redo: a model that predicts noise does not hold what is kept; generate it anew")
    free, straight = kept.isnan(), kept - noise
    return lambda x, t, span=0.0: torch.where(free, velocity(x, t, span), straight)


def _last_step(unfinished: Unfinished | None, steps: int, noise: Tensor) -> tuple[int, Tensor]:
    """The last step that is finished, and its x; 0 and the noise if there is none."""
    if unfinished is not None:
        for done in range(steps, 0, -1):
            if (x := unfinished.get(f"latent-{done}")) is not None:
                return done, x.to(noise.device)
    return 0, noise

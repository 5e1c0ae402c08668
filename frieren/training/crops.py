"""Windows for the vector field, cut from a data set: a random part of one clip, or of two that are joined in time.

windows = TrainingWindows(Shards("data/vggsound", "train"), field.config, clock, seed=0, join=0.5)
windows.batch(index, 32, ("mel",))
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from frieren.clock import Clock
from frieren.dataset.order import Order, OrderedReader
from frieren.dataset.shards import Shards
from frieren.errors import FrierenError
from frieren.nets.field import FieldConfig, column_frames
from frieren.training import machines

SHORTEST = 2.0  # seconds of each of two joined clips, as published


class TooShortError(FrierenError):
    """No clip of a data set is as long as what is cut from it."""


def long_enough(folder: Path, lengths: Sequence[int], needed: int, unit: str, remedy: str) -> list[int]:
    """Indices of the clips of a data set that are long enough; a warning says how many are not.

    Args:
        folder: of the data set.
        lengths: of its clips.
        needed: length of what is cut.
        unit: of both.
        remedy: what to do if no clip is long enough.

    Raises:
        TooShortError: none is.
    """
    kept = [clip for clip, length in enumerate(lengths) if length >= needed]
    if not kept:
        longest = max(lengths, default=0)
        raise TooShortError(f"{folder}: no clip has {needed} {unit}, the longest has {longest}; {remedy}")
    if len(kept) < len(lengths):
        left_out = f"{len(lengths) - len(kept)} of {len(lengths)} clips are left out"
        warnings.warn(f"{folder}: {left_out}: they have less than {needed} {unit}", stacklevel=3)
    return kept


@dataclass(frozen=True)
class ClipPart:
    """Part of a clip, in latent columns."""

    item: int
    start: int
    columns: int


class TrainingWindows:
    """Windows of the field: features for each of their latent columns, and the fields that belong to them.

    Attributes:
        items: those of the data set that are at least a window long.
        columns: latent columns of each item of the data set.
    """

    def __init__(self, data: Shards, field: FieldConfig, clock: Clock, *, seed: int = 0, join: float = 0.0) -> None:
        """
        Args:
            data: with `features`, and `mel`, or `mean` and `log_variance`, or, for pairs, `latent`.
            seed: of the order.
            join: probability that a window is made of two clips (published 0.5; section 5).

        Raises:
            TooShortError: there is no item of a window's length.
        """
        self.data, self.field, self.clock, self.join = data, field, clock, join
        self.stride = {name: clock.stride if name == "mel" else 1 for name in data.fields}  # rows per latent column
        longest = next(name for name in ("latent", "mean", "mel") if name in data.fields)
        self.columns = (data.lengths(longest) // self.stride[longest]).tolist()
        remedy = "use longer clips, or a model with a shorter clock.window"
        self.items = long_enough(data.folder, self.columns, clock.window, "latent columns", remedy)
        self.frames = data.lengths("features").tolist()
        whole = iter(self.columns)
        sizes = [sum(next(whole) >= clock.window for _ in range(size)) for size in data.sizes]
        self.order = Order(sizes, seed)
        self.reader = OrderedReader(self.order)

    def batch(self, index: int, count: int, fields: tuple[str, ...]) -> tuple[list[str], dict[str, Tensor]]:
        """Micro-batch `index` of this process.

        Args:
            count: windows in it.
            fields: that are read beside the features.

        Returns:
            Names of the clips, and features [B, L, D], one row for each latent column, and fields [B, C, L]
            ([B, M, L * stride]).
        """
        positions = self.order.positions(index, count * machines.size(), machines.rank(), machines.size())
        drawn = [self.reader(position, lambda clip: self.with_name(self.draw(clip), fields)) for position in positions]
        names, rows = zip(*drawn, strict=True)
        return list(names), {name: torch.stack([row[name] for row in rows]) for name in rows[0]}

    def with_name(self, pieces: list[ClipPart], fields: tuple[str, ...]) -> tuple[str, dict[str, Tensor]]:
        """The names of a window's clips, and the window."""
        return " + ".join(self.data.ids[piece.item] for piece in pieces), self.window(pieces, fields)

    def draw(self, index: int) -> list[ClipPart]:
        """A random window of clip `index` of `items`, joined with another clip now and then."""
        item, window = self.items[index], self.clock.window
        shortest = math.ceil(SHORTEST * self.clock.latent_rate)
        if torch.rand(()) >= self.join or len(self.items) < 2 or window < 2 * shortest:
            return [ClipPart(item, self.chance(self.columns[item] - window + 1), window)]
        other = self.items[(index + 1 + self.chance(len(self.items) - 1)) % len(self.items)]
        first = shortest + self.chance(window - 2 * shortest + 1)
        # As published, both parts come from the first window of their clips.
        parts = ((item, first), (other, window - first))
        return [ClipPart(clip, self.chance(window - columns + 1), columns) for clip, columns in parts]

    def fixed(self, index: int) -> ClipPart:
        """A window of clip `index` of `items` that is always the same one, at another place in each clip."""
        item = self.items[index]
        return ClipPart(item, 7 * index % (self.columns[item] - self.clock.window + 1), self.clock.window)

    @staticmethod
    def chance(count: int) -> int:
        """0 .. count - 1, from torch's generator."""
        return int(torch.randint(count, ()))

    def window(self, pieces: list[ClipPart], fields: tuple[str, ...]) -> dict[str, Tensor]:
        """Features [L, D] and the fields [C, L] ([M, L * stride]) of the pieces, one behind the other."""
        rows = {name: torch.cat([self.part(piece, name) for piece in pieces]).T.float() for name in fields}
        return {"features": self.features(pieces), **rows}

    def part(self, piece: ClipPart, name: str) -> Tensor:
        """Rows of a field under a piece."""
        stride = self.stride[name]
        return self.data.read(piece.item, name, piece.start * stride, piece.columns * stride)

    def features(self, pieces: list[ClipPart]) -> Tensor:
        """The feature [L, D] of every latent column: the displayed one, or, as published, by count."""
        if self.field.regulator == "time":
            return torch.cat([self.rows(piece.item, self.displayed(piece)) for piece in pieces])
        left, rows = self.clock.window // self.field.repeat, []
        for piece in pieces:
            first, shown = (int(x / self.clock.latent_rate * self.clock.fps) for x in (piece.start, piece.columns))
            count = left if piece is pieces[-1] else shown
            rows.append(self.rows(piece.item, first + torch.arange(count)))
            left -= count
        return torch.cat(rows).repeat_interleave(self.field.repeat, dim=0)

    def displayed(self, piece: ClipPart) -> Tensor:
        """Index of the frame that is displayed at every latent column of a piece."""
        times = torch.tensor(self.clock.frame_times(self.frames[piece.item]), dtype=torch.float64)
        columns = torch.tensor(self.clock.column_times(piece.start + piece.columns)[piece.start :], dtype=torch.float64)
        return column_frames(times, columns)

    def rows(self, item: int, index: Tensor) -> Tensor:
        """Features [len(index), D] of a clip, whose last one stays."""
        index = index.clamp(max=self.frames[item] - 1)
        first, last = int(index[0]), int(index[-1])
        return self.data.read(item, "features", first, last - first + 1).float()[index - first]

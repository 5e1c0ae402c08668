"""A timing score of many clips: a ratio of two sums over clips, with its ceiling and what chance gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from frieren.evaluation.intervals import Interval, ratio
from frieren.evaluation.timing.protocol import UPPER


class ClipTerms(NamedTuple):
    """One clip's terms in a score that is a ratio of two sums over clips.

    Attributes:
        values: [1 + shifts] the numerator as it is, then for every shift.
        weight: the denominator, which no shift changes; 0 leaves the clip out.
    """

    values: np.ndarray
    weight: float


NO_CEILING = ClipTerms(np.full(1, np.nan), np.nan)  # of a clip without a reference sound


@dataclass(frozen=True)
class PooledScore:
    """One score over C clips: sum of `values` over sum of `weights`.

    Attributes:
        values: [C, 1 + shifts] numerators, as they are and for every shift.
        weights: [C] denominators.
        ceiling_values, ceiling_weights: [C] the same of the reference sound; NaN for a clip without one.
    """

    values: np.ndarray = field(repr=False)
    weights: np.ndarray = field(repr=False)
    ceiling_values: np.ndarray = field(repr=False)
    ceiling_weights: np.ndarray = field(repr=False)

    @classmethod
    def of(cls, clips: Sequence[ClipTerms], ceilings: Sequence[ClipTerms]) -> PooledScore:
        """Pool the terms of C clips, and those of their reference sounds."""
        return cls(
            np.array([one.values for one in clips]),
            np.array([one.weight for one in clips]),
            np.array([one.values[0] for one in ceilings]),
            np.array([one.weight for one in ceilings]),
        )

    @property
    def value(self) -> float:
        """The score; NaN if no clip counts."""
        return float(_over(self.values[:, 0].sum(), self.weights.sum()))

    @property
    def ceiling(self) -> float:
        """The score of the reference sound; NaN if a clip has none, or none counts."""
        return float(_over(self.ceiling_values.sum(), self.ceiling_weights.sum()))

    @property
    def chance(self) -> np.ndarray:
        """[shifts] the score when every clip is shifted at random."""
        return _over(self.values[:, 1:].sum(axis=0), self.weights.sum())

    @property
    def chance_mean(self) -> float:
        """Mean of chance: the score of a sound with the same rhythm at a random time."""
        return float(self.chance.mean()) if self.chance.size else np.nan

    @property
    def chance_upper(self) -> float:
        """The 95th percentile of chance: a score below it may be luck."""
        return float(np.quantile(self.chance, UPPER)) if self.chance.size else np.nan

    @property
    def left_out(self) -> int:
        """Clips for which the score is not defined."""
        return int((self.weights == 0).sum())

    def interval(self, videos: Sequence[str]) -> Interval | None:
        """Percentile bootstrap over videos, [C] of which name the video of each clip; None if fewer than two count."""
        keep = self.weights > 0
        if not keep.any():
            return None
        return ratio(self.values[keep, 0], self.weights[keep], np.asarray(videos)[keep])

    def subset(self, clips: Sequence[int]) -> PooledScore:
        """Return the same score of some of the clips."""
        chosen = list(clips)
        return PooledScore(
            self.values[chosen], self.weights[chosen], self.ceiling_values[chosen], self.ceiling_weights[chosen]
        )


def _over(numerator: Any, denominator: Any) -> np.ndarray:
    """`numerator` / `denominator`, NaN where the latter is 0."""
    shape = np.broadcast(numerator, denominator).shape
    return np.divide(numerator, denominator, out=np.full(shape, np.nan), where=np.asarray(denominator) != 0)

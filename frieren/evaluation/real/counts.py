"""Times against the events of clips: how many are matched, one to one, and F1 pooled over any clips."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from frieren.evaluation.real.clips import RealClip
from frieren.evaluation.timing.protocol import WINDOWS
from frieren.evaluation.timing.ranking import hits_by_rank


@dataclass(frozen=True)
class MatchCounts:
    """Counts of one clip, or summed over clips, for each of some tries; those of several clips are added try by try.

    Attributes:
        hits: [W, tries] pairs within each of WINDOWS.
        found: [tries] times that count.
        events: how many there are to be found.
    """

    hits: np.ndarray
    found: np.ndarray
    events: int

    def __add__(self, other: MatchCounts) -> MatchCounts:
        """Counts of both."""
        return MatchCounts(self.hits + other.hits, self.found + other.found, self.events + other.events)

    @property
    def f1(self) -> np.ndarray:
        """[W, tries] F1; NaN where there is nothing to find and nothing found."""
        total = self.found + self.events
        return np.divide(2 * self.hits, total, out=np.full(self.hits.shape, np.nan), where=total > 0)


def count(clip: RealClip, tries: Iterable[Sequence[float] | np.ndarray]) -> MatchCounts:
    """Match lists of times in seconds, each a try, with the events of a clip; what lies outside it does not count."""
    lists = [np.sort(usable(clip, np.asarray(times, dtype=np.float64))) for times in tries]
    padded = np.full((len(lists), max(map(len, lists), default=0)), np.inf)  # infinity matches nothing
    for row, times in zip(padded, lists, strict=True):
        row[: len(times)] = times
    events = np.array(clip.events)
    hits = np.array([hits_by_rank(events, padded, window).max(axis=-1, initial=0) for window in WINDOWS])
    return MatchCounts(hits, np.array([len(times) for times in lists]), len(events))


def usable(clip: RealClip, times: np.ndarray) -> np.ndarray:
    """Those of `times` [K] that lie within the clip and outside the stretches that do not count."""
    keep = (times >= 0) & (times <= clip.seconds)
    for start, end in clip.ignore:
        keep &= (times < start) | (times > end)
    return times[keep]


def pooled(counts: Sequence[MatchCounts]) -> MatchCounts:
    """Sum over clips, at least one."""
    first, *others = counts
    return sum(others, first)

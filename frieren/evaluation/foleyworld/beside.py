"""A score of generated sounds beside that of the true sounds of the same clips; and clips by what they are."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from frieren.evaluation.intervals import Interval, bootstrap, quotient
from frieren.world import Clip

ALL = "all"


class Beside(NamedTuple):
    """A score twice, and how the two compare.

    Attributes:
        made, true: the score of the generated and of the true sounds.
        value: made / true of `ratio`, made - true of `difference`; NaN where it is not defined.
        interval: of the value, from clips that are drawn again; None of fewer than two clips, or where a draw of them
            does not define it.
        clips: how many.
    """

    made: float
    true: float
    value: float
    interval: Interval | None
    clips: int


def ratio(tops: np.ndarray, bottoms: np.ndarray, true_tops: np.ndarray, true_bottoms: np.ndarray) -> Beside:
    """Of scores that are sums of tops [C] over sums of bottoms [C], over C clips: an F1, or a share of all."""
    from scipy.stats import DegenerateDataWarning

    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)  # of draws without a true hit: there is no interval then
        made, true = (np.sum(top) / np.sum(bottom) for top, bottom in ((tops, bottoms), (true_tops, true_bottoms)))
        value = made / true
        interval = quotient((tops, true_bottoms), (bottoms, true_tops), range(len(tops)))
    known = interval if interval is not None and np.isfinite(interval[:2]).all() else None
    return Beside(float(made), float(true), float(value), known, len(tops))


def difference(made: Sequence[float], true: Sequence[float]) -> Beside:
    """Of scores that are means of the same C clips, [C] each."""
    apart = np.subtract(made, true)
    if not len(apart):
        return Beside(np.nan, np.nan, np.nan, None, 0)
    means = (float(np.mean(one)) for one in (made, true, apart))
    return Beside(*means, bootstrap(apart, range(len(apart))), len(apart))


def groups(clips: Sequence[Clip]) -> dict[str, dict[str, list[int]]]:
    """Places of the clips: all of them, by main kind, by level, and by whether a pair occurs that only `test` has."""
    places = range(len(clips))
    kinds, levels = sorted({clip.kinds[0] for clip in clips}), sorted({clip.level for clip in clips})
    named = {
        ALL: {ALL: list(places)},
        "kind": {kind: [k for k in places if clips[k].kinds[0] == kind] for kind in kinds},
        "level": {f"level {level}": [k for k in places if clips[k].level == level] for level in levels},
        "pair": {
            "seen pairs": [k for k in places if not clips[k].unseen],
            "an unseen pair": [k for k in places if clips[k].unseen],
        },
    }
    return {by: {name: there for name, there in some.items() if there} for by, some in named.items()}

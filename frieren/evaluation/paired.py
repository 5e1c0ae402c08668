"""A score of generated sounds with that of the reference sounds of the same clips; and clips in groups."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from frieren.evaluation.intervals import Interval, bootstrap, quotient
from frieren.world import Clip

ALL = "all"
# Clips from which on there is an interval. The bootstrap of a ratio covers 0.92 of simulated truths with 60 clips of
# which a twelfth is silent, and 0.78 with 12.
FEWEST = 60


class PairedScore(NamedTuple):
    """The score of generated and of reference sounds, and how the two compare.

    Attributes:
        generated, reference: the two scores.
        value: generated / reference of `paired_ratio`, generated - reference of `paired_difference`; NaN where it is
            not defined.
        interval: bootstrap interval of the value over clips; None of fewer than FEWEST clips, or where it is not
            defined for some draw of them.
        clips: how many.
    """

    generated: float
    reference: float
    value: float
    interval: Interval | None
    clips: int

    def plain(self) -> dict[str, Any]:
        """Return the fields, ready for JSON: None is not defined."""
        numbers = {name: getattr(self, name) for name in ("generated", "reference", "value")}
        finite = {name: float(number) if np.isfinite(number) else None for name, number in numbers.items()}
        return finite | {"interval": list(self.interval[:2]) if self.interval else None, "clips": self.clips}


class Capped(NamedTuple):
    """Ratios of groups to their reference sounds, so that what one gains does not make up for what another lacks.

    Attributes:
        mean: of the ratios, each of them 1 at most.
        worst, value: the group with the lowest ratio, and its ratio.
        groups: how many; those without a finite ratio are left out.
    """

    mean: float
    worst: str
    value: float
    groups: int


def capped(scores: Mapping[str, PairedScore]) -> Capped | None:
    """Return mean and worst of the groups' ratios; None if no group has one."""
    ratios = {name: one.value for name, one in scores.items() if name != ALL and np.isfinite(one.value)}
    if not ratios:
        return None
    worst = min(ratios, key=lambda name: ratios[name])
    return Capped(float(np.mean([min(1.0, one) for one in ratios.values()])), worst, ratios[worst], len(ratios))


def paired_ratio(
    numerators: np.ndarray,
    denominators: np.ndarray,
    reference_numerators: np.ndarray,
    reference_denominators: np.ndarray,
) -> PairedScore:
    """Pair scores that are sums of numerators over sums of denominators, [C] each, of C clips: an F1, or a share."""
    from scipy.stats import DegenerateDataWarning

    interval, clips = None, len(numerators)
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)  # of draws without a hit: there is no interval then
        generated = np.sum(numerators) / np.sum(denominators)
        reference = np.sum(reference_numerators) / np.sum(reference_denominators)
        value = generated / reference
        if clips >= FEWEST:
            interval = quotient(
                (numerators, reference_denominators), (denominators, reference_numerators), range(clips)
            )
    known = interval if interval is not None and np.isfinite(interval[:2]).all() else None
    return PairedScore(float(generated), float(reference), float(value), known, clips)


def paired_difference(generated: Sequence[float], reference: Sequence[float]) -> PairedScore:
    """Pair scores that are means over the same C clips, [C] each."""
    differences = np.subtract(generated, reference)
    clips = len(differences)
    if not clips:
        return PairedScore(np.nan, np.nan, np.nan, None, 0)
    ours, theirs, difference = (float(np.mean(one)) for one in (generated, reference, differences))
    interval = bootstrap(differences, range(clips)) if clips >= FEWEST else None
    return PairedScore(ours, theirs, difference, interval, clips)


def groups(clips: Sequence[Clip]) -> dict[str, dict[str, list[int]]]:
    """Return indices of the clips: all, by main kind, by level, and by whether a pair occurs that only `test` has."""
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
    return {by: {name: members for name, members in some.items() if members} for by, some in named.items()}

"""The difference between a score of two systems' sounds for the same videos, with its 95 % interval.

Videos are drawn again, or left out in groups, for both systems at once: what makes a video easy or hard for both
cancels out, so that a difference is known far better than either score.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from frieren.errors import FrierenError
from frieren.evaluation.intervals import DRAWS, Interval, jackknife, percentile, ratio
from frieren.evaluation.scores import Score


class DifferenceError(FrierenError):
    """Two scores cannot be compared: of different names, videos or groups, or not measured."""


class ScoreDifference(NamedTuple):
    """The first score minus the second; the interval is None where there are too few videos."""

    value: float
    interval: Interval | None


def difference(first: Score, second: Score, *, draws: int = DRAWS, seed: int = 0) -> ScoreDifference:
    """Compare two scores of sounds for the same videos.

    A ratio of sums over videos gets a percentile bootstrap in which videos are drawn for both at once; a score of whole
    sets a delete-group jackknife of the difference, with the same groups of videos for both.

    Raises:
        DifferenceError: the scores are not of one kind and of the same videos.
    """
    from scipy.stats import DegenerateDataWarning

    if first.name != second.name:
        raise DifferenceError(f"{first.name} and {second.name} cannot be compared; measure both with one preset")
    if first.value is None or second.value is None:
        raise DifferenceError(f"{first.name}: not measured of both; see the notes of their reports")
    value = first.value - second.value
    if first.terms or second.terms:
        ours, theirs = ({video: terms for video, *terms in one.terms} for one in (first, second))
        # A score may be undefined for a video of one of them alone: it then counts for the other.
        videos = sorted(ours.keys() | theirs.keys())
        if len(videos) < 2:
            return ScoreDifference(value, None)
        columns = np.array([[*ours.get(video, (0.0, 0.0)), *theirs.get(video, (0.0, 0.0))] for video in videos]).T

        def apart(*drawn: np.ndarray, axis: int = -1) -> np.ndarray:
            a, b, c, d = (one.sum(axis=axis) for one in drawn)
            return np.asarray(a / b - c / d)

        with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", DegenerateDataWarning)  # of draws without a term: there is no interval then
            interval = percentile(tuple(columns), apart, draws, seed, paired=True, vectorized=True)
        return ScoreDifference(value, interval if np.isfinite(interval[:2]).all() else None)
    if len(first.without) != len(second.without):
        raise DifferenceError(f"{first.name}: of other videos; measure both on the same ones")
    return ScoreDifference(value, jackknife(value, np.subtract(first.without, second.without)))


def pooled(scores: Sequence[Score]) -> Score:
    """Return one score of several systems that are alike but for their training's seed.

    Videos stay the unit of its interval, with the sounds of all systems for a video as its samples; a score of whole
    sets is the mean of theirs.

    Raises:
        DifferenceError: the scores have different names or groups; there is none.
    """
    if len({one.name for one in scores}) != 1 or len({len(one.without) for one in scores}) != 1:
        raise DifferenceError("scores of one name and of the same videos are pooled; measure all of them alike")
    if len(scores) == 1:
        return scores[0]
    values = [one.value for one in scores if one.value is not None]
    if len(values) < len(scores):
        return replace(scores[0], value=None, interval=None, terms=(), without=())
    count = sum(one.count for one in scores)
    if scores[0].terms:
        sums, weights = defaultdict[str, float](float), defaultdict[str, float](float)
        for one in scores:
            for video, numerator, denominator in one.terms:
                sums[video] += numerator
                weights[video] += denominator
        videos = sorted(weights)
        numerators, denominators = (np.array([of[video] for video in videos], float) for of in (sums, weights))
        interval = ratio(numerators, denominators, videos)
        terms = tuple(zip(videos, numerators.tolist(), denominators.tolist(), strict=True))
        value = float(numerators.sum() / denominators.sum())
        return replace(scores[0], value=value, interval=interval, terms=terms, count=count)
    value, without = float(np.mean(values)), np.mean([one.without for one in scores], axis=0)
    interval = jackknife(value, without)
    return replace(scores[0], value=value, interval=interval, without=tuple(without.tolist()), count=count)


def over_seeds(values: Sequence[float]) -> Interval | None:
    """Return the t-interval of the mean over trainings that differ in their seed alone; None of fewer than three."""
    from scipy.stats import t

    if len(values) < 3:
        return None
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))
    reach = float(t.ppf(0.975, len(values) - 1)) * error
    return Interval(mean - reach, mean + reach, f"t, {len(values)} trainings")


def seeds_apart(first: Sequence[float], second: Sequence[float]) -> Interval | None:
    """Return Welch's t-interval of the difference of means over trainings; None if either has fewer than two.

    A side with one training alone has no spread of its own to tell.
    """
    from scipy.stats import ttest_ind

    if min(len(first), len(second)) < 2:
        return None
    low, high = ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    return Interval(float(low), float(high), f"Welch, {len(first)} and {len(second)} trainings")

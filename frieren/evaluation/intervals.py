"""95 % intervals: percentile bootstrap, delete-group jackknife, Wilson; all of them with whole videos as the unit.
And Clopper-Pearson of a share of few clips, each of which counts once.

The samples of one video resemble each other, so that counting each as an independent item would make an interval look
three times as sure with ten samples a video.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

LEVEL = 0.95
DRAWS = 10_000  # of a bootstrap
GROUPS = 20  # of a jackknife

Clusters = Sequence[Any] | np.ndarray  # [N] the cluster of each value


class Interval(NamedTuple):
    """A 95 % interval, and the method by which it was found."""

    low: float
    high: float
    method: str


def by_cluster(values: np.ndarray, clusters: Clusters) -> tuple[np.ndarray, np.ndarray]:
    """Return sum and number of the values [N] of each cluster, [C] and [C]."""
    _, place = np.unique(np.asarray(clusters), return_inverse=True)
    return np.bincount(place, weights=values), np.bincount(place)


def bootstrap(values: np.ndarray, clusters: Clusters, *, draws: int = DRAWS, seed: int = 0) -> Interval | None:
    """Percentile interval of the mean of values [N]; clusters [N] are drawn again, with all of their values.

    Returns:
        None where there is only one cluster.
    """
    return ratio(values, np.ones(len(values)), clusters, draws=draws, seed=seed)


def ratio(
    numerators: np.ndarray, denominators: np.ndarray, clusters: Clusters, *, draws: int = DRAWS, seed: int = 0
) -> Interval | None:
    """Percentile interval of the sum of numerators over that of denominators (positive), [N]; clusters are drawn again.

    Returns:
        None where there is only one cluster.
    """
    return quotient([numerators], [denominators], clusters, draws=draws, seed=seed)


def quotient(
    numerators: Sequence[np.ndarray],
    denominators: Sequence[np.ndarray],
    clusters: Clusters,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval | None:
    """Percentile interval of the product of the numerators' sums over that of the denominators', [N] each.

    A score over that of the same clips' reference sounds, both of them ratios of sums, has two of either. Clusters [N]
    are drawn again, with all of their values.

    Returns:
        None where there is only one cluster.
    """
    sums = [by_cluster(np.asarray(one, np.float64), clusters)[0] for one in (*numerators, *denominators)]
    if len(sums[0]) < 2:
        return None

    def share(*drawn: np.ndarray, axis: int = -1) -> np.ndarray:
        totals = [one.sum(axis=axis) for one in drawn]
        count = len(numerators)
        return np.asarray(math.prod(totals[:count]) / math.prod(totals[count:]))

    return percentile(tuple(sums), share, draws, seed, paired=True, vectorized=True)


def median(values: np.ndarray, clusters: Clusters, *, draws: int = DRAWS, seed: int = 0) -> Interval | None:
    """Percentile interval of the median of values [N]; clusters [N] are drawn again, with all of their values.

    Returns:
        None where there is only one cluster, or none.
    """
    names, place = np.unique(np.asarray(clusters), return_inverse=True)
    if len(names) < 2:
        return None
    groups = [values[place == index] for index in range(len(names))]

    def middle(drawn: np.ndarray) -> float:
        return float(np.median(np.concatenate([groups[index] for index in drawn])))

    return percentile((np.arange(len(names)),), middle, draws, seed, vectorized=False)


def percentile(
    data: tuple[np.ndarray, ...], statistic: Callable[..., Any], draws: int, seed: int, **options: bool
) -> Interval:
    """SciPy's percentile bootstrap of a statistic of clusters, data [C] each."""
    from scipy.stats import bootstrap

    found = bootstrap(
        data,
        statistic,
        method="percentile",
        confidence_level=LEVEL,
        n_resamples=draws,
        batch=max(1, 4_000_000 // len(data[0])),  # bounds the memory
        random_state=np.random.default_rng(seed),
        **options,
    )
    return Interval(float(found.confidence_interval.low), float(found.confidence_interval.high), "bootstrap")


def deal(clusters: Clusters, groups: int = GROUPS, seed: int = 0) -> tuple[dict[Any, int], int]:
    """Deal the clusters to groups at random, like cards; return the group of each, and how many groups there are.

    The deal goes by the sorted names, so that the order of the files changes nothing.
    """
    names = sorted(set(clusters))
    groups = min(groups, len(names))
    order = np.random.default_rng(seed).permutation(len(names))
    return {names[index]: place % groups for place, index in enumerate(order)}, groups


def jackknife(estimate: float, without: np.ndarray) -> Interval | None:
    """Delete-group jackknife: t-interval about the estimate, from the estimates `without` each of G groups, [G].

    The deviations are taken from their own mean: a bias that depends on the number of files (FD, IS) is the same in
    all of them and is no spread. It is not taken out of the estimate either, which stays what others publish.

    Returns:
        None for fewer than three groups.
    """
    from scipy.stats import t

    groups = len(without)
    if groups < 3:
        return None
    error = np.sqrt((groups - 1) / groups * ((without - np.mean(without)) ** 2).sum())
    reach = float(t.ppf((1 + LEVEL) / 2, groups - 1) * error)
    return Interval(estimate - reach, estimate + reach, f"jackknife, {groups} groups")


def wilson(hits: np.ndarray, clusters: Clusters) -> Interval | None:
    """Wilson's interval of a share, for hits [N] (0 or 1) in clusters.

    The number of hits that counts is what independent ones would need for the same variance between clusters, at most
    N; where there is no variance at all (all hits, or none), the number of clusters. SciPy's `binomtest` takes whole
    numbers alone, which these are not.

    Returns:
        None where there is only one cluster.
    """
    from scipy.stats import norm

    sums, counts = by_cluster(np.asarray(hits, np.float64), clusters)
    number, total = len(sums), counts.sum()
    if number < 2:
        return None
    share = sums.sum() / total
    spread = ((sums - share * counts) ** 2).sum() * number / (number - 1) / total**2  # of the ratio of two sums
    n = min(share * (1 - share) / spread, total) if spread > 0 else number
    z = norm.ppf((1 + LEVEL) / 2)
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return Interval(max(0.0, float(centre - reach)), min(1.0, float(centre + reach)), "Wilson")


def clopper_pearson(share: float, number: int) -> Interval | None:
    """SciPy's exact interval of a share of a number of independent clips: at least 95 %, however few there are.

    Returns:
        None without clips.
    """
    from scipy.stats import binomtest

    if not number:
        return None
    low, high = binomtest(round(share * number), number).proportion_ci(LEVEL, method="exact")
    return Interval(float(low), float(high), "Clopper-Pearson")

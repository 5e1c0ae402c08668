"""Onsets from the strongest down: precision and recall at every threshold of the detector, and their average.

For each threshold the onsets above it are matched anew, one to one and as many as possible, so that every point of the
curve is what `onsets.match` would count there.
"""

from __future__ import annotations

import numpy as np

from frieren.evaluation.timing.onset_detector import ROUNDING, Onsets


def ranked(onsets: Onsets) -> np.ndarray:
    """Return times [K] in seconds, the strongest onset first; of equally strong ones the earlier."""
    return onsets.times[np.argsort(-onsets.strengths, kind="stable")]


def hits_by_rank(reference: np.ndarray, found: np.ndarray, window: float) -> np.ndarray:
    """Count the most one-to-one pairs within `window` seconds, for the k + 1 strongest found onsets and every k.

    Both lists are walked in order of time: of the two current onsets a pair within the window is taken, otherwise the
    earlier one has no partner left. As all windows are equally wide no other matching has more pairs. All thresholds of
    all lists walk in step.

    Args:
        reference: [N] seconds, increasing.
        found: [..., K] seconds, column k the k-th strongest.
        window: seconds.

    Returns:
        [..., K] integers, not decreasing along k.
    """
    found = np.asarray(found, dtype=np.float64)
    count = found.shape[-1]
    if not len(reference) or not count:
        return np.zeros(found.shape, dtype=np.int64)
    lists = found.reshape(-1, count)
    rank = np.argsort(lists, axis=1)  # of the j-th onset in time
    later = np.take_along_axis(lists, rank, axis=1)
    reach = window + ROUNDING
    row, threshold = np.indices(lists.shape)
    i, j, hits = (np.zeros(lists.shape, dtype=np.int64) for _ in range(3))
    while (walking := (i < len(reference)) & (j < count)).any():
        at = np.minimum(j, count - 1)
        gap = later[row, at] - np.asarray(reference)[np.minimum(i, len(reference) - 1)]
        weaker = rank[row, at] > threshold
        hit = walking & ~weaker & (np.abs(gap) <= reach)
        hits += hit
        i += hit | (walking & ~weaker & (gap > reach))
        j += hit | (walking & (weaker | (gap < -reach)))
    return hits.reshape(found.shape)


def average_precision(hits: np.ndarray, onsets: int) -> np.ndarray:
    """Average the precision over the steps of recall, [...] in 0..1: sum of (R_k - R_(k-1)) P_k, not interpolated.

    Reference onsets that are never found add nothing, so that it is at most the recall. `hits` [..., K] as
    `hits_by_rank` gives it, of `onsets` reference onsets, at least one.
    """
    gained = np.diff(hits, axis=-1, prepend=0)
    return (gained * hits / np.arange(1, hits.shape[-1] + 1)).sum(axis=-1) / onsets

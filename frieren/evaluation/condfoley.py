"""Onset accuracy and average precision exactly as CondFoleyGen computes them, for comparison with published numbers.

Du et al., "Conditional Generation of Audio from Video via Foley Analogies", CVPR 2023; `predict_onset.py` of
XYPB/CondFoleyGen, commit c565db7. Its sounds are 2 s at 22,050 Hz, its onsets those of librosa with delta 0.3. What is
odd in it is kept: the numbers of `timing.scores` are the ones to trust.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

SAMPLE_RATE = 22_050
REACH = int(0.05 * SAMPLE_RATE)  # samples on either side of an onset whose peak is its confidence
APART = 0.05 * SAMPLE_RATE  # samples: of two onsets that are closer, the less confident one goes


class CondFoleyScore(NamedTuple):
    """Of one clip.

    Attributes:
        accuracy: matched reference onsets over all, 0..1; 0 where there are none.
        average_precision: 0..1.
        kept: [K] samples: the generated onsets that are left after suppression.
        hits: [K] bool: which of them are matched.
        same_count: as many generated onsets, before suppression, as reference onsets.
    """

    accuracy: float
    average_precision: float
    kept: np.ndarray
    hits: np.ndarray
    same_count: bool


def score(
    reference: Sequence[int], generated: Sequence[int], wave: np.ndarray, *, window: float = 0.1
) -> CondFoleyScore:
    """Score the onsets of one clip.

    Args:
        reference: onsets of the true sound in samples at SAMPLE_RATE, increasing.
        generated: those of the generated sound.
        wave: [S] the generated sound.
        window: seconds within which, and not at which, a generated onset may match.

    Raises:
        ValueError: if a generated onset is less than REACH samples from the start, which the published code does not
            survive.
    """
    size = np.abs(wave)
    size = (size - size.min()) / (np.ptp(size) or 1.0)
    confidence = {int(onset): _confidence(size, int(onset)) for onset in generated}
    kept = _suppress(list(confidence), list(confidence.values()))
    unused, matched = list(kept), set()
    pairs: list[tuple[bool, float]] = []  # (is a reference onset, confidence)
    for onset in reference:
        near = [other for other in unused if abs(other - onset) < window * SAMPLE_RATE]
        if not near:
            pairs.append((True, 0.0))
            continue
        best = max(near, key=lambda other: (size[other], other))  # the level at the onset itself, not its confidence
        pairs.append((True, confidence[best]))
        matched.add(best)
        unused.remove(best)
        if not unused:  # reference onsets after this one are not counted as missed
            break
    pairs += [(False, confidence[other]) for other in unused]
    hits = np.array([onset in matched for onset in kept], dtype=bool)
    accuracy = len(matched) / len(reference) if len(reference) else 0.0
    return CondFoleyScore(
        accuracy, average_precision(*zip(*pairs, strict=True)) if pairs else 0.0, np.array(kept, dtype=np.int64), hits,
        len(reference) == len(generated),
    )  # fmt: skip


def _confidence(size: np.ndarray, onset: int) -> float:
    if onset < REACH:
        raise ValueError(
            f"a generated onset at sample {onset}: CondFoleyGen's rule has no answer before sample {REACH}; leave out "
            "the head of all clips, as its --remove_head does, or use timing.scores"
        )
    return float(size[onset - REACH : onset + REACH].max())


def _suppress(onsets: list[int], confidence: Sequence[float]) -> list[int]:
    """Onsets, increasing, without those close to a more confident one."""
    left, kept = list(onsets), []
    for index in np.argsort(confidence)[::-1]:
        onset = onsets[index]
        if onset not in left:
            continue
        kept.append(onset)
        left.remove(onset)
        for other in left:  # the list shrinks as it is walked, so that the neighbour of one that goes is passed over
            if abs(other - onset) < APART:
                left.remove(other)
    return sorted(kept)


def average_precision(right: Sequence[bool], confidence: Sequence[float]) -> float:
    """As scikit-learn's `average_precision_score`: equal confidences are one threshold; 0 if nothing is right."""
    order = np.argsort(-np.asarray(confidence), kind="stable")
    hits, level = np.cumsum(np.asarray(right)[order]), np.asarray(confidence)[order]
    if not hits[-1]:
        return 0.0
    last = np.flatnonzero(np.append(np.diff(level) != 0, True))  # of each threshold
    gained = np.diff(hits[last], prepend=0)
    return float((gained / hits[-1] * hits[last] / (last + 1)).sum())

"""The inception score: are single sounds clear, and are all of them together varied?

exp of the mean over files of KL(p(class | file) || p(class)), natural logarithm, in splits; higher is better, from 1
(all alike, or all unclear) to the number of classes. As audioldm_eval, av-benchmark, SpecVQGAN and torch-fidelity
compute it, bit for bit; torchmetrics splits and spreads otherwise (3.918 for 4.018 on one set).
"""

from __future__ import annotations

import numpy as np


def splits_of(count: int, splits: int = 10, seed: int | None = 2020) -> np.ndarray:
    """The split [count] that each file goes to; without a seed in the order of the files.

    The score depends on these splits: fewer files in each give less.

    Raises:
        ValueError: if a split would be empty.
    """
    if count < splits:
        raise ValueError(f"{splits} splits need as many files, got {count}; give more files or ask for fewer splits")
    order = np.arange(count) if seed is None else np.random.RandomState(seed).permutation(count)
    split = np.empty(count, np.int64)
    for index in range(splits):
        split[order[index * count // splits : (index + 1) * count // splits]] = index
    return split


def inception_score(logits: np.ndarray, split: np.ndarray) -> tuple[float, float]:
    """Mean and population standard deviation over the splits.

    Args:
        logits: [N, K]; their softmax is p(class | file), even of a network that was trained for several labels.
        split: [N], see `splits_of`.
    """
    from scipy.special import log_softmax

    scores = []
    for index in np.unique(split):
        logs = log_softmax(logits[split == index].astype(np.float64), axis=1)
        chances = np.exp(logs)
        scores.append(np.exp((chances * (logs - np.log(chances.mean(axis=0)))).sum(axis=1).mean()))
    return float(np.mean(scores)), float(np.std(scores))

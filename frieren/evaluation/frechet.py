"""The Fréchet distance between two sets of features: FD with one row per file, FAD with the rows of all files.

d = |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^1/2 for means m and covariances S with N - 1 below, and no root of the
whole: the formula of pytorch-fid, which audioldm_eval, av-benchmark and SpecVQGAN all carry.

They take `scipy.linalg.sqrtm` of S1 S2, which is not symmetric: it gave wrong numbers in SciPy 1.11.2 to 1.12 and its
arguments have changed since. The trace is as well the sum of the roots of the eigenvalues of R S2 R, where R is the
symmetric root of S1; that is real and stable, and in float64 agrees with theirs to 1e-7. Their mean is float32, which
shows in the fifth digit where means are large; ours is float64. The eigenvalues are torch's, which are SciPy's but come
a hundred times sooner where other processes keep the processor busy: SciPy's threads spin.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

BLOCK = 8192  # rows that are turned into float64 at a time


@dataclass(frozen=True)
class Moments:
    """Sums over rows of features, from which rows can be taken out again.

    Attributes:
        count: rows, each as often as it counts.
        mean: [D] float64.
        scatter: [D, D] float64, sum of (x - mean)(x - mean)^T.
    """

    count: int
    mean: np.ndarray
    scatter: np.ndarray

    @property
    def covariance(self) -> np.ndarray:
        """[D, D], unbiased."""
        return self.scatter / (self.count - 1)

    def without(self, rows: np.ndarray, repeats: np.ndarray | None = None) -> Moments:
        """The moments of what is left when these rows [N, D], each `repeats` [N] times, are taken out.

        Raises:
            ValueError: if fewer than two rows are left.
        """
        gone = len(rows) if repeats is None else int(repeats.sum())
        left = enough(self.count - gone)
        total, scatter = sums(rows, repeats, self.mean)
        shift = -total / left
        return Moments(left, self.mean + shift, self.scatter - scatter - left * np.outer(shift, shift))


def moments(rows: np.ndarray, repeats: np.ndarray | None = None) -> Moments:
    """Count, mean and scatter of rows [N, D], in float64.

    Args:
        repeats: [N] integers, how often each row counts: a set with copies in it that are not there.

    Raises:
        ValueError: if there are fewer than two rows.
    """
    count = enough(len(rows) if repeats is None else int(repeats.sum()))
    mean = sums(rows, repeats, np.zeros(rows.shape[1]))[0] / count
    return Moments(count, mean, sums(rows, repeats, mean)[1])


def enough(count: int) -> int:
    """The count, if a covariance can be had from as many rows."""
    if count < 2:
        raise ValueError(f"a covariance needs at least two rows, got {count}; give more files, or longer ones")
    return count


def sums(rows: np.ndarray, repeats: np.ndarray | None, origin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum [D] of x - origin, and [D, D] of (x - origin)(x - origin)^T, over rows x [N, D]."""
    total, scatter = np.zeros(rows.shape[1]), np.zeros((rows.shape[1],) * 2)
    for part in blocks(len(rows)):
        x = rows[part].astype(np.float64) - origin
        weighted = x if repeats is None else x * repeats[part, None]
        total += weighted.sum(axis=0)
        scatter += weighted.T @ x
    return total, scatter


def blocks(count: int) -> Iterator[slice]:
    """Slices that cover `count` rows."""
    return (slice(start, start + BLOCK) for start in range(0, count, BLOCK))


def frechet_distance(first: Moments, second: Moments) -> float:
    """The distance; 0 for identical sets but for rounding, which may make it negative by about 1e-12 of the traces."""
    ours, theirs = torch.from_numpy(first.covariance), torch.from_numpy(second.covariance)
    root = symmetric_root(ours)
    product = torch.linalg.eigvalsh(root @ theirs @ root)
    apart = torch.from_numpy(first.mean - second.mean)
    return (apart @ apart + ours.trace() + theirs.trace() - 2 * product.clamp(min=0).sqrt().sum()).item()


def symmetric_root(covariance: Tensor) -> Tensor:
    """The positive semi-definite R [D, D] with R R = covariance; eigenvalues that rounding made negative count as 0."""
    values, vectors = torch.linalg.eigh(covariance)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T

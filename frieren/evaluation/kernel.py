"""The kernel distance (KID) between two sets of features: unbiased squared MMD with (x.y / D + 1)^3; lower is better.

Mean over random subsets, as audioldm_eval, av-benchmark, SpecVQGAN and torch-fidelity draw them; it can be negative.
They multiply in float32, which costs 2e-5 of a value near 1e-3; here it is float64. torchmetrics draws otherwise and
agrees on whole sets only.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def draw_subsets(
    generated: int, reference: int, subsets: int = 100, size: int = 1000, seed: int = 2020
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows [size] of the generated and of the reference set for each subset, without replacement.

    A size above the smaller set becomes that set's, as in the reference implementations.
    """
    random = np.random.RandomState(seed)
    size = min(size, generated, reference)
    for _ in range(subsets):
        chosen = random.choice(generated, size, replace=False)
        yield chosen, random.choice(reference, size, replace=False)


def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """[N, M] of rows x [N, D] and y [M, D]."""
    base = x @ y.T / x.shape[1] + 1
    return base * base * base  # a tenth of the time of ** 3


def squared_mmd(
    x: np.ndarray,
    y: np.ndarray,
    x_groups: np.ndarray | None = None,
    y_groups: np.ndarray | None = None,
    groups: int = 0,
) -> np.ndarray:
    """Unbiased squared MMD of rows x [N, D] and y [M, D], then the same without each group of rows: [1 + groups].

    The kernel is computed once and summed by pairs of groups, so that all the values cost little more than one.

    Args:
        x_groups: [N] the group 0..groups-1 of each row, and `y_groups` [M] likewise.
    """
    x, y = x.astype(np.float64), y.astype(np.float64)
    # A last column of ones: the sums over all groups stand beside those by group.
    ours, theirs = (membership(labels, len(rows), groups) for rows, labels in ((x, x_groups), (y, y_groups)))
    xx, yy, xy = kernel(x, x), kernel(y, y), kernel(x, y)
    np.fill_diagonal(xx, 0)
    np.fill_diagonal(yy, 0)
    within = [left_over(ours.T @ xx @ ours, ours, ours, 1), left_over(theirs.T @ yy @ theirs, theirs, theirs, 1)]
    return within[0] + within[1] - 2 * left_over(ours.T @ xy @ theirs, ours, theirs, 0)


def membership(labels: np.ndarray | None, rows: int, groups: int) -> np.ndarray:
    """[rows, groups + 1]: 1 where a row is in a group, and a last column of ones."""
    member = np.ones((rows, groups + 1))
    if groups:
        member[:, :groups] = np.asarray(labels)[:, None] == np.arange(groups)
    return member


def left_over(total: np.ndarray, ours: np.ndarray, theirs: np.ndarray, same: int) -> np.ndarray:
    """Mean kernel over all pairs, then without each group: [1 + groups], of sums by pairs of groups [G + 1, G + 1].

    Args:
        same: 1 if both sides are one set, whose rows are not paired with themselves, otherwise 0.
    """
    everything = total[-1, -1]
    sums = everything - total[:-1, -1] - total[-1, :-1] + np.diagonal(total)[:-1]
    n, m = (np.concatenate([[len(side)], len(side) - side[:, :-1].sum(axis=0)]) for side in (ours, theirs))
    with np.errstate(divide="ignore", invalid="ignore"):  # a group may be everything, or all but one
        return np.concatenate([[everything], sums]) / (n * (m - same))


def kernel_distance(
    generated: np.ndarray,
    reference: np.ndarray,
    reference_of: np.ndarray,
    *,
    subsets: int = 100,
    size: int = 1000,
    seed: int = 2020,
    labels: tuple[np.ndarray, np.ndarray] | None = None,
    groups: int = 0,
) -> tuple[float, float, np.ndarray]:
    """Mean and population standard deviation over the subsets; and the mean without each group of files, [groups].

    Args:
        generated: [N, D].
        reference: [R, D].
        reference_of: [M] rows of `reference` that are drawn from; a row that stands there ten times counts ten times.
        labels: groups of the N generated and of the R reference rows.
    """
    values = []
    for chosen, places in draw_subsets(len(generated), len(reference_of), subsets, size, seed):
        true = reference_of[places]
        ours, theirs = (labels[0][chosen], labels[1][true]) if labels else (None, None)
        values.append(squared_mmd(generated[chosen], reference[true], ours, theirs, groups))
    table = np.stack(values)
    return float(table[:, 0].mean()), float(table[:, 0].std()), table[:, 1:].mean(axis=0)

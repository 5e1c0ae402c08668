"""Optimal matching at every threshold against other algorithms, and average precision against scikit-learn."""

import numpy as np
import pytest

pytest.importorskip("scipy")

from frieren.evaluation.timing.onset_detector import Onsets, match
from frieren.evaluation.timing.ranking import average_precision, hits_by_rank, ranked


@pytest.mark.parametrize("window", [0.05, 0.1])
def test_hits_are_those_of_the_hungarian_method_at_every_threshold(window):
    """`match` is scipy's linear_sum_assignment; mir_eval finds the same number by Hopcroft and Karp's algorithm."""
    mir_eval = pytest.importorskip("mir_eval")
    rng = np.random.default_rng(1)
    for _ in range(60):
        true = np.sort(rng.uniform(0, 1, rng.integers(1, 9)))
        found = rng.uniform(0, 1, (3, rng.integers(1, 9)))
        hits = hits_by_rank(true, found, window)
        for row, counts in zip(found, hits, strict=True):
            assert [len(match(true, row[: k + 1], window)) for k in range(len(row))] == counts.tolist()
            assert len(mir_eval.util.match_events(true, np.sort(row), window)) == counts[-1]


def test_the_matching_has_most_pairs_and_among_those_the_least_offset():
    from itertools import combinations, permutations

    rng = np.random.default_rng(2)
    for _ in range(60):
        true, found = np.sort(rng.uniform(0, 0.4, 4)), np.sort(rng.uniform(0, 0.4, 3))
        pairs = match(true, found, 0.06)
        total = sum(abs(true[i] - found[j]) for i, j in pairs)
        others = [
            [(i, j) for i, j in zip(rows, columns, strict=True)]
            for rows in combinations(range(4), len(pairs))
            for columns in permutations(range(3), len(pairs))
        ]
        allowed = [other for other in others if all(abs(true[i] - found[j]) <= 0.06 for i, j in other)]
        assert total == pytest.approx(min(sum(abs(true[i] - found[j]) for i, j in other) for other in allowed))


def test_exactly_the_window_is_within_it():
    assert hits_by_rank(np.array([0.3]), np.array([0.35]), 0.05).tolist() == [1]
    assert hits_by_rank(np.array([0.3]), np.array([0.3501]), 0.05).tolist() == [0]


def test_empty_lists():
    assert hits_by_rank(np.zeros(0), np.array([[1.0, 2.0]]), 0.05).tolist() == [[0, 0]]
    assert hits_by_rank(np.array([1.0]), np.zeros((3, 0)), 0.05).shape == (3, 0)
    assert average_precision(np.zeros((3, 0), dtype=int), 2).tolist() == [0, 0, 0]


def test_the_strongest_comes_first():
    assert ranked(Onsets(np.array([1.0, 2.0, 3.0]), np.array([5.0, 9.0, 5.0]))).tolist() == [2.0, 1.0, 3.0]


def test_average_precision_by_hand_and_as_scikit_learn_has_it():
    # Right, wrong, right, of three true: recall steps at the first (precision 1) and at the third (precision 2/3).
    assert average_precision(np.array([1, 1, 2]), 3) == pytest.approx((1 + 2 / 3) / 3)
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    right = rng.random((20, 15)) < 0.5
    right[:, 0] = True
    for row in right:
        expected = metrics.average_precision_score(row, -np.arange(15))
        assert average_precision(np.cumsum(row), int(row.sum())) == pytest.approx(expected)

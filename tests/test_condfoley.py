"""CondFoleyGen's onset scores against its own code, whose outputs are in ../shared/reference/metrics (`onset.*`)."""

import numpy as np
import pytest

from frieren.evaluation.condfoley import average_precision, score

# Reference onsets, generated onsets, then what `eval_osnets` of XYPB/CondFoleyGen c565db7 gives: accuracy, average
# precision, onsets that are left, which of them hit, whether the counts are the same. Odd ones are kept as they are:
# in gen_exhausted_early the three that are missed do not count, and in nms_merge the neighbourhood of the soft onset
# holds the loud one, so that both are as sure and the later stays.
GOLDEN = {
    "perfect": ([5000, 15000, 30000], [5000, 15000, 30000], 1, 1, [5000, 15000, 30000], [1, 1, 1], True),
    "one_miss_one_extra": (
        [5000, 15000, 30000], [5100, 22000, 30500], 2 / 3, 0.8055555555555556, [5100, 22000, 30500], [1, 0, 1], True,
    ),
    "nms_merge": ([5000, 15000], [5000, 5600, 15100], 1, 1, [5600, 15100], [1, 1], False),
    "gen_exhausted_early": ([5000, 15000, 30000, 38000], [5050], 0.25, 1, [5050], [1], False),
    "no_ref": ([], [5000], 0, 0, [5000], [0], False),
}  # fmt: skip


AMPLITUDES = {"nms_merge": (1.0, 0.4, 0.8)}


def wave(case, onsets):
    """The generated sound of a golden case, to the last bit the stored one, [44100]: a decay at every onset, noise."""
    sound = 0.01 * np.random.RandomState(5).standard_normal(44_100)
    for onset, amplitude in zip(onsets, AMPLITUDES.get(case, (1.0, 0.8, 0.6)), strict=False):
        sound[onset : onset + 800] += amplitude * np.exp(-np.arange(800) / 150.0)
    return sound.astype(np.float32)


@pytest.mark.parametrize("case", GOLDEN)
def test_golden(case):
    reference, generated, accuracy, precision, kept, hits, same = GOLDEN[case]
    found = score(reference, generated, wave(case, generated))
    assert found.accuracy == pytest.approx(accuracy, abs=1e-6)
    assert found.average_precision == pytest.approx(precision, abs=1e-6)
    assert found.kept.tolist() == kept and found.hits.tolist() == hits and found.same_count is same


def test_an_onset_at_the_very_start_is_refused_where_the_reference_crashes():
    onsets = [600, 15000]
    with pytest.raises(ValueError, match="sample 600.*1102"):
        score(onsets, onsets, wave("early_onset_slice_bug", onsets))


def test_nothing_generated_is_perfectly_precise():
    """As scikit-learn sees it: all that is there is right, at the one threshold there is. The accuracy tells."""
    found = score([5000, 15000], [], np.zeros(44_100))
    assert (found.accuracy, found.average_precision) == (0, 1) and not found.kept.size


def test_average_precision_is_that_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    for _ in range(50):
        right = rng.random(12) < 0.5
        confidence = rng.integers(0, 6, 12) / 5  # with ties
        right[0] = True
        assert average_precision(right, confidence) == pytest.approx(
            metrics.average_precision_score(right, confidence), abs=1e-12
        )
    assert average_precision([False, False], [0.2, 0.9]) == 0

"""Scores and intervals: numbers of the reference implementations, closed forms, and what has to hold for any sounds.

The numbers were made by audioldm_eval, av-benchmark, SpecVQGAN, pytorch-fid and torch-fidelity themselves; where they
are known to differ from what is computed here, or from each other, the difference is asserted too.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("scipy")

from scipy.special import expit, softmax  # noqa: E402
from scipy.stats import binomtest, ortho_group  # noqa: E402

from frieren.evaluation.divergence import kl_divergence  # noqa: E402
from frieren.evaluation.frechet import Moments, frechet_distance, moments  # noqa: E402
from frieren.evaluation.inception import inception_score, splits_of  # noqa: E402
from frieren.evaluation.intervals import bootstrap, deal, jackknife, quotient, ratio, wilson  # noqa: E402
from frieren.evaluation.kernel import kernel_distance, squared_mmd  # noqa: E402
from frieren.evaluation.protocol import PRESETS  # noqa: E402
from frieren.evaluation.scorers.features import FeatureSet  # noqa: E402
from frieren.evaluation.scorers.imagebind import MeaningAgreement  # noqa: E402
from frieren.evaluation.scorers.synchrony import GRID, desync  # noqa: E402
from frieren.evaluation.scores import Comparison, accepted, agreement_score  # noqa: E402


class Golden:
    """The reference numbers; an array that stands there twice is stored once, the other place holds its name."""

    def __init__(self) -> None:
        self.table = np.load(Path(__file__).parent / "data" / "metrics_golden_scores.npz")

    def __getitem__(self, name: str) -> np.ndarray:
        value = self.table[name]
        return self[str(value)] if value.dtype.kind == "U" else value


GOLDEN = Golden()


def distance(x: np.ndarray, y: np.ndarray) -> float:
    return frechet_distance(moments(x), moments(y))


def kid(x: np.ndarray, y: np.ndarray, **settings: int) -> tuple[float, float]:
    return kernel_distance(x, y, np.arange(len(y)), **settings)[:2]


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


# -- Fréchet --


@pytest.mark.parametrize(
    "case", ["wellcond", "rankdef", "relu_deadcols", "identical", "dup10_ref_dup", "dup10_ref_nodup", "onedim"]
)
def test_frechet_is_that_of_the_reference(case: str) -> None:
    found = distance(GOLDEN[f"fd.{case}.x"], GOLDEN[f"fd.{case}.y"])
    assert found == pytest.approx(GOLDEN[f"fd.{case}.expected"], rel=2e-6, abs=1e-8)
    if f"fd.{case}.expected_f64" in GOLDEN.table:
        assert found == pytest.approx(GOLDEN[f"fd.{case}.expected_f64"], rel=1e-6, abs=1e-8)


def test_frechet_of_large_means_is_exact_where_the_references_float32_mean_is_not() -> None:
    found = distance(GOLDEN["fd.bigmean.x"], GOLDEN["fd.bigmean.y"])
    assert found == pytest.approx(GOLDEN["fd.bigmean.expected_f64"], rel=1e-9)
    assert found == pytest.approx(GOLDEN["fd.bigmean.expected"], rel=1e-4)
    assert found != pytest.approx(GOLDEN["fd.bigmean.expected"], rel=1e-5)


def test_frechet_of_diagonal_covariances_is_the_closed_form() -> None:
    pair = [
        Moments(2, GOLDEN[f"fd.analytic_diag.mu{side}"], GOLDEN[f"fd.analytic_diag.sigma{side}"]) for side in (1, 2)
    ]
    assert frechet_distance(*pair) == pytest.approx(GOLDEN["fd.analytic_diag.expected"], rel=1e-8)


def test_copies_of_the_reference_are_a_matter_of_counting() -> None:
    x, y = GOLDEN["fd.dup10_ref_nodup.x"], GOLDEN["fd.dup10_ref_nodup.y"]
    copied = frechet_distance(moments(x), moments(y, np.full(len(y), 10)))
    assert copied == pytest.approx(GOLDEN["fd.dup10_ref_dup.expected"], rel=2e-6)
    assert copied == pytest.approx(distance(x, np.repeat(y, 10, axis=0)), rel=1e-12)


def test_fad_is_over_the_rows_of_all_files_and_not_over_means_of_files() -> None:
    rows, lengths = ([GOLDEN[f"fad.{side}_{what}"] for side in ("gen", "ref")] for what in ("frames", "lengths"))
    assert distance(*rows) == pytest.approx(GOLDEN["fad.expected"], rel=2e-6)
    assert distance(*rows) == pytest.approx(GOLDEN["fad.expected_f64"], rel=1e-9)
    means = [
        np.stack([part.mean(axis=0) for part in np.split(all_rows, np.cumsum(count)[:-1])])
        for all_rows, count in zip(rows, lengths, strict=True)
    ]
    assert distance(*means) == pytest.approx(GOLDEN["fad.wrong_meanpooled"], rel=1e-5)


def test_moments_without_some_rows_are_those_of_the_rest() -> None:
    rows, repeats, gone = rng().normal(5, 2, (40, 6)), rng().integers(1, 4, 40), np.arange(40) % 7 == 0
    for counts in (None, repeats):
        some, rest = (None if counts is None else counts[which] for which in (gone, ~gone))
        left, wanted = moments(rows, counts).without(rows[gone], some), moments(rows[~gone], rest)
        assert left.count == wanted.count
        np.testing.assert_allclose(left.mean, wanted.mean, rtol=1e-12)
        np.testing.assert_allclose(left.covariance, wanted.covariance, rtol=1e-9, atol=1e-12)
    assert moments(rows).covariance == pytest.approx(np.cov(rows, rowvar=False), rel=1e-9)


def test_frechet_is_symmetric_and_does_not_change_when_the_axes_turn() -> None:
    x, y, turn = GOLDEN["fd.wellcond.x"], GOLDEN["fd.wellcond.y"], ortho_group.rvs(32, random_state=0)
    assert distance(y, x) == pytest.approx(distance(x, y), rel=1e-9)
    assert distance(x @ turn, y @ turn) == pytest.approx(distance(x, y), rel=1e-6)


def test_one_row_has_no_covariance() -> None:
    with pytest.raises(ValueError, match="at least two rows, got 1"):
        moments(np.zeros((1, 3)))


# -- inception score --


@pytest.mark.parametrize("case", ["random237x20", "uniform40x7", "onehot70x7"])
@pytest.mark.parametrize(
    ("key", "splits", "seed"),
    [("splits10_shuffle2020", 10, 2020), ("splits1", 1, None), ("splits10_noshuffle", 10, None)],
)
def test_inception_is_that_of_the_reference(case: str, key: str, splits: int, seed: int | None) -> None:
    logits = GOLDEN[f"is.{case}.logits"]
    found = inception_score(logits, splits_of(len(logits), splits, seed))
    assert found == pytest.approx(GOLDEN[f"is.{case}.expected_mean_std_{key}"], rel=1e-9, abs=1e-12)


def test_inception_of_torchmetrics_is_another_number() -> None:
    logits = GOLDEN["is.random237x20.logits"]
    assert inception_score(logits, splits_of(len(logits)))[0] - 3.9179416542604883 > 0.09


def test_splits_that_would_be_empty_are_refused() -> None:
    with pytest.raises(ValueError, match="10 splits need as many files, got 9"):
        splits_of(9)


# -- divergence --

KL = GOLDEN["kl.ref_logits"], GOLDEN["kl.gen_logits"].reshape(120, 25), np.repeat(np.arange(12), 10)
CONFIDENT = KL[0] * float(GOLDEN["kl.confident_scale"]), KL[1] * float(GOLDEN["kl.confident_scale"]), KL[2]


@pytest.mark.parametrize(
    ("logits", "over", "epsilon", "key"),
    [
        (KL, "softmax", 1e-6, "expected_softmax_eps1e-6"),
        (KL, "softmax", 0.0, "expected_softmax_exact"),
        (KL, "sigmoid", 1e-6, "expected_sigmoid_eps1e-6"),
        (KL, "sigmoid", 0.0, "expected_sigmoid_exact"),
        (CONFIDENT, "softmax", 1e-6, "confident_expected_softmax_eps1e-6"),
        (CONFIDENT, "softmax", 0.0, "confident_expected_softmax_exact"),
    ],
)
def test_kl_is_that_of_the_reference(logits: tuple, over: str, epsilon: float, key: str) -> None:
    tolerance = 1e-4 if logits is CONFIDENT else 1e-5  # the reference's float32
    found = kl_divergence(*logits, over=over, epsilon=epsilon).mean()
    assert found == pytest.approx(GOLDEN[f"kl.{key}"], rel=tolerance)


def test_kl_in_float64_and_the_sigmoids_of_confident_logits() -> None:
    assert kl_divergence(*KL, epsilon=0).mean() == pytest.approx(0.788979891997908, rel=1e-9)
    assert kl_divergence(*CONFIDENT, over="sigmoid").mean() == pytest.approx(17.83091926574707, rel=1e-4)
    assert kl_divergence(*CONFIDENT, over="sigmoid", epsilon=0).mean() == pytest.approx(20.300018310546875, rel=1e-4)


def test_kl_of_identical_sounds_is_slightly_negative_with_an_epsilon_and_0_without() -> None:
    same = KL[0], KL[0], np.arange(12)
    assert kl_divergence(*same).mean() == pytest.approx(GOLDEN["kl.identical_softmax_eps1e-6"], rel=2e-2)
    assert kl_divergence(*same, over="sigmoid").mean() == pytest.approx(-2.52e-5, rel=2e-2)
    assert np.abs(kl_divergence(*same, epsilon=0)).max() < 1e-15


def test_what_kl_is_not() -> None:
    reference, generated, of = KL
    found = kl_divergence(*KL, epsilon=0).reshape(12, 10)
    reversed_ = kl_divergence(generated, reference[of], np.arange(120), epsilon=0).mean()
    assert reversed_ == pytest.approx(0.7050240284965597, rel=1e-9)
    mean_first = np.log(softmax(generated.astype(float), 1).reshape(12, 10, 25).mean(axis=1))
    assert kl_divergence(reference, mean_first, np.arange(12), epsilon=0).mean() == pytest.approx(0.1481789, rel=1e-6)
    assert found.min(axis=1).mean() == pytest.approx(0.3092757774550554, rel=1e-9)
    assert found.mean() / np.log(2) == pytest.approx(1.1382573774465, rel=1e-9)
    p, q = expit(reference[of].astype(float)), expit(generated.astype(float))
    other_term = ((1 - p) * (np.log1p(-p) - np.log1p(-q))).sum(axis=1).mean()
    both_terms = kl_divergence(*KL, over="sigmoid", epsilon=0).mean() + other_term
    assert both_terms == pytest.approx(4.120938515957718, rel=1e-6)


def test_kl_does_not_see_a_constant_that_is_added_to_logits() -> None:
    moved = KL[0] + 3.0, KL[1] - 7.0, KL[2]
    np.testing.assert_allclose(kl_divergence(*moved), kl_divergence(*KL), rtol=1e-4, atol=1e-6)


def test_the_presets_differ_in_kl_as_their_tools_do() -> None:
    paper, bench = (
        kl_divergence(*CONFIDENT, over=preset.kl_over, epsilon=preset.kl_epsilon).mean()
        for preset in (PRESETS["paper"], PRESETS["av-bench"])
    )
    assert (paper, bench) == pytest.approx((4.6418309, 6.6737056), rel=1e-4)


# -- kernel distance --


@pytest.mark.parametrize("case", ["sub100", "fallback1000", "relu", "dup10"])
def test_kid_is_that_of_the_reference(case: str) -> None:
    x, y = GOLDEN[f"kid.{case}.x"], GOLDEN[f"kid.{case}.y"]
    subsets, size = map(int, GOLDEN[f"kid.{case}.params_subsets_size"])
    found = kid(x, y, subsets=subsets, size=size)
    assert found == pytest.approx(GOLDEN[f"kid.{case}.expected_mean_std_f64"], rel=1e-9)
    assert found == pytest.approx(GOLDEN[f"kid.{case}.expected_mean_std"], rel=5e-4, abs=2e-7)
    whole = min(len(x), len(y))
    assert squared_mmd(x[:whole], y[:whole])[0] == pytest.approx(GOLDEN[f"kid.{case}.expected_fullset_m"], rel=1e-9)


def test_kid_of_torchmetrics_is_another_number() -> None:
    found, _ = kid(GOLDEN["kid.relu.x"], GOLDEN["kid.relu.y"], subsets=20, size=150)
    assert found - 0.0013272835490021118 > 1e-4


def test_kid_draws_copies_without_making_them() -> None:
    x, y = GOLDEN["fd.dup10_ref_nodup.x"], GOLDEN["fd.dup10_ref_nodup.y"]
    of = np.repeat(np.arange(len(y)), 10)
    settings = {"subsets": 3, "size": 100}
    assert kernel_distance(x, y, of, **settings)[:2] == pytest.approx(kid(x, y[of], **settings), rel=1e-12)


def test_mmd_without_a_group_is_that_of_the_rest() -> None:
    x, y, of_x, of_y = rng().normal(size=(30, 5)), rng().normal(1, 1, (24, 5)), np.arange(30) % 4, np.arange(24) % 4
    values = squared_mmd(x, y, of_x, of_y, 4)
    for group in range(4):
        assert values[1 + group] == pytest.approx(squared_mmd(x[of_x != group], y[of_y != group])[0], rel=1e-9)
    assert squared_mmd(y, x)[0] == pytest.approx(values[0], rel=1e-12)


# -- scores of video and sound --


def test_accuracy_desync_and_cosine_are_those_of_the_references() -> None:
    assert accepted(GOLDEN["alignacc.prob"]).mean() == GOLDEN["alignacc.expected"]
    assert accepted(np.float32([0.5])) == 0
    logits = np.concatenate([GOLDEN["desync.logits_first"], GOLDEN["desync.logits_last"]])
    assert desync(torch.from_numpy(logits)).mean().item() == pytest.approx(GOLDEN["desync.expected"], rel=1e-6)
    np.testing.assert_allclose(GRID, GOLDEN["desync.grid"], atol=1e-6)
    cosines = MeaningAgreement(nn.Identity(), "").score(*(torch.from_numpy(GOLDEN[f"cosine.{side}"]) for side in "ab"))
    assert cosines.mean().item() == pytest.approx(GOLDEN["cosine.expected"], rel=1e-6)


def test_an_acceptance_rate_has_its_controls_as_baselines() -> None:
    values = {"generated": [np.array([0.9, 0.4]), np.array([0.8, 0.6])], "reference sounds": [np.ones(2)], "none": []}
    score = agreement_score("alignment", values, ["a", "b"], better="higher", share=True)
    assert score.value == 0.75 and score.count == 4 and score.interval.method == "Wilson"
    assert score.baselines == pytest.approx({"reference sounds": 1.0, "mean probability": 0.675})


# -- intervals --


def test_jackknife_of_a_mean_is_the_t_interval_of_groups() -> None:
    values = rng().normal(size=20)
    low, high, _ = jackknife(values.mean(), (values.sum() - values) / 19)
    error = values.std(ddof=1) / np.sqrt(20)
    assert (low, high) == pytest.approx((values.mean() - 2.093024 * error, values.mean() + 2.093024 * error), rel=1e-6)


def test_a_bias_that_all_groups_share_is_no_spread() -> None:
    """The deviations are from the mean of the groups' estimates, and the interval lies about the estimate."""
    without = rng().normal(size=20)
    plain, biased = jackknife(1.0, without), jackknife(1.0, without + 50)
    assert biased[:2] == pytest.approx(plain[:2], rel=1e-6) and sum(plain[:2]) == pytest.approx(2)
    assert plain.high - 1 == pytest.approx(2.093024 * np.sqrt(19) * without.std(), rel=1e-6)


@pytest.mark.parametrize("score", ["frechet", "kernel", "inception"])
def test_the_jackknife_finds_the_true_spread(score: str) -> None:
    """Widths of intervals against the standard deviation over sets drawn anew, within 30 %; four samples a video."""
    random, values, errors = rng(), [], []
    preset = dataclasses.replace(PRESETS["world"], kid_subsets=10)
    for _ in range(60):
        made, true = toy(random, videos=100, samples=4)
        sets = Comparison([f"{index // 4}" for index in range(400)], np.repeat(np.arange(100), 4), preset)
        if score == "inception":
            found = sets.inception("is", made.logits, true.logits)
        else:
            found = getattr(sets, score)("x", made, true)
        values.append(found.value)
        errors.append((found.interval.high - found.interval.low) / 2 / 2.093024)
    assert np.mean(errors) == pytest.approx(np.std(values, ddof=1), rel=0.3)


def toy(random: np.random.Generator, videos: int, samples: int) -> tuple[FeatureSet, FeatureSet]:
    """Features and logits in which the samples of a video resemble each other and its true sound."""
    topic = random.normal(size=(videos, 6)) * [3, 2, 1, 1, 1, 1]
    true = topic + random.normal(size=topic.shape)
    made = np.repeat(topic, samples, axis=0) + 0.7 + random.normal(size=(videos * samples, 6))
    return FeatureSet(made, np.arange(len(made)), made), FeatureSet(true, np.arange(len(true)), true)


def test_the_bootstrap_counts_videos_and_not_samples() -> None:
    values = np.repeat(rng().normal(size=50), 10)
    clusters = np.repeat(np.arange(50), 10)
    low, high, _ = bootstrap(values, clusters)
    alone = bootstrap(values[::10], clusters[::10])
    assert (low, high) == pytest.approx(alone[:2])
    naive = bootstrap(values, np.arange(500))
    assert high - low > 2.5 * (naive.high - naive.low)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(50), rel=0.1)


def test_wilson_counts_as_many_hits_as_the_variance_between_clusters_is_worth() -> None:
    """Three clusters of four with 4, 0 and 2 hits: (0.5 * 0.5) / (3 / 2 * 8 / 12^2) = 3 independent hits."""
    hits, clusters = np.array([1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0.0]), [0] * 4 + [1] * 4 + [2] * 4
    z, n = 1.959963984540054, 3
    reach = z / (1 + z**2 / n) * math.sqrt(0.25 / n + z**2 / (4 * n**2))
    assert wilson(hits, clusters)[:2] == pytest.approx((0.5 - reach, 0.5 + reach))


def test_a_quotient_is_that_of_sums_over_the_same_videos() -> None:
    rng = np.random.default_rng(1)
    a, b, c, d = rng.uniform(1, 2, (4, 30))
    clusters = np.repeat(np.arange(10), 3)
    by_hand = []
    for _ in range(4000):
        rows = (3 * rng.integers(0, 10, 10)[:, None] + np.arange(3)).ravel()
        by_hand.append(a[rows].sum() / b[rows].sum() / (c[rows].sum() / d[rows].sum()))
    found = quotient((a, d), (b, c), clusters)
    assert found[:2] == pytest.approx(np.quantile(by_hand, (0.025, 0.975)), abs=0.01)
    assert quotient((a, c), (b, c), clusters)[:2] == pytest.approx(ratio(a, b, clusters)[:2])


def test_the_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    random, covered = rng(), 0
    for seed in range(200):
        video = random.normal(size=40)
        values = np.repeat(video, 3) + random.normal(size=120)
        low, high, _ = bootstrap(values, np.repeat(np.arange(40), 3), draws=500, seed=seed)
        covered += low <= 0 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_wilson_of_independent_hits_is_scipys() -> None:
    hits = np.arange(200) % 4 == 0
    low, high, _ = wilson(hits, np.arange(200))
    exact = binomtest(50, 200).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((exact.low, exact.high), abs=1e-3)


def test_wilson_counts_videos_and_not_samples() -> None:
    hits = np.repeat(np.arange(50) % 4 == 0, 10)
    one, many = wilson(hits[::10], np.arange(50)), wilson(hits, np.repeat(np.arange(50), 10))
    assert many[:2] == pytest.approx(one[:2], rel=1e-9)
    sure = wilson(np.ones(100), np.repeat(np.arange(20), 5))
    exact = binomtest(20, 20).proportion_ci(method="wilson")
    assert sure[:2] == pytest.approx((exact.low, exact.high), rel=1e-9)


def test_one_video_has_no_interval() -> None:
    assert bootstrap(np.ones(3), ["a"] * 3) is None and wilson(np.ones(3), ["a"] * 3) is None
    assert jackknife(1.0, np.ones(2)) is None


def test_groups_are_equal_and_do_not_depend_on_the_order() -> None:
    names = [f"v{index}" for index in range(50)]
    group, groups = deal(names)
    assert groups == 20 and sorted(np.bincount(list(group.values()))) == [2] * 10 + [3] * 10
    assert deal(names[::-1]) == (group, groups)
    assert deal(names, seed=1) != (group, groups)


def test_groups_are_dealt_at_random() -> None:
    """Names often count through kinds: without chance, every twentieth video would share a group."""
    group, _ = deal([f"v{index:03}" for index in range(400)])
    shared = [group[f"v{index:03}"] == group[f"v{index + 20:03}"] for index in range(380)]
    assert 0 < np.mean(shared) < 0.15  # by chance a twentieth


# -- whole sets --


def compare(made: np.ndarray, true: np.ndarray, preset: str = "world") -> dict[str, float]:
    """All the scores of sets whose logits are their features."""
    sets = Comparison([str(index) for index in range(len(made))], np.arange(len(true)), PRESETS[preset])
    sides = [FeatureSet(side, np.arange(len(side)), side) for side in (made, true)]
    return {
        "fd": sets.frechet("fd", *sides).value,
        "is": sets.inception("is", made, true).value,
        "kl": sets.divergence("kl", made, true).value,
        "kid": sets.kernel("kid", *sides).value,
    }


def kinds(count: int, classes: int, of: int = 8, seed: int = 0) -> np.ndarray:
    """Logits [count, of] of clear sounds of the first `classes` kinds."""
    return 6 * np.eye(of)[np.arange(count) % classes] + 0.5 * np.random.default_rng(seed).normal(size=(count, of))


def test_identical_sets_give_nothing() -> None:
    true = kinds(96, 8)
    scores = compare(true, true)
    assert abs(scores["fd"]) < 1e-9 and abs(scores["kl"]) < 1e-12
    # The floor of KID is below 0: of equal sets, pairs of equal rows are counted between but not within.
    kernel = (true @ true.T / 8 + 1) ** 3
    off_diagonal = (kernel.sum() - np.trace(kernel)) / (96 * 95)
    assert scores["kid"] == pytest.approx(2 / 96 * (off_diagonal - np.trace(kernel) / 96), rel=1e-6)


def test_the_order_of_the_files_changes_nothing() -> None:
    true, made, order = kinds(96, 8), kinds(96, 8, seed=1), rng().permutation(96)
    assert compare(made[order], true[order]) == pytest.approx(compare(made, true), rel=1e-9, abs=1e-12)


def test_a_set_without_half_of_its_kinds_has_less_is_and_more_kid() -> None:
    true = kinds(96, 8)
    whole, half = compare(kinds(96, 8, seed=1), true), compare(kinds(96, 4, seed=1), true)
    assert half["is"] < 0.7 * whole["is"] and half["kid"] > whole["kid"] + 1 and half["fd"] > 10 * whole["fd"]


def test_another_order_of_pairs_raises_kl_and_nothing_else() -> None:
    true, made = kinds(96, 8), kinds(96, 8, seed=1)
    straight, crossed = compare(made, true), compare(np.roll(made, 3, axis=0), true)
    assert crossed["kl"] > 10 * straight["kl"]
    for name in ("fd", "is", "kid"):
        assert crossed[name] == pytest.approx(straight[name], rel=1e-9, abs=1e-12)


def test_the_control_of_kl_is_another_videos_sound() -> None:
    """Two sure kinds in turn: a sound's own reference is of its kind, the next video's is not."""
    true = kinds(96, 2)
    sets = Comparison([str(index) for index in range(96)], np.arange(96), PRESETS["world"])
    score = sets.divergence("kl", true, true)
    other, own = softmax(np.roll(true, -1, 0), 1), softmax(true, 1)
    by_hand = np.mean(np.sum(other * np.log(other / own), axis=1))
    assert abs(score.value) < 1e-3 and score.baselines["another video's sound"] == pytest.approx(by_hand, rel=1e-3)
    assert by_hand > 3


@pytest.mark.parametrize("repeated", [True, False])
def test_references_count_once_or_once_per_sample(repeated: bool) -> None:
    """Thirty videos of one to three samples: the distance to references that stand there as often, or once."""
    of = np.repeat(np.arange(30), 1 + np.arange(30) % 3)
    preset = dataclasses.replace(PRESETS["world"], repeat_reference=repeated)
    made, true = rng().normal(size=(len(of), 4)), 3 * rng().normal(size=(30, 4)) ** 2
    sets = Comparison([str(video) for video in of], of, preset)
    sides = FeatureSet(made, np.arange(len(of)), None), FeatureSet(true, np.arange(30), None)
    expected = frechet_distance(moments(made), moments(true[of] if repeated else true))
    assert sets.frechet("fd", *sides).value == pytest.approx(expected, rel=1e-9)


def test_too_few_rows_for_a_covariance_are_told_in_the_score() -> None:
    sets = Comparison([str(index) for index in range(12)], np.arange(12), PRESETS["world"])
    few, some = (FeatureSet(rng().normal(size=(12, width)), np.arange(12), None) for width in (12, 7))
    assert "singular" in sets.frechet("fd", few, few).notes[0]
    assert "fewer than twice" in sets.frechet("fd", some, some).notes[0]
    assert "subsets of 12 files" in sets.kernel("kid", few, few).notes[0]


def test_what_cannot_be_measured_says_why() -> None:
    sets = Comparison(["a"], np.arange(1), PRESETS["paper"])
    one = FeatureSet(np.ones((1, 3)), np.arange(1), np.ones((1, 3)))
    for score in (sets.frechet("x", one, one), sets.kernel("x", one, one), sets.inception("x", one.logits, one.logits)):
        assert score.value is None and "1" in score.notes[0]

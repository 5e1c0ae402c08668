"""Opinion scores against numbers known another way: the reference's golden values, numpy and scipy, and synthetic
raters whose truth is known."""

import json

import numpy as np
import pytest

pytest.importorskip("scipy")

from scipy import stats

from frieren.evaluation.listening.mos import (
    ANSWERS_FORMAT,
    KEY_FORMAT,
    LOW,
    TRUE,
    Answers,
    AnswersError,
    Rating,
    cluster_half_width,
    cluster_means,
    mos,
    read_answers,
    t_half_width,
)

# `mos.ratings_items_x_raters` of ../shared/reference/metrics/metrics_golden.npz: 20 items, one row each, by 15 raters.
GOLDEN = """
333434534345332 444524434334354 534452355545434 233443445453343 443545434434444
555544344454433 543354534254324 334244454232345 433444545244434 535523355452535
543245553343433 343442335344444 354545543342435 343445324552344 335343554535434
454243433333535 423555445344554 333454445455454 443344553333353 434334454545353
""".split()


def golden():
    return np.array([[int(score) for score in row] for row in GOLDEN], dtype=float)


def answers(scores, question="quality", study="s"):
    """Answers from {system: array [raters, items], NaN where there is none}."""
    ratings = [
        Rating(f"r{rater}", question, f"i{item}", system, int(table[rater, item]))
        for system, table in scores.items()
        for rater, item in zip(*np.nonzero(np.isfinite(table)), strict=True)
    ]
    return Answers(study, tuple(ratings), {})


def raters(rng, shape, mean, rater=0.4, item=0.5, noise=0.7):
    """Scores [raters, items] with known effects, not rounded: a severe rater, a hard item, and the rest."""
    effects = rater * rng.standard_normal((shape[0], 1)) + item * rng.standard_normal((1, shape[1]))
    return mean + effects + noise * rng.standard_normal(shape)


def half_width(table, draws=400, seed=0):
    means = cluster_means(table[None], np.ones((1, *table.shape)), draws=draws, seed=seed)
    return cluster_half_width(means[:, 0], min(table.shape))


def test_golden_numbers_of_the_reference():
    table = golden()
    row = mos(answers({"one": table.T})).rows[0]
    assert row.mean == pytest.approx(3.8133333333333335, rel=1e-12)
    assert row.t == pytest.approx(0.0999844860276245, rel=1e-9)
    assert row.sd == pytest.approx(0.8800020269562143, rel=1e-12)
    assert t_half_width(table.mean(axis=1)) == pytest.approx(0.10203590340945046, rel=1e-9)
    assert (row.ratings, row.items, row.raters) == (300, 20, 15)


def test_the_t_interval_is_that_of_scipy():
    values = np.random.default_rng(0).integers(1, 6, 37)
    low, high = stats.t.interval(0.95, 36, loc=values.mean(), scale=stats.sem(values))
    assert t_half_width(values) == pytest.approx((high - low) / 2, rel=1e-12)
    assert t_half_width([3]) is None


def test_bootstrap_means_are_those_of_raters_and_items_drawn_one_by_one():
    """The weights against explicit resampling, by the variance that Owen gives and by a plain loop."""
    rng = np.random.default_rng(1)
    table = raters(rng, (7, 9), 3.0)
    table[2, 3:6] = np.nan
    given = np.isfinite(table)
    ours = cluster_means(np.nan_to_num(table)[None], given[None].astype(float), draws=20_000)[:, 0]
    loop = [
        np.nanmean(table[np.ix_(rng.integers(0, 7, 7), rng.integers(0, 9, 9))])  # draw by draw
        for _ in range(20_000)
    ]
    assert ours.mean() == pytest.approx(np.mean(loop), abs=0.01)
    assert np.quantile(ours, [0.025, 0.5, 0.975]) == pytest.approx(np.quantile(loop, [0.025, 0.5, 0.975]), abs=0.03)


@pytest.mark.parametrize("shape", [(6, 20), (12, 20)])
def test_the_cluster_interval_covers_the_truth_and_the_t_interval_does_not(shape):
    """400 studies with a strong effect of raters, where the bootstrap's own pessimism cannot help."""
    rng = np.random.default_rng(2)
    clusters = flat = 0
    for _ in range(400):
        table = raters(rng, shape, 3.0, rater=0.6, item=0.1, noise=0.5)
        clusters += abs(table.mean() - 3.0) <= half_width(table)
        flat += abs(table.mean() - 3.0) <= t_half_width(table.ravel())
    assert 0.92 <= clusters / 400 <= 0.98  # 0.95, give or take 2.8 standard errors
    assert flat / 400 < 0.6


def test_the_interval_of_a_difference_covers_a_known_effect_and_is_narrower_than_those_of_the_means():
    """Systems share their raters and items, so what these have in common cancels."""
    rng = np.random.default_rng(3)
    covered, halves = 0, []
    for _ in range(300):
        shared = raters(rng, (10, 20), 0.0, rater=0.8, item=0.8, noise=0.0)
        tables = np.stack([shared + raters(rng, (10, 20), mean, 0.3, 0.3, 0.5) for mean in (3.5, 3.1)])
        means = cluster_means(tables, np.ones_like(tables), draws=300)
        half = cluster_half_width(means[:, 0] - means[:, 1], 10)
        halves.append((half, cluster_half_width(means[:, 0], 10)))
        covered += abs(tables[0].mean() - tables[1].mean() - 0.4) <= half
    assert covered / 300 >= 0.92
    of_difference, of_mean = np.mean(halves, axis=0)
    assert of_difference < 0.7 * of_mean


def test_rows_are_counted_and_sorted_and_differences_follow():
    tables = {"worse": np.full((3, 4), 2.0), "better": np.full((3, 4), 4.0)}
    tables["better"][0, 0] = 5
    tables["worse"][2] = np.nan
    report = mos(answers(tables))
    better, worse = report.rows
    assert (better.system, worse.system) == ("better", "worse")
    assert (worse.ratings, worse.raters, worse.items) == (8, 2, 4)
    assert worse.clusters == 0 and better.mean == pytest.approx(49 / 12)
    [difference] = report.differences
    assert (difference.first, difference.second) == ("better", "worse")
    assert difference.mean == pytest.approx(better.mean - 2)


def test_the_report_does_not_depend_on_the_order_of_ratings():
    given = answers({"a": golden().T, "b": golden().T[:, ::-1]})
    other = Answers("s", tuple(reversed(given.ratings)), {})
    assert mos(given) == mos(other) and mos(given, seed=1) != mos(given)


def test_one_rater_has_no_cluster_interval():
    report = mos(answers({"a": np.array([[3.0, 4.0, 5.0]])}))
    assert report.rows[0].clusters is None and report.rows[0].t is not None
    assert "| a | 4.00 | – |" in report.markdown()
    json.loads(report.to_json())


def anchored():
    """Two attentive raters, and one who gives any score at all."""
    true, low = np.full((3, 5), 5.0), np.full((3, 5), 1.0)
    true[2], low[2] = [3, 2, 4, 3, 1], [3, 4, 2, 3, 5]
    system = np.array([[4.0] * 5, [4.0] * 5, [1.0] * 5])
    return answers({TRUE: true, LOW: low, "a": system})


def test_a_rater_who_fails_the_anchors_is_reported_and_dropped_only_on_demand():
    report = mos(anchored())
    [failed] = report.failed
    assert (failed.rater, failed.above, failed.pairs) == ("r2", 1, 5)
    assert "rater r2 failed" in report.markdown() and "counted all the same" in report.markdown()
    assert {row.system: row.raters for row in report.rows} == {TRUE: 3, LOW: 3, "a": 3}
    dropped = mos(anchored(), drop=True)
    assert {row.system: (row.mean, row.raters) for row in dropped.rows} == {TRUE: (5, 2), "a": (4, 2), LOW: (1, 2)}
    assert "left out" in dropped.markdown()
    assert [(one.first, one.second, one.mean) for one in dropped.differences] == [(TRUE, "a", 1.0)]


def test_without_anchors_nobody_fails():
    report = mos(answers({"a": np.full((2, 2), 3.0)}), drop=True)
    assert not report.failed and "nobody could be screened" in report.markdown()


def test_dropping_everybody_is_an_error():
    with pytest.raises(AnswersError, match="every rater failed"):
        mos(answers({TRUE: np.full((2, 3), 1.0), LOW: np.full((2, 3), 1.0)}), drop=True)


TRIALS = {
    "x.flac": {"question": "quality", "item": "dog", "system": "ours"},
    "y.mp4": {"question": "alignment", "item": "dog", "system": TRUE},
}


def saved(path, **changes):
    """A file as the page saves it."""
    body = {"format": ANSWERS_FORMAT, "study": "s", "rater": "ann", "order": ["x.flac", "y.mp4"]}
    path.write_text(json.dumps(body | {"answers": {"x.flac": {"score": 4}}} | changes))
    return path


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "key.json"
    path.write_text(json.dumps({"format": KEY_FORMAT, "study": "s", "trials": TRIALS}))
    return path


def test_answers_get_their_names_back(tmp_path, key):
    both = {"x.flac": {"score": 2}, "y.mp4": {"score": 5}}
    files = [saved(tmp_path / "a.json"), saved(tmp_path / "b.json", rater="bob", answers=both)]
    given = read_answers(files, key)
    assert given.ratings == (
        Rating("ann", "quality", "dog", "ours", 4),
        Rating("bob", "quality", "dog", "ours", 2),
        Rating("bob", "alignment", "dog", TRUE, 5),
    )
    report = mos(given)
    assert report.incomplete == {"ann": (1, 2)} and "rater ann answered 1 of 2" in report.markdown()
    assert [row.question for row in report.rows] == ["quality", "alignment"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"study": "t"}, "study t"),
        ({"format": KEY_FORMAT}, "expected 'frieren-listening-answers-1'"),
        ({"answers": {"z": {"score": 3}}}, "trial z is not in"),
        ({"answers": {"x.flac": {"score": 6}}}, "score 6"),
        ({"answers": {"x.flac": {"score": 3.0}}}, r"score 3\.0"),
        ({"answers": {"x.flac": {"score": True}}}, "score True"),
        ({"answers": {}}, "no answer"),
    ],
)
def test_bad_answers_are_refused_by_name(tmp_path, key, changes, message):
    with pytest.raises(AnswersError, match=message):
        read_answers([saved(tmp_path / "a.json", **changes)], key)


def test_a_rater_who_occurs_twice_and_what_is_no_json_are_refused(tmp_path, key):
    first = saved(tmp_path / "a.json")
    with pytest.raises(AnswersError, match=r"a \(1\)\.json: rater 'ann' is in .*a\.json too"):
        read_answers([first, saved(tmp_path / "a (1).json")], key)
    (tmp_path / "c.json").write_text("{")
    with pytest.raises(AnswersError, match=r"c\.json: cannot be read as JSON"):
        read_answers([tmp_path / "c.json"], key)

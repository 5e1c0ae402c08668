"""What listeners said: means, t-intervals, and a bootstrap that knows that ratings come in clusters.

frieren evaluate --mos answers_*.json --key study.key.json --drop

Two intervals stand beside each mean. `t` is what papers print, t(0.975, n - 1) s / sqrt(n) over all ratings: it takes
them for independent, which they are not (who likes one sound likes the next; a hard video is hard for all). `clusters`
draws raters and items anew, both at once. With 20 or 60 items, 6 to 30 raters and ordinary spreads, the first covers
the truth in 25 to 92 of 100 studies where it says 95, the second in 94 to 100.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from frieren.errors import FrierenError

ANSWERS_FORMAT = "frieren-listening-answers-1"
KEY_FORMAT = "frieren-listening-key-1"
# The hidden anchors, named as they stand in the key and in the tables.
TRUE, LOW = "true sound", "low anchor"
SCORES = range(1, 6)
CODES = {"quality": "MOS-Q", "alignment": "MOS-A"}
PASS = 0.75  # share of items at which a rater has to put the true sound above the low anchor
DRAWS = 2000


class AnswersError(FrierenError):
    """A file of answers or a key cannot be used."""


@dataclass(frozen=True)
class Rating:
    """One score, 1 to 5, that one rater gave to one system's sound for one item."""

    rater: str
    question: str
    item: str
    system: str
    score: int


@dataclass(frozen=True)
class Answers:
    """All ratings of a study, and how many of their trials each rater answered: rater -> (answered, given)."""

    study: str
    ratings: tuple[Rating, ...]
    progress: dict[str, tuple[int, int]]


def read_answers(paths: Iterable[str | Path], key: str | Path) -> Answers:
    """The files that raters sent back, with the systems' names put back in.

    Args:
        paths: saved by the page, one per rater.
        key: written beside the page; it stays with the experimenter.

    Raises:
        AnswersError: unreadable, another study's, an unknown trial, a score outside 1..5, a rater who occurs twice.
    """
    secret = _load(key, KEY_FORMAT)
    ratings: list[Rating] = []
    progress: dict[str, tuple[int, int]] = {}
    origin: dict[str, str | Path] = {}
    for path in paths:
        given = _load(path, ANSWERS_FORMAT)
        if given["study"] != secret["study"]:
            raise AnswersError(f"{path}: study {given['study']}, but {key} is of {secret['study']}; give its own key")
        rater = given["rater"]
        if rater in origin:
            raise AnswersError(f"{path}: rater {rater!r} is in {origin[rater]} too; keep the later of the two files")
        origin[rater] = path
        progress[rater] = len(given["answers"]), len(given["order"])
        for trial, answer in given["answers"].items():
            known = secret["trials"].get(trial)
            if known is None:
                raise AnswersError(f"{path}: trial {trial} is not in {key}; the file was changed after it was saved")
            if type(answer["score"]) is not int or answer["score"] not in SCORES:
                raise AnswersError(f"{path}: score {answer['score']!r} of trial {trial}; a score is 1, 2, 3, 4 or 5")
            ratings.append(Rating(rater, known["question"], known["item"], known["system"], answer["score"]))
    if not ratings:
        raise AnswersError("there is no answer in these files; give files that the page has saved")
    return Answers(secret["study"], tuple(ratings), progress)


def _load(path: str | Path, form: str) -> dict[str, Any]:
    """A JSON file of ours, with every entry that is read from it."""
    wanted = {ANSWERS_FORMAT: ("study", "rater", "order", "answers"), KEY_FORMAT: ("study", "trials")}[form]
    try:
        body = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AnswersError(f"{path}: cannot be read as JSON ({error}); give the file as the page saved it") from error
    if not isinstance(body, dict) or body.get("format") != form:
        found = body.get("format") if isinstance(body, dict) else type(body).__name__
        raise AnswersError(f"{path}: format {found!r}, expected {form!r}; answers and key are different files")
    missing = [name for name in wanted if name not in body]
    if missing:
        raise AnswersError(f"{path}: {', '.join(missing)} missing; give the file as the page saved it")
    return body


def t_half_width(values: Sequence[float] | np.ndarray) -> float | None:
    """t(0.975, n - 1) s / sqrt(n) of `values` [n], s with ddof 1; None for fewer than two."""
    values = np.asarray(values, dtype=np.float64)
    if len(values) < 2:
        return None
    return _t(len(values) - 1) * float(values.std(ddof=1)) / math.sqrt(len(values))


def _t(degrees: int) -> float:
    """The 97.5 % point of Student's t."""
    from scipy.stats import t

    return float(t.ppf(0.975, degrees))


def cluster_means(totals: np.ndarray, counts: np.ndarray, *, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Means of studies like this one: raters and items drawn anew with replacement, both at once (the "pigeonhole").

    Art Owen, "The pigeonhole bootstrap", 2007: its variance is never too small on average, and up to three times too
    large where neither raters nor items differ.

    Args:
        totals: [systems, raters, items], sum of the scores in each cell.
        counts: [systems, raters, items], how many.

    Returns:
        [draws, systems]; all systems share the draw, so that differences of columns are paired. NaN where a draw has
        no rating of a system.
    """
    _, raters, items = totals.shape
    rng = np.random.default_rng(seed)
    by_rater = rng.multinomial(raters, np.full(raters, 1 / raters), draws).astype(np.float64)
    by_item = rng.multinomial(items, np.full(items, 1 / items), draws).astype(np.float64)
    sums, weights = (np.stack([((by_rater @ one) * by_item).sum(1) for one in each], 1) for each in (totals, counts))
    return np.divide(sums, weights, out=np.full_like(sums, np.nan), where=weights > 0)


def cluster_half_width(means: np.ndarray, clusters: int) -> float | None:
    """t(0.975, clusters - 1) times the spread of `means` [draws]; None for one cluster.

    `clusters` is the smaller of the numbers of raters and items. Percentiles of `means` would be too narrow for the
    six raters of an ordinary study: 87 % instead of 95 %.
    """
    means = means[np.isfinite(means)]
    if clusters < 2 or len(means) < 2:
        return None
    return _t(clusters - 1) * float(means.std(ddof=1))


@dataclass(frozen=True)
class Row:
    """One system under one question: mean, spread and counts; half-widths of the two 95 % intervals."""

    question: str
    system: str
    mean: float
    sd: float | None
    t: float | None
    clusters: float | None
    ratings: int
    items: int
    raters: int


@dataclass(frozen=True)
class Difference:
    """Mean of `first` minus mean of `second` under one question, with the half-width of its cluster interval."""

    question: str
    first: str
    second: str
    mean: float
    clusters: float | None


@dataclass(frozen=True)
class Screen:
    """How one rater did on the hidden anchors: at how many of `pairs` items the true sound scored above the low one."""

    rater: str
    question: str
    above: int
    pairs: int

    @property
    def passed(self) -> bool:
        """Also true where nothing was tested."""
        return self.above >= PASS * self.pairs


@dataclass(frozen=True)
class MosReport:
    """Everything that a table in a paper should have said.

    Attributes:
        study: its number, as in the key.
        rows: per question and system, best first.
        differences: of each two systems under each question; the low anchor is there for the raters alone.
        screens: each rater's hidden anchors.
        dropped: whether those who failed them are left out of `rows` and `differences`, question by question.
        incomplete: raters who did not answer all their trials -> (answered, given).
        draws, seed: of the bootstrap.
    """

    study: str
    rows: tuple[Row, ...]
    differences: tuple[Difference, ...]
    screens: tuple[Screen, ...]
    dropped: bool
    incomplete: dict[str, tuple[int, int]]
    draws: int
    seed: int

    @property
    def failed(self) -> tuple[Screen, ...]:
        """Those that did not pass."""
        return tuple(one for one in self.screens if not one.passed)

    def to_json(self) -> str:
        """Everything above, and the constants that it rests on."""
        body = asdict(self) | {"scale": [SCORES[0], SCORES[-1]], "level": 0.95, "pass_share": PASS}
        body["screens"] = [asdict(one) | {"passed": one.passed} for one in self.screens]
        return json.dumps(body, indent=2, ensure_ascii=False) + "\n"

    def save(self, path: str | Path) -> None:
        """Write `to_json` to `path`."""
        Path(path).write_text(self.to_json(), encoding="utf-8")

    def markdown(self) -> str:
        """A table per question, the differences, and who failed the anchors or stopped early."""
        lines: list[str] = []
        for question in dict.fromkeys(row.question for row in self.rows):
            lines += [f"### {CODES.get(question, question)} (1 to 5)", ""]
            lines += ["| system | mean | ± clusters | ± t | s | ratings | items | raters |"]
            lines += ["|---|--:|--:|--:|--:|--:|--:|--:|"]
            lines += [
                f"| {row.system} | {row.mean:.2f} | {_shown(row.clusters)} | {_shown(row.t)} | {_shown(row.sd)} "
                f"| {row.ratings} | {row.items} | {row.raters} |"
                for row in self.rows if row.question == question
            ]  # fmt: skip
            pairs = [one for one in self.differences if one.question == question]
            if pairs:
                lines += ["", "| difference | mean | ± clusters |", "|---|--:|--:|"]
                lines += [f"| {d.first} − {d.second} | {d.mean:+.2f} | {_shown(d.clusters)} |" for d in pairs]
            lines += [""]
        lines += [
            "± are half-widths of 95 % intervals. *Clusters* draws raters and items anew and is the one to believe; "
            "*t* takes all ratings for independent, as most papers do; s is the standard deviation of single ratings.",
            "",
        ]
        lines += self._raters()
        return "\n".join(lines) + "\n"

    def _raters(self) -> list[str]:
        """What there is to say of single raters."""
        fate = "left out" if self.dropped else "counted all the same"
        lines = [
            f"- rater {one.rater} failed the hidden anchors of {CODES.get(one.question, one.question)} (true sound "
            f"above low anchor at {one.above} of {one.pairs}, {100 * PASS:g} % wanted): {fate}"
            for one in self.failed
        ]
        if not any(one.pairs for one in self.screens):
            lines.append("- no rater met both hidden anchors of an item: nobody could be screened")
        elif not lines:
            lines.append("- every rater passed the hidden anchors")
        for rater, (answered, given) in self.incomplete.items():
            lines.append(f"- rater {rater} answered {answered} of {given}")
        return lines


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def screened(ratings: Iterable[Rating]) -> tuple[Screen, ...]:
    """Each rater's hidden anchors, question by question; ties count against the rater."""
    scores = {(one.question, one.rater, one.item, one.system): one.score for one in ratings}
    above: Counter[tuple[str, str]] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    for (question, rater, item, system), score in scores.items():
        pairs[question, rater] += 0
        if system == TRUE and (question, rater, item, LOW) in scores:
            pairs[question, rater] += 1
            above[question, rater] += score > scores[question, rater, item, LOW]
    return tuple(
        Screen(rater, question, above[question, rater], pairs[question, rater]) for question, rater in sorted(pairs)
    )


def mos(answers: Answers, *, drop: bool = False, draws: int = DRAWS, seed: int = 0) -> MosReport:
    """Mean opinion scores of a study.

    Args:
        answers: from `read_answers`.
        drop: leave out raters who fail the hidden anchors of a question, for that question.
        draws, seed: of the cluster bootstrap.

    Raises:
        AnswersError: `drop` leaves nobody.
    """
    screens = screened(answers.ratings)
    out = {(one.rater, one.question) for one in screens if drop and not one.passed}
    kept = [one for one in answers.ratings if (one.rater, one.question) not in out]
    if not kept:
        raise AnswersError("every rater failed the hidden anchors; look at the answers without dropping anybody")
    rows: list[Row] = []
    differences: list[Difference] = []
    for question in sorted({one.question for one in kept}, key=lambda name: [*CODES, name].index(name)):
        table = [one for one in kept if one.question == question]
        of_question, of_pairs = _table(question, table, draws, seed)
        rows += of_question
        differences += of_pairs
    return MosReport(
        answers.study, tuple(rows), tuple(differences), screens, drop,
        {rater: counts for rater, counts in answers.progress.items() if counts[0] < counts[1]}, draws, seed,
    )  # fmt: skip


def _table(question: str, ratings: list[Rating], draws: int, seed: int) -> tuple[list[Row], list[Difference]]:
    """Rows, best first, and differences in the same order, of one question."""
    systems, raters, items = (sorted({getattr(r, name) for r in ratings}) for name in ("system", "rater", "item"))
    totals, counts = np.zeros((2, len(systems), len(raters), len(items)))
    for one in ratings:
        cell = systems.index(one.system), raters.index(one.rater), items.index(one.item)
        totals[cell] += one.score
        counts[cell] += 1
    means = cluster_means(totals, counts, draws=draws, seed=seed)
    met_raters, met_items = counts.any(2).sum(1), counts.any(1).sum(1)
    clusters = np.minimum(met_raters, met_items)
    rows = []
    for s, system in enumerate(systems):
        scores = np.array([one.score for one in ratings if one.system == system], dtype=np.float64)
        spread = float(scores.std(ddof=1)) if len(scores) > 1 else None
        rows.append(
            Row(
                question,
                system,
                float(scores.mean()),
                spread,
                t_half_width(scores),
                cluster_half_width(means[:, s], int(clusters[s])),
                len(scores),
                int(met_items[s]),
                int(met_raters[s]),
            )  # fmt: skip
        )
    rows.sort(key=lambda row: -row.mean)
    differences = []
    for first, second in combinations([row for row in rows if row.system != LOW], 2):
        a, b = systems.index(first.system), systems.index(second.system)
        half = cluster_half_width(means[:, a] - means[:, b], int(min(clusters[a], clusters[b])))
        differences.append(Difference(question, first.system, second.system, first.mean - second.mean, half))
    return rows, differences

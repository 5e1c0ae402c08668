"""The paper's claims as checks: a claim is a difference of one score between two rows, and has an interval.

It holds if the whole interval lies on its side of zero, does not hold if all of it lies on the other, and is otherwise
undecided: these clips are too few to tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from frieren.evaluation.intervals import Interval
from frieren.evaluation.scores import Score
from frieren.reproduction.cells import Cell
from frieren.reproduction.differences import ScoreDifference, difference, pooled, seeds_apart
from frieren.reproduction.tables import ACC, AP, F1, FAD, FD, IS, KID, KL, Column

Outcome = Literal["holds", "does not hold", "undecided", "not measured"]


@dataclass(frozen=True)
class Claim:
    """A claim: by a score, `first` is better than `second`, or worse.

    Attributes:
        text: as a sentence.
        first, second: names of rows.
        columns: the scores that it is about, each of them checked.
        worse: the claim is that `first` is the worse.
    """

    text: str
    first: str
    second: str
    columns: tuple[Column, ...]
    worse: bool = False


@dataclass(frozen=True)
class Check:
    """A claim by one of its scores.

    Attributes:
        difference: first minus second, with its interval over clips; None if one of them was not measured.
        seeds: interval over trainings, where there are several of both.
    """

    claim: Claim
    column: Column
    outcome: Outcome
    difference: ScoreDifference | None = None
    seeds: Interval | None = None


CLAIMS = (
    Claim("A straight path beats diffusion with the same network at 25 steps", "same-25", "ldm-25", (FD, IS, FAD, ACC)),
    Claim("A straight path beats diffusion with the same network at 5 steps", "same-5", "ldm-5", (FD, IS, FAD, ACC)),
    Claim("Frieren beats Diff-Foley", "same-25", "diff-foley-25", (IS, FAD, ACC)),
    Claim("Frieren beats SpecVQGAN", "same-25", "specvqgan", (FD, IS, FAD, ACC)),
    Claim("Frieren beats Im2Wav", "same-25", "im2wav", (FD, IS, FAD, ACC)),
    Claim("Dopri5 gains FD and IS over 25 Euler steps", "same-dopri5", "same-25", (FD, IS)),
    Claim("LDM is in better time than Diff-Foley", "ldm-25", "diff-foley-25", (ACC,)),
    Claim(
        "Classifier guidance hurts Diff-Foley at 5 steps",
        "diff-foley-5",
        "diff-foley-plain-5",
        (FD, IS, KL, KID, ACC),
        worse=True,
    ),
    Claim("5 steps without reflow are worse than 25", "frieren-5", "frieren-25", (FD, IS, FAD), worse=True),
    Claim("1 step without reflow is much worse", "frieren-1", "frieren-25", (FD, IS, KL, FAD, ACC), worse=True),
    Claim("Reflow costs quality at 25 steps", "reflow-25", "frieren-25", (FD, IS, FAD), worse=True),
    Claim("Reflow makes 5 steps better", "reflow-5", "frieren-5", (FD, IS, FAD, ACC)),
    Claim("Reflow makes 1 step better", "reflow-1", "frieren-1", (FD, IS, FAD, ACC)),
    Claim("Distillation makes 1 step better than reflow alone", "distilled-1", "reflow-1", (FD, IS, FAD, ACC)),
    Claim("1 distilled step is in better time than 25 steps", "distilled-1", "frieren-25", (ACC, F1, AP)),
    Claim("1 distilled step costs quality against 25 steps", "distilled-1", "frieren-25", (KL, FAD, KID), worse=True),
    Claim("Guidance improves alignment and IS", "frieren-25", "frieren-25-plain", (ACC, IS, AP)),
    Claim("Guidance of 4.5 costs quality against 2", "guidance-4.5", "guidance-2", (FAD, FD), worse=True),
    Claim("Stronger guidance raises IS and Acc further", "guidance-4.5", "guidance-2", (IS, ACC)),
    Claim("The small network is worse", "small-25", "base-25", (FD, IS, KL, FAD, KID, ACC), worse=True),
    Claim("The large network is no better: worse", "large-25", "base-25", (IS, KL, FAD, KID, ACC), worse=True),
    Claim("A low feature rate limits synchrony", "contrastive-4-25", "contrastive-20-25", (ACC, AP), worse=True),
    Claim("The weight gains IS and Acc", "weighted-25", "uniform-25", (IS, ACC)),
    Claim("The weight loses FD, FAD and KID", "weighted-25", "uniform-25", (FD, FAD, KID), worse=True),
    Claim("Joined channels keep better time than cross-attention", "same-25", "crossed-25", (ACC, F1, AP)),
    Claim("Reflow has to be of the guided field", "same-reflow-5", "same-reflow-plain-5", (FD, IS, FAD, ACC)),
    Claim("A learned vocoder beats Griffin-Lim", "frieren-25", "frieren-25-griffin-lim", (FD, IS, FAD)),
)


def check(claims: Sequence[Claim], cells: Mapping[str, Sequence[Cell]]) -> list[Check]:
    """Check claims by the cells of rows: one for each training of a row."""
    return [check_one(claim, column, cells) for claim in claims for column in claim.columns]


def check_one(claim: Claim, column: Column, cells: Mapping[str, Sequence[Cell]]) -> Check:
    """Check a claim by one score."""
    ours, theirs = (scores_of(cells.get(name, ()), column) for name in (claim.first, claim.second))
    if not ours or not theirs:
        return Check(claim, column, "not measured")
    found = difference(pooled(ours), pooled(theirs))
    seeds = seeds_apart([one.value or 0.0 for one in ours], [one.value or 0.0 for one in theirs])
    sign = (1 if ours[0].better == "higher" else -1) * (-1 if claim.worse else 1)
    return Check(claim, column, outcome(sign, found.interval, seeds), found, seeds)


def outcome(sign: int, *intervals: Interval | None) -> Outcome:
    """Return whether all intervals lie on the side of zero that `sign` names, or all on the other.

    An interval that is not there says nothing; without any the claim is undecided.
    """
    known = [one for one in intervals if one is not None]
    if known and all(min(sign * one.low, sign * one.high) > 0 for one in known):
        return "holds"
    if known and all(max(sign * one.low, sign * one.high) < 0 for one in known):
        return "does not hold"
    return "undecided"


def scores_of(cells: Sequence[Cell], column: Column) -> list[Score]:
    """Return one score of every training of a row; none if one was not measured."""
    found = [one for cell in cells if (one := cell.score(column.prefix)) is not None and one.value is not None]
    return found if len(found) == len(cells) else []

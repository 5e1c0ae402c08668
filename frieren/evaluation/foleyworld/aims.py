"""What is asked of a model that ships, and whether it is met."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from frieren.evaluation.foleyworld.beside import ALL, Beside
from frieren.evaluation.foleyworld.resynthesis import RIVALS, Resynthesis
from frieren.evaluation.foleyworld.struck import Struck

MANY = 25  # solver steps from which on a model is held to the first of the two
TIMING = (0.90, 0.85)  # onset F1 over that of the true sound: with many steps, and with few
WORST_KIND = 0.70  # the same of every kind
CONTROL = 0.05  # onset F1 with foreign videos, from chance
DETECTOR = 0.90  # onset F1 of the true sound
ALIGNMENT = 0.02  # share that the classifier accepts, below that of true pairs
KIND = 0.95  # share that the tagger names, over that of the true sound
NEARER = 1.0  # distance of Griffin-Lim over that of the vocoder, from the same mel


@dataclass(frozen=True)
class Aim:
    """One number that is asked for.

    Attributes:
        what: is measured.
        of: the model, or the sounds.
        value: NaN if it could not be measured, which meets no aim.
        bound: that it has to reach, or must not exceed.
        least: whether it is the former.
    """

    what: str
    of: str
    value: float
    bound: float
    least: bool = True

    @property
    def met(self) -> bool:
        """Whether it is."""
        return bool(self.value >= self.bound if self.least else self.value <= self.bound)

    @property
    def asked(self) -> str:
        """The bound in words."""
        return f"at {'least' if self.least else 'most'} {self.bound:g}"


def timing(of: str, steps: int, struck: Struck) -> Iterator[Aim]:
    """Of a model that is sampled with so many steps."""
    by_kind = {kind: one.value for kind, one in struck.groups["kind"].items()}
    worst = min(by_kind, key=lambda kind: np.nan_to_num(by_kind[kind], nan=-1))  # not defined: worse than never
    yield Aim("timing: F1 generated / true", of, struck.groups[ALL][ALL].value, TIMING[steps < MANY])
    yield Aim(f"timing: worst kind ({worst})", of, by_kind[worst], WORST_KIND)
    apart = abs(struck.foreign - struck.foreign_chance)
    yield Aim("timing: foreign videos from chance", of, apart, CONTROL, least=False)


def detector(struck: Struck) -> Aim:
    """Of the onset detector, whatever the model."""
    return Aim("timing: F1 of the detector itself", "true sounds", struck.groups[ALL][ALL].true, DETECTOR)


def fitting(of: str, alignment: Beside, kinds: Mapping[str, Beside]) -> Iterator[Aim]:
    """Of a model."""
    if alignment.clips:
        yield Aim("alignment: accepted, generated - true", of, alignment.value, -ALIGNMENT)
    if ALL in kinds:
        yield Aim("kind: named, generated / true", of, kinds[ALL].value, KIND)


def vocoder(of: str, found: Resynthesis) -> Iterator[Aim]:
    """Of a vocoder, with some sounds."""
    for way in RIVALS:
        for measure, times in found.times_nearer(way).items():
            yield Aim(f"{way}: Griffin-Lim is further, times, {measure}", of, times, NEARER)

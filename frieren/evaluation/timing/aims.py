"""What is required of a model's timing: one set of aims for `evaluate timing` and `evaluate foleyworld`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from frieren.evaluation.timing.by_kind import OnsetTiming

MANY_STEPS = 25  # solver steps from which on the higher aim holds
F1_MANY_STEPS, F1_FEW_STEPS = 0.90, 0.85  # onset F1 over that of the reference sound
WORST_KIND = 0.70  # the same of every kind
CONTROL = 0.05  # onset F1 with mismatched videos, from chance
DETECTOR = 0.90  # onset F1 of the reference sound


@dataclass(frozen=True)
class Aim:
    """One required number.

    Attributes:
        what: the quantity.
        of: the model, or the sounds.
        value: measured; NaN if it could not be measured, which meets no aim.
        bound: to be reached, or not to be exceeded.
        least: True if the value has to reach the bound, False if it must not exceed it.
    """

    what: str
    of: str
    value: float
    bound: float
    least: bool = True

    @property
    def met(self) -> bool:
        """True if the value meets the bound."""
        return bool(self.value >= self.bound if self.least else self.value <= self.bound)

    @property
    def requirement(self) -> str:
        """The bound with its direction, as in "≥ 0.9"."""
        return f"{'≥' if self.least else '≤'} {self.bound:g}"


def timing_aims(of: str, steps: int, timing: OnsetTiming) -> Iterator[Aim]:
    """Yield the aims of a model that is sampled with `steps` solver steps."""
    worst, value = timing.worst_kind
    bound = F1_MANY_STEPS if steps >= MANY_STEPS else F1_FEW_STEPS
    yield Aim("timing: F1, generated / reference", of, timing.overall.value, bound)
    yield Aim(f"timing: worst kind ({worst})", of, value, WORST_KIND)
    excess = abs(timing.mismatched - timing.mismatched_chance)
    yield Aim("timing: mismatched videos, from chance", of, excess, CONTROL, least=False)


def detector_aim(timing: OnsetTiming) -> Aim:
    """Return the aim of the onset detector itself, whatever the model."""
    return Aim("timing: F1 of the detector", "reference", timing.overall.reference, DETECTOR)

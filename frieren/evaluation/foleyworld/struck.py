"""When it strikes: onset F1 within 50 ms on clips whose only sounds are visible impacts, against their scripts.

    true      the detector on the true sound: what could be reached
    made      the same on the generated sound; over the former it is the ratio that models are judged by
    chance    the generated sound under random circular shifts
    foreign   the generated sound of a clip that shares no kind with this one; and the same under random shifts

A model that knows from the picture when things strike has a foreign F1 like that of the shifts: what it gains over
chance with the right video, it loses with another one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from frieren.evaluation.foleyworld.beside import Beside, groups, ratio
from frieren.evaluation.foleyworld.observed import Observed
from frieren.evaluation.timing.chance import strangers
from frieren.evaluation.timing.envelope import Envelope
from frieren.evaluation.timing.onsets import OnsetDetector, true_onsets
from frieren.evaluation.timing.scores import SHIFTS, Heard, Measured, Truth, compare

WINDOW = 0.050  # seconds


@dataclass(frozen=True)
class Struck:
    """Onset F1 of one model.

    Attributes:
        groups: "all", "kind", "level", "pair" -> group -> F1 of generated beside true sounds, and their ratio.
        chance, chance_95: mean and 95th percentile of F1 over the shifts.
        foreign, foreign_chance: F1 with the sounds of foreign clips, and its mean over shifts of the same; NaN if no
            clip has a foreign one.
    """

    groups: Mapping[str, Mapping[str, Beside]]
    chance: float
    chance_95: float
    foreign: float
    foreign_chance: float


def measure(observed: Sequence[Observed], name: str, *, shifts: int = SHIFTS, seed: int = 0) -> Struck | None:
    """Of the model of that name; None if there is no such clip."""
    there = [one for one in observed if one.true.heard is not None]
    if not there:
        return None
    truths = [true_onsets(one.clip.events)[0] for one in there]
    made = [one.made[name].heard for one in there]
    own = [(sound, Truth(true, None, one.true.heard)) for sound, true, one in zip(made, truths, there, strict=True)]
    swapped = [(made[other], Truth(truths[place], None, None)) for place, other in foreign(there, seed)]
    f1, other = f1_of(own, shifts, seed), f1_of(swapped, shifts, seed) if swapped else None
    by_group = {
        by: {group: beside(f1.of(places)) for group, places in some.items()}
        for by, some in groups([one.clip for one in there]).items()
    }
    strange = (other.value, other.chance_mean) if other else (np.nan, np.nan)
    return Struck(by_group, f1.chance_mean, f1.chance_upper, *strange)


def f1_of(pairs: Sequence[tuple[Heard, Truth]], shifts: int, seed: int) -> Measured:
    """F1 of sounds against what is known, with its shifts and, where a true sound is given, its ceiling."""
    settings = {"detector": OnsetDetector(), "meter": Envelope(), "windows": (WINDOW,), "shifts": shifts, "seed": seed}
    return compare(pairs, **settings).measured[f"onset_f1_{1e3 * WINDOW:g}ms"]


def beside(f1: Measured) -> Beside:
    """The generated sounds' F1 beside that of the detector on the true ones."""
    return ratio(f1.values[:, 0], f1.weights, f1.ceiling_values, f1.ceiling_weights)


def foreign(observed: Sequence[Observed], seed: int) -> list[tuple[int, int]]:
    """(clip, foreign clip) by their places: another one at random that shares no kind; clips that have one."""
    rng, kinds = np.random.default_rng(seed), [one.clip.kinds for one in observed]
    found = ((place, strangers(kinds, place)) for place in range(len(kinds)))
    return [(place, int(rng.choice(others))) for place, others in found if others]

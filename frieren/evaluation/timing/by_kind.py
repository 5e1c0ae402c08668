"""Onset F1 of a model's sounds for FoleyWorld clips whose only sounds are visible impacts, by the clips' scripts.

    reference    the detector on the clip's own sound: the ceiling
    generated    the same on the generated sound; over the former it is the ratio by which models are compared
    chance       the generated sound under random circular shifts
    mismatched   the generated sound of a clip that shares no kind with this one; and the same under random shifts

A model that knows the times of impacts from the video has a mismatched F1 at its own chance: what it gains over chance
with the right video, it loses with another one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from frieren.evaluation.paired import ALL, PairedScore, groups, paired_ratio
from frieren.evaluation.timing.clipsets import without_common_kind
from frieren.evaluation.timing.envelope import Envelope
from frieren.evaluation.timing.onset_detector import OnsetDetector, event_onsets
from frieren.evaluation.timing.onset_scores import compare
from frieren.evaluation.timing.pooled import PooledScore
from frieren.evaluation.timing.protocol import F1, SHIFTS, WINDOW, ReferenceTiming, SoundTiming
from frieren.world import Clip


@dataclass(frozen=True)
class OnsetTiming:
    """Onset F1 of one model.

    Attributes:
        groups: "all", "kind", "level", "pair" -> group -> F1 of generated and reference sounds, and their ratio.
        chance, chance_95: mean and 95th percentile of F1 over the shifts.
        mismatched, mismatched_chance: F1 with the sounds of clips of other kinds, and its mean over shifts of the same;
            NaN if no clip has another one.
    """

    groups: Mapping[str, Mapping[str, PairedScore]]
    chance: float
    chance_95: float
    mismatched: float
    mismatched_chance: float

    @property
    def overall(self) -> PairedScore:
        """F1 of all clips."""
        return self.groups[ALL][ALL]

    @property
    def worst_kind(self) -> tuple[str, float]:
        """The kind with the lowest ratio, and the ratio; one that is not defined is lower than any."""
        by_kind = {kind: one.value for kind, one in self.groups["kind"].items()}
        worst = min(by_kind, key=lambda kind: float(np.nan_to_num(by_kind[kind], nan=-1)))
        return worst, by_kind[worst]


def measure(
    clips: Sequence[Clip],
    generated: Sequence[SoundTiming],
    reference: Sequence[SoundTiming],
    *,
    shifts: int = SHIFTS,
    seed: int = 0,
) -> OnsetTiming:
    """Score the generated sounds of clips, at least one, by the clips' events.

    Args:
        clips: `events`, `kinds`, `level` and `unseen` are read.
        generated, reference: onsets of the sounds of each.
        shifts: how many random circular shifts.
        seed: of the shifts, and of the choice of mismatched sounds.
    """
    onsets = [event_onsets(clip.events) for clip in clips]
    own = [ReferenceTiming(times, None, sound) for times, sound in zip(onsets, reference, strict=True)]
    f1 = pooled_f1(list(zip(generated, own, strict=True)), shifts, seed)
    swapped = [
        (generated[other], ReferenceTiming(onsets[index], None, None)) for index, other in mismatches(clips, seed)
    ]
    control = pooled_f1(swapped, shifts, seed) if swapped else None
    return OnsetTiming(
        {by: {name: paired(f1.subset(at)) for name, at in some.items()} for by, some in groups(clips).items()},
        f1.chance_mean,
        f1.chance_upper,
        control.value if control else np.nan,
        control.chance_mean if control else np.nan,
    )


def pooled_f1(pairs: Sequence[tuple[SoundTiming, ReferenceTiming]], shifts: int, seed: int) -> PooledScore:
    """Return F1 within WINDOW, with its shifts and, where reference sounds are given, its ceiling."""
    found = compare(
        pairs, detector=OnsetDetector(), meter=Envelope(), windows=(WINDOW,), shifts=shifts, seed=seed
    )  # fmt: skip
    return found.pooled[F1]


def paired(f1: PooledScore) -> PairedScore:
    """Return the generated sounds' F1 with that of the detector on the reference sounds."""
    return paired_ratio(f1.values[:, 0], f1.weights, f1.ceiling_values, f1.ceiling_weights)


def mismatches(clips: Sequence[Clip], seed: int) -> list[tuple[int, int]]:
    """Return (clip, mismatched clip) by index: another one at random that shares no kind; clips that have one."""
    rng, kinds = np.random.default_rng(seed), [clip.kinds for clip in clips]
    found = ((index, without_common_kind(kinds, index)) for index in range(len(kinds)))
    return [(index, int(rng.choice(others))) for index, others in found if others]

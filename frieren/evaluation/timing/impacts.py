"""Timing of a model on FoleyWorld clips whose only sounds are visible impacts: `evaluate timing`, `evaluate sweep`.

Onset F1 by kind and with controls (`by_kind`), the aims, and all timing scores (`scores`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from frieren.evaluation.paired import ALL
from frieren.evaluation.tables import decimals, span, table
from frieren.evaluation.timing.aims import Aim, detector_aim, timing_aims
from frieren.evaluation.timing.by_kind import OnsetTiming
from frieren.evaluation.timing.by_kind import measure as onset_timing
from frieren.evaluation.timing.clipsets import reference_wave
from frieren.evaluation.timing.envelope import Envelope
from frieren.evaluation.timing.onset_detector import OnsetDetector, event_onsets
from frieren.evaluation.timing.onset_scores import TimingScores, compare
from frieren.evaluation.timing.protocol import SHIFTS, WINDOW, ReferenceTiming, analyse

if TYPE_CHECKING:
    from frieren.world import Clip


@dataclass(frozen=True)
class ImpactReport:
    """Timing of one model on C clips.

    Attributes:
        model: its name.
        steps: solver steps with which it was sampled.
        onsets: F1 within 50 ms by kind, with chance and mismatched videos.
        scores: all timing scores.
    """

    model: str
    steps: int
    onsets: OnsetTiming
    scores: TimingScores

    def aims(self) -> list[Aim]:
        """Return what is required, and what was measured."""
        return [detector_aim(self.onsets), *timing_aims(self.model, self.steps, self.onsets)]

    def to_json(self) -> str:
        """Return everything above as JSON."""
        controls = ("chance", "chance_95", "mismatched", "mismatched_chance")
        body = {
            "model": self.model, "steps": self.steps, "clips": self.onsets.overall.clips,
            "onset_f1": {name: _finite(getattr(self.onsets, name)) for name in controls} | {
                "groups": {
                    by: {name: one.plain() for name, one in some.items()} for by, some in self.onsets.groups.items()
                },
            },
            "aims": [asdict(aim) | {"value": _finite(aim.value), "met": aim.met} for aim in self.aims()],
            "scores": self.scores.summary(),
        }  # fmt: skip
        return json.dumps(body | self.scores.settings(), indent=2) + "\n"

    def markdown(self) -> str:
        """Return tables of F1 by kind, the controls, the aims, and all scores."""
        by_kind = {ALL: self.onsets.overall, **self.onsets.groups["kind"]}
        kinds = (
            (kind, str(one.clips), *map(decimals, (one.generated, one.reference, one.value)), span(one.interval))
            for kind, one in by_kind.items()
        )
        onsets = self.onsets
        controls = (
            ("chance (shifted at random)", decimals(onsets.chance), decimals(onsets.chance_95)),
            ("mismatched videos", decimals(onsets.mismatched), ""),
            ("mismatched videos, chance", decimals(onsets.mismatched_chance), ""),
        )
        aims = ((aim.what, aim.requirement, "yes" if aim.met else "no", decimals(aim.value)) for aim in self.aims())
        parts = (
            f"Onset F1 within {1e3 * WINDOW:g} ms of {self.model}, {self.steps} steps\n",
            table(("kind", "clips", "generated", "reference", "ratio", "95 % interval"), kinds),
            table(("control", "F1", "95th percentile"), controls),
            table(("aim", "required", "met", "measured"), aims, words=3),
            self.scores.markdown(),
        )
        return "\n".join(parts)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def measure(
    generate: Callable[[Clip], np.ndarray],
    clips: Sequence[Clip],
    sample_rate: int,
    *,
    model: str,
    steps: int,
    shifts: int = SHIFTS,
    seed: int = 0,
    on_clip: Callable[[int, Clip, np.ndarray], None] | None = None,
) -> ImpactReport:
    """Measure a model.

    Args:
        generate: clip -> wave [S] at `sample_rate`; uses the frames only. Called once per clip.
        clips: as `impact_clips` gives them.
        sample_rate: of the reference and the generated waves.
        model, steps: as of the report.
        shifts: how many random circular shifts.
        seed: of the shifts, and of the choice of mismatched videos.
        on_clip: called with (index in `clips`, clip, generated wave) after each clip, for progress and pictures.

    Raises:
        ValueError: if there is no clip.
    """
    detector, meter = OnsetDetector(), Envelope()
    generated, reference = [], []
    for index, clip in enumerate(clips):
        wave = np.asarray(generate(clip))[: round(clip.seconds * sample_rate)]
        reference.append(analyse(reference_wave(clip), sample_rate, detector, meter))
        generated.append(analyse(wave, sample_rate, detector, meter))
        if on_clip is not None:
            on_clip(index, clip, wave)
    known = [
        ReferenceTiming(event_onsets(clip.events), sound.level, sound)
        for clip, sound in zip(clips, reference, strict=True)
    ]
    pairs = zip(generated, known, strict=True)
    scores = compare(pairs, detector=detector, meter=meter, shifts=shifts, seed=seed)
    return ImpactReport(model, steps, onset_timing(clips, generated, reference, shifts=shifts, seed=seed), scores)

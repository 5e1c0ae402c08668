"""Timing of a model on FoleyWorld clips of sustained sounds, such as rain, engines and wind: `evaluate timing`.

The level of the generated sound is correlated with the loudness in the clip's script; the ceiling is that of the
reference sound, chance that of the generated sound under random circular shifts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from frieren.evaluation.tables import table
from frieren.evaluation.timing.clipsets import reference_wave
from frieren.evaluation.timing.envelope import Envelope
from frieren.evaluation.timing.onset_detector import OnsetDetector
from frieren.evaluation.timing.onset_scores import HEADING, TimingScores, compare, score_row
from frieren.evaluation.timing.protocol import SHIFTS, ReferenceTiming, analyse

if TYPE_CHECKING:
    from frieren.world import Clip


@dataclass(frozen=True)
class SteadyReport:
    """The envelope scores of one model.

    Attributes:
        timing: of all clips.
        kinds: [C] the kind of each clip.
    """

    timing: TimingScores
    kinds: tuple[str, ...]

    def groups(self) -> dict[str, TimingScores]:
        """Return the scores by kind, then those of all clips."""
        indices = {kind: [i for i, one in enumerate(self.kinds) if one == kind] for kind in sorted(set(self.kinds))}
        return {kind: self.timing.subset(clips) for kind, clips in indices.items()} | {"all": self.timing}

    def to_json(self) -> str:
        """Return the envelope scores of every group, and the settings."""
        body = {kind: one.summary()["envelope"] for kind, one in self.groups().items()}
        return json.dumps({"envelope": body} | self.timing.settings(), indent=2) + "\n"

    def markdown(self) -> str:
        """Return a table with a row for every kind."""
        rows = (score_row(kind, one.summary()["envelope"]) for kind, one in self.groups().items())
        return "Correlation of the envelope with the script\n\n" + table(("kind", *HEADING[1:]), rows)


def measure(
    generate: Callable[[Clip], np.ndarray],
    clips: Sequence[Clip],
    sample_rate: int,
    *,
    meter: Envelope | None = None,
    shifts: int = SHIFTS,
    seed: int = 0,
    on_clip: Callable[[int, Clip, np.ndarray], None] | None = None,
) -> SteadyReport:
    """Measure a model.

    Args:
        generate: clip -> wave [S] at `sample_rate`; uses the frames only. Called once per clip.
        clips: as `steady_clips` gives them; `activities`, `kinds`, `wave` and `seconds` are read here.
        sample_rate: of the reference and the generated waves.
        meter: the fixed one by default.
        shifts: how many random circular shifts.
        seed: of the shifts.
        on_clip: called with (index in `clips`, clip, generated wave) after each clip, for progress and pictures.
    """
    detector, meter = OnsetDetector(), meter or Envelope()
    pairs = []
    for index, clip in enumerate(clips):
        wave = np.asarray(generate(clip))[: round(clip.seconds * sample_rate)]
        scripted = meter.activity(clip.activities, clip.seconds)
        reference = analyse(reference_wave(clip), sample_rate, detector, meter)
        pairs.append((analyse(wave, sample_rate, detector, meter), ReferenceTiming(None, scripted, reference)))
        if on_clip is not None:
            on_clip(index, clip, wave)
    timing = compare(pairs, detector=detector, meter=meter, shifts=shifts, seed=seed)
    return SteadyReport(timing, tuple("+".join(clip.kinds) for clip in clips))

"""Does the sound swell when the picture does: the protocol on FoleyWorld clips of rain, engines and wind.

The level of the generated sound is correlated with the loudness that the clip's script asks for, beside the same of the
true sound and of the generated sound under random circular shifts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from frieren.evaluation.timing.envelope import Envelope
from frieren.evaluation.timing.onsets import OnsetDetector
from frieren.evaluation.timing.scores import HEADING, RULE, SHIFTS, Timing, Truth, compare, listen, table_row

if TYPE_CHECKING:
    from frieren.world import Clip


@dataclass(frozen=True)
class SteadyReport:
    """The envelope scores of one model.

    Attributes:
        timing: of all clips.
        kinds: [C] the kind of each clip.
    """

    timing: Timing
    kinds: tuple[str, ...]

    def groups(self) -> dict[str, Timing]:
        """The scores by kind, then those of all clips."""
        places = {kind: [i for i, one in enumerate(self.kinds) if one == kind] for kind in sorted(set(self.kinds))}
        return {kind: self.timing.of(clips) for kind, clips in places.items()} | {"all": self.timing}

    def to_json(self) -> str:
        """The envelope scores of every group, and the settings."""
        body = {kind: one.summary()["envelope"] for kind, one in self.groups().items()}
        return json.dumps({"envelope": body} | self.timing.settings(), indent=2) + "\n"

    def markdown(self) -> str:
        """One row for every kind."""
        rows = [table_row(f"envelope, {kind}", one.summary()["envelope"]) for kind, one in self.groups().items()]
        return "\n".join([HEADING, RULE, *rows]) + "\n"


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
    """Run the protocol.

    Args:
        generate: clip -> wave [S] at `sample_rate`; looks at the picture only. Called once per clip, in order.
        clips: as `steady_clips` gives them; `activities`, `kinds`, `wave` and `seconds` are read here.
        sample_rate: of the true and the generated waves.
        meter: the fixed one by default.
        shifts: how many random circular shifts.
        seed: of the shifts.
        on_clip: told (position, clip, generated wave) after each clip, for progress and pictures.
    """
    detector, meter = OnsetDetector(), meter or Envelope()
    pairs = []
    for position, clip in enumerate(clips):
        wave = np.asarray(generate(clip))[: round(clip.seconds * sample_rate)]
        asked = meter.activity(clip.activities, clip.seconds)
        true = listen(clip.wave, sample_rate, detector, meter)
        pairs.append((listen(wave, sample_rate, detector, meter), Truth(None, asked, true)))
        if on_clip is not None:
            on_clip(position, clip, wave)
    timing = compare(pairs, detector=detector, meter=meter, shifts=shifts, seed=seed)
    return SteadyReport(timing, tuple("+".join(clip.kinds) for clip in clips))

"""The one timing protocol: windows, shifts, and what is measured of a sound and known of its reference.

`evaluate timing`, `evaluate sweep`, `evaluate foleyworld` and the timing rows of `evaluate scores` all follow it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from frieren.evaluation.timing.envelope import Envelope
from frieren.evaluation.timing.onset_detector import OnsetDetector, Onsets

WINDOWS = (0.050, 0.100)  # seconds; CondFoleyGen and Greatest Hits use the wider
WINDOW = WINDOWS[0]  # seconds, by which models are compared and aims are set
F1 = f"onset_f1_{1e3 * WINDOW:g}ms"  # the name of that score
SHIFTS = 1000  # random circular shifts of every clip
UPPER = 0.95  # quantile of chance that is shown with its mean


class SoundTiming(NamedTuple):
    """Onsets, level [T] in dB, and length in seconds of one wave."""

    onsets: Onsets
    level: np.ndarray
    seconds: float


class ReferenceTiming(NamedTuple):
    """Onsets and level with which a generated sound is compared.

    Attributes:
        onsets: [N] seconds, increasing; None where onsets are not to be measured.
        level: [T] dB; None where the envelope is not to be measured.
        sound: the reference sound, for the ceiling; None if there is none.
    """

    onsets: np.ndarray | None
    level: np.ndarray | None
    sound: SoundTiming | None


def analyse(wave: np.ndarray, sample_rate: int, detector: OnsetDetector, meter: Envelope) -> SoundTiming:
    """Return onsets and level of `wave` [S]."""
    return SoundTiming(detector.find(wave, sample_rate), meter.level(wave, sample_rate), len(wave) / sample_rate)

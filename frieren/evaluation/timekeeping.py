"""Timing as rows of the report: what is struck and how loud it is, heard as a network hears, in the same reading.

What is known of a true sound is what the detector hears in it; where FoleyWorld's script lies beside it as `<id>.json`,
as `frieren world render` writes it, the instants are those of its visible events.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from frieren.evaluation.cache import FeatureCache
from frieren.evaluation.envelope import Envelope
from frieren.evaluation.hearing import Listener
from frieren.evaluation.onsets import OnsetDetector, Onsets, true_onsets
from frieren.evaluation.protocol import FrontEnd, Pair, ProtocolError
from frieren.evaluation.scores import Score
from frieren.evaluation.timing import Heard, Timing, Truth, compare
from frieren.world.script import Event

TIMING = ("onsets", "envelope")
VERSION = 1  # any change of what is heard raises it, so that no older entry of the cache is taken


class Clockmaker:
    """An extractor without weights: onsets and level of a wave; its digest is that of its constants."""

    name, sample_rate = "timing", 16_000

    def __init__(self) -> None:
        import librosa.filters  # noqa: F401  here, as threads that import it at once would find it half done

        self.detector, self.meter = OnsetDetector(), Envelope()
        self.digest = FeatureCache.key(version=VERSION, detector=repr(self.detector), meter=repr(self.meter))

    def __call__(self, wave: Tensor) -> dict[str, Tensor]:
        """wave [S] -> "times" [K] seconds, "strengths" [K] dB, "level" [T] dB."""
        onsets = self.detector.find(wave.numpy(), self.sample_rate)
        level = self.meter.level(wave.numpy(), self.sample_rate)
        return {"times": torch.tensor(onsets.times), "strengths": torch.tensor(onsets.strengths), "level": torch.tensor(level)}


@dataclass(frozen=True)
class Timed:
    """A generated sound, what is known of the true one, and the script that this comes from, if there is one."""

    made: Heard
    truth: Truth
    script: Path | None


class Timekeeper:
    """Listens to pairs, and scores them.

    Args:
        listener: where files are read and what is heard is kept; all channels are heard, whatever its front end.
    """

    def __init__(self, listener: Listener) -> None:
        self.listener, self.ears = listener.through(FrontEnd()), Clockmaker()

    def hear(self, pair: Pair, seconds: float) -> Timed:
        """The first `seconds` of both sounds of a pair.

        Raises:
            ProtocolError: if the script beside the true sound cannot be read.
            VideoError: if a sound cannot.
        """
        made, true = (self._hear(path, seconds) for path in (pair.generated, pair.reference))
        events = read_script(script := pair.reference.with_suffix(".json"))
        if events is None:
            return Timed(made, Truth(true.onsets.times, true.level, true), None)
        instants, _ = true_onsets(event for event in events if event.visible and event.time < seconds)
        return Timed(made, Truth(instants, true.level, true), script)

    def _hear(self, path: Path, seconds: float) -> Heard:
        found = self.listener.features(self.ears, path, seconds)
        return Heard(Onsets(found["times"], found["strengths"]), found["level"], seconds)

    def compare(self, timed: Sequence[Timed], videos: Sequence[str]) -> Timing:
        """All scores of sounds that were heard, [N], of `videos` [N]."""
        pairs = ((one.made, one.truth) for one in timed)
        return compare(pairs, videos=videos, detector=self.ears.detector, meter=self.ears.meter)

    def rows(self, name: str, timing: Timing) -> Iterator[Score]:
        """The scores of `timing` that `name`, one of TIMING, stands for."""
        body = timing.summary()
        for key, one in timing.measured.items():
            if key.startswith(name.removesuffix("s")):
                undefined = f"{one.left_out} of {len(timing.videos)} sounds left out, for which it is not defined"
                notes = (undefined,) if one.left_out else ()
                interval = one.interval(timing.videos)
                row = body[key]
                yield self._row(key, row["value"], "higher", interval, row["clips"], beside(row), notes)
        if name == "onsets":
            row, best = body["offset_ms"], body["ceiling_offset_ms"]["median"]
            low, high = row["quartiles"]
            known = beside(row | {"ceiling": best}) | found({"lower quartile": low, "upper quartile": high})
            interval = timing.offset_interval()
            notes = () if row["pairs"] else ("no onset is matched",)
            yield self._row("onset_offset_ms", row["median"], "nearer 0", interval, row["pairs"], known, notes)

    def _row(self, name: str, value: float | None, better: str, interval: Any, count: int, *rest: Any) -> Score:
        known, notes = rest
        backbone = "level meter" if name == "envelope" else "onset detector"
        return Score(name, value, better, interval, count, backbone, self.ears.digest, beside=known, notes=notes)

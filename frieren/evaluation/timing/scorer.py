"""Timing as rows of the report: when something is struck and how loud it is, heard in the same reading of a file.

What is known of a true sound is what the detector hears in it; where FoleyWorld's script lies beside it as `<id>.json`,
as `frieren world render` writes it, the true instants are those of its visible events.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from frieren.evaluation.intervals import Interval
from frieren.evaluation.protocol import FrontEnd, Pair, ProtocolError
from frieren.evaluation.scorers.cache import FeatureCache
from frieren.evaluation.scorers.features import Listener
from frieren.evaluation.scores import Score
from frieren.evaluation.timing.envelope import Envelope
from frieren.evaluation.timing.onsets import OnsetDetector, Onsets, true_onsets
from frieren.evaluation.timing.scores import Heard, Timing, Truth, compare
from frieren.world.script import Event

TIMING = {"onsets": "onset detector", "envelope": "level meter"}  # scores, and what hears them
VERSION = 1  # any change of what is heard raises it: no older entry of a cache is taken for it
BESIDE = {"ceiling": "ceiling", "chance_mean": "chance", "chance_95": "chance, 95th percentile"}


@dataclass(frozen=True)
class Timed:
    """A generated sound and what is known of the true one; and the script that it is known from, if there is one."""

    made: Heard
    truth: Truth
    script: Path | None


class Timekeeper:
    """An extractor without weights: onsets and level of a wave. Its digest is that of its constants.

    Args:
        listener: where files are read and what was heard is kept; all channels are heard, whatever its front end.
    """

    name, sample_rate = "timing", 16_000

    def __init__(self, listener: Listener) -> None:
        import librosa.filters  # noqa: F401  (before threads do it, all at once)

        self.listener = listener.through(FrontEnd())
        self.detector, self.meter = OnsetDetector(), Envelope()
        self.constants = {name: dataclasses.asdict(getattr(self, name)) for name in ("detector", "meter")}
        self.digest = FeatureCache.key(version=VERSION, **self.constants)

    def __call__(self, wave: Tensor) -> dict[str, Tensor]:
        """wave [S] -> "times" [K] seconds, "strengths" [K] dB, "level" [T] dB."""
        onsets, level = self.detector.find(wave.numpy(), self.sample_rate), self.meter.level(wave, self.sample_rate)
        return {name: torch.as_tensor(value) for name, value in (*onsets._asdict().items(), ("level", level))}

    def hear(self, pair: Pair, seconds: float) -> Timed:
        """The first `seconds` of both sounds of a pair.

        Raises:
            ProtocolError: if the script beside the true sound cannot be read.
            VideoError: if a sound cannot.
        """
        made, true = (self.listener.features(self, path, seconds) for path in (pair.generated, pair.reference))
        # Sounds of other rates may be rounded to lengths that differ by a sample.
        count = min(len(made["level"]), len(true["level"]))
        ours, theirs = (
            Heard(Onsets(one["times"], one["strengths"]), one["level"][:count], seconds) for one in (made, true)
        )
        script = pair.reference.with_suffix(".json")
        events = read_events(script)
        if events is None:
            return Timed(ours, Truth(theirs.onsets.times, theirs.level, theirs), None)
        instants, _ = true_onsets(event for event in events if event.visible and event.time < seconds)
        return Timed(ours, Truth(instants, theirs.level, theirs), script)

    def compare(self, timed: Sequence[Timed], videos: Sequence[str]) -> Timing:
        """All scores of the sounds [N] of `videos` [N]."""
        pairs = ((one.made, one.truth) for one in timed)
        return compare(pairs, videos=videos, detector=self.detector, meter=self.meter)

    def rows(self, timing: Timing) -> dict[str, list[Score]]:
        """The scores that each of TIMING stands for."""
        body = timing.summary()
        offset = body["offset_ms"] | {"value": body["offset_ms"]["median"], "clips": body["offset_ms"]["pairs"]}
        offset["ceiling"] = body["ceiling_offset_ms"]["median"]
        quarters = dict(zip(("lower quartile", "upper quartile"), offset["quartiles"], strict=True))
        onsets = [self._score(name, body[name], "onsets") for name in timing.measured if name.startswith("onset")]
        last = self._score("onset_offset_ms", offset, "onsets")
        known = {**last.beside, **quarters} if offset["pairs"] else {}
        notes = () if offset["pairs"] else ("no onset is matched",)
        onsets.append(dataclasses.replace(last, better="nearer 0", beside=known, notes=notes))
        return {"onsets": onsets, "envelope": [self._score("envelope", body["envelope"], "envelope")]}

    def _score(self, name: str, row: Mapping[str, Any], kind: str) -> Score:
        """A row of the summary."""
        left_out = row.get("left_out", 0)
        return Score(
            name,
            row["value"],
            "higher",
            Interval(*row["interval"], "bootstrap") if row["interval"] else None,
            row["clips"],
            TIMING[kind],
            self.digest,
            beside={what: row[key] for key, what in BESIDE.items() if row[key] is not None},
            notes=(f"not defined for {left_out} of the sounds",) if left_out else (),
        )


def read_events(path: Path) -> list[Event] | None:
    """The events of a script of FoleyWorld; None where there is none: no file, or a .json of another kind.

    Raises:
        ProtocolError: if it is no JSON, or its events are not those of FoleyWorld.
    """
    if not path.is_file():
        return None
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(body, dict) or "world_version" not in body:
            return None
        return [Event(**event) for event in body["events"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ProtocolError(f"{path}: no script of FoleyWorld ({error}); repair it, or move it away") from error

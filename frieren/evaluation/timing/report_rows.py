"""Timing as rows of the report: onsets and levels of files, from the same decoding as all other features.

The reference onsets are those that the detector finds in the reference sound; where FoleyWorld's script lies with it as
`<id>.json`, as `frieren world render` writes it, they are its visible events.
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
from frieren.evaluation.scorers.features import FeatureExtractor
from frieren.evaluation.scores import Score
from frieren.evaluation.timing.envelope import Envelope
from frieren.evaluation.timing.onset_detector import OnsetDetector, Onsets, event_onsets
from frieren.evaluation.timing.onset_scores import TimingScores, compare
from frieren.evaluation.timing.protocol import ReferenceTiming, SoundTiming
from frieren.world.script import Event

TIMING = {"onsets": "onset detector", "envelope": "level meter"}  # scores, and what they are measured with
VERSION = 1  # any change of what is measured raises it: no older entry of a cache is taken for it
BASELINES = {"ceiling": "ceiling", "chance_mean": "chance", "chance_95": "chance, 95th percentile"}


@dataclass(frozen=True)
class TimingPair:
    """Timing of a generated sound and of its reference; and the script that the latter is from, if there is one."""

    video: str
    generated: SoundTiming
    reference: ReferenceTiming
    script: Path | None


class TimingScorer:
    """An extractor without weights: onsets and level of a wave. Its digest is that of its constants.

    Args:
        extractor: where files are read and results are kept; all channels count, whatever its front end.
    """

    name, sample_rate = "timing", 16_000

    def __init__(self, extractor: FeatureExtractor) -> None:
        import librosa.filters  # noqa: F401  (before threads do it, all at once)

        self.extractor = extractor.with_front(FrontEnd())
        self.detector, self.meter = OnsetDetector(), Envelope()
        self.constants = {
            "detector": dataclasses.asdict(self.detector), "meter": dataclasses.asdict(self.meter)
        }  # fmt: skip
        self.digest = FeatureCache.key(version=VERSION, **self.constants)

    def __call__(self, wave: Tensor) -> dict[str, Tensor]:
        """wave [S] -> "times" [K] seconds, "strengths" [K] dB, "level" [T] dB."""
        onsets = self.detector.find(wave.numpy(), self.sample_rate)
        level = self.meter.level(wave.numpy(), self.sample_rate)
        return {
            "times": torch.as_tensor(onsets.times),
            "strengths": torch.as_tensor(onsets.strengths),
            "level": torch.as_tensor(level),
        }

    def extract(self, files: Pair, seconds: float) -> TimingPair:
        """Return the timing of the first `seconds` of both sounds of a pair.

        Raises:
            ProtocolError: if the script of the reference cannot be read.
            VideoError: if a sound cannot be read.
        """
        both = [self.extractor.features(self, path, seconds) for path in (files.generated, files.reference)]
        # Sounds of other rates may be rounded to lengths that differ by a sample.
        count = min(len(one["level"]) for one in both)
        generated, reference = (
            SoundTiming(Onsets(one["times"], one["strengths"]), one["level"][:count], seconds) for one in both
        )
        script = files.reference.with_suffix(".json")
        events = read_events(script)
        if events is None:
            known = ReferenceTiming(reference.onsets.times, reference.level, reference)
            return TimingPair(files.video, generated, known, None)
        onsets = event_onsets(event for event in events if event.visible and event.time < seconds)
        return TimingPair(files.video, generated, ReferenceTiming(onsets, reference.level, reference), script)

    def compare(self, pairs: Sequence[TimingPair]) -> TimingScores:
        """Return all scores of the pairs."""
        timings = ((one.generated, one.reference) for one in pairs)
        return compare(timings, videos=[one.video for one in pairs], detector=self.detector, meter=self.meter)

    def rows(self, timing: TimingScores) -> dict[str, list[Score]]:
        """Return the scores by the names in TIMING."""
        body = timing.summary()
        offset = body["offset_ms"] | {"value": body["offset_ms"]["median"], "clips": body["offset_ms"]["pairs"]}
        offset["ceiling"] = body["ceiling_offset_ms"]["median"]
        quarters = dict(zip(("lower quartile", "upper quartile"), offset["quartiles"], strict=True))
        names = [name for name in timing.pooled if name.startswith("onset")]
        onsets = [self._score(name, body[name], "onsets", timing.terms(name)) for name in names]
        last = self._score("onset_offset_ms", offset, "onsets")
        known = {**last.baselines, **quarters} if offset["pairs"] else {}
        notes = () if offset["pairs"] else ("no onset is matched",)
        onsets.append(dataclasses.replace(last, better="nearer 0", baselines=known, notes=notes))
        envelope = self._score("envelope", body["envelope"], "envelope", timing.terms("envelope"))
        return {"onsets": onsets, "envelope": [envelope]}

    def _score(
        self, name: str, row: Mapping[str, Any], kind: str, terms: tuple[tuple[str, float, float], ...] = ()
    ) -> Score:
        """Turn a row of the summary into a score."""
        left_out = row.get("left_out", 0)
        return Score(
            name,
            row["value"],
            "higher",
            Interval(row["interval"][0], row["interval"][1], "bootstrap") if row["interval"] else None,
            row["clips"],
            TIMING[kind],
            self.digest,
            baselines={what: row[key] for key, what in BASELINES.items() if row[key] is not None},
            notes=(f"not defined for {left_out} of the sounds",) if left_out else (),
            terms=terms,
        )


def read_events(path: Path) -> list[Event] | None:
    """Read the events of a script of FoleyWorld; None without a file, or for a .json of another kind.

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

"""All of the benchmark in order: sounds, measurements, scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frieren.evaluation.foleyworld import fitting, resynthesis
from frieren.evaluation.foleyworld.aims import fitting_aims, scorer_aims, vocoder_aims
from frieren.evaluation.foleyworld.observed import ObservedClip, Observer
from frieren.evaluation.foleyworld.quality import QualityReport
from frieren.evaluation.foleyworld.quality import measure as measure_scorers
from frieren.evaluation.foleyworld.resynthesis import Resynthesis
from frieren.evaluation.foleyworld.takes import SPLIT, Takes
from frieren.evaluation.paired import PairedScore
from frieren.evaluation.scorers.alignment import WorldAlignment
from frieren.evaluation.scorers.extractors import WorldExtractor
from frieren.evaluation.timing.aims import Aim, detector_aim, timing_aims
from frieren.evaluation.timing.by_kind import OnsetTiming
from frieren.evaluation.timing.by_kind import measure as measure_onsets
from frieren.pipeline import Model

CLIPS = 512  # of `test`
VOCODED, RECORDED = 64, 128  # clips of them and recordings that go through the vocoder, at most
SOUNDS = "sounds"  # folder in that of the results

Progress = Callable[[str, int, int], None]  # stage, done, total


@dataclass(frozen=True)
class ModelScores:
    """Scores of one model.

    Attributes:
        takes: settings of its sounds.
        timing: onset F1; None if no clip allows it.
        alignment: share of its sounds that the classifier accepts, and of reference sounds.
        kinds: share of clips whose kind the tagger names, and of reference sounds: "all", and by kind.
    """

    takes: Mapping[str, Any]
    timing: OnsetTiming | None
    alignment: PairedScore
    kinds: Mapping[str, PairedScore]


@dataclass(frozen=True)
class Benchmark:
    """Everything that was measured.

    Attributes:
        models: by name.
        vocoders: by what went through: "<model>, FoleyWorld" and "<model>, recordings".
        clips: how many clips of `test` were used.
        digests: of the scorers.
        scorers: how good they are themselves, on the same clips; None if no clip lets them be wrong.
    """

    models: Mapping[str, ModelScores]
    vocoders: Mapping[str, Resynthesis]
    clips: int
    digests: Mapping[str, str]
    scorers: QualityReport | None

    def aims(self) -> list[Aim]:
        """Return what is required of everything, and what was measured."""
        timings = {name: one.timing for name, one in self.models.items() if one.timing is not None}
        found = [detector_aim(timing) for timing in list(timings.values())[:1]]
        found += scorer_aims(self.scorers) if self.scorers else []
        for name, timing in timings.items():
            found += timing_aims(name, self.models[name].takes["steps"], timing)
        for name, one in self.models.items():
            found += fitting_aims(name, one.alignment, one.kinds)
        for name, vocoder in self.vocoders.items():
            found += vocoder_aims(name, vocoder)
        return found


def measure(
    models: Mapping[str, Model],
    out: Path,
    tagger: WorldExtractor,
    classifier: WorldAlignment,
    *,
    count: int = CLIPS,
    recordings: Path | None = None,
    on_progress: Progress = lambda stage, done, total: None,
) -> Benchmark:
    """Measure models by the clips of `test`, and by the user's recordings.

    Args:
        models: by name; each at its own steps and guidance.
        out: folder where the sounds are kept.
        tagger, classifier: the scorers.
        count: how many clips, the first ones.
        recordings: folder of recordings for the vocoder, see `sounds.recorded`.

    Raises:
        FrierenError: if the folder of recordings holds nothing to measure by.
        OutputError: if `out` cannot be written to.
    """
    vocoders = {}
    for name, model in resynthesis.distinct(models).items():
        sets = {"FoleyWorld": resynthesis.world_sounds(model, min(VOCODED, count))}
        if recordings:
            sets["recordings"] = resynthesis.recorded_sounds(model, recordings, RECORDED)
        for what, waves in sets.items():

            def on_sound(done: int, what: str = what, total: int = len(waves)) -> None:
                on_progress(f"vocode {what}", done, total)

            vocoders[f"{name}, {what}"] = resynthesis.measure(model, waves, tagger, on_sound)
    takes = [Takes(name, model, out / SOUNDS) for name, model in models.items()]
    observer = Observer(takes, tagger, classifier)
    observed = list(observer.observe(count, lambda done: on_progress("measure", done, count)))
    scores = {one.name: scores_of(one, observed) for one in takes}
    digests = {"tagger": tagger.digest, "alignment": classifier.digest}
    quality = None
    if any(one.reference.accepted is not None for one in observed):
        quality = measure_scorers(
            SPLIT, count, tagger, classifier, on_clip=lambda done: on_progress("measure the scorers", done, count)
        )
    return Benchmark(scores, vocoders, count, digests, quality)


def scores_of(takes: Takes, observed: Sequence[ObservedClip]) -> ModelScores:
    """Return the scores of one model, from what was measured of its sounds."""
    name = takes.name
    return ModelScores(
        takes.settings, onset_timing(observed, name), fitting.alignment(observed, name), fitting.kinds(observed, name)
    )


def onset_timing(observed: Sequence[ObservedClip], name: str) -> OnsetTiming | None:
    """Return the onset F1 of one model; None if no clip allows it."""
    clips, generated, reference = [], [], []
    for one in observed:
        ours, own = one.generated[name].timing if one.reference.timing else None, one.reference.timing
        if ours is not None and own is not None:
            clips.append(one.clip)
            generated.append(ours)
            reference.append(own)
    return measure_onsets(clips, generated, reference) if clips else None

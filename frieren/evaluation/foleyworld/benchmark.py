"""All of the benchmark in order: sounds, what is heard in them, scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from frieren.evaluation.foleyworld import aims, fitting, real, resynthesis, struck
from frieren.evaluation.foleyworld.aims import Aim
from frieren.evaluation.foleyworld.beside import Beside
from frieren.evaluation.foleyworld.observed import Observed, Observer
from frieren.evaluation.foleyworld.real import RealClip
from frieren.evaluation.foleyworld.resynthesis import Resynthesis
from frieren.evaluation.foleyworld.struck import Struck
from frieren.evaluation.foleyworld.takes import Takes
from frieren.evaluation.scorers.alignment import WorldAlignment
from frieren.evaluation.scorers.extractors import Extractor
from frieren.pipeline import Model

CLIPS = 512  # of `test`
VOCODED, RECORDED = 64, 128  # clips of them and recordings that go through the vocoder, at most
SOUNDS, PICTURES = "sounds", "real"  # folders in that of the results

Progress = Callable[[str, int, int], None]  # stage, done, in all


@dataclass(frozen=True)
class Judged:
    """One model.

    Attributes:
        takes: settings of its sounds.
        struck: when it strikes; None if no clip tells.
        alignment: share of its sounds that the classifier accepts, beside that of true pairs.
        kinds: share that the tagger names, beside that of true sounds: "all", and by kind.
    """

    takes: Mapping[str, Any]
    struck: Struck | None
    alignment: Beside
    kinds: Mapping[str, Beside]


@dataclass(frozen=True)
class Benchmark:
    """Everything that was measured.

    Attributes:
        models: by name.
        vocoders: by what went through: "<model>, FoleyWorld" and "<model>, recordings".
        real: real clips, if any were given.
        clips: how many clips of `test` were looked at.
        digests: of the judges.
    """

    models: Mapping[str, Judged]
    vocoders: Mapping[str, Resynthesis]
    real: tuple[RealClip, ...]
    clips: int
    digests: Mapping[str, str]

    def aims(self) -> list[Aim]:
        """What is asked of all of it."""
        timed = {name: one for name, one in self.models.items() if one.struck is not None}
        found = [aims.detector(one.struck) for one in list(timed.values())[:1]]
        for name, one in timed.items():
            found += aims.timing(name, one.takes["steps"], one.struck)
        for name, one in self.models.items():
            found += aims.fitting(name, one.alignment, one.kinds)
        for name, one in self.vocoders.items():
            found += aims.vocoder(name, one)
        return found


def measure(
    models: Mapping[str, Model],
    out: Path,
    tagger: Extractor,
    classifier: WorldAlignment,
    *,
    count: int = CLIPS,
    recordings: Path | None = None,
    clips: Path | None = None,
    on_progress: Progress = lambda stage, done, total: None,
) -> Benchmark:
    """Measure models by the clips of `test`, and by the user's recordings and clips.

    Args:
        models: by name; each at its own steps and guidance.
        out: folder where the sounds are kept, and pictures of real clips.
        tagger, classifier: the judges.
        count: the first so many clips.
        recordings: folder of recordings for the vocoder, see `sounds.recorded`.
        clips: folder of real clips, see `real`.

    Raises:
        VideoError, FrierenError: if one of the folders holds nothing to measure by.
        OutputError: if `out` cannot be written to.
    """
    if clips:
        real.confirmed(clips)  # here, not an hour later
        (out / PICTURES).mkdir(parents=True, exist_ok=True)
    vocoders = {}
    for name, model in resynthesis.distinct(models).items():
        sets = {"FoleyWorld": resynthesis.world_sounds(model, min(VOCODED, count))}
        if recordings:
            sets["recordings"] = resynthesis.recorded_sounds(model, recordings, RECORDED)
        for what, waves in sets.items():
            on_sound = partial(on_progress, f"vocode {what}", total=len(waves))
            vocoders[f"{name}, {what}"] = resynthesis.measure(model, waves, tagger, on_sound)
    heard = real.measure(models, clips, out / PICTURES, partial(on_progress, "real clips")) if clips else []
    takes = [Takes(name, model, out / SOUNDS) for name, model in models.items()]
    observed = list(Observer(takes, tagger, classifier).observe(count, partial(on_progress, "listen", total=count)))
    judged = {one.name: judge(one, observed) for one in takes}
    digests = {"tagger": tagger.digest, "alignment": classifier.digest}
    return Benchmark(judged, vocoders, tuple(heard), count, digests)


def judge(takes: Takes, observed: Sequence[Observed]) -> Judged:
    """One model, by what was heard in its sounds."""
    name = takes.name
    return Judged(
        takes.settings,
        struck.measure(observed, name),
        fitting.alignment(observed, name),
        fitting.kinds(observed, name),
    )

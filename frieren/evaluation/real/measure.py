"""Cue sheets and models on real clips: when it strikes, beside the baselines, what is there, and what is heard."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor

from frieren.categories import categories
from frieren.cues import Cues
from frieren.evaluation.real.baselines import falls, metronomes, shifts
from frieren.evaluation.real.clips import RealClip
from frieren.evaluation.real.counts import MatchCounts, count
from frieren.evaluation.timing.onset_detector import OnsetDetector
from frieren.pipeline import Model
from frieren.sound_recognition import name_sound
from frieren.spotting import Sight, look

# Real rooms hum and echo. In the sound of 19 real clips (153 onsets) F1 is 0.96 by these constants, 0.82 by the
# detector's own, which hears 218 onsets.
DETECTOR = OnsetDetector(delta=4.0, wait=0.1)
SHEET, RULE, SHIFTED, METRONOME = "cue sheet", "motion rule", "shifts", "metronome"  # what is counted
Progress = Callable[[str, int, int], None]  # stage, done, total


@dataclass(frozen=True)
class NamedSound:
    """What the classifier of recordings calls a sound.

    Attributes:
        model: that made it.
        told: whether the model was told what there is (`sounds=`), or had the cue sheet alone.
        wanted: category that it should be: the one of the manifest if it was told, or else the surest of the sheet.
        heard: category that it is called; "" for silence.
    """

    model: str
    told: bool
    wanted: str
    heard: str


@dataclass(frozen=True)
class ClipScores:
    """What was measured of one clip.

    Attributes:
        clip: the clip.
        sheet: categories of its cue sheet, the surest over the clip first.
        likeliest: categories with their mean probability over the clip, see `spotting.Sight`.
        counts: by SHEET, the name of a model (a try per seed), RULE, SHIFTED, METRONOME; empty if it is not scored.
        sounds: what models' sounds are heard as.
    """

    clip: RealClip
    sheet: tuple[str, ...]
    likeliest: tuple[tuple[str, float], ...]
    counts: Mapping[str, MatchCounts] = field(repr=False)
    sounds: tuple[NamedSound, ...] = ()


def measure(
    clips: Sequence[RealClip],
    models: Mapping[str, Model],
    *,
    seeds: int = 1,
    steps: int | None = None,
    look: Callable[[Path], Sight] = look,
    on_progress: Progress = lambda stage, done, total: None,
) -> list[ClipScores]:
    """Spot every clip, make sounds for those that are scored, and count what is matched.

    Args:
        clips: see `read_clips`.
        models: by name; their sounds' onsets are found by DETECTOR.
        seeds: sounds of each model for each clip, of seeds from 0 on.
        steps: solver steps; the models' own by default.
        look: what sees a video.
        on_progress: called with (stage, clips done, clips).

    Raises:
        VideoError: a clip cannot be read.
    """
    rng, measured = np.random.default_rng(0), []
    for done, clip in enumerate(clips, 1):
        sight, counts = look(clip.path), {}
        cues, there, heard = sight.cues, named(sight.cues), []
        if clip.scored:
            counts[SHEET] = count(clip, [[strike.time for strike in cues.strikes]])
        for name, model in models.items():
            makes = Maker(name, model, clip.path, cues, seeds, steps)
            if clip.scored or there:
                sounds = makes()
                heard += makes.named(sounds, there[0]) if there else []
                if clip.scored:
                    counts[name] = count(clip, [DETECTOR.detect(wave.numpy(), makes.rate) for wave in sounds])
            if clip.categories and makes.by_cues:
                told = clip.categories[0]
                heard += makes.named(makes(told), told, told=True)
        if clip.scored:
            counts[RULE] = count(clip, [falls(clip.path)])
            counts[METRONOME] = metronomes(clip)
            counts[SHIFTED] = shifts(clip, rng)
        measured.append(ClipScores(clip, there, sight.likeliest, counts, tuple(heard)))
        on_progress("look", done, len(clips))
    return measured


@dataclass(frozen=True)
class Maker:
    """A model that makes sounds for one video, of seeds from 0 on, and what they are heard as."""

    name: str
    model: Model
    path: Path
    cues: Cues
    seeds: int
    steps: int | None

    @property
    def rate(self) -> int:
        """Samples per second."""
        return self.model.clock.sample_rate

    @property
    def by_cues(self) -> bool:
        """Whether the model can be told what there is."""
        return self.model.config.condition == "cues"

    def __call__(self, sound: str | None = None) -> list[Tensor]:
        """Waves [S] of the sheet; or of a sound that the model is told."""
        cues = self.cues if self.by_cues else None
        takes = self.model.takes(self.path, range(self.seeds), cues=cues, sounds=sound, steps=self.steps)
        return [take.wave for take in takes]

    def named(self, waves: Sequence[Tensor], wanted: str, *, told: bool = False) -> list[NamedSound]:
        """What waves are called."""
        return [NamedSound(self.name, told, wanted, _name(wave)) for wave in waves]


def _name(wave: Tensor) -> str:
    """The category that a sound is called; "" for silence."""
    probabilities = name_sound(wave)
    return categories()[int(probabilities.argmax())].name if probabilities.any() else ""


def named(cues: Cues) -> tuple[str, ...]:
    """Categories of a sheet, by their mean certainty over the whole video, the highest first."""
    seconds = cues.seconds or max((cue.end or 0.0 for cue in cues.sounds), default=0.0)
    sums: dict[str, float] = {}
    for cue in cues.sounds:
        span = (seconds if cue.end is None else cue.end) - cue.start
        sums[cue.category.name] = sums.get(cue.category.name, 0.0) + cue.certainty * span
    return tuple(sorted(sums, key=lambda name: -sums[name]))

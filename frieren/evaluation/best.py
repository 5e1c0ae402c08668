"""The best of several takes of a video: how much each sounds like what its sheet names, and strikes when it says.

from frieren.evaluation.best import best

first, second = best(model.takes("clip.mp4", range(8)), keep=2)

The classifier of recordings says what is heard, the detector for real clips finds onsets. Of a sound that was chosen by
them their scores say less: they are no longer independent of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

import numpy as np

from frieren.categories import categories
from frieren.cues import Cues, SoundCue, from_json
from frieren.errors import ConfigError
from frieren.evaluation.real.measure import DETECTOR
from frieren.evaluation.timing.protocol import WINDOW
from frieren.evaluation.timing.ranking import hits_by_rank
from frieren.sound_recognition import SoundWindows, recognise_sound
from frieren.soundtrack import Sound


@dataclass(frozen=True)
class TakeScores:
    """How well a take does what its sheet asks for.

    Attributes:
        what: 0..1, the probability of each sound in its span, averaged; None where the sheet names none.
        when: 0..1, F1 of the onsets with the sheet's strikes, within 50 ms; None where nothing strikes.
    """

    what: float | None
    when: float | None

    @property
    def total(self) -> float:
        """The mean of what there is, by which takes are ranked."""
        return float(np.mean([each for each in (self.what, self.when) if each is not None]))


def best(takes: Iterable[Sound], keep: int = 1, cues: Cues | None = None) -> list[Sound]:
    """Score takes one after the other and keep the best, in order; of equal ones the first comes first.

    Args:
        takes: of one video, each with its record.
        keep: how many; the others are let go as soon as there are that many better ones.
        cues: the sheet that they are held against; by default each one's own, which its record has.

    Returns:
        The takes, with their `scores` and `rank` (1 is the best) in the record.

    Raises:
        ConfigError: there is no sheet, or one in which nothing is named and nothing strikes.
        ValueError: `keep` is below 1.
    """
    if keep < 1:
        raise ValueError(f"keep must be at least 1, got {keep}")
    kept: list[tuple[TakeScores, Sound]] = []
    for take in takes:
        kept.append((score(take, cues), take))
        kept.sort(key=lambda each: -each[0].total)  # stable: of equal ones the first stays first
        del kept[keep:]
    return [
        replace(take, record={**take.record, "scores": {**asdict(scores), "rank": rank}})
        for rank, (scores, take) in enumerate(kept, 1)
    ]


def score(take: Sound, cues: Cues | None = None) -> TakeScores:
    """Score one take; arguments and errors are those of `best`."""
    sheet = cues or sheet_of(take)
    check_sheet(sheet)
    timed = bool(sheet.strikes) and is_struck(sheet)
    heard = recognise_sound(take.samples, take.sample_rate) if sheet.sounds else None
    return TakeScores(
        what=None if heard is None else what_is_heard(heard, sheet.sounds, take.seconds),
        when=when_it_strikes(take, sheet) if timed else None,
    )


def sheet_of(take: Sound) -> Cues:
    """The sheet in a take's record."""
    if "cues" not in take.record:
        raise ConfigError("takes cannot be ranked: their model sees frames, and has no cue sheet; give one")
    return from_json(json.dumps(take.record["cues"]))


def check_sheet(sheet: Cues) -> None:
    """Check that takes can be ranked by a sheet.

    Raises:
        ConfigError: it names no sound and no strike.
    """
    if not (sheet.sounds or sheet.strikes):
        raise ConfigError("takes cannot be ranked: nothing is known of this video; say what is there with --sound")


def is_struck(sheet: Cues) -> bool:
    """Whether onsets are to be expected at strikes: something that strikes is there, or nothing is known."""
    return not sheet.sounds or any(cue.category.behaviour == "impact" for cue in sheet.sounds)


def what_is_heard(heard: SoundWindows, sounds: Iterable[SoundCue], seconds: float) -> float:
    """The mean probability of sounds, each in its span; what else was asked for at that time takes nothing from it."""
    row = {category.name: index for index, category in enumerate(categories())}
    cues, found = list(sounds), []
    for cue in cues:
        start, end = cue.start, seconds if cue.end is None else cue.end
        probabilities = heard.within(start, end)
        others = {
            other.category.name
            for other in cues
            if other.start < end and start < (seconds if other.end is None else other.end)
        } - {cue.category.name}
        own = float(probabilities[row[cue.category.name]])
        rest = sum(float(probabilities[row[name]]) for name in others)
        found.append(own / max(1 - rest, own, 1e-9))
    return round(float(np.mean(found)), 4)


def when_it_strikes(take: Sound, sheet: Cues) -> float:
    """F1 of the onsets of a take with the strikes of its sheet, one to one."""
    wanted = np.array([strike.time for strike in sheet.strikes if strike.time < take.seconds])
    found = DETECTOR.detect(take.wave.numpy(), take.sample_rate)
    hits = hits_by_rank(wanted, found[None], WINDOW).max(initial=0)
    return round(2 * float(hits) / max(1, len(wanted) + len(found)), 4)

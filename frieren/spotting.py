"""Spotting: a video -> its cue sheet, what is seen when, what strikes when and how much moves.

The file is decoded once; every frame goes to both eyes, `strikes` and `recognition`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import astuple, dataclass

from torch import Tensor

from frieren import motion
from frieren.categories import categories
from frieren.cues import MOST_CUES, Cues, Motion, SoundCue, Strike, from_json
from frieren.isolation import Limits, call, limits_of
from frieren.mel import Count, ignore
from frieren.openvideo import conversion_errors, open_video
from frieren.recognition import FPS, Recogniser, smooth
from frieren.strikes import Curve, MotionSpotter, load_encoder
from frieren.video import probe, warn_of_times

KNOWN = 0.2  # least probability of a category to be named; below it nothing is known
LASTING = 0.05  # least probability at which what was named lasts: a thing does not vanish while it is half hidden
DIGITS = 3  # after the point, of what is written down


@dataclass(frozen=True)
class Sight:
    """What was seen of a video.

    Attributes:
        cues: its cue sheet.
        likeliest: every category with its mean probability over the whole video, the highest first; of a first one
            below KNOWN nothing should be believed, though it may be right.
    """

    cues: Cues
    likeliest: tuple[tuple[str, float], ...]


def spot(path: str | os.PathLike[str], on_frame: Count = ignore, *, isolate: bool | Limits = False) -> Cues:
    """The cue sheet of a video, see `look`; with `isolate` in a process of its own, with limits."""
    if not isolate:
        return look(path, on_frame).cues
    return from_json(call("frieren.spotting:spot", os.fspath(path), limits=limits_of(isolate), on_progress=on_frame))


def look(path: str | os.PathLike[str], on_frame: Count = ignore) -> Sight:
    """Look at a video and write down what is there, what strikes and how much moves.

    Frames are held for six seconds of film, small and grey; besides, memory grows by 9 kB for every second of it.

    Args:
        path: the video.
        on_frame: called with the numbers of frames of the motion's clock that have been seen, and that there are.

    Raises:
        VideoError: see `video.probe`; also if a frame cannot be converted.

    Warns:
        UserWarning: see `video.stream_frames`.
    """
    info = probe(path)
    warn_of_times(path, info)
    what, when = Recogniser(), MotionSpotter(load_encoder())
    with open_video(path) as video, conversion_errors(path):
        for frame, time in video.frames():
            what.push(frame, time)
            when.push(frame, time)
            on_frame(motion.CLOCK.frames(time), motion.CLOCK.frames(info.seconds))
        probabilities, starts = what.finish(info.seconds)
    seen, smoothed = when.finish(info.seconds), smooth(probabilities, starts)
    cues = Cues(
        sound_cues(smoothed, starts, info.seconds),
        tuple(Strike(*(round(each, DIGITS) for each in astuple(strike))) for strike in seen.strikes),
        motion_cue(seen.activity),
        info.seconds,
    )
    return Sight(cues, likeliest(smoothed))


def likeliest(probabilities: Tensor) -> tuple[tuple[str, float], ...]:
    """Names of the categories of probabilities [F, C] with the mean over all frames, the highest first."""
    means = zip(categories(), probabilities.mean(0).tolist(), strict=True)
    return tuple(sorted(((category.name, mean) for category, mean in means), key=lambda item: -item[1]))


def motion_cue(activity: Curve) -> Motion:
    """How much moves [T], for the sheet; of a film longer than eleven hours at a lower rate."""
    step = -(-len(activity) // MOST_CUES)
    return Motion(motion.RATE / step, tuple(round(float(value), DIGITS) for value in activity[::step]))


def sound_cues(probabilities: Tensor, starts: Tensor, seconds: float) -> tuple[SoundCue, ...]:
    """Spans in which a category is there: around frames where it is KNOWN, as long as it is LASTING; within a shot.

    Args:
        probabilities: [F, C], twice a second.
        starts: [F] bool, whether a frame begins a shot.
        seconds: length of the video.

    Returns:
        In order of time, the surest first; the certainty is the mean over the frames where it is KNOWN.
    """
    cues = []
    for row, category in enumerate(categories()):
        values = probabilities[:, row]
        for begin, end in _spans(values >= LASTING, starts):
            known = values[begin:end][values[begin:end] >= KNOWN]
            if len(known) and begin / FPS < min(end / FPS, seconds):
                certainty = round(min(float(known.mean()), 1.0), DIGITS)
                cues.append(SoundCue(category.name, begin / FPS, min(end / FPS, seconds), certainty))
    return tuple(sorted(cues, key=lambda cue: (cue.start, -cue.certainty)))


def _spans(lasts: Tensor, starts: Tensor) -> Iterator[tuple[int, int]]:
    """First frames, and those behind the last ones, of the runs of `lasts` [F] bool, which end where a shot starts."""
    first = lasts & (starts | ~lasts.roll(1))
    first[:1] = lasts[:1]
    for begin in first.nonzero().flatten().tolist():
        ends = (~lasts | starts)[begin + 1 :].nonzero()
        yield begin, begin + 1 + int(ends[0]) if len(ends) else len(lasts)

"""Spotting: a video -> its cue sheet, what is seen when."""

from __future__ import annotations

import os
from itertools import chain

from torch import Tensor

from frieren.categories import categories
from frieren.cues import Cues, SoundCue
from frieren.recognition import FPS, SIZE, recognise, smooth
from frieren.video import stream_frames

KNOWN = 0.2  # least probability of a category to be named; below it nothing is known
BLOCK = 32  # frames held at once


def spot(path: str | os.PathLike[str]) -> Cues:
    """Look at a video twice a second and write down what is there.

    Strikes and motion are left empty: the motion encoder has no weights yet.

    Raises:
        VideoError: see `video.stream_frames`.
    """
    blocks = stream_frames(path, FPS, SIZE, BLOCK, fit="crop")
    first = next(blocks)
    probabilities, starts = recognise(chain([first], blocks))
    seconds = first.seconds
    return Cues(sound_cues(smooth(probabilities, starts), starts, seconds), seconds=seconds)


def sound_cues(probabilities: Tensor, starts: Tensor, seconds: float) -> tuple[SoundCue, ...]:
    """Spans in which a category is probable enough to be named; one ends at a hard cut.

    Args:
        probabilities: [F, C], twice a second.
        starts: [F] bool, whether a frame begins a shot.
        seconds: length of the video.

    Returns:
        In order of time, the surest first; the certainty is the mean over the span.
    """
    cues = []
    for row, category in enumerate(categories()):
        values = probabilities[:, row].tolist()
        begin = None
        for index in range(len(values) + 1):
            ends = index == len(values) or values[index] < KNOWN or bool(starts[index])
            if begin is not None and ends:
                mean = sum(values[begin:index]) / (index - begin)
                start, end = begin / FPS, min(index / FPS, seconds)
                if end > start:
                    cues.append(SoundCue(category.name, start, end, round(min(mean, 1.0), 3)))
                begin = None
            if begin is None and index < len(values) and values[index] >= KNOWN:
                begin = index
    return tuple(sorted(cues, key=lambda cue: (cue.start, -cue.certainty)))

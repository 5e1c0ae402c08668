"""Cue sheet -> features of the vector field: what can be heard, what strikes and how much moves, at the clock's frames.

A model whose `condition` is "cues" is told nothing else about a video, so what it makes can be changed by editing the
sheet. Zeros mean that nothing is known.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from frieren.categories import categories
from frieren.clock import Clock
from frieren.cues import Cues

# Channels behind the categories: a strike, its strength, how much moves; whether strikes, and motion, are known at all.
STRIKE, STRENGTH, MOTION, STRIKES_KNOWN, MOTION_KNOWN = range(5)
EVEN = 0.5  # probability of what is as likely as not


def feature_size() -> int:
    """Length D of a feature: a probability for each category, and the channels above."""
    return len(categories()) + 5


def cue_features(cues: Cues, seconds: float, clock: Clock, delay: float = 0.0, *, decided: bool = False) -> Tensor:
    """Features [F, D] of a cue sheet, in 0..1.

    A strike lies on the two frames whose centres are nearest, in proportion, so that its instant is kept between
    frames. Strikes are known where the sheet has strikes or motion: a sheet with neither leaves them to the model.

    Args:
        seconds: length of the video.
        clock: gives the frames; frame i lasts from i / fps to (i + 1) / fps.
        delay: s, added to every strike (`ModelConfig.strike_delay`).
        decided: take what is likeliest at each frame for certain, and what is less likely than not for absent. A model
            that is told "perhaps a dog, perhaps a cat" makes something between them.
    """
    frames = clock.frames(seconds)
    sounds = np.zeros((len(categories()), frames), np.float32)
    rows = {category.name: row for row, category in enumerate(categories())}
    for sound in cues.sounds:
        end = frames / clock.fps if sound.end is None or sound.end >= seconds else sound.end
        row = rows[sound.category.name]
        sounds[row] = np.maximum(sounds[row], sound.certainty * _covered(sound.start, end, frames, clock.fps))
    if decided:
        likeliest = (sounds == sounds.max(axis=0)) & (sounds > 0)
        sounds = np.where(likeliest, 1.0, np.where(sounds < EVEN, 0.0, sounds)).astype(np.float32)
    rest = np.zeros((5, frames), np.float32)
    for strike in cues.strikes:
        place = (strike.time + delay) * clock.fps - 0.5
        for frame in (int(np.floor(place)), int(np.floor(place)) + 1):
            if 0 <= frame < frames:
                share = 1 - abs(place - frame)
                rest[STRIKE, frame] = min(1.0, rest[STRIKE, frame] + share)
                rest[STRENGTH, frame] = max(rest[STRENGTH, frame], share * strike.strength)
    if cues.motion.values:
        centres = (np.arange(frames) + 0.5) / clock.fps
        values = cues.motion.values
        rest[MOTION] = np.interp(centres, np.arange(len(values)) / cues.motion.rate, values)
        rest[MOTION_KNOWN] = 1.0
    rest[STRIKES_KNOWN] = float(bool(cues.strikes or cues.motion.values))
    return torch.from_numpy(np.concatenate([sounds, rest]).T.copy())


def strikes_of(features: Tensor) -> Tensor:
    """The part of features [..., D] of cue sheets that says what strikes: [...], 0..1."""
    return features[..., len(categories()) + STRIKE]


def sounds_on(features: Tensor) -> Tensor:
    """Whether anything that sounds on, like rain, is named in features [..., F, D] of cue sheets: [...] bool."""
    rows = [row for row, category in enumerate(categories()) if category.behaviour == "sustained"]
    return (features[..., rows] > 0).any(-1).any(-1)


def _covered(start: float, end: float, frames: int, fps: float) -> NDArray[np.float32]:
    """Share of each frame that lies between two times."""
    edges = np.arange(frames + 1) / fps
    overlap = np.minimum(edges[1:], end) - np.maximum(edges[:-1], start)
    return (overlap.clip(0) * fps).clip(0, 1).astype(np.float32)

"""Films whose strikes are known, as local motion: of the puppet world and of FoleyWorld, rendered once and kept.

A clip of 3 s takes a tenth of a second to render and 0.2 MB to keep. The file is named for everything that it depends
on, so that runs, processes and recipes with other targets share it.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from frieren import motion, world
from frieren.files import replacing
from frieren.weights import read_parameters
from frieren.world import puppets
from frieren.world.clips import WORLD_VERSION
from frieren.world.puppets.clips import SHAPES, VERSION
from frieren.world.puppets.paths import RATE as PUPPET_RATE

WAYS = ("strike", "tap", "step", "ball", "burst", "scratch", "rub", "turn", "churn", "tremble", "wave", "pass",
        "flicker", "still", "foleyworld")  # fmt: skip


class MotionFilm(NamedTuple):
    """What the encoder sees of a film of T frames, and what is true of it.

    Attributes:
        motion: [T, CHANNELS, h, w] float16, normalised local motion.
        blows: [E, 2] instants in s of the contacts that sound, and their strength 0..1.
        going: [T] loudness 0..1 of what sounds on.
        way: [] index of the way of moving in WAYS.
    """

    motion: Tensor
    blows: Tensor
    going: Tensor
    way: Tensor


class MotionFilms:
    """Films by world, split and index; `index` modulo the number of SHAPES says the shape of the picture."""

    def __init__(self, folder: Path, seconds: float) -> None:
        """Keeps films of this length in s in a folder."""
        self.folder, self.seconds = folder, seconds

    def film(self, split: str, foleyworld: bool, index: int) -> MotionFilm:
        """One film, from the folder, or made now."""
        name = f"foleyworld{WORLD_VERSION}" if foleyworld else f"puppets{VERSION}"
        path = self.folder / f"{name}-{split}-{index}-{self.seconds:g}s.safetensors"
        if not path.exists():
            made = _foleyworld(split, index, self.seconds) if foleyworld else _puppets(split, index, self.seconds)
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(path) as part:
                save_file({key: value.contiguous() for key, value in made._asdict().items()}, part)
        return MotionFilm(**read_parameters(path))


def _puppets(split: str, index: int, seconds: float) -> MotionFilm:
    """A clip of the puppet world."""
    clip = puppets.clip(split, index, seconds, shape=SHAPES[index % len(SHAPES)])
    frames = zip(eight_bits(clip.film.images), clip.film.times.tolist(), strict=True)
    seen = motion.motion_of(frames, seconds)
    going = np.interp(motion_times(len(seen)), np.arange(len(clip.going)) / PUPPET_RATE, clip.going)
    return _film(seen, clip.blows, going, clip.ways[0])


def _foleyworld(split: str, index: int, seconds: float) -> MotionFilm:
    """Part of a clip of FoleyWorld; what cannot be seen does not count. Which part depends on the index."""
    clip = world.clip(split, index, motion.CLOCK, SHAPES[index % len(SHAPES)], sound=False)
    images = torch.as_tensor(clip.images).float().mean(1) / 255
    seen = motion.motion_of(zip(images, clip.times.tolist(), strict=True), clip.seconds)
    times = motion_times(len(seen))
    going = np.zeros(len(seen))
    for activity in clip.activities:
        if activity.visible:
            going = np.maximum(going, np.interp(times, activity.times, activity.loudness))
    frames = motion.CLOCK.frames(seconds)
    first = (index // len(SHAPES) * 37) % max(1, len(seen) - frames)
    blows = np.array([(event.time, event.strength) for event in clip.events if event.visible]).reshape(-1, 2)
    blows[:, 0] -= first / motion.RATE
    return _film(seen[first : first + frames], blows, going[first : first + frames], "foleyworld")


def _film(seen: Tensor, blows: np.ndarray, going: np.ndarray, way: str) -> MotionFilm:
    events, loudness = (torch.from_numpy(each.astype(np.float32)) for each in (blows, going))
    return MotionFilm(seen.half(), events, loudness, torch.tensor(WAYS.index(way)))


def motion_times(frames: int) -> np.ndarray:
    """Instants of the frames of the motion in s."""
    return np.array(motion.CLOCK.frame_times(frames))


def eight_bits(images: Tensor) -> Tensor:
    """Images as a video file has them."""
    return (images * 255).round().clamp(0, 255) / 255

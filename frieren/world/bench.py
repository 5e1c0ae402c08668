"""How fast FoleyWorld is drawn and sounded here: whole clips per minute by some processes side by side.

frieren bench world
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np
import torch

from frieren.clock import Clock
from frieren.world.clips import clip

SPLIT = "train"


@dataclass(frozen=True)
class Pace:
    """What a measurement found.

    Attributes:
        seconds: from the first clip to the last, processes already started.
        picture, sound: [N] seconds that each clip took its process.
    """

    seconds: float
    picture: np.ndarray
    sound: np.ndarray

    @property
    def per_minute(self) -> float:
        """Clips per minute of all processes together."""
        return 60 * len(self.picture) / self.seconds


def measure(
    clips: int, *, workers: int, size: int, device: str = "cpu", on_clip: Callable[[int, int], None] = lambda d, t: None
) -> Pace:
    """Draw and sound the first clips of `train`, at 25 frames per second, in `workers` processes of one thread each."""
    with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        one = partial(_seconds, size=size, device=device)
        list(pool.map(one, range(workers)))  # they import, and a GPU wakes up
        begin, taken = time.perf_counter(), []
        for seconds in pool.map(one, range(clips), chunksize=4):
            taken.append(seconds)
            on_clip(len(taken), clips)
        return Pace(time.perf_counter() - begin, *np.array(taken).T)


def _seconds(index: int, size: int, device: str) -> tuple[float, float]:
    """What picture and sound of one clip take."""
    clock, begin = Clock(fps=25.0), time.perf_counter()
    clip(SPLIT, index, clock, size, sound=False, device=device)
    middle = time.perf_counter()
    clip(SPLIT, index, clock, picture=False)
    return middle - begin, time.perf_counter() - middle

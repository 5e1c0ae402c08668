"""Table 8: seconds per sample of several systems, batch 1, in turns in one process.

Rounds of all systems take turns and each round is one thread's work, so that ratios hold where other processes come and
go; seconds of the processor leave out what those took.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from frieren.evaluation.intervals import Interval, bootstrap
from frieren.pipeline import Model
from frieren.reproduction.cells import Sampling
from frieren.reproduction.clips import Progress

STAGES = ("sample", "decode", "vocode")


@dataclass(frozen=True)
class Speed:
    """Seconds of the processor per sample.

    Attributes:
        stages: median of every stage.
        total: median of all of them together.
        clock: median on the clock.
        ratio: of the first system's seconds over this one's, mean over rounds, and its interval over rounds.
    """

    stages: Mapping[str, float]
    total: float
    clock: float
    ratio: float
    interval: Interval | None


def measure(
    systems: Mapping[str, tuple[Model, Sampling, Tensor]],
    seconds: float,
    *,
    rounds: int = 5,
    on_progress: Progress = lambda stage, done, total: None,
) -> dict[str, Speed]:
    """Time systems on features of one clip.

    Args:
        systems: by name, with how each is sampled and its features [F, D]; ratios are to the first one.
        seconds: of the clip.
        rounds: in which all systems take turns, after one that does not count.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    spent: dict[str, list[tuple[float, ...]]] = {name: [] for name in systems}
    try:
        for turn in range(rounds + 1):
            on_progress("time", turn, rounds + 1)
            for name, (model, sampling, features) in systems.items():
                taken = one(model, sampling, features, seconds)
                if turn:
                    spent[name].append(taken)
    finally:
        torch.set_num_threads(threads)
    tables = {name: np.array(rows) for name, rows in spent.items()}  # [rounds, STAGES and the clock]
    first = next(iter(tables.values()))[:, :-1].sum(axis=1)
    return {name: summary(table, first) for name, table in tables.items()}


def one(model: Model, sampling: Sampling, features: Tensor, seconds: float) -> tuple[float, ...]:
    """Return the seconds of the processor of every stage for one sound, and those of the clock for all."""
    began, marks = time.monotonic(), [time.process_time()]
    latent = model.sample(features, seconds=seconds, seed=0, **sampling.options())
    marks.append(time.process_time())
    mel = model.decode(latent)
    marks.append(time.process_time())
    model.vocode(mel)
    marks.append(time.process_time())
    return (*np.diff(marks).tolist(), time.monotonic() - began)


def summary(table: np.ndarray, first: np.ndarray) -> Speed:
    """Return what rounds [R, stages and the clock] say, against the seconds [R] of the first system."""
    totals = table[:, :-1].sum(axis=1)
    ratios = first / totals
    middle = np.median(table, axis=0).tolist()
    return Speed(
        dict(zip(STAGES, middle, strict=False)),
        float(np.median(totals)),
        middle[-1],
        float(ratios.mean()),
        bootstrap(ratios, range(len(ratios))),
    )

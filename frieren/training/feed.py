"""Micro-batches in the order of a run: made by the process that learns from them, or by workers ahead of it.

What a micro-batch holds depends on (seed, step, micro-batch, process) alone, so it is the same whoever makes it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from frieren.training import machines, randomness
from frieren.training.recipe import AnyRecipe


class Batches(Dataset[Any]):
    """Index -> micro-batch of this process, counted over all steps."""

    def __init__(self, make: Callable[[int], Any], recipe: AnyRecipe) -> None:
        """`make(index)` draws from the global generators."""
        self.make, self.recipe, self.rank = make, recipe, machines.rank()

    def __getitem__(self, index: int) -> Any:
        step, micro = divmod(index, self.recipe.machines.accumulate)
        randomness.seed_all(self.recipe.seed, step, micro, self.rank, 0)
        return self.make(index)


def feed(make: Callable[[int], Any], recipe: AnyRecipe, step: int) -> Iterator[Any]:
    """The micro-batches of all steps from `step` on, in their order, on the CPU.

    Args:
        make: `Task.batch`; in a worker it must not touch a GPU.
        recipe: the run; `machines.workers` processes work ahead, each two micro-batches far.
    """
    count, batches = recipe.machines.accumulate, Batches(make, recipe)
    numbers = range(step * count, recipe.optim.steps * count)
    if not recipe.machines.workers:
        return map(batches.__getitem__, numbers)
    loader = DataLoader(
        batches,
        batch_size=None,
        sampler=numbers,
        num_workers=recipe.machines.workers,
        collate_fn=as_it_is,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=leave_signals,
        multiprocessing_context="fork",  # a task holds networks and open files, which another start would have to copy
        generator=torch.Generator(),  # or the loader would draw from the run's
    )
    return iter(loader)


def as_it_is(batch: Any) -> Any:
    """A task stacks its own items."""
    return batch


def leave_signals(worker: int) -> None:
    """Ctrl-C is for the loop, which finishes its step and then ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

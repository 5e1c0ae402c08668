"""The processes of a run and the device of each: what torchrun started, asked in one place.

    torchrun --nproc-per-node 2 -m frieren train published

Alone, a process is number 0 of 1 and everything here is free. Numbers and agreements travel between processors (gloo);
gradients travel between the devices that hold them (nccl on GPUs).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

# How long a process waits for another. The first one may render or encode a data set while the others wait, and when
# one dies torchrun ends the rest at once, so there is no need for impatience.
PATIENCE = timedelta(hours=48)


@contextmanager
def connected() -> Iterator[None]:
    """Joins the processes of a torchrun for as long as it is open; does nothing for a process alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(device())
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    yield
    # Not in a `finally`: after an error the others may never answer, and torchrun waits for this process to exit.
    dist.destroy_process_group()


def joined() -> bool:
    """True if there are other processes to talk to."""
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """The number of this process, 0 for the first; over all machines."""
    return dist.get_rank() if joined() else 0


def size() -> int:
    """The number of processes, over all machines."""
    return dist.get_world_size() if joined() else 1


def device() -> torch.device:
    """Where this process computes: its own GPU if there are any (CUDA_VISIBLE_DEVICES="" hides them), else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def barrier() -> None:
    """Returns once every process has called it."""
    largest(0)


@contextmanager
def first_alone() -> Iterator[None]:
    """Process 0 goes first while the others wait, then they follow: for data that is made once and read by all.

    with machines.first_alone():
        features = encode_clips(...)  # makes the cache, or finds it
    """
    if rank() > 0:
        barrier()
    yield
    if rank() == 0:
        barrier()


def largest(number: int) -> int:
    """The largest of the processes' numbers, known to all of them."""
    if not joined():
        return number
    value = torch.tensor(number)
    dist.all_reduce(value, dist.ReduceOp.MAX)
    return int(value)


def mean(values: list[float]) -> list[float]:
    """The mean over the processes of each of as many numbers."""
    if not joined():
        return values
    total = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(total)
    return (total / size()).tolist()


def gathered(value: Any) -> list[Any]:
    """Everybody's value, in order of rank. Small picklable things only."""
    if not joined():
        return [value]
    values: list[Any] = [None] * size()
    dist.all_gather_object(values, value)
    return values


def joint(rows: Tensor) -> Tensor:
    """The rows [N, ...] of all processes as one batch [P * N, ...], in order of rank; all have as many.

    As in CLIP's published code, a gradient goes to this process's own rows alone.
    """
    if not joined():
        return rows
    everybody = [torch.empty_like(rows) for _ in range(size())]
    dist.all_gather(everybody, rows.detach().contiguous())
    everybody[rank()] = rows
    return torch.cat(everybody)


def broadcast_parameters(network: nn.Module) -> None:
    """Gives every process the parameters and buffers of process 0."""
    if joined():
        for tensor in [*network.parameters(), *network.buffers()]:
            dist.broadcast(tensor.detach(), 0)


def move(value: Any, target: torch.device) -> Any:
    """The same with every tensor in it, however deep in dicts, lists and tuples, on the target device."""
    if isinstance(value, Tensor):
        return value.to(target, non_blocking=True)
    if isinstance(value, dict):
        return {key: move(item, target) for key, item in value.items()}
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return type(value)(move(item, target) for item in value)
    return value

"""Toy tasks for the training loop, and a way to run them in processes of their own."""

from __future__ import annotations

import functools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from frieren.training import checkpoint, machines
from frieren.training.learner import Trainable
from frieren.training.loop import train
from frieren.training.randomness import seed_all
from frieren.training.recipe import Machines, Optim, Recipe

WIDTH = 6
CLOCKS = ("seconds", "items_per_second")


class Net(nn.Module):
    """Blocks in a list, as the vector field has them, between two layers, with a buffer that no checkpoint holds."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.out = nn.Linear(WIDTH, 1)
        self.register_buffer("scale", torch.tensor(0.5), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + torch.tanh(block(x))
        return self.scale * self.out(x)


class ToyTask:
    """Regression. `joint` processes times `accumulate` micro-batches are drawn as one batch, to compare with them.

    Args:
        recipe: the run.
        adversarial: with a discriminator, which skips the first two steps.
        noisy: draw noise from every generator in the losses.
        joint: processes whose batches are put into one.
        micro: micro-batches that are put into one.
        stop: (step, process, signal) at which the process signals itself.
        broken: (step, process) whose batch is not a number.
    """

    def __init__(
        self,
        recipe: Recipe[None, None],
        adversarial: bool = False,
        noisy: bool = False,
        joint: int = 1,
        micro: int = 1,
        stop: tuple[int, int, int] | None = None,
        broken: tuple[int, int] | None = None,
    ) -> None:
        torch.manual_seed(recipe.seed + machines.rank())  # the loop has to align the processes
        self.recipe, self.noisy, self.joint, self.micro = recipe, noisy, joint, micro
        self.stop, self.broken = stop, broken
        self.network, self.discriminator = Net(), nn.Linear(1, 1)
        self.trainables = {"net": Trainable(self.network, self.losses)}
        if adversarial:
            self.trainables = {
                "discriminator": Trainable(self.discriminator, self.discriminator_losses),
                **self.trainables,
            }

    def batch(self, step: int) -> dict[str, Any]:
        if self.stop and (step, machines.rank()) == tuple(self.stop[:2]):
            os.kill(os.getpid(), self.stop[2])
        if self.joint * self.micro == 1:
            x = torch.randn(self.recipe.optim.batch, WIDTH)
        else:
            x = torch.cat([self.draw(step, m, rank) for m in range(self.micro) for rank in range(self.joint)])
        if self.broken and (step, machines.rank()) == tuple(self.broken):
            x[0] = float("nan")
        return {"ids": [f"item{index}" for index in range(len(x))], "x": x, "y": x.sin().sum(1, keepdim=True)}

    def draw(self, step: int, micro: int, rank: int) -> Tensor:
        seed_all(self.recipe.seed, step, micro, rank, 0)
        return torch.randn(self.recipe.optim.batch, WIDTH)

    def losses(self, batch: Any, step: int) -> dict[str, Tensor]:
        y = self.network(batch["x"])
        if self.noisy:
            y = y + 0.1 * torch.randn_like(y) + random.random() + np.random.rand()
        losses = {"total": (y - batch["y"]).square().mean()}
        if "discriminator" in self.trainables and step >= 2:
            self.discriminator.requires_grad_(False)
            losses["adversarial"] = self.discriminator(y).square().mean()
            losses["total"] = losses["total"] + losses["adversarial"]
        return losses

    def discriminator_losses(self, batch: Any, step: int) -> dict[str, Tensor] | None:
        if step < 2:
            return None
        self.discriminator.requires_grad_(True)
        with torch.no_grad():
            y = self.network(batch["x"])
        return {"total": (self.discriminator(y) - 1).square().mean()}

    @torch.inference_mode()
    def validate(self, network: Net) -> dict[str, float]:
        x = torch.linspace(-1, 1, 4 * WIDTH).view(4, WIDTH)
        return {"loss": (network(x) - x.sin().sum(1, keepdim=True)).square().mean().item()}

    def finish(self, network: Net, folder: Path) -> None:
        torch.save(network.state_dict(), folder / "weights.pt")

    def preview(self, network: Net) -> dict[str, Tensor]:
        return {"mel": torch.rand(20, 30), "wave": torch.zeros(1600)}


def recipe(
    optim: dict[str, Any] | None = None, machines: dict[str, Any] | None = None, **fields: Any
) -> Recipe[None, None]:
    """A short run that logs every step."""
    optim = {"lr": 0.01, "warmup": 2, "steps": 6, "batch": 4, **(optim or {})}
    fields = {"log_every": 1, "save_every": 3, **fields}
    return Recipe("field", None, None, optim=Optim(**optim), machines=Machines(**machines or {}), **fields)


def go(folder: Path, task: dict[str, Any] | None = None, **fields: Any) -> None:
    """Trains a toy in this process."""
    plan = recipe(**fields)
    train(ToyTask(plan, **task or {}), plan, folder, lambda step, steps, losses: None)


def lines(folder: Path) -> list[dict[str, Any]]:
    """log.jsonl, without what a clock says."""
    entries = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in entry.items() if key not in CLOCKS} for entry in entries]


def weights(folder: Path) -> dict[str, Tensor]:
    """What `finish` wrote."""
    return torch.load(folder / "weights.pt", weights_only=True)


def launch(count: int, folder: Path, die: int | None = None, **options: Any) -> tuple[list[int], list[str]]:
    """Runs `go` in `count` joined processes, as torchrun would; exit code and stderr of each.

    Args:
        count: processes.
        folder: of the run.
        die: see `die_at`.
        options: of `go`.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder.mkdir(parents=True, exist_ok=True)
    errors = [folder / f"stderr-{rank}" for rank in range(count)]
    shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    run = {"folder": str(folder), "die": die, "options": options}
    jobs = [{**run, "env": {**shared, "RANK": str(rank)}, "errors": str(path)} for rank, path in enumerate(errors)]
    nursery().stdin.write(json.dumps(jobs) + "\n")
    codes = json.loads(nursery().stdout.readline())
    return codes, [path.read_text() for path in errors]


@functools.cache
def nursery() -> subprocess.Popen[str]:
    """A process that has imported torch and forks the runs, until this one ends: the import takes seconds each time."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    return subprocess.Popen([sys.executable, __file__], env={**os.environ, "OMP_NUM_THREADS": "1"}, **pipes)


def serve() -> None:
    """What the nursery does: a line of jobs in, a line of exit codes out. It never computes, so forks are safe."""
    import torch._dynamo  # noqa: F401  what every optimiser imports at its first step
    import torch.distributed.checkpoint
    import torch.distributed.fsdp  # noqa: F401

    for line in sys.stdin:
        children = [fork(job) for job in json.loads(line)]
        print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]), flush=True)


def fork(job: dict[str, Any]) -> int:
    """Begins a run in a child; its process id."""
    if child := os.fork():
        return child
    signal.alarm(60)  # whatever hangs
    os.environ.update(job["env"])
    os.dup2(os.open(job["errors"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    code = 1
    try:
        if job["die"] is not None:
            die_at(job["die"])
        with machines.connected():
            go(Path(job["folder"]), **job["options"])
        code = 0
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    os._exit(code)


def die_at(point: int) -> None:
    """From now on the process kills itself right before its n-th touch of the disk; at 0, in the middle of a file.

    Touches are fsync, rename and deletion of a folder, of which a save is made.
    """
    touches = 0

    def deadly(function: Any) -> Any:
        def wrapped(*arguments: Any, **keywords: Any) -> Any:
            nonlocal touches
            touches += 1
            if touches == point:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **keywords)

        return wrapped

    for module, name in ((os, "fsync"), (os, "replace"), (checkpoint.shutil, "rmtree")):
        setattr(module, name, deadly(getattr(module, name)))
    if point == 0:
        save = torch.save

        def torn(value: Any, path: Path) -> None:
            save(value, path)
            if "step-00000008" in str(path):
                os.truncate(path, path.stat().st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)

        torch.save = torn


if __name__ == "__main__":
    serve()

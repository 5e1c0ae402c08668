"""The training loop: a state, a step, and, once in a while, a log line, a validation and a checkpoint.

The data and noise of a step depend on (seed, step) alone, so a resumed run repeats an uninterrupted one to the digit.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from frieren.errors import FrierenError
from frieren.training.recipe import Optim, Recipe

Losses = dict[str, Tensor]
Report = Callable[[int, int, dict[str, float]], None]  # step, steps, averaged losses


class DivergedError(FrierenError):
    """A loss is no longer a finite number."""


@dataclass(frozen=True)
class Player:
    """Networks with one optimiser and one objective. Most runs have one player; an adversarial run has two.

    `losses(batch, step)` returns named terms; "total" is what is minimised. None skips the player at this step.
    """

    network: nn.Module
    losses: Callable[[Any, int], Losses | None]


class Task(Protocol):
    """What a part gives to the loop."""

    players: dict[str, Player]

    def batch(self, step: int) -> Any:
        """A training batch; random numbers come from torch's global generator, seeded by the loop."""

    def validate(self) -> dict[str, float]:
        """Scores on the validation split."""

    def finish(self, folder: Path) -> None:
        """Writes the trained part."""


def rate(optim: Optim, step: int) -> float:
    """Learning rate at a step (0-based): linear warm-up, constant, linear fall over the last `decay` share."""
    warm = min(1.0, (step + 1) / max(1, optim.warmup))
    fall = (optim.steps - step) / max(1.0, optim.decay * optim.steps)
    return optim.lr * min(warm, fall, 1.0)


def train(task: Task, recipe: Recipe, folder: Path, report: Report) -> None:
    """Runs or resumes a part's training in `folder`, to the recipe's last step.

    Raises:
        DivergedError: if a loss is not finite; the last checkpoint stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    optimisers = {name: adamw(player.network, recipe.optim) for name, player in task.players.items()}
    step = load(folder, task, optimisers)
    sums: dict[str, list[float]] = {}
    started = time.monotonic()
    while step < recipe.optim.steps:
        seed_step(recipe.seed, step)
        batch = task.batch(step)
        for name, player in task.players.items():
            take_step(name, player, optimisers[name], batch, step, recipe, sums)
        step += 1
        if step % recipe.log_every == 0 or step == recipe.optim.steps:
            means = {key: sum(values) / len(values) for key, values in sums.items()}
            means["seconds"] = time.monotonic() - started
            log(folder, {"step": step, **means})
            report(step, recipe.optim.steps, means)
            sums = {}
        if step % recipe.save_every == 0 or step == recipe.optim.steps:
            save(folder, task, optimisers, step)
            log(folder, {"step": step, "valid": task.validate()})
    task.finish(folder)


def take_step(
    name: str,
    player: Player,
    optimiser: torch.optim.Optimizer,
    batch: Any,
    step: int,
    recipe: Recipe,
    sums: dict[str, list[float]],
) -> None:
    """One optimiser step of one player; adds its losses to `sums`."""
    losses = player.losses(batch, step)
    if losses is None:
        return
    total = losses["total"]
    if not math.isfinite(total.item()):
        raise DivergedError(
            f"{recipe.part}: loss of {name} is {total.item()} at step {step}; lower optim.lr and resume"
        )
    for group in optimiser.param_groups:
        group["lr"] = rate(recipe.optim, step)
    optimiser.zero_grad(set_to_none=True)
    total.backward()
    if recipe.optim.clip:
        nn.utils.clip_grad_norm_(player.network.parameters(), recipe.optim.clip)
    optimiser.step()
    for key, value in losses.items():
        sums.setdefault(f"{name}/{key}", []).append(value.item())


def adamw(network: nn.Module, optim: Optim) -> torch.optim.AdamW:
    """AdamW over a player's parameters."""
    return torch.optim.AdamW(network.parameters(), optim.lr, optim.betas, weight_decay=optim.weight_decay)


def seed_step(seed: int, step: int) -> None:
    """Makes every random draw of a step a function of (seed, step)."""
    torch.manual_seed(seed * 1_000_003 + step)


def save(folder: Path, task: Task, optimisers: dict[str, torch.optim.Optimizer], step: int) -> None:
    """Writes the checkpoint under a temporary name and renames it: there is always a whole one."""
    state = {
        "step": step,
        "networks": {name: player.network.state_dict() for name, player in task.players.items()},
        "optimisers": {name: optimiser.state_dict() for name, optimiser in optimisers.items()},
    }
    temporary = folder / "checkpoint.pt.part"
    torch.save(state, temporary)
    os.replace(temporary, folder / "checkpoint.pt")


def load(folder: Path, task: Task, optimisers: dict[str, torch.optim.Optimizer]) -> int:
    """Restores the checkpoint if there is one; returns the number of steps done."""
    path = folder / "checkpoint.pt"
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    for name, player in task.players.items():
        player.network.load_state_dict(state["networks"][name])
        optimisers[name].load_state_dict(state["optimisers"][name])
    return state["step"]


def log(folder: Path, entry: dict[str, Any]) -> None:
    """Appends one line to log.jsonl."""
    with (folder / "log.jsonl").open("a") as file:
        file.write(json.dumps(entry) + "\n")

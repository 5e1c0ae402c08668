"""Where a run is watched: TensorBoard, Weights & Biases, or neither.

tensorboard --logdir runs/mini
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from frieren.errors import FrierenError
from frieren.training.recipe import AnyRecipe


class BoardError(FrierenError):
    """The package behind a board is not installed."""


class Board(Protocol):
    """Three methods: all that the loop says to a board."""

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """Losses, scores, norms and rates."""

    def previews(self, items: Mapping[str, Tensor], step: int) -> None:
        """Pictures of mels [M, T] and sounds [S] of fixed validation clips."""

    def close(self) -> None:
        """Writes what has not been written."""


class NullBoard:
    """Shows nothing; log.jsonl has the numbers."""

    def numbers(self, values: Mapping[str, float], step: int) -> None: ...

    def previews(self, items: Mapping[str, Tensor], step: int) -> None: ...

    def close(self) -> None: ...


class TensorBoard:
    """Event files in the run folder."""

    def __init__(self, recipe: AnyRecipe, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise BoardError("board tensorboard is not installed; pip install 'frieren[train]'") from error
        self.rate = recipe.shared.clock.sample_rate
        self.writer = SummaryWriter(str(folder / "board"))

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def previews(self, items: Mapping[str, Tensor], step: int) -> None:
        for name, item in items.items():
            if item.ndim == 2:
                self.writer.add_image(name, grey(item), step, dataformats="HW")
            else:
                self.writer.add_audio(name, item.detach().cpu().float(), step, self.rate)

    def close(self) -> None:
        self.writer.close()


class WandB:
    """A run on Weights & Biases, or a local one with WANDB_MODE=offline; a resumed run goes on in the same place."""

    def __init__(self, recipe: AnyRecipe, folder: Path) -> None:
        try:
            import wandb
        except ImportError as error:
            raise BoardError("board wandb is not installed; pip install wandb") from error
        self.wandb, self.rate = wandb, recipe.shared.clock.sample_rate
        self.run = wandb.init(
            project="frieren",
            name=f"{recipe.shared.name}-{recipe.part}",
            id=identity(folder),
            resume="allow",
            dir=folder,
            config=dataclasses.asdict(recipe),
        )

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        self.run.log(dict(values), step=step)

    def previews(self, items: Mapping[str, Tensor], step: int) -> None:
        shown: dict[str, Any] = {}
        for name, item in items.items():
            if item.ndim == 2:
                shown[name] = self.wandb.Image(grey(item))
            else:
                shown[name] = self.wandb.Audio(item.detach().cpu().float().numpy(), sample_rate=self.rate)
        self.run.log(shown, step=step)

    def close(self) -> None:
        self.run.finish()


def identity(folder: Path) -> str:
    """A name for a run folder that stays the same: its path, without what a W&B id may not hold."""
    return "-".join(folder.resolve().parts[1:]).replace(":", "-")[-64:]


def open_board(recipe: AnyRecipe, folder: Path) -> Board:
    """The board that a recipe asks for.

    Raises:
        BoardError: its package is not installed.
    """
    if recipe.board == "tensorboard":
        return TensorBoard(recipe, folder)
    if recipe.board == "wandb":
        return WandB(recipe, folder)
    return NullBoard()


def grey(mel: Tensor) -> np.ndarray:
    """A mel [M, T] as a uint8 picture [M, T], low notes at the bottom, from its faintest to its loudest."""
    picture = mel.detach().cpu().float().flip(0)
    low, high = picture.min(), picture.max()
    return ((picture - low) / (high - low).clamp(min=1e-6) * 255).round().byte().numpy()

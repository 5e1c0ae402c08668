"""The motion encoder learns when things strike from films whose strikes are known: puppets, and FoleyWorld's clips."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from frieren.nets.motion import MotionConfig, MotionEncoder
from frieren.strikes import pick_strikes
from frieren.training.data import device_of
from frieren.training.learner import Losses, Trainable
from frieren.training.loop import TrainingTask
from frieren.training.loss_settings import MotionLoss
from frieren.training.recipe import Recipe
from frieren.training.tasks.films import WAYS, MotionFilm, MotionFilms, motion_times
from frieren.weights import save_part
from frieren.world.puppets.clips import SHAPES

WINDOW = 0.05  # s within which a strike of a validation clip counts as found
THRESHOLDS = np.arange(0.2, 0.7, 0.02)


class Example(NamedTuple):
    """A clip as the encoder learns from it, T frames long.

    Attributes:
        motion: [CHANNELS, T, h, w] float16, normalised local motion.
        strike: [T] how near a strike is, 1 at its instant.
        strength: [T] of that strike, 0..1.
        sustained: [T] loudness of what sounds on, 0..1.
        way: index of the way of moving in WAYS.
        times: instants of the strikes in s.
    """

    motion: Tensor
    strike: Tensor
    strength: Tensor
    sustained: Tensor
    way: Tensor
    times: np.ndarray


class MotionTask(TrainingTask[MotionEncoder]):
    """Crops of films, mirrored and noisy; a focal loss on the instants of strikes, and small ones on the rest."""

    def __init__(self, recipe: Recipe[MotionConfig, MotionLoss], folder: Path) -> None:
        """Learns from films that are kept in a folder."""
        self.recipe, self.loss = recipe, recipe.loss
        self.config = dataclasses.replace(recipe.network, ways=WAYS)
        self.network = MotionEncoder(self.config)
        self.trainables = {"motion": Trainable(self.network, self.losses)}
        self.films = MotionFilms(folder, self.loss.seconds)
        self.examples: dict[tuple[str, bool, int], Example] = {}

    def example(self, split: str, foleyworld: bool, index: int) -> Example:
        """Clip `index` of a split of one of the two worlds; it stays in memory."""
        key = split, foleyworld, index
        if key not in self.examples:
            self.examples[key] = example_of(self.films.film(*key), self.loss)
        return self.examples[key]

    def batch(self, index: int) -> dict[str, Tensor]:
        loss, size = self.loss, self.recipe.optim.batch
        foleyworld = bool(torch.rand(()) < loss.foleyworld)
        clips = loss.foleyworld_clips if foleyworld else self.recipe.shared.clips
        shape = int(torch.multinomial(torch.tensor(loss.shapes), 1))  # of all in the batch: index modulo their number
        chosen = len(SHAPES) * torch.randint(clips // len(SHAPES), (size,)) + shape
        examples = [self.example("train", foleyworld, int(one)) for one in chosen]
        seen = torch.stack([each.motion for each in examples]).float()
        for axis, channels in ((4, (0, 3)), (3, (1, 4))):
            turned = torch.rand(size) < (loss.mirror if axis == 4 else loss.upside_down)
            flipped = seen.flip(axis)
            flipped[:, channels] *= -1
            seen = torch.where(turned.view(-1, 1, 1, 1, 1), flipped, seen)
        seen = seen * torch.exp(0.15 * torch.randn(size, 1, 1, 1, 1)) + loss.noise * torch.randn_like(seen)
        targets = {name: torch.stack([getattr(each, name) for each in examples]) for name in Example._fields[1:5]}
        return {"motion": seen, **targets}

    def losses(self, batch: Any, step: int) -> Losses:
        """Means over members; each has its own losses, so that they learn apart."""
        strike, sustained, strength, way = [], [], [], []
        near = batch["strike"] > 0.3
        for member in self.network.members:
            cues, _, ways = member(batch["motion"])
            strike.append(focal(cues[..., 0], batch["strike"]))
            hard = F.binary_cross_entropy_with_logits(cues[..., 1], batch["strength"], reduction="none")
            strength.append((hard * near).sum() / near.sum().clamp(min=1))
            sustained.append(F.binary_cross_entropy_with_logits(cues[..., 2], batch["sustained"]))
            way.append(F.cross_entropy(ways.mean(1), batch["way"]))
        terms = {"strike": strike, "strength": strength, "sustained": sustained, "way": way}
        found = {name: torch.stack(each).mean() for name, each in terms.items()}
        return found | {
            "total": found["strike"] + 0.2 * found["strength"] + 0.3 * found["sustained"] + 0.1 * found["way"]
        }

    @torch.inference_mode()
    def validate(self, network: MotionEncoder) -> dict[str, float]:
        """Largest F1 within 50 ms on validation clips of the puppet world, and the threshold that reaches it."""
        network.eval()
        curves, times = [], []
        for index in range(self.recipe.shared.valid):
            example = self.example("valid", False, index)
            output = network(example.motion[None].float().to(device_of(network)))
            curves.append(output.strike[0].sigmoid().cpu().numpy())
            times.append(example.times + self.loss.delay)
        network.train()
        scores = {float(threshold): f1(curves, times, float(threshold)) for threshold in THRESHOLDS}
        best = max(scores, key=lambda threshold: scores[threshold])
        return {"f1": scores[best], "threshold": best}

    def finish(self, network: MotionEncoder, folder: Path) -> None:
        """Writes the encoder in half precision, with the threshold that the validation clips ask for."""
        threshold = self.validate(network)["threshold"]
        save_part(folder, network, dataclasses.replace(self.config, threshold=threshold), torch.float16)


def focal(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of soft targets by the squared error (Li et al. 2020, "quality focal loss"), per strike."""
    error = (target - logits.sigmoid()).square()
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (error * entropy).sum() / target.sum().clamp(min=1)


def f1(curves: list[np.ndarray], times: list[np.ndarray], threshold: float) -> float:
    """F1 of the strikes above a threshold against instants, pooled over clips; one to one within WINDOW."""
    hits = found = wanted = 0
    for curve, true in zip(curves, times, strict=True):
        strikes = [strike.time for strike in pick_strikes(curve, curve, threshold)]
        found, wanted, left = found + len(strikes), wanted + len(true), list(true)
        for time in strikes:
            near = next((each for each in left if abs(each - time) <= WINDOW), None)
            if near is not None:
                left.remove(near)
                hits += 1
    return 2 * hits / max(found + wanted, 1)


def example_of(film: MotionFilm, loss: MotionLoss) -> Example:
    """A film with the targets of each frame."""
    frames = len(film.motion)
    times = motion_times(frames)
    strike, strength = np.zeros(frames), np.zeros(frames)
    for time, force in film.blows.tolist():
        bell = np.exp(-0.5 * ((times - time - loss.delay) / loss.sharpness) ** 2)
        strength = np.where(bell > strike, force, strength)
        strike = np.maximum(strike, bell)
    near, hard = (torch.from_numpy(each.astype(np.float32)) for each in (strike, strength.clip(0, 1)))
    instants = film.blows[:, 0].double().numpy()
    inside = (instants >= 0) & (instants < loss.seconds)
    return Example(film.motion.transpose(0, 1), near, hard, film.going, film.way, instants[inside])

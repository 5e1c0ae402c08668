"""The motion encoder learns when things strike from films whose strikes are known: puppets, and FoleyWorld's clips."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frieren.nets.motion import MotionConfig, MotionEncoder, MotionOutput
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
AT_A_STRIKE = 0.7  # target from which on a frame belongs to a strike


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
    def seen(self, network: MotionEncoder) -> list[tuple[Example, MotionOutput]]:
        """Every validation clip of the puppet world, and what the network says of it (B = 1, on the CPU)."""
        network.eval()
        found = []
        for index in range(self.recipe.shared.valid):
            example = self.example("valid", False, index)
            output = network(example.motion[None].float().to(device_of(network)))
            found.append((example, MotionOutput(*(each.cpu() for each in output))))
        network.train()
        return found

    def validate(self, network: MotionEncoder) -> dict[str, float]:
        """Largest F1 within 50 ms on validation clips of the puppet world, and the threshold that reaches it."""
        return self.scores(self.seen(network))

    def scores(self, seen: list[tuple[Example, MotionOutput]]) -> dict[str, float]:
        """The scores of `validate`, of what has been seen already."""
        curves = [output.strike[0].sigmoid().numpy() for _, output in seen]
        times = [example.times + self.loss.delay for example, _ in seen]
        scores = {float(threshold): f1(curves, times, float(threshold)) for threshold in THRESHOLDS}
        best = max(scores, key=lambda threshold: scores[threshold])
        return {"f1": scores[best], "threshold": best}

    def finish(self, network: MotionEncoder, folder: Path) -> None:
        """Writes the encoder in half precision, with the threshold and the spread that the validation clips ask for."""
        seen, near = self.seen(network), AT_A_STRIKE
        spread_strengths(
            network,
            torch.cat([output.strength[0][example.strike > near] for example, output in seen]),
            torch.cat([example.strength[example.strike > near] for example, _ in seen]),
        )
        threshold = self.scores(seen)["threshold"]
        save_part(folder, network, dataclasses.replace(self.config, threshold=threshold), torch.float16)


@torch.no_grad()
def spread_strengths(network: MotionEncoder, seen: Tensor, true: Tensor) -> None:
    """Stretches the strengths that a network says: their log-odds get the mean and spread of the true ones.

    How hard something strikes is hard to see, and a loss leaves all answers to such a question near the mean; their
    order says more than their size.

    Args:
        network: changed in place.
        seen: [N] log-odds that it gives at strikes.
        true: [N] 0..1, strengths of these strikes.
    """
    if len(seen) < 2 or seen.std() == 0:
        return
    wanted = true.clamp(0.05, 0.95).logit()
    slope = wanted.std() / seen.std()
    shift = wanted.mean() - slope * seen.mean()
    for member in network.members:
        cues = cast(nn.Linear, member.get_submodule("heads.cues"))
        cues.weight[1] *= slope
        cues.bias[1] = slope * cues.bias[1] + shift


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

"""The alignment classifier learns from matched, time-shifted and mismatched pairs (Diff-Foley's recipe).

Shifted pairs only count where a shift is visible (`Label.timed`), mismatched ones of the same class only where it is in
both clips: nobody can tell steady rain from steady rain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from frieren.nets.scorers.alignment import AlignmentClassifier, AlignmentConfig
from frieren.training.data import ClipDataset, Label, TrainingData, device_of
from frieren.training.learner import Losses, Trainable
from frieren.training.loop import TrainingTask
from frieren.training.loss_settings import AlignmentLoss
from frieren.training.recipe import Recipe, RecipeError
from frieren.training.tasks.encoder import colour
from frieren.weights import save_part


def pair_loss(logits: Tensor, matched: bool, counted: Tensor) -> Tensor:
    """Binary cross-entropy of pairs that are all matched, or all not; mean over the counted ones."""
    return mean_of(F.softplus(-logits if matched else logits), counted)


def mean_of(values: Tensor, counted: Tensor) -> Tensor:
    """The mean of those values whose count is 1 and not 0, both of one shape; 0 if there is none."""
    return (values * counted).sum() / counted.sum().clamp(min=1)


def by_class(labels: Sequence[Label]) -> dict[str, list[int]]:
    """The clips of each class (`class_of`)."""
    clips: dict[str, list[int]] = {}
    for index, label in enumerate(labels):
        clips.setdefault(class_of(label), []).append(index)
    return clips


def same_class_pairs(labels: Sequence[Label], clips: dict[str, list[int]], count: int) -> list[int]:
    """`count` random clips, of which the second, fourth, ... has the class of the one before it."""
    firsts = torch.randint(len(labels), ((count + 1) // 2,)).tolist()
    return [index for first in firsts for index in (first, choice(clips[class_of(labels[first])]))][:count]


def choice(items: Sequence[int]) -> int:
    """One of the items, at random."""
    return items[int(torch.randint(len(items), ()))]


def class_of(label: Label) -> str:
    """The main kind of a clip; empty for a silent one."""
    return label.kinds[0] if label.kinds else ""


def mismatched_partners(
    chosen: Sequence[int], labels: Sequence[Label], same_class: float, count: int
) -> list[list[int]]:
    """For each place of a batch `count` others whose sound is certainly not its own, or itself if there is none.

    Args:
        chosen: the batch's clips.
        labels: of these clips.
        same_class: fraction of sounds of the clip's own class, where there are such and both are timed.
        count: sounds for each place; one may come twice.
    """
    places, partners = range(len(chosen)), []
    for here, own in enumerate(labels):
        same = [
            place
            for place in places
            if chosen[place] != chosen[here]
            and class_of(labels[place]) == class_of(own)
            and (labels[place].timed and own.timed)
        ]
        others = [place for place in places if disjoint(labels[place], own)]
        theirs = []
        for _ in range(count):
            of_class = not others or bool(torch.rand(()) < same_class)
            theirs.append(choice(same if same and of_class else others or [here]))
        partners.append(theirs)
    return partners


def disjoint(first: Label, second: Label) -> bool:
    """True if no kind sounds in both clips, and in one at least something does."""
    return class_of(first) != class_of(second) and not set(first.kinds) & set(second.kinds)


def shifted_start(start: int, last: int, shift: int) -> int:
    """A random start in 0..last at least `shift` from `start`."""
    return choice([other for other in range(last + 1) if abs(other - start) >= shift])


class AlignmentTask(TrainingTask[AlignmentClassifier]):
    """Windows of clips with their own sound, the sound of another time, and the sound of another clip."""

    fields = ("images", "mel")

    def __init__(self, recipe: Recipe[AlignmentConfig, AlignmentLoss], data: TrainingData) -> None:
        self.recipe = recipe
        clock, loss, network = recipe.shared.clock, recipe.loss, recipe.network
        for name, wanted in (("fps", clock.fps), ("mel_rate", clock.mel_rate), ("bins", recipe.shared.mel.bins)):
            if getattr(network, name) != wanted:
                raise RecipeError(f"network.{name} is {getattr(network, name)}, the data has {wanted}; make them equal")
        self.shift = math.ceil(loss.shift * clock.fps)
        # From every start in a clip of this length there is another one at least `shift` away.
        needed = network.frames + 2 * self.shift
        self.data = data.at_least("images", needed, "lower network.frames or loss.shift")
        if network.segment < needed:
            raise RecipeError(f"network.segment is {network.segment}, a window and a shift either way take {needed}")
        # Frames that are encoded once, with their sound, for all windows in them.
        self.segment = min(network.segment, *self.data.train.frames, *self.data.valid.frames)
        self.labels = {"train": self.data.train.labels(), "valid": self.data.valid.labels()}
        self.by_class = by_class(self.labels["train"])
        self.network = AlignmentClassifier(network)
        self.trainables = {"alignment": Trainable(self.network, self.losses)}

    def windows(self, clips: ClipDataset, labels: list[Label], chosen: list[int]) -> dict[str, Tensor]:
        """Segments of the chosen clips, the starts of windows in them, and whose sound is mismatched with each."""
        network, loss, count = self.recipe.network, self.recipe.loss, len(chosen)
        last = self.segment - network.frames
        images, mels, starts, moved = [], [], [], []
        for index in chosen:
            first = int(torch.randint(clips.frames[index] - self.segment + 1, ()))
            images.append(clips.picture(index, first, self.segment))
            mels.append(clips.mel(index, *clips.under("mel", index, first, self.segment)))
            starts.append(int(torch.randint(last + 1, ())))
            moved.append([shifted_start(starts[-1], last, self.shift) for _ in range(loss.shifts)])
        theirs = [labels[index] for index in chosen]
        mismatched = mismatched_partners(chosen, theirs, loss.same_class, loss.mismatched)
        return {
            "images": torch.stack(images),
            "mel": torch.stack(mels),
            "start": torch.tensor(starts),
            "moved": torch.tensor(moved),
            "elsewhere": torch.randint(last + 1, (count, loss.mismatched)),
            "mismatched": torch.tensor(mismatched),
            "timed": torch.tensor([float(label.timed) for label in theirs]),
            "disjoint": torch.tensor(
                [[disjoint(own, theirs[k]) for k in places] for own, places in zip(theirs, mismatched, strict=True)]
            ),
        }

    def batch(self, index: int) -> dict[str, Tensor]:
        """Windows with colour jitter, the sound with a random gain."""
        labels = self.labels["train"]
        batch = self.windows(self.data.train, labels, same_class_pairs(labels, self.by_class, self.recipe.optim.batch))
        gain = self.recipe.loss.gain * (2 * torch.rand(len(batch["mel"]), 1, 1) - 1)
        batch["images"] = colour(batch["images"])
        batch["mel"] = (batch["mel"] + gain).clamp(min=-5)  # silence stays silence
        return batch

    def logits(self, network: AlignmentClassifier, batch: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        """Logits of matched pairs [B], of shifted and mismatched ones [B, N], and the matched ones' similarities."""
        video, audio = network.encode_video(batch["images"]), network.encode_sound(batch["mel"], self.segment)
        video = network.cut(video, batch["start"])
        similar = network.similarities(video, network.cut(audio, batch["start"]))
        logits = {"matched": network.compare(similar)}
        own = torch.arange(len(video), device=video.device)[:, None].expand_as(batch["moved"])
        partners = {"shifted": (own, batch["moved"]), "mismatched": (batch["mismatched"], batch["elsewhere"])}
        for name, (who, where) in partners.items():
            count = who.shape[1]
            sounds = network.cut(audio[who.flatten()], where.flatten())
            pairs = network.similarities(video.repeat_interleave(count, dim=0), sounds)
            logits[name] = network.compare(pairs).unflatten(0, who.shape)
        return logits, similar

    def losses(self, batch: Any, step: int) -> Losses:
        logits, similar = self.logits(self.network, batch)
        timed = batch["timed"]
        others = batch["mismatched"] != torch.arange(len(timed), device=timed.device)[:, None]
        matched = pair_loss(logits["matched"], True, torch.ones_like(timed))
        shifted = pair_loss(logits["shifted"], False, timed[:, None].expand_as(logits["shifted"]))
        mismatched = pair_loss(logits["mismatched"], False, others.float())
        lag = mean_of(-self.network.simultaneity(similar), timed)
        total = matched / 2 + (shifted + mismatched) / 4 + self.recipe.loss.lag * lag
        return {"total": total, "matched": matched, "shifted": shifted, "mismatched": mismatched, "lag": lag}

    @torch.inference_mode()
    def validate(self, network: AlignmentClassifier) -> dict[str, float]:
        """Fractions of validation pairs that are accepted (logit above 0), by the type of pair.

        Only clips in which a shift is visible count; a mismatched sound is of another class in `mismatched`, of the
        same in `same_class`.
        """
        network.eval()
        labels, device = self.labels["valid"], device_of(network)
        accepted: dict[str, list[Tensor]] = {"matched": [], "shifted": [], "mismatched": [], "same_class": []}
        with torch.random.fork_rng():
            torch.manual_seed(0)
            for chosen in torch.randperm(len(labels)).split(self.recipe.optim.batch):
                batch = self.windows(self.data.valid, labels, chosen.tolist())
                logits, _ = self.logits(network, {name: value.to(device) for name, value in batch.items()})
                timed = batch["timed"] > 0
                other = batch["mismatched"] != torch.arange(len(chosen))[:, None]
                counted = {
                    "matched": timed,
                    "shifted": timed[:, None].expand_as(batch["moved"]),
                    "mismatched": timed[:, None] & batch["disjoint"],
                    "same_class": other & ~batch["disjoint"],
                }
                for name, which in counted.items():
                    pairs = logits["mismatched" if name == "same_class" else name].cpu()
                    accepted[name].append(pairs[which] > 0)
        network.train()
        fractions = {name: torch.cat(values).double() for name, values in accepted.items()}
        return {name: fraction.mean().item() for name, fraction in fractions.items() if len(fraction)}

    def finish(self, network: AlignmentClassifier, folder: Path) -> None:
        save_part(folder, network, self.recipe.network)

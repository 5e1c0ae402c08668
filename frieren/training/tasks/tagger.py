"""The sound tagger: classifies sounds by FoleyWorld's kinds or a data set's labels; the part "classifier" too."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from frieren import world
from frieren.nets.scorers.tagger import Tagger, TaggerConfig
from frieren.training.data import Label, TrainingData, device_of
from frieren.training.learner import Losses, Trainable
from frieren.training.loop import TrainingTask
from frieren.training.loss_settings import TaggerLoss
from frieren.training.recipe import Recipe, RecipeError
from frieren.weights import save_part

SILENCE = "silence"  # the class of a clip in which nothing sounds


def class_probabilities(label: Label, classes: Sequence[str]) -> Tensor:
    """Target probabilities [classes] of a clip: equal ones for every kind that sounds.

    A clip with one source has one class, so that the most probable class can be right or wrong; several sources share
    the probability.
    """
    kinds = label.kinds or (SILENCE,)
    return torch.tensor([float(name in kinds) / len(kinds) for name in classes])


def target_probabilities(labels: Sequence[Label], classes: Sequence[str], folder: Path) -> Tensor:
    """The `class_probabilities` of all clips of a data set, [N, classes].

    Raises:
        RecipeError: a clip has no label, or one that is not among the classes.
    """
    for label in labels:
        for kind in label.kinds or (SILENCE,):
            if not kind or kind not in classes:
                raise RecipeError(
                    f"{folder}: a clip's label is {kind!r}, expected one of {', '.join(classes)}; label all clips, "
                    "and name all labels in network.classes"
                )
    return torch.stack([class_probabilities(label, classes) for label in labels])


def classes_of(labels: Sequence[Label]) -> tuple[str, ...]:
    """FoleyWorld's kinds and silence, if the labels know no others; or else all of theirs, sorted."""
    found, kinds = {kind for label in labels for kind in label.kinds or (SILENCE,)}, (*world.GALLERY, SILENCE)
    return kinds if found <= set(kinds) else tuple(sorted(found))


class TaggerTask(TrainingTask[Tagger]):
    """Crops of clips' log-mels with a random gain, and cross-entropy."""

    fields = ("mel",)

    def __init__(self, recipe: Recipe[TaggerConfig, TaggerLoss], data: TrainingData) -> None:
        self.recipe = recipe
        self.data = data.at_least("mel", recipe.loss.columns, "lower loss.columns")
        labels = {"train": self.data.train.labels(), "valid": self.data.valid.labels()}
        self.config = dataclasses.replace(recipe.network, classes=recipe.network.classes or classes_of(labels["train"]))
        folder = self.data.train.data.folder
        self.targets = {
            split: target_probabilities(each, self.config.classes, folder) for split, each in labels.items()
        }
        self.network = Tagger(self.config)
        self.trainables = {"tagger": Trainable(self.network, self.losses)}

    def batch(self, index: int) -> tuple[Tensor, Tensor]:
        clips, loss = self.data.train, self.recipe.loss
        chosen = torch.randint(len(clips), (self.recipe.optim.batch,))
        # Circularly shifted and then cut: every crop of a clip and its seam, in every place.
        rolled = (mel.roll(int(torch.randint(mel.shape[-1], ())), -1) for mel in map(clips.mel, chosen.tolist()))
        mels = torch.stack([mel[:, : loss.columns] for mel in rolled])
        gain = loss.gain * (2 * torch.rand(len(mels), 1, 1) - 1)
        return (mels + gain).clamp(min=-5), self.targets["train"][chosen]  # silence stays silence

    def losses(self, batch: Any, step: int) -> Losses:
        mels, target = batch
        return {"total": -(target * self.network(mels).log_softmax(-1)).sum(-1).mean()}

    @torch.inference_mode()
    def validate(self, network: Tagger) -> dict[str, float]:
        """Accuracy on whole validation clips, those with one source and all: is the most probable class right?"""
        network.eval()
        clips, target, device = self.data.valid, self.targets["valid"], device_of(network)
        logits = torch.cat([network(clips.mel(index)[None].to(device)).cpu() for index in range(len(clips))])
        network.train()
        right = target.gather(1, logits.argmax(-1, keepdim=True))[:, 0] > 0
        single = target.amax(-1) == 1
        scores = {"top1": right.double().mean().item()}
        return scores | ({"top1_single": right[single].double().mean().item()} if single.any() else {})

    def finish(self, network: Tagger, folder: Path) -> None:
        save_part(folder, network, self.config)

"""The sound tagger learns the kinds of FoleyWorld from their sound alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from frieren import world
from frieren.nets.tagger import Tagger
from frieren.training.data import Clips, Data, Label, device_of
from frieren.training.loop import Losses, Player
from frieren.training.recipe import Recipe
from frieren.weights import save_part

SILENCE = "silence"  # the class of a clip in which nothing sounds


def shares(label: Label, classes: Sequence[str]) -> Tensor:
    """What the class probabilities [classes] of a clip should be: an equal share for every kind that sounds.

    A clip with one source has one class, so that the most probable class can be right or wrong; the sound of several
    sources is not called by the first of them alone.
    """
    kinds = label.kinds or (SILENCE,)
    return torch.tensor([float(name in kinds) / len(kinds) for name in classes])


class TaggerTask:
    """Crops of clips' log-mels with a random gain, and cross-entropy."""

    def __init__(self, recipe: Recipe, data: Data) -> None:
        self.recipe, self.data = recipe, data
        self.config = dataclasses.replace(recipe.network, classes=recipe.network.classes or (*world.KINDS, SILENCE))
        self.targets = {"train": self.all_shares(data.train), "valid": self.all_shares(data.valid)}
        self.network = Tagger(self.config)
        self.players = {"tagger": Player(self.network, self.losses)}

    def all_shares(self, clips: Clips) -> Tensor:
        """[N, classes] of all clips."""
        return torch.stack([shares(label, self.config.classes) for label in clips.labels()])

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        clips, loss = self.data.train, self.recipe.loss
        chosen = torch.randint(len(clips), (self.recipe.optim.batch,))
        mels = torch.stack([clips.mel(index) for index in chosen.tolist()])
        # Rolled and then cut: every crop of a clip and its seam, in every place.
        mels = torch.stack([mel.roll(int(torch.randint(mel.shape[-1], ())), -1) for mel in mels])[..., : loss.columns]
        gain = loss.gain * (2 * torch.rand(len(mels), 1, 1) - 1)
        return (mels + gain).clamp(min=-5), self.targets["train"][chosen]  # silence stays silence

    def losses(self, batch: Any, step: int) -> Losses:
        mels, wanted = batch
        return {"total": -(wanted * self.network(mels).log_softmax(-1)).sum(-1).mean()}

    @torch.inference_mode()
    def validate(self) -> dict[str, float]:
        """Share of whole validation clips whose most probable class is right, of clips with one source and of all."""
        self.network.eval()
        clips, wanted, device = self.data.valid, self.targets["valid"], device_of(self.network)
        logits = torch.cat([self.network(clips.mel(index)[None].to(device)).cpu() for index in range(len(clips))])
        self.network.train()
        right = wanted.gather(1, logits.argmax(-1, keepdim=True))[:, 0] > 0
        single = wanted.amax(-1) == 1
        scores = {"top1": right.double().mean().item()}
        return scores | ({"top1_single": right[single].double().mean().item()} if single.any() else {})

    def finish(self, folder: Path) -> None:
        save_part(folder, self.network, self.config)

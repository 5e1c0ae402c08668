"""CAVP: frames and sound of the same seconds get similar vectors (paper section 4.1; Diff-Foley).

Semantic contrast tells a crop from all others of the batch, those of the same video included, and the batch is that of
all processes; temporal contrast tells it from the other crops of its video.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from frieren.nets.cavp_pair import CAVP, CAVPPairConfig
from frieren.spectrogram import MelConfig, log_mel
from frieren.training import machines
from frieren.training.data import ClipDataset, TrainingData, device_of
from frieren.training.learner import Losses, Trainable
from frieren.training.loop import TrainingTask
from frieren.training.loss_settings import ContrastLoss
from frieren.training.recipe import Recipe, RecipeError
from frieren.weights import save_part

SHARPEST = 100.0  # largest inverse temperature, as in CLIP (arXiv 2103.00020)


def info_nce(video: Tensor, audio: Tensor, scale: Tensor) -> Tensor:
    """Symmetric InfoNCE: frames retrieve their sound among N, and sounds their frames.

    Args:
        video, audio: [..., N, E] vectors of length 1, pairs in the same place.
        scale: inverse temperature.

    Returns:
        The mean over all pairs, both directions and all leading axes.
    """
    logits = scale * video @ audio.mT
    found = logits.log_softmax(-1) + logits.log_softmax(-2)
    return -found.diagonal(dim1=-2, dim2=-1).mean() / 2


def scaled_mel(wave: Tensor, config: MelConfig) -> Tensor:
    """wave [..., S] -> mel [..., M, T] in 0..1 as CAVP's audio tower was published: log10 -4..1, cut off beyond."""
    return ((log_mel(wave, config) + 4) / 5).clamp(0, 1)


def scattered(count: int, last: int, apart: int) -> list[int]:
    """`count` random starts in 0..last, in order, each at least `apart` after the one before."""
    spare = last - (count - 1) * apart
    return (torch.randint(spare + 1, (count,)).sort().values + apart * torch.arange(count)).tolist()


class ContrastTask(TrainingTask[CAVP]):
    """Several crops of every clip of a batch, and the two contrasts between them."""

    fields = ("images", "wave")

    def __init__(self, recipe: Recipe[CAVPPairConfig, ContrastLoss], data: TrainingData) -> None:
        self.recipe = recipe
        loss, bins = recipe.loss, recipe.network.audio.bins
        if bins != loss.mel.bins:
            raise RecipeError(f"network.audio.bins is {bins} and loss.mel.bins is {loss.mel.bins}; make them equal")
        needed = loss.frames + (loss.crops - 1) * loss.apart
        self.data = data.at_least("images", needed, "lower loss.frames, loss.crops or loss.apart")
        self.network = CAVP(recipe.network)
        self.trainables = {"cavp": Trainable(self.network, self.losses)}

    def crop(self, clips: ClipDataset, index: int, start: int) -> tuple[Tensor, Tensor]:
        """Images [F, 3, H, W] and mel [M, T] of the same seconds, from frame `start`."""
        loss = self.recipe.loss
        wave = clips.wave(index, *clips.under("wave", index, start, loss.frames))
        return clips.picture(index, start, loss.frames), scaled_mel(wave, loss.mel)

    def crops(self, clips: ClipDataset, chosen: list[int]) -> tuple[Tensor, Tensor]:
        """Images [B, N, F, 3, H, W] and mels [B, N, M, T]: N crops of each chosen clip."""
        loss = self.recipe.loss
        items = []
        for index in chosen:
            starts = scattered(loss.crops, clips.frames[index] - loss.frames, loss.apart)
            items.append([torch.stack(x) for x in zip(*(self.crop(clips, index, s) for s in starts), strict=True)])
        images, mels = map(torch.stack, zip(*items, strict=True))
        return images, mels

    def batch(self, index: int) -> tuple[Tensor, Tensor]:
        """Crops of as many different clips as the batch wants, with the colours that they have."""
        chosen = torch.randperm(len(self.data.train))[: self.recipe.optim.batch].tolist()
        return self.crops(self.data.train, chosen)

    def pooled(self, network: CAVP, images: Tensor, mels: Tensor) -> tuple[Tensor, Tensor]:
        """A vector per crop, of the frames and of the sound: both [B, N, E]."""
        video, audio = network.pooled(images.flatten(0, 1), mels.flatten(0, 1))
        return video.unflatten(0, images.shape[:2]), audio.unflatten(0, images.shape[:2])

    def losses(self, batch: Any, step: int) -> Losses:
        video, audio = map(machines.joint, self.pooled(self.network, *batch))
        scale = self.network.logit_scale.exp().clamp(max=SHARPEST)
        semantic = info_nce(video.flatten(0, 1), audio.flatten(0, 1), scale)
        temporal = info_nce(video, audio, scale)
        total = semantic + self.recipe.loss.temporal * temporal
        return {"total": total, "semantic": semantic, "temporal": temporal, "scale": scale.detach()}

    @torch.inference_mode()
    def validate(self, network: CAVP) -> dict[str, float]:
        """Retrieval accuracy, frames to sound: among all validation clips, and among the crops of the clip."""
        network.eval()
        clips, device = self.data.valid, device_of(network)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            pairs = []
            for index in range(len(clips)):
                images, mels = self.crops(clips, [index])
                pairs.append(self.pooled(network, images.to(device), mels.to(device)))
        network.train()
        video, audio = (torch.cat(x).cpu() for x in zip(*pairs, strict=True))
        return {
            "semantic_top1": top1(video.transpose(0, 1), audio.transpose(0, 1)),
            "temporal_top1": top1(video, audio),
        }

    def finish(self, network: CAVP, folder: Path) -> None:
        """Saves both towers, and the video tower by itself as an encoder: folder/encoder."""
        save_part(folder / "encoder", network.video, self.recipe.network.video)
        save_part(folder, network, self.recipe.network)


def top1(video: Tensor, audio: Tensor) -> float:
    """Fraction of the video vectors [..., N, E] whose most similar audio vector [..., N, E] is their own."""
    nearest = (video @ audio.mT).argmax(-1)
    return (nearest == torch.arange(video.shape[-2])).double().mean().item()

"""The mel autoencoder: reconstruction in L1 and a slight pull of the posterior towards the normal law."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from frieren.nets.autoencoder import MelAutoencoder
from frieren.spectrogram import log_mel
from frieren.training.data import Clips, WaveCrops
from frieren.training.loop import Losses, Player
from frieren.training.recipe import Recipe
from frieren.weights import save_part


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Divergence of N(mean, exp(log_variance)) from N(0, 1) per element of the latent."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()


class AutoencoderTask:
    """Crops of waves as log-mels, and the losses (Make-An-Audio 2, section on the spectrogram autoencoder)."""

    def __init__(self, recipe: Recipe, train: Clips, valid: Clips, crops: WaveCrops) -> None:
        self.recipe, self.valid, self.crops = recipe, valid, crops
        self.network = MelAutoencoder(recipe.network)
        self.players = {"autoencoder": Player(self.network, self.losses)}

    def batch(self, step: int) -> Tensor:
        samples = self.recipe.loss.columns * self.recipe.shared.mel.hop
        return log_mel(self.crops.draw(self.recipe.optim.batch, samples), self.recipe.shared.mel)

    def losses(self, batch: Any, step: int) -> Losses:
        mean, log_variance = self.network.encode(batch)
        z = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
        start, end = self.cut(z.shape[-1])
        stride = self.recipe.network.stride
        l1 = (self.network.decode(z[..., start:end]) - batch[..., start * stride : end * stride]).abs().mean()
        kl = kl_divergence(mean, log_variance)
        return {"total": l1 + self.recipe.loss.kl * kl, "l1": l1, "kl": kl}

    def cut(self, columns: int) -> tuple[int, int]:
        """The part of the latent that is decoded: a random one, down to a quarter, if the recipe says so.

        The normalisation looks at the whole length, and a decoder that always sees a latent from its beginning learns
        to read the absolute level there alone. Windows are cut anywhere, so every part has to carry it.
        """
        if not self.recipe.loss.cut:
            return 0, columns
        length = int(torch.randint(columns // 4, columns + 1, ()))
        start = int(torch.randint(columns - length + 1, ()))
        return start, start + length

    @torch.inference_mode()
    def validate(self) -> dict[str, float]:
        """Mean absolute error in log10 units, of whole clips and of their second halves, and the latent's spread."""
        mel = torch.from_numpy(self.valid.mels.astype(np.float32))
        mean, _ = self.network.encode(mel)
        half = mean.shape[-1] // 2
        late = mel[..., half * self.recipe.network.stride :]
        return {
            "l1": (self.network.decode(mean) - mel).abs().mean().item(),
            "l1_late": (self.network.decode(mean[..., half:]) - late).abs().mean().item(),
            "latent_std": mean.std().item(),
        }

    def finish(self, folder: Path) -> None:
        """Saves the network with the scale that gives its latents unit variance, as Make-An-Audio 2 does."""
        config = dataclasses.replace(self.recipe.network, scale=1 / self.validate()["latent_std"])
        save_part(folder, self.network, config)

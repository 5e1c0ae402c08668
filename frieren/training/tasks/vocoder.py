"""A vocoder and its discriminators (HiFi-GAN, BigVGAN): mel, spectral, feature-matching and adversarial losses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from frieren.nets.bigvgan import BigVGAN, BigVGANConfig
from frieren.nets.discriminators import WaveDiscriminators
from frieren.nets.starts import start_from_filters
from frieren.nets.vocos import Vocos, VocosConfig
from frieren.spectrogram import log_mel, mel_filters, spectral_distance
from frieren.training.data import TrainingData, WaveCrops, device_of
from frieren.training.learner import Losses, Trainable
from frieren.training.loop import TrainingTask
from frieren.training.loss_settings import VocoderLoss
from frieren.training.recipe import Recipe
from frieren.training.tasks.adversary import discriminator_loss
from frieren.weights import save_part

VALIDATED, SHOWN = 16, 2  # validation clips that are scored; that are played on a board


def vocoder_of(config: VocosConfig | BigVGANConfig) -> Vocos | BigVGAN:
    """The network of a vocoder's config."""
    return Vocos(config) if isinstance(config, VocosConfig) else BigVGAN(config)


class VocoderTask(TrainingTask[Vocos | BigVGAN]):
    """Crops of waves, the generator's and the discriminators' losses."""

    fields = ("wave", "mel")

    def __init__(self, recipe: Recipe[VocosConfig | BigVGANConfig, VocoderLoss], data: TrainingData) -> None:
        self.recipe = recipe
        samples = (recipe.loss.columns + 2 * recipe.loss.margin) * recipe.shared.mel.hop
        data = data.at_least("wave", samples, "lower loss.columns")
        self.valid, self.crops = data.valid, WaveCrops(data.train, data.recorded, samples, recipe.loss.level)
        self.network = vocoder_of(recipe.network)
        if isinstance(self.network, Vocos) and self.network.config.shortcut and not recipe.init:
            start_from_filters(self.network, mel_filters(recipe.shared.mel))
        self.discriminators = WaveDiscriminators(recipe.loss.discriminators)
        self.trainables = {
            "discriminators": Trainable(self.discriminators, self.discriminator_losses),
            "vocoder": Trainable(self.network, self.losses),
        }

    def batch(self, index: int) -> dict[str, Tensor]:
        """Crops of waves and their mels, which reach further by a margin on each side, as the front end pads there."""
        hop, margin = self.recipe.shared.mel.hop, self.recipe.loss.margin
        wave = self.crops.draw(self.recipe.optim.batch)
        return {"mel": log_mel(wave, self.recipe.shared.mel), "real": wave[:, margin * hop : -margin * hop or None]}

    def vocode(self, batch: dict[str, Tensor]) -> Tensor:
        """Waves of the batch's mels, without the margins."""
        margin = self.recipe.loss.margin * self.recipe.shared.mel.hop
        return self.network(batch["mel"])[:, margin : -margin or None]

    def discriminator_losses(self, batch: Any, step: int) -> Losses | None:
        if step < self.recipe.loss.disc_start:
            return None
        self.discriminators.requires_grad_(True)
        with torch.no_grad():
            fake = self.vocode(batch)
        pairs = zip(self.discriminators(batch["real"]), self.discriminators(fake), strict=True)
        losses = [discriminator_loss(real[-1], fake[-1]) for real, fake in pairs]
        return {"total": sum(losses[1:], losses[0])}

    def losses(self, batch: Any, step: int) -> Losses:
        real, fake, loss = batch["real"], self.vocode(batch), self.recipe.loss
        mel = (log_mel(fake, self.recipe.shared.mel) - log_mel(real, self.recipe.shared.mel)).abs().mean()
        spectrum = spectral_distance(fake, real)
        losses = {"total": loss.mel * mel + loss.spectrum * spectrum, "mel": mel, "spectrum": spectrum}
        if step >= loss.disc_start:
            self.discriminators.requires_grad_(False)
            fake_maps = self.discriminators(fake)
            with torch.no_grad():
                real_maps = self.discriminators(real)
            losses["adversarial"] = sum((1 - maps[-1]).square().mean() for maps in fake_maps)
            losses["feature"] = sum(
                (f - r).abs().mean()
                for fakes, reals in zip(fake_maps, real_maps, strict=True)
                for f, r in zip(fakes, reals, strict=True)  # the score maps are features as well, as in BigVGAN
            )
            losses["total"] = (
                losses["total"] + loss.adversarial * losses["adversarial"] + loss.feature * losses["feature"]
            )
        return losses

    @torch.inference_mode()
    def validate(self, network: Vocos | BigVGAN) -> dict[str, float]:
        """Distance of re-synthesised validation clips to the reference, as far as the shortest of them goes."""
        clips, device, hop = range(min(VALIDATED, len(self.valid))), device_of(network), self.recipe.shared.mel.hop
        columns = int(self.valid.lengths["mel"][: len(clips)].min())
        mel = torch.stack([self.valid.mel(index, 0, columns) for index in clips]).to(device)
        real = torch.stack([self.valid.wave(index, 0, columns * hop) for index in clips]).to(device)
        fake = network(mel)
        again = log_mel(fake, self.recipe.shared.mel)
        return {"mel": (again - mel).abs().mean().item(), "spectrum": spectral_distance(fake, real).item()}

    @torch.inference_mode()
    def preview(self, network: Vocos | BigVGAN) -> dict[str, Tensor]:
        """Sounds [S] of the first validation clips, and those of the vocoder from their mels."""
        shown: dict[str, Tensor] = {}
        for index in range(min(SHOWN, len(self.valid))):
            mel, name = self.valid.mel(index)[None].to(device_of(network)), self.valid.name(index)
            shown |= {f"{name}/true": self.valid.wave(index), f"{name}/vocoded": network(mel)[0]}
        return shown

    def finish(self, network: Vocos | BigVGAN, folder: Path) -> None:
        save_part(folder, network, self.recipe.network)

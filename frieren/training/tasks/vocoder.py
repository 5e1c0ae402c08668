"""A vocoder against its judges (HiFi-GAN, BigVGAN): mel and spectral losses, feature matching, adversary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from frieren.nets.bigvgan import BigVGAN, BigVGANConfig
from frieren.nets.discriminators import WaveDiscriminators
from frieren.nets.vocos import Vocos, VocosConfig
from frieren.spectrogram import log_mel, mel_filters, spectral_distance
from frieren.training.data import Data, WaveCrops, device_of
from frieren.training.loop import Losses, Player
from frieren.training.recipe import Recipe
from frieren.training.tasks.adversary import judge_loss
from frieren.weights import save_part

NETWORKS = {VocosConfig: Vocos, BigVGANConfig: BigVGAN}
JUDGED, SHOWN = 16, 2  # validation clips that are judged; that are heard on a board


class VocoderTask:
    """Crops of waves, the generator's and the judges' losses."""

    fields = ("wave", "mel")

    def __init__(self, recipe: Recipe, data: Data) -> None:
        self.recipe = recipe
        samples = (recipe.loss.columns + 2 * recipe.loss.margin) * recipe.shared.mel.hop
        data = data.at_least("wave", samples, "lower loss.columns")
        self.valid, self.crops = data.valid, WaveCrops(data.train, data.recorded, samples)
        self.network = NETWORKS[type(recipe.network)](recipe.network)
        if isinstance(recipe.network, VocosConfig) and recipe.network.shortcut and not recipe.init:
            self.network.start_linear(mel_filters(recipe.shared.mel))
        self.judges = WaveDiscriminators(recipe.loss.judges)
        self.players = {
            "judges": Player(self.judges, self.judge_losses),
            "vocoder": Player(self.network, self.losses),
        }

    def batch(self, step: int) -> dict[str, Tensor]:
        """Crops of waves and their mels, which reach further by a margin on each side, as the front end pads there."""
        hop, margin = self.recipe.shared.mel.hop, self.recipe.loss.margin
        wave = self.crops.draw(self.recipe.optim.batch)
        return {"mel": log_mel(wave, self.recipe.shared.mel), "real": wave[:, margin * hop : -margin * hop or None]}

    def vocode(self, batch: dict[str, Tensor]) -> Tensor:
        """What the vocoder makes of the mels, without the margins."""
        margin = self.recipe.loss.margin * self.recipe.shared.mel.hop
        return self.network(batch["mel"])[:, margin : -margin or None]

    def judge_losses(self, batch: Any, step: int) -> Losses | None:
        if step < self.recipe.loss.solo:
            return None
        self.judges.requires_grad_(True)
        with torch.no_grad():
            fake = self.vocode(batch)
        pairs = zip(self.judges(batch["real"]), self.judges(fake), strict=True)
        return {"total": sum(judge_loss(real[-1], fake[-1]) for real, fake in pairs)}

    def losses(self, batch: Any, step: int) -> Losses:
        real, fake, loss = batch["real"], self.vocode(batch), self.recipe.loss
        mel = (log_mel(fake, self.recipe.shared.mel) - log_mel(real, self.recipe.shared.mel)).abs().mean()
        spectrum = spectral_distance(fake, real)
        losses = {"total": loss.mel * mel + loss.spectrum * spectrum, "mel": mel, "spectrum": spectrum}
        if step >= loss.solo:
            self.judges.requires_grad_(False)
            judged_fake = self.judges(fake)
            with torch.no_grad():
                judged_real = self.judges(real)
            losses["adversarial"] = sum((1 - judged[-1]).square().mean() for judged in judged_fake)
            losses["feature"] = sum(
                (f - r).abs().mean()
                for fakes, reals in zip(judged_fake, judged_real, strict=True)
                for f, r in zip(fakes[:-1], reals[:-1], strict=True)
            )
            losses["total"] = (
                losses["total"] + loss.adversarial * losses["adversarial"] + loss.feature * losses["feature"]
            )
        return losses

    @torch.inference_mode()
    def validate(self) -> dict[str, float]:
        """Distance of re-synthesised validation clips to the true ones, as far as the shortest of them goes."""
        clips, device, hop = range(min(JUDGED, len(self.valid))), device_of(self.network), self.recipe.shared.mel.hop
        columns = int(self.valid.lengths["mel"][: len(clips)].min())
        mel = torch.stack([self.valid.mel(index, 0, columns) for index in clips]).to(device)
        real = torch.stack([self.valid.wave(index, 0, columns * hop) for index in clips]).to(device)
        fake = self.network(mel)
        again = log_mel(fake, self.recipe.shared.mel)
        return {"mel": (again - mel).abs().mean().item(), "spectrum": spectral_distance(fake, real).item()}

    @torch.inference_mode()
    def preview(self) -> dict[str, Tensor]:
        """Sounds [S] of the first validation clips, and what the vocoder makes of their mels."""
        shown = {}
        for index in range(min(SHOWN, len(self.valid))):
            mel, name = self.valid.mel(index)[None].to(device_of(self.network)), self.valid.name(index)
            shown |= {f"{name}/true": self.valid.wave(index), f"{name}/vocoded": self.network(mel)[0]}
        return shown

    def finish(self, folder: Path) -> None:
        save_part(folder, self.network, self.recipe.network)

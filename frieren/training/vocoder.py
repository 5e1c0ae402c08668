"""The small vocoder against its judges (HiFi-GAN, BigVGAN): mel and spectral losses, feature matching, adversary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from frieren.nets.discriminators import WaveJudges
from frieren.nets.vocos import Vocos
from frieren.spectrogram import log_mel
from frieren.training.data import Clips, WaveCrops
from frieren.training.loop import Losses, Player
from frieren.training.recipe import Recipe
from frieren.weights import save_part

RESOLUTIONS = ((512, 128), (1024, 256), (2048, 512), (128, 32))  # (n_fft, hop) of the spectral loss, in samples


def spectral_distance(fake: Tensor, real: Tensor) -> Tensor:
    """Multi-resolution STFT loss: spectral convergence plus log-magnitude L1 (arXiv 1910.11480). Waves [B, S]."""
    total = fake.new_zeros(())
    for n_fft, hop in RESOLUTIONS:
        window = torch.hann_window(n_fft, device=fake.device)
        a, b = (
            torch.stft(x, n_fft, hop, window=window, return_complex=True).abs().clamp(min=1e-5) for x in (fake, real)
        )
        total = total + (b - a).norm() / b.norm() + (b.log() - a.log()).abs().mean()
    return total / len(RESOLUTIONS)


class VocoderTask:
    """Crops of waves, the generator's and the judges' losses."""

    def __init__(self, recipe: Recipe, train: Clips, valid: Clips, crops: WaveCrops) -> None:
        self.recipe, self.valid, self.crops = recipe, valid, crops
        self.network = Vocos(recipe.network)
        self.judges = WaveJudges(recipe.loss.judges)
        self.players = {
            "judges": Player(self.judges, self.judge_losses),
            "vocoder": Player(self.network, self.losses),
        }

    def batch(self, step: int) -> dict[str, Tensor]:
        """Crops, and what the vocoder makes of them: a margin on each side, which the front end pads, is not judged."""
        hop, margin = self.recipe.shared.mel.hop, self.recipe.loss.margin
        wave = self.crops.draw(self.recipe.optim.batch, (self.recipe.loss.columns + 2 * margin) * hop)
        mel = log_mel(wave, self.recipe.shared.mel)
        inner = slice(margin * hop, -margin * hop)
        return {"real": wave[:, inner], "fake": self.network(mel)[:, inner]}

    def judge_losses(self, batch: Any, step: int) -> Losses | None:
        if step < self.recipe.loss.solo:
            return None
        self.judges.requires_grad_(True)
        real, fake = self.judges(batch["real"]), self.judges(batch["fake"].detach())
        total = sum((1 - r[-1]).square().mean() + f[-1].square().mean() for r, f in zip(real, fake, strict=True))
        return {"total": total}

    def losses(self, batch: Any, step: int) -> Losses:
        real, fake, loss = batch["real"], batch["fake"], self.recipe.loss
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
        """Distance of re-synthesised validation clips to the true ones."""
        real = torch.from_numpy(self.valid.waves[:16].astype("float32") / 32767)
        mel = torch.from_numpy(self.valid.mels[:16].astype("float32"))
        fake = self.network(mel)
        again = log_mel(fake, self.recipe.shared.mel)
        return {"mel": (again - mel).abs().mean().item(), "spectrum": spectral_distance(fake, real).item()}

    def finish(self, folder: Path) -> None:
        save_part(folder, self.network, self.recipe.network)

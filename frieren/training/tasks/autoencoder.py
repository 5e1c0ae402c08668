"""The mel autoencoder: reconstruction in L1, a weak KL term, and later a discriminator.

As Make-An-Audio 2 trains it (paper section 4.6), whose losses are sums over an item; here they are means over its
elements, which is the same up to one factor.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from frieren.nets.autoencoder import AutoencoderConfig, MelAutoencoder
from frieren.nets.discriminators import PatchDiscriminator
from frieren.nets.scorers.sound_classifier import SoundClassifier
from frieren.nets.starts import start_from_components
from frieren.spectrogram import log_mel
from frieren.training.data import TrainingData, WaveCrops, device_of
from frieren.training.learner import Losses, Trainable
from frieren.training.loop import TrainingTask
from frieren.training.loss_settings import AutoencoderLoss
from frieren.training.machines import device
from frieren.training.recipe import Recipe, RecipeError
from frieren.training.tasks.adversary import adaptive_weight, discriminator_loss, r1_penalty
from frieren.training.tasks.classification import load_classifier
from frieren.training.tasks.perceptual import PerceptualLoss
from frieren.weights import save_part

SHOWN = 2  # validation clips on a board
COMPONENTS = 256  # crops from which principal components are taken


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Divergence of N(mean, exp(log_variance)) from N(0, 1) per element of the latent."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()


def peak_error(fake: Tensor, real: Tensor) -> Tensor:
    """Relative error of square-rooted magnitudes, mean over the items of log-mels [B, M, T].

    L1 weighs every cell of a log-mel equally, and most of them are background noise: a tone that is smeared over its
    neighbours costs next to nothing. Here what is loud counts.
    """
    generated, reference = ((10.0 ** (mel.clamp(max=2.0) / 2)).flatten(1) for mel in (fake, real))
    return ((generated - reference).norm(dim=1) / reference.norm(dim=1)).mean()


def freeze_encoder(network: MelAutoencoder) -> None:
    """Latents stay what they are."""
    parts = [network.encoder, network.to_posterior, *([network.analysis] if network.config.shortcut else [])]
    for part in parts:
        part.requires_grad_(False)


def perceptual_loss(recipe: Recipe[AutoencoderConfig, AutoencoderLoss]) -> PerceptualLoss | None:
    """The perceptual loss, if the recipe gives it a weight.

    Raises:
        RecipeError: its classifier is not named, not trained, or of other mels.
    """
    loss = recipe.loss
    if not (loss.perceptual or loss.divergence):
        return None
    if not loss.classifier:
        raise RecipeError("loss.perceptual needs loss.classifier, the folder of a SoundClassifier of the model's mels")
    classifier = load_classifier(Path(loss.classifier), recipe.shared.mel)
    if not isinstance(classifier, SoundClassifier):
        raise RecipeError(f"{loss.classifier}: expected a SoundClassifier, found a {type(classifier).__name__}")
    return PerceptualLoss(classifier.to(device()))


class AutoencoderTask(TrainingTask[MelAutoencoder]):
    """Crops of waves as log-mels, and the losses of the autoencoder and, from `disc_start` on, its discriminator."""

    fields = ("wave", "mel")

    def __init__(self, recipe: Recipe[AutoencoderConfig, AutoencoderLoss], data: TrainingData) -> None:
        self.recipe, samples = recipe, recipe.loss.columns * recipe.shared.mel.hop
        data = data.at_least("wave", samples, "lower loss.columns")
        self.valid, self.crops = data.valid, WaveCrops(data.train, data.recorded, samples, recipe.loss.level)
        self.network = MelAutoencoder(recipe.network)
        if recipe.network.shortcut and not recipe.init:
            start_from_components(self.network, log_mel(self.crops.draw(COMPONENTS), recipe.shared.mel))
        if recipe.loss.decoder_only:
            freeze_encoder(self.network)
        self.perceptual = perceptual_loss(recipe)
        self.trainables = {"autoencoder": Trainable(self.network, self.losses)}
        if recipe.loss.disc_start < recipe.optim.steps:
            self.discriminator = PatchDiscriminator(recipe.loss.discriminator)
            self.trainables["discriminator"] = Trainable(self.discriminator, self.discriminator_losses)

    def batch(self, index: int) -> Tensor:
        return log_mel(self.crops.draw(self.recipe.optim.batch), self.recipe.shared.mel)

    def reconstruct(self, mel: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A part of the mel [B, M, T], its reconstruction, and the divergence of the whole."""
        mean, log_variance = self.network.encode(mel)
        z = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
        start, end = self.cut(z.shape[-1])
        stride = self.recipe.network.stride
        back = self.network.decode(z[..., start:end])
        return mel[..., start * stride : end * stride], back, kl_divergence(mean, log_variance)

    def losses(self, batch: Any, step: int) -> Losses:
        loss = self.recipe.loss
        real, fake, kl = self.reconstruct(batch)
        l1 = (fake - real).abs().mean()
        losses = {"total": l1 + loss.kl * kl, "l1": l1, "kl": kl}
        if loss.peaks:
            losses["peaks"] = peak_error(fake, real)
            losses["total"] = losses["total"] + loss.peaks * losses["peaks"]
        if self.perceptual:
            losses["perceptual"], losses["divergence"] = self.perceptual(fake, real)
            weighed = loss.perceptual * losses["perceptual"] + loss.divergence * losses["divergence"]
            losses["total"] = losses["total"] + weighed
        if step >= loss.disc_start:
            self.discriminator.requires_grad_(False)
            adversarial = -self.discriminator(fake).mean()
            elements = real[0].numel()  # the published weight balances sums over an item
            weight = adaptive_weight(elements * l1, adversarial, self.network.decoder.conv_out.weight)
            losses |= {"adversarial": adversarial, "weight": weight}
            losses["total"] = losses["total"] + loss.adversarial * weight * adversarial / elements
        return losses

    def discriminator_losses(self, batch: Any, step: int) -> Losses | None:
        if step < self.recipe.loss.disc_start:
            return None
        self.discriminator.requires_grad_(True)
        with torch.no_grad():
            real, fake, _ = self.reconstruct(batch)
        real = real.clone().requires_grad_(True)
        logits = self.discriminator(real)
        squares, r1 = discriminator_loss(logits, self.discriminator(fake)), r1_penalty(logits, real)
        return {"total": squares + self.recipe.loss.r1 * r1, "squares": squares, "r1": r1}

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
    def validate(self, network: MelAutoencoder) -> dict[str, float]:
        """Mean absolute error in log10 units of whole clips and second halves, `peak_error`, the latent's deviation."""
        means, errors, late_errors, peaks = [], [], [], []
        for mel in map(self.whole_mel, range(len(self.valid))):
            mean, _ = network.encode(mel)
            half = mean.shape[-1] // 2
            late = mel[..., half * self.recipe.network.stride :]
            means.append(mean.flatten())
            back = network.decode(mean)
            errors.append((back - mel).abs().mean())
            peaks.append(peak_error(back, mel))
            late_errors.append((network.decode(mean[..., half:]) - late).abs().mean())
        return {
            "l1": torch.stack(errors).mean().item(),
            "l1_late": torch.stack(late_errors).mean().item(),
            "peaks": torch.stack(peaks).mean().item(),
            "latent_std": torch.cat(means).std().item(),
        }

    @torch.inference_mode()
    def preview(self, network: MelAutoencoder) -> dict[str, Tensor]:
        """Mels [M, T] of the first validation clips, and their reconstructions."""
        shown: dict[str, Tensor] = {}
        for index in range(min(SHOWN, len(self.valid))):
            mel, name = self.whole_mel(index), self.valid.name(index)
            mean, _ = network.encode(mel)
            shown |= {f"{name}/true": mel[0], f"{name}/reconstructed": network.decode(mean)[0]}
        return shown

    def whole_mel(self, index: int) -> Tensor:
        """The mel [1, M, T] of a validation clip, as far as it makes whole latent columns."""
        stride = self.recipe.network.stride
        columns = int(self.valid.lengths["mel"][index]) // stride * stride
        return self.valid.mel(index, 0, columns)[None].to(device_of(self.network))

    def finish(self, network: MelAutoencoder, folder: Path) -> None:
        """Saves the network with the scale that gives its latents unit variance, as Make-An-Audio 2 does.

        Latents that stay keep the scale that a field has learnt them with: the recipe's.
        """
        config = self.recipe.network
        if not self.recipe.loss.decoder_only:
            config = dataclasses.replace(config, scale=1 / self.validate(network)["latent_std"])
        save_part(folder, network, config)

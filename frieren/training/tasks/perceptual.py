"""Perceptual loss of the autoencoder: distance of two mels in the eyes of a classifier of recordings.

The mean absolute error of a log-mel is least for the median of all that a latent may stand for, in which the texture of
noise and the edges of knocks are gone; a classifier tells at once that they are. As LPIPS (arXiv 1801.03924) does with
photographs, and SpecVQGAN with spectrograms (arXiv 2110.08791).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from frieren.nets.scorers.sound_classifier import SoundClassifier


class PerceptualLoss:
    """A trained classifier of the autoencoder's own mels; it stays frozen, and must not be the one that scores."""

    def __init__(self, classifier: SoundClassifier) -> None:
        self.classifier = classifier.requires_grad_(False).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, fake: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """How far a log10 mel [B, M, T] is from the real one.

        Returns:
            distance: squared distance of feature maps in terms of the real ones' own square, mean over the maps.
            divergence: Kullback-Leibler divergence of what the real one is called from what the other one is, nats.
        """
        loudest = real.amax((-2, -1), keepdim=True)
        with torch.no_grad():
            theirs = self.classifier.maps(real, loudest)
        ours = self.classifier.maps(fake, loudest)
        distances = [
            (a.float() - b.float()).square().mean() / (b.float().square().mean() + 1e-6)
            for a, b in zip(ours[1:], theirs[1:], strict=True)  # the first maps hardly differ from the mel itself
        ]
        made, true = (
            self.classifier.classify(maps[-1].float().mean(dim=(2, 3))).float().log_softmax(-1)
            for maps in (ours, theirs)
        )
        divergence = F.kl_div(made, true, log_target=True, reduction="batchmean")
        return torch.stack(distances).mean(), divergence

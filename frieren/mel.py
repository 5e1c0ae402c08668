"""Log-mel spectrogram <-> latent, through the mel autoencoder."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from frieren.nets.autoencoder import MelAutoencoder
from frieren.windows import blend, spread, take


def encode(autoencoder: MelAutoencoder, mel: Tensor) -> tuple[Tensor, Tensor]:
    """mel [B, M, T] -> mean and log-variance [B, C, T / stride] of the posterior, in units of the flow's latent."""
    mean, log_variance = autoencoder.encode(mel)
    scale = autoencoder.config.scale
    return mean * scale, log_variance + 2 * math.log(scale)


def decode(autoencoder: MelAutoencoder, latent: Tensor, window: int, overlap: int) -> Tensor:
    """latent [B, C, L] -> mel [B, M, L * stride].

    Decoded window by window, as the autoencoder was trained (its normalisation looks at all of its input); where two
    windows overlap they have the same latent, and their spectrograms are blended.
    """
    latent = latent / autoencoder.config.scale
    columns = latent.shape[-1]
    starts, size = spread(columns, window, overlap)
    mels = torch.stack([autoencoder.decode(part) for part in take(latent, starts, size).unbind(1)], dim=1)
    stride = mels.shape[-1] // size
    return blend(mels, [start * stride for start in starts], columns * stride)

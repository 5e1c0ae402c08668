"""Log-mel spectrogram <-> latent, through the mel autoencoder."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from frieren.nets.autoencoder import MelAutoencoder
from frieren.windows import blend, unfold, window_starts

Count = Callable[[int, int], None]  # done, total


def ignore(done: int, total: int) -> None:
    """Take no notice of progress."""


def encode_mel(autoencoder: MelAutoencoder, mel: Tensor) -> tuple[Tensor, Tensor]:
    """mel [B, M, T] -> mean and log-variance [B, C, T / stride] of the posterior, in units of the flow's latent."""
    mean, log_variance = autoencoder.encode(mel)
    scale = autoencoder.config.scale
    return mean * scale, log_variance + 2 * math.log(scale)


def decode_latent(
    autoencoder: MelAutoencoder,
    latent: Tensor,
    window: int,
    overlap: int,
    on_window: Count = ignore,
) -> Tensor:
    """latent [B, C, L] -> mel [B, M, L * stride].

    Decoded in windows of one length, since the decoder's normalisation looks at all of its input; where two windows
    overlap they have the same latent, and their spectrograms are blended. A latent shorter than a window is prolonged
    by its last column and the spectrogram cut.

    Args:
        on_window: called with (windows done, windows) after each.
    """
    columns, stride = latent.shape[-1], autoencoder.config.stride
    latent = F.pad(latent / autoencoder.config.scale, (0, max(0, window - columns)), mode="replicate")
    starts, size = window_starts(latent.shape[-1], window, overlap)
    mels = []
    for part in unfold(latent, starts, size).unbind(1):
        mels.append(autoencoder.decode(part))
        on_window(len(mels), len(starts))
    mel = blend(torch.stack(mels, dim=1), [start * stride for start in starts], latent.shape[-1] * stride)
    return mel[..., : columns * stride]

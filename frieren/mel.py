"""Log-mel spectrogram <-> latent, through the mel autoencoder."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from frieren.nets.autoencoder import MelAutoencoder
from frieren.windows import weights, window_starts

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
    """latent [B, C, L] -> mel [B, M, L * stride] in one piece; see `stream_mel`."""
    return torch.cat(list(stream_mel(autoencoder, latent, window, overlap, on_window=on_window)), dim=-1)


@torch.inference_mode()
def stream_mel(
    autoencoder: MelAutoencoder,
    latent: Tensor,
    window: int,
    overlap: int,
    *,
    begin: int = 0,
    on_window: Count = ignore,
) -> Iterator[Tensor]:
    """latent [B, C, L] -> mel [B, M, T], T = L * stride, in blocks from column `begin` on.

    Decoded in windows of one length, since the decoder's normalisation looks at all of its input; where two windows
    overlap they have the same latent, and their spectrograms are blended. A latent shorter than a window is prolonged
    by its last column and the spectrogram cut.

    Args:
        on_window: called with (windows done, windows) after each.
    """
    stride = autoencoder.config.stride
    total = latent.shape[-1] * stride
    latent = F.pad(latent, (0, max(0, window - latent.shape[-1])), mode="replicate")
    starts, size = window_starts(latent.shape[-1], window, overlap)
    starts, size, length = [start * stride for start in starts], size * stride, latent.shape[-1] * stride
    shares, held = weights(starts, size, length), torch.empty(0)  # mel from column `begin` on that is not complete
    for index, start in enumerate(starts):
        if start + size <= begin:
            continue
        part = latent[..., start // stride : (start + size) // stride] / autoencoder.config.scale
        mel = autoencoder.decode(part)
        mel = (shares[index].to(mel) * mel)[..., max(0, begin - start) :]
        rest = mel.new_zeros(*mel.shape[:-1], start + size - begin)
        rest[..., : held.shape[-1]] = held
        rest[..., rest.shape[-1] - mel.shape[-1] :] += mel
        on_window(index + 1, len(starts))
        end = min([*starts[index + 1 : index + 2], length])
        if end > begin:
            yield rest[..., : min(end, total) - begin]
        held, begin = rest[..., max(0, end - begin) :], max(begin, end)

"""Mel -> wave: the vocoders, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from frieren.spectrogram import MelConfig, mel_filters

CHUNK = 512  # mel columns vocoded together: 8.2 s


class Vocoder(Protocol):
    """Turns mel [B, M, T] into wave [B, T * hop]; a sample depends on at most `context` columns on each side.

    None: on all of them, so the mel must stay in one piece.
    """

    context: int | None

    def __call__(self, mel: Tensor) -> Tensor: ...


@torch.inference_mode()
def vocode(
    vocoder: Vocoder, mel: Tensor, hop: int, on_chunk: Callable[[int, int], None] = lambda done, total: None
) -> Tensor:
    """mel [B, M, T] (log10) -> wave [B, T * hop] in -1..1, the same as in one piece but in bounded memory.

    Args:
        on_chunk: called with (columns done, columns) after each chunk.
    """
    columns, context = mel.shape[-1], vocoder.context or 0
    chunk = CHUNK if context else columns
    waves = []
    for start in range(0, columns, chunk):
        first, last = max(0, start - context), min(columns, start + chunk + context)
        wave = vocoder(mel[..., first:last])
        end = min(start + chunk, columns)
        waves.append(wave[:, (start - first) * hop : (end - first) * hop])
        on_chunk(end, columns)
    return torch.cat(waves, dim=-1).clamp(-1, 1)


class GriffinLim(nn.Module):
    """A vocoder without learning: the spectrum of least squares, then phases by Griffin and Lim (librosa).

    Slower and rougher than a trained vocoder; of use to tell the vocoder's share in a sound. Needs the extra
    `griffin-lim`.
    """

    context = None  # phases are settled over the whole sound

    def __init__(self, config: MelConfig, iterations: int = 60) -> None:
        super().__init__()
        self.config, self.iterations = config, iterations

    def forward(self, mel: Tensor) -> Tensor:
        """mel [B, M, T] -> wave [B, T * hop]."""
        return torch.stack([self.invert(item) for item in mel]).to(mel)

    def invert(self, mel: Tensor) -> Tensor:
        """One item [M, T] -> [T * hop]."""
        import librosa

        config, magnitudes = self.config, 10 ** mel.double().cpu().numpy()
        spectrum = librosa.util.nnls(mel_filters(config).double().numpy(), magnitudes)
        # The front end's frames are half a hop off librosa's centred ones: n_fft / 2 - (n_fft - hop) / 2 samples.
        wave = librosa.griffinlim(
            spectrum, n_iter=self.iterations, hop_length=config.hop, n_fft=config.n_fft, center=False, random_state=0
        )
        trim, length = (config.n_fft - config.hop) // 2, mel.shape[-1] * config.hop
        return torch.from_numpy(wave[trim : trim + length].copy())

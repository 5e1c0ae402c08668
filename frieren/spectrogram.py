"""Wave -> log-mel spectrogram: the published front end (paper section 4.5); and a distance of two waves.

Magnitude STFT without centring, Slaney mel filters, log10. Shared by the autoencoder, the vocoders and their training.
Vocoders are trained and measured with the distance.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

FLOOR = 1e-5  # the smallest mel magnitude: log10 gives -5, the value of silence
RESOLUTIONS = ((512, 128), (1024, 256), (2048, 512), (128, 32))  # (n_fft, hop) of the distance, in samples


@dataclass(frozen=True)
class MelConfig:
    """The mel front end. Defaults are the published ones."""

    sample_rate: int = 16_000
    n_fft: int = 1024  # also the window's length, samples
    hop: int = 256  # samples per column
    bins: int = 80
    fmin: float = 0.0  # Hz
    fmax: float = 8000.0  # Hz


@lru_cache(maxsize=8)
@torch.inference_mode(False)  # a cached tensor must serve training too, even if inference needs it first
def mel_filters(config: MelConfig) -> Tensor:
    """Triangular filters on Slaney's mel scale with unit area, as librosa's default. [M, n_fft / 2 + 1]"""
    step, knee = 200 / 3, 1000.0  # linear below 1 kHz: 15 mels; logarithmic above: 27 mels for a factor of 6.4
    slope = torch.log(torch.tensor(6.4, dtype=torch.float64)) / 27

    def to_mel(hertz: Tensor) -> Tensor:
        return torch.where(hertz < knee, hertz / step, 15 + torch.log(hertz.clamp(min=knee) / knee) / slope)

    def to_hertz(mel: Tensor) -> Tensor:
        return torch.where(mel < 15, mel * step, knee * torch.exp(slope * (mel - 15)))

    low, high = to_mel(torch.tensor([config.fmin, config.fmax], dtype=torch.float64))
    edges = to_hertz(torch.linspace(low.item(), high.item(), config.bins + 2, dtype=torch.float64))
    bands = torch.linspace(0, config.sample_rate / 2, config.n_fft // 2 + 1, dtype=torch.float64)
    rising = (bands - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bands) / (edges[2:] - edges[1:-1])[:, None]
    area = 2 / (edges[2:] - edges[:-2])
    return (torch.minimum(rising, falling).clamp(min=0) * area[:, None]).float()


def log_mel(wave: Tensor, config: MelConfig) -> Tensor:
    """wave [..., S] in -1..1 -> log10 mel magnitudes [..., M, S // hop], from -5 to about 1.5.

    Raises:
        ValueError: if the wave is shorter than the padding that it is reflected into (385 samples by default).
    """
    pad = (config.n_fft - config.hop) // 2
    if wave.shape[-1] <= pad:
        raise ValueError(
            f"a wave of {wave.shape[-1]} samples is too short for a spectrogram; at least {pad + 1} needed"
        )
    lead = wave.shape[:-1]
    spectrum = stft(wave.clamp(-1, 1).reshape(-1, wave.shape[-1]), config)
    magnitude = torch.sqrt(torch.view_as_real(spectrum).square().sum(-1) + 1e-9)
    mel = torch.log10((mel_filters(config).to(wave.device) @ magnitude).clamp(min=FLOOR))
    return mel.unflatten(0, lead) if lead else mel[0]


def stft(wave: Tensor, config: MelConfig) -> Tensor:
    """The front end's spectrum: wave [B, S], longer than its padding -> [B, n_fft / 2 + 1, S // hop], complex."""
    pad = (config.n_fft - config.hop) // 2
    padded = F.pad(wave[:, None], (pad, pad), mode="reflect")[:, 0]
    window = torch.hann_window(config.n_fft, device=wave.device)
    return torch.stft(padded, config.n_fft, config.hop, window=window, center=False, return_complex=True)


def spectral_distance(fake: Tensor, real: Tensor) -> Tensor:
    """Multi-resolution STFT distance: spectral convergence plus log-magnitude L1 (arXiv 1910.11480). Waves [B, S]."""
    total = fake.new_zeros(())
    for n_fft, hop in RESOLUTIONS:
        window = torch.hann_window(n_fft, device=fake.device)
        a, b = (
            torch.stft(x, n_fft, hop, window=window, return_complex=True).abs().clamp(min=1e-5) for x in (fake, real)
        )
        total = total + (b - a).norm() / b.norm() + (b.log() - a.log()).abs().mean()
    return total / len(RESOLUTIONS)

"""Cnn14 of PANNs: what AudioSet's 527 classes sound like, and the 2048 numbers before them (arXiv:1912.10211).

FD, KID, IS and KL look through it. Unlike our other networks it takes waves: the published weights contain the
matrices of its front end, so that the filters are always the authors' own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frieren.nets.cavp_pair import SpectrogramBlock

FLOOR = 1e-10  # the smallest mel power: -100 dB


@dataclass(frozen=True)
class PannsConfig:
    """Sizes of Cnn14 and of its front end. The defaults are those of Cnn14_16k."""

    sample_rate: int = 16_000
    n_fft: int = 512  # also the window's length, samples
    hop: int = 160  # samples per column
    bins: int = 64  # mel bins
    widths: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048)  # channels of each block
    embed: int = 2048  # length of the embedding
    classes: int = 527


class LogMel(nn.Module):
    """Wave -> mel powers in decibels, by matrices that come with the weights."""

    def __init__(self, config: PannsConfig) -> None:
        super().__init__()
        bands = config.n_fft // 2 + 1
        # Cosines and sines under a window; a convolution with them is a Fourier transform.
        self.real = nn.Conv1d(1, bands, config.n_fft, config.hop, bias=False)
        self.imaginary = nn.Conv1d(1, bands, config.n_fft, config.hop, bias=False)
        self.register_buffer("melW", torch.zeros(bands, config.bins))  # a parameter keeps its published last name

    def forward(self, wave: Tensor) -> Tensor:
        """wave [B, S] -> [B, S // hop + 1, M], at least -100 dB; what is beyond the ends is the wave mirrored."""
        pad = self.real.kernel_size[0] // 2
        wave = F.pad(wave.unsqueeze(1), (pad, pad), mode="reflect")
        power = self.real(wave).square() + self.imaginary(wave).square()
        return 10 * torch.log10((power.mT @ self.melW).clamp(min=FLOOR))


class Cnn14(nn.Module):
    """Wave of any length -> embedding -> one logit per class."""

    def __init__(self, config: PannsConfig) -> None:
        super().__init__()
        self.config = config
        self.log_mel = LogMel(config)
        self.norm = nn.BatchNorm1d(config.bins)
        self.blocks = nn.ModuleList(map(SpectrogramBlock, (1, *config.widths), config.widths))
        self.hidden = nn.Linear(config.widths[-1], config.embed)
        self.classify = nn.Linear(config.embed, config.classes)

    def embed(self, wave: Tensor) -> Tensor:
        """The embedding [B, embed], not negative, of waves [B, S] in -1..1.

        Raises:
            ValueError: if the waves are too short to be halved by every block but the last.
        """
        shortest = (2 ** (len(self.blocks) - 1) - 1) * self.config.hop
        if wave.shape[-1] < shortest:
            raise ValueError(f"a wave of {wave.shape[-1]} samples is too short; pad it to {shortest} or more")
        x = self.norm(self.log_mel(wave).mT).mT.unsqueeze(1)
        for block in self.blocks[:-1]:
            x = F.avg_pool2d(block(x), 2)
        x = self.blocks[-1](x).mean(dim=3)
        return F.relu(self.hidden(x.amax(dim=2) + x.mean(dim=2)))

    def forward(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        """Waves [B, S] in -1..1 -> embeddings [B, embed] and logits [B, classes]; several classes can be true."""
        embedding = self.embed(wave)
        return embedding, self.classify(embedding)

"""BigVGAN: a mel spectrogram as a wave (paper section 4.7; Lee et al., "BigVGAN", ICLR 2023).

Transposed convolutions climb from the mel rate to the sample rate. Every nonlinearity runs at twice its rate between
two low-pass filters, so that the overtones it makes do not fold back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TAPS = 12  # of the low-pass filter
CUTOFF = 0.25  # of the low-pass filter, in the doubled sample rate
HALF_WIDTH = 0.3  # of its transition
ACTIVATION_REACH = 5  # samples that an anti-aliased activation sees on each side


@dataclass(frozen=True)
class BigVGANConfig:
    """Sizes of the vocoder. The defaults are the published ones (paper section 4.7).

    Raises:
        ValueError: if rates and kernels do not pair up, or the width cannot be halved at every stage.
    """

    bins: int = 80  # mel bins
    width: int = 1536  # channels at the mel rate; halved at every stage
    rates: tuple[int, ...] = (4, 4, 2, 2, 2, 2)  # by which each stage raises the rate
    kernels: tuple[int, ...] = (8, 8, 4, 4, 4, 4)  # of each stage's transposed convolution
    resblock_kernels: tuple[int, ...] = (3, 7, 11)  # of the parallel residual blocks of a stage
    dilations: tuple[int, ...] = (1, 3, 5)  # of the units of a residual block
    edge_kernel: int = 7  # of the first and the last convolution

    def __post_init__(self) -> None:
        if len(self.rates) != len(self.kernels):
            raise ValueError(f"kernels needs one entry per rate ({len(self.rates)}), got {len(self.kernels)}")
        for rate, kernel in zip(self.rates, self.kernels, strict=True):
            if kernel < rate or (kernel - rate) % 2:
                raise ValueError(f"a kernel must be its rate plus an even number, got kernel {kernel}, rate {rate}")
        if self.width % 2 ** len(self.rates):
            raise ValueError(f"width must be a multiple of {2 ** len(self.rates)}, got {self.width}")

    @property
    def hop(self) -> int:
        """Samples per mel column (256)."""
        return math.prod(self.rates)

    @property
    def context(self) -> int:
        """Mel columns that a sample sees on each side of its own; walked from the wave back to the mel."""
        kernel = max(self.resblock_kernels)
        blocks = sum(2 * ACTIVATION_REACH + (dilation + 1) * (kernel // 2) for dilation in self.dilations)
        reach = self.edge_kernel // 2 + ACTIVATION_REACH
        for rate, size in zip(reversed(self.rates), reversed(self.kernels), strict=True):
            reach = (reach + blocks + (size + rate) // 2 - 1) // rate
        return reach + self.edge_kernel // 2


def low_pass() -> Tensor:
    """The filter of the anti-aliased activations: a Kaiser-windowed sinc, 12 taps of sum 1 (paper section 4.7)."""
    attenuation = 2.285 * (TAPS // 2 - 1) * math.pi * 4 * HALF_WIDTH + 7.95  # in dB; Kaiser's formula
    beta = 0.1102 * (attenuation - 8.7)  # 4.66; for more than 50 dB
    window = torch.kaiser_window(TAPS, periodic=False, beta=beta, dtype=torch.float64)
    taps = 2 * CUTOFF * torch.sinc(2 * CUTOFF * (torch.arange(TAPS, dtype=torch.float64) - (TAPS - 1) / 2)) * window
    return taps / taps.sum()


@cache
def taps_on(device: torch.device, dtype: torch.dtype) -> Tensor:
    """The filter [1, 1, 12] where it is needed.

    Not a buffer, because it is a constant: nothing to save, nothing to be missing from a checkpoint.
    """
    with torch.inference_mode(False):  # a constant made in inference mode would be unusable in training
        return low_pass().view(1, 1, TAPS).to(device, dtype)


class Activation(nn.Module):
    """SnakeBeta at twice the rate, between two low-pass filters."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(width))  # logarithm of the frequency
        self.beta = nn.Parameter(torch.zeros(width))  # logarithm of the inverse magnitude

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, S] -> [B, C, S]."""
        width = x.shape[1]
        taps = taps_on(x.device, x.dtype).expand(width, 1, TAPS)
        # Replicated on both sides, so that the ends do not fall to zero; the padding of 15 cuts that off again.
        x = F.pad(x, (5, 5), mode="replicate")
        x = self.snake(2 * F.conv_transpose1d(x, taps, stride=2, padding=15, groups=width))
        x = F.pad(x, (5, 6), mode="replicate")
        return F.conv1d(x, taps, stride=2, groups=width)

    def snake(self, x: Tensor) -> Tensor:
        """x + sin^2(x e^alpha) / e^beta."""
        alpha, beta = self.alpha.exp()[:, None], self.beta.exp()[:, None]
        return x + torch.sin(x * alpha).square() / (beta + 1e-9)


class Unit(nn.Module):
    """Activation, dilated convolution, activation, convolution, plus the skip connection."""

    def __init__(self, width: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.activation1 = Activation(width)
        self.conv1 = nn.Conv1d(width, width, kernel, padding=dilation * (kernel // 2), dilation=dilation)
        self.activation2 = Activation(width)
        self.conv2 = nn.Conv1d(width, width, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, S] -> [B, C, S]."""
        y = self.conv1(self.activation1(x))
        return x + self.conv2(self.activation2(y))


class Stage(nn.Module):
    """Raise the rate, then the mean of residual blocks that look differently far."""

    def __init__(self, inputs: int, rate: int, kernel: int, config: BigVGANConfig) -> None:
        super().__init__()
        outputs = inputs // 2
        self.up = nn.ConvTranspose1d(inputs, outputs, kernel, stride=rate, padding=(kernel - rate) // 2)
        self.blocks = nn.ModuleList(
            nn.Sequential(*(Unit(outputs, size, dilation) for dilation in config.dilations))
            for size in config.resblock_kernels
        )

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, S] -> [B, C / 2, S * rate]."""
        x = self.up(x)
        total = self.blocks[0](x)
        for block in self.blocks[1:]:
            total = total + block(x)
        return total / len(self.blocks)


class BigVGAN(nn.Module):
    """The vocoder. Weights are plain; the published weight normalisation is folded when a checkpoint is read."""

    def __init__(self, config: BigVGANConfig) -> None:
        super().__init__()
        self.config = config
        edge, widths = config.edge_kernel, [config.width // 2**level for level in range(len(config.rates) + 1)]
        self.conv_in = nn.Conv1d(config.bins, config.width, edge, padding=edge // 2)
        self.stages = nn.ModuleList(
            Stage(width, rate, kernel, config)
            for width, rate, kernel in zip(widths, config.rates, config.kernels, strict=False)
        )
        self.activation_out = Activation(widths[-1])
        self.conv_out = nn.Conv1d(widths[-1], 1, edge, padding=edge // 2)

    @property
    def context(self) -> int:
        """Mel columns that a sample sees on each side of its own: what a chunk needs beyond its ends."""
        return self.config.context

    def forward(self, mel: Tensor) -> Tensor:
        """Vocode a log10 mel spectrogram [B, M, T] -> wave [B, T * hop] in -1..1."""
        x = self.conv_in(mel)
        for stage in self.stages:
            x = stage(x)
        return torch.tanh(self.conv_out(self.activation_out(x))).squeeze(1)

"""Adversaries of the vocoders: they judge a wave folded by several periods, and its spectrum at several resolutions.

Multi-period discriminator: HiFi-GAN (arXiv 2010.05646). Multi-resolution discriminator: UnivNet (arXiv 2106.07889), as
used by BigVGAN (arXiv 2206.04658).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Sizes of both families; `width` 1.0 is BigVGAN's."""

    periods: tuple[int, ...] = (2, 3, 5, 7, 11)
    resolutions: tuple[tuple[int, int], ...] = ((1024, 120), (2048, 240), (512, 50))  # (n_fft, hop) in samples
    width: float = 1.0


def conv2d(inputs: int, outputs: int, kernel: tuple[int, int], stride: tuple[int, int] = (1, 1)) -> nn.Module:
    return weight_norm(nn.Conv2d(inputs, outputs, kernel, stride, (kernel[0] // 2, kernel[1] // 2)))


class Judge(nn.Module):
    """A stack of convolutions that returns the features of every layer; the last one is the score map."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for layer in self.layers[:-1]:
            x = F.leaky_relu(layer(x), 0.1)
            features.append(x)
        return [*features, self.layers[-1](x)]


class PeriodJudge(Judge):
    """Looks at every `period`-th sample together."""

    def __init__(self, period: int, width: float) -> None:
        sizes = [1, *(max(4, round(width * size)) for size in (32, 128, 512, 1024, 1024))]
        strides = (3, 3, 3, 3, 1)
        convs = [conv2d(a, b, (5, 1), (s, 1)) for a, b, s in zip(sizes, sizes[1:], strides, strict=False)]
        super().__init__([*convs, conv2d(sizes[-1], 1, (3, 1))])
        self.period = period

    def forward(self, wave: Tensor) -> list[Tensor]:  # [B, S]
        wave = F.pad(wave, (0, -wave.shape[-1] % self.period), mode="reflect")
        return super().forward(wave.unflatten(-1, (-1, self.period)).unsqueeze(1))


class SpectrumJudge(Judge):
    """Looks at the magnitude spectrogram at one resolution."""

    def __init__(self, n_fft: int, hop: int, width: float) -> None:
        size = max(4, round(width * 32))
        convs = [conv2d(1, size, (3, 9))]
        convs += [conv2d(size, size, (3, 9), (1, 2)) for _ in range(3)]
        super().__init__([*convs, conv2d(size, size, (3, 3)), conv2d(size, 1, (3, 3))])
        self.n_fft, self.hop = n_fft, hop
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def forward(self, wave: Tensor) -> list[Tensor]:  # [B, S]
        spectrum = torch.stft(wave, self.n_fft, self.hop, window=self.window, return_complex=True).abs()
        return super().forward(spectrum.transpose(1, 2).unsqueeze(1))


class WaveJudges(nn.Module):
    """All period and spectrum judges; each returns its layers' features, the last entry its score map."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        judges = [PeriodJudge(period, config.width) for period in config.periods]
        judges += [SpectrumJudge(n_fft, hop, config.width) for n_fft, hop in config.resolutions]
        self.judges = nn.ModuleList(judges)

    def forward(self, wave: Tensor) -> list[list[Tensor]]:
        """wave [B, S] -> per judge a list of feature maps."""
        return [judge(wave) for judge in self.judges]

"""Adversaries: of the vocoders, on a wave folded by several periods and on its spectrum at several resolutions; of the
mel autoencoder, on patches of a spectrogram.

Multi-period discriminator: HiFi-GAN (arXiv 2010.05646). Multi-resolution discriminator: UnivNet (arXiv 2106.07889), as
used by BigVGAN (arXiv 2206.04658). Patch discriminator: pix2pix (arXiv 1611.07004), as Make-An-Audio 2 uses it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Sizes of both families of wave discriminators. The defaults are BigVGAN's.

    Raises:
        ValueError: if a resolution is neither (n_fft, hop) nor (n_fft, hop, window).
    """

    periods: tuple[int, ...] = (2, 3, 5, 7, 11)
    # (n_fft, hop) or (n_fft, hop, window) in samples; the window is as long as the transform if it is not given.
    resolutions: tuple[tuple[int, ...], ...] = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
    width: float = 1.0

    def __post_init__(self) -> None:
        for resolution in self.resolutions:
            if len(resolution) not in (2, 3):
                raise ValueError(f"a resolution must be [n_fft, hop] or [n_fft, hop, window], got {resolution}")


@dataclass(frozen=True)
class PatchConfig:
    """Sizes of the patch discriminator. The defaults are Make-An-Audio 2's."""

    width: int = 64  # channels of the first layer; doubled by every further one, up to eight times
    layers: int = 3  # layers that halve the resolution


def conv2d(inputs: int, outputs: int, kernel: tuple[int, int], stride: tuple[int, int] = (1, 1)) -> nn.Module:
    """A weight-normalised convolution that keeps the size but for its stride."""
    return weight_norm(nn.Conv2d(inputs, outputs, kernel, stride, (kernel[0] // 2, kernel[1] // 2)))


class Discriminator(nn.Module):
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


class PeriodDiscriminator(Discriminator):
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


class SpectrumDiscriminator(Discriminator):
    """Looks at the magnitude spectrogram at one resolution, as BigVGAN's does.

    The window is rectangular, frames lie within the wave and (n_fft - hop) / 2 reflected samples on either side, and
    the long side of the kernels and all strides run along time.
    """

    def __init__(self, width: float, n_fft: int, hop: int, window: int | None = None) -> None:
        size = max(4, round(width * 32))
        convs = [conv2d(1, size, (3, 9))]
        convs += [conv2d(size, size, (3, 9), (1, 2)) for _ in range(3)]
        super().__init__([*convs, conv2d(size, size, (3, 3)), conv2d(size, 1, (3, 3))])
        self.n_fft, self.hop = n_fft, hop
        self.window: Tensor
        self.register_buffer("window", torch.ones(window or n_fft), persistent=False)

    def forward(self, wave: Tensor) -> list[Tensor]:  # [B, S]
        around = (self.n_fft - self.hop) // 2
        wave, length = F.pad(wave, (around, around), mode="reflect"), len(self.window)
        spectrum = torch.stft(wave, self.n_fft, self.hop, length, self.window, center=False, return_complex=True)
        return super().forward(spectrum.abs().unsqueeze(1))  # [B, 1, bins, frames]


class WaveDiscriminators(nn.Module):
    """All period and spectrum discriminators; each returns its layers' features, the last entry its score map."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        parts: list[Discriminator] = [PeriodDiscriminator(period, config.width) for period in config.periods]
        parts += [SpectrumDiscriminator(config.width, *resolution) for resolution in config.resolutions]
        self.discriminators = nn.ModuleList(parts)

    def forward(self, wave: Tensor) -> list[list[Tensor]]:
        """wave [B, S] -> per discriminator a list of feature maps."""
        return [part(wave) for part in self.discriminators]


class PatchDiscriminator(nn.Sequential):
    """Scores every patch of a spectrogram, as an image of one channel: real (1) or generated (0)."""

    def __init__(self, config: PatchConfig) -> None:
        sizes = [config.width * min(2**level, 8) for level in range(config.layers + 1)]
        layers: list[nn.Module] = [nn.Conv2d(1, sizes[0], 4, 2, 1), nn.LeakyReLU(0.2)]
        for level, (inputs, outputs) in enumerate(zip(sizes, sizes[1:], strict=False), 1):
            stride = 2 if level < config.layers else 1
            layers += [nn.Conv2d(inputs, outputs, 4, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)]
        super().__init__(*layers, nn.Conv2d(sizes[-1], 1, 4, 1, 1))
        self.shortest = 3 * 2**config.layers  # mel bins and columns of which a single patch is left
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, 0.02)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1.0, 0.02)

    def forward(self, mel: Tensor) -> Tensor:
        """mel [B, M, T] -> logits [B, 1, M', T'], an eighth of either axis less two by default.

        Raises:
            ValueError: if M or T leaves no patch.
        """
        if min(mel.shape[1:]) < self.shortest:
            raise ValueError(
                f"the discriminator needs at least {self.shortest} mel bins and columns, got {tuple(mel.shape[1:])}; "
                "raise loss.columns, or lower loss.discriminator.layers"
            )
        patches: Tensor = super().forward(mel.unsqueeze(1))  # type: ignore[no-untyped-call]
        return patches

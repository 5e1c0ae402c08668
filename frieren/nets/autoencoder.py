"""The mel autoencoder: a mel spectrogram as a short sequence of 20 numbers per column, and back (paper section 4.6).

One-dimensional convolutions over time, with the mel bins as channels: a spectrogram is not the same when it is moved
up or down. Latents are unscaled here; the vector field works on `config.scale` times a latent.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class AutoencoderConfig:
    """Sizes of the mel autoencoder. The defaults are the published ones (paper section 4.6).

    Raises:
        ValueError: if a level that should halve the time axis does not exist or is the last.
    """

    bins: int = 80  # mel bins
    width: int = 384  # channels of level 0
    multipliers: tuple[int, ...] = (1, 2, 4)  # channels of each level, in widths
    blocks: int = 2  # residual blocks per level of the encoder; the decoder has one more
    edge_kernel: int = 5  # of the first and last convolution on both sides
    encoder_kernel: int = 5  # of the encoder's residual blocks
    decoder_kernel: int = 3  # of the decoder's residual blocks
    latent: int = 20  # channels of the latent
    downsample_levels: tuple[int, ...] = (0,)  # levels of the encoder that end by halving the time axis
    attention: bool = True  # one attention layer in the middle
    groups: int = 32  # of every group normalisation
    shortcut: bool = False  # a linear skip connection around both networks, which then learn the rest; not published
    scale: float = 0.18215  # latent in the vector field = scale * latent here

    def __post_init__(self) -> None:
        for level in self.downsample_levels:
            if not 0 <= level < len(self.multipliers) - 1:
                raise ValueError(f"downsample_levels must lie in 0..{len(self.multipliers) - 2}, got {level}")

    @property
    def stride(self) -> int:
        """Mel columns per latent column (2)."""
        return 2 ** len(self.downsample_levels)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level."""
        return tuple(self.width * multiplier for multiplier in self.multipliers)


def same_conv(inputs: int, outputs: int, kernel: int) -> nn.Conv1d:
    """A convolution that keeps the length."""
    return nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2)


class ResidualBlock(nn.Module):
    """Twice (normalise, swish, convolve), plus the skip connection."""

    def __init__(self, inputs: int, outputs: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, inputs, eps=1e-6)
        self.conv1 = same_conv(inputs, outputs, kernel)
        self.norm2 = nn.GroupNorm(groups, outputs, eps=1e-6)
        self.conv2 = same_conv(outputs, outputs, kernel)
        self.skip = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, T] -> [B, C', T]."""
        y = self.conv1(F.silu(self.norm1(x)))
        y = self.conv2(F.silu(self.norm2(y)))
        return self.skip(x) + y


class AttentionBlock(nn.Module):
    """Attention over time with a single head as wide as the channels."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, width, eps=1e-6)
        self.query = nn.Conv1d(width, width, 1)
        self.key = nn.Conv1d(width, width, 1)
        self.value = nn.Conv1d(width, width, 1)
        self.out = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, T] -> [B, C, T]."""
        y = self.norm(x)
        query, key, value = (layer(y).mT.unsqueeze(1) for layer in (self.query, self.key, self.value))
        y = F.scaled_dot_product_attention(query, key, value).squeeze(1).mT
        return x + self.out(y)


class Middle(nn.Sequential):
    """Residual block, attention, residual block: the only place that sees the whole length."""

    def __init__(self, width: int, kernel: int, config: AutoencoderConfig) -> None:
        attention = AttentionBlock(width, config.groups) if config.attention else nn.Identity()
        super().__init__(
            ResidualBlock(width, width, kernel, config.groups),
            attention,
            ResidualBlock(width, width, kernel, config.groups),
        )


class Downsample(nn.Module):
    """Half the length. The one zero stands on the right, so column i sees 2i, 2i + 1 and 2i + 2."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, T] -> [B, C, T // 2]."""
        return self.conv(F.pad(x, (0, 1)))


class Upsample(nn.Module):
    """Twice the length: every column twice, then a convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = same_conv(width, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, T] -> [B, C, 2 T]."""
        return self.conv(x.repeat_interleave(2, dim=-1))


class Level(nn.Module):
    """Residual blocks of one width, then a change of the length or none."""

    def __init__(self, blocks: list[ResidualBlock], resample: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)
        self.resample = resample

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, T] -> [B, C', T']."""
        return self.resample(self.blocks(x))


def stack(inputs: int, outputs: int, count: int, kernel: int, groups: int) -> list[ResidualBlock]:
    """`count` residual blocks, the first of which changes the width."""
    return [ResidualBlock(inputs if index == 0 else outputs, outputs, kernel, groups) for index in range(count)]


class Encoder(nn.Module):
    """Mel -> mean and log-variance, not yet mixed."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        kernel, groups, widths = config.encoder_kernel, config.groups, config.widths
        self.conv_in = same_conv(config.bins, config.width, config.edge_kernel)
        self.levels = nn.ModuleList()
        for level, (inputs, outputs) in enumerate(zip((config.width, *widths), widths, strict=False)):
            resample = Downsample(outputs) if level in config.downsample_levels else nn.Identity()
            self.levels.append(Level(stack(inputs, outputs, config.blocks, kernel, groups), resample))
        self.middle = Middle(widths[-1], kernel, config)
        self.norm_out = nn.GroupNorm(groups, widths[-1], eps=1e-6)
        self.conv_out = same_conv(widths[-1], 2 * config.latent, config.edge_kernel)

    def forward(self, mel: Tensor) -> Tensor:
        """mel [B, M, T] -> [B, 2 C, L]."""
        x = self.conv_in(mel)
        for level in self.levels:
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(self.middle(x))))


class Decoder(nn.Module):
    """Latent -> mel; `levels[i]` has the width of the encoder's level i and runs in reverse order."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        kernel, groups, widths = config.decoder_kernel, config.groups, config.widths
        self.conv_in = same_conv(config.latent, widths[-1], config.edge_kernel)
        self.middle = Middle(widths[-1], kernel, config)
        self.levels = nn.ModuleList()
        for level, (outputs, inputs) in enumerate(zip(widths, (*widths[1:], widths[-1]), strict=True)):
            resample = Upsample(outputs) if level - 1 in config.downsample_levels else nn.Identity()
            self.levels.append(Level(stack(inputs, outputs, config.blocks + 1, kernel, groups), resample))
        self.norm_out = nn.GroupNorm(groups, widths[0], eps=1e-6)
        self.conv_out = same_conv(widths[0], config.bins, config.edge_kernel)

    def forward(self, z: Tensor) -> Tensor:
        """z [B, C, L] -> mel [B, M, T]."""
        x = self.middle(self.conv_in(z))
        for level in reversed(self.levels):
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class MelAutoencoder(nn.Module):
    """A variational autoencoder of mel spectrograms (paper section 4.6).

    Both directions work on unscaled latents. The vector field works on `config.scale * z`; a caller that
    passes latents from one to the other multiplies or divides.
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.to_posterior = nn.Conv1d(2 * config.latent, 2 * config.latent, 1)
        self.from_latent = nn.Conv1d(config.latent, config.latent, 1)
        self.decoder = Decoder(config)
        if config.shortcut:
            self.analysis = nn.Conv1d(config.bins, config.latent, config.stride, config.stride)
            self.synthesis = nn.ConvTranspose1d(config.latent, config.bins, config.stride, config.stride)

    def encode(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """The posterior of a mel spectrogram.

        Args:
            mel: [B, M, T] log10 mel; T a multiple of `config.stride`.

        Returns:
            mean and log-variance, both [B, C, T / stride]; the log-variance lies in -30..20.

        Raises:
            ValueError: if T is not a multiple of the stride.
        """
        columns, stride = mel.shape[-1], self.config.stride
        if columns % stride:
            raise ValueError(
                f"the mel has {columns} columns, expected a multiple of {stride}: "
                f"drop the last {columns % stride} or repeat the last column {stride - columns % stride} time(s)"
            )
        mean, logvar = self.to_posterior(self.encoder(mel)).chunk(2, dim=1)
        if self.config.shortcut:
            mean = mean + self.analysis(mel)
        return mean, torch.clamp(logvar, -30.0, 20.0)

    def decode(self, z: Tensor) -> Tensor:
        """The mel spectrogram of an unscaled latent: z [B, C, L] -> [B, M, L * stride]."""
        mel = self.decoder(self.from_latent(z))
        return mel + self.synthesis(z) if self.config.shortcut else mel

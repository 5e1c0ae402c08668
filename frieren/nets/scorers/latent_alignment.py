"""Diff-Foley's alignment classifier: do a sound and visual features belong together (arXiv:2306.17203)?

A spectrogram is compressed as a picture by the encoder of a latent diffusion model; the down-going half of a denoising
U-Net looks at the latent, with cross-attention to CAVP's features, and classifies the pair as matched or not. The
alignment accuracy of the paper is the share of matched ones. It uses CAVP, which the generators are conditioned on:
that flatters them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frieren.nets.field import TimeEmbedding


@dataclass(frozen=True)
class LatentAlignmentConfig:
    """Sizes of the classifier and of the encoder before it. The defaults are the published ones.

    Raises:
        ValueError: if a width cannot be parted into the groups of the normalisations, or into heads.
    """

    width: int = 128  # channels of level 0 of the classifier, and of what it decides by
    multipliers: tuple[int, ...] = (1, 2, 2)  # channels of each level, in widths; all but the first attend
    heads: int = 8
    features: int = 512  # length of a visual feature
    context: int = 512  # the same, as the classifier's attentions see it
    positions: int = 40  # visual features that have a place in time
    frames: int = 32  # visual features that are looked at: 8 s
    columns: int = 512  # mel columns that are listened to: 8.192 s
    picture_width: int = 128  # channels of level 0 of the encoder
    picture_multipliers: tuple[int, ...] = (1, 2, 4, 4)
    picture_blocks: int = 2  # residual blocks per level of the encoder
    picture_channels: int = 3  # a spectrogram is shown as a grey picture
    latent: int = 4  # channels of the latent
    groups: int = 32  # of every group normalisation
    scale: float = 0.18215  # what the classifier sees = scale * latent

    def __post_init__(self) -> None:
        for width in (*self.widths, *(self.picture_width * multiplier for multiplier in self.picture_multipliers)):
            if width % self.groups:
                raise ValueError(f"widths must be multiples of groups ({self.groups}), got {width}")
        for width in self.widths[1:]:
            if width % self.heads:
                raise ValueError(f"widths must be multiples of heads ({self.heads}), got {width}")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level of the classifier."""
        return tuple(self.width * multiplier for multiplier in self.multipliers)

    @property
    def time_width(self) -> int:
        """Length of the embedded time."""
        return 4 * self.width


class Residual(nn.Module):
    """Twice (normalise, swish, convolve), with an embedded time in between if there is one, and a skip connection."""

    def __init__(self, inputs: int, outputs: int, groups: int, eps: float, time_width: int | None = None) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, inputs, eps)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, outputs, eps)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        if time_width is not None:
            self.project_time = nn.Linear(time_width, outputs)

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        """x [B, C, H, W], time [B, time_width] -> [B, C', H, W]."""
        y = self.conv1(F.silu(self.norm1(x)))
        if time is not None:
            y = y + self.project_time(F.silu(time))[:, :, None, None]
        return self.skip(x) + self.conv2(F.silu(self.norm2(y)))


class PictureAttention(nn.Module):
    """Attention over all places with a single head as wide as the channels."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, width, eps=1e-6)
        self.query, self.key, self.value, self.out = (nn.Conv2d(width, width, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, H, W] -> [B, C, H, W]."""
        y = self.norm(x)
        query, key, value = (layer(y).flatten(2).mT.unsqueeze(1) for layer in (self.query, self.key, self.value))
        y = F.scaled_dot_product_attention(query, key, value).squeeze(1).mT
        return x + self.out(y.unflatten(2, x.shape[2:]))


class PictureLevel(nn.Module):
    """Residual blocks of one width, then half the height and width unless it is the last."""

    def __init__(self, inputs: int, outputs: int, config: LatentAlignmentConfig, last: bool) -> None:
        super().__init__()
        widths = (inputs, *[outputs] * (config.picture_blocks - 1))
        self.blocks = nn.Sequential(*(Residual(width, outputs, config.groups, 1e-6) for width in widths))
        self.down = nn.Identity() if last else nn.Conv2d(outputs, outputs, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, H, W] -> [B, C', H / 2, W / 2]."""
        x = self.blocks(x)
        # The one zero stands to the right and below.
        return x if isinstance(self.down, nn.Identity) else self.down(F.pad(x, (0, 1, 0, 1)))


class PictureEncoder(nn.Module):
    """The encoder of latent diffusion models (arXiv:2112.10752): a picture -> mean and log-variance, not yet mixed."""

    def __init__(self, config: LatentAlignmentConfig) -> None:
        super().__init__()
        widths = [config.picture_width * multiplier for multiplier in config.picture_multipliers]
        self.conv_in = nn.Conv2d(config.picture_channels, config.picture_width, 3, padding=1)
        self.levels = nn.Sequential(
            *(
                PictureLevel(inputs, outputs, config, last=level == len(widths) - 1)
                for level, (inputs, outputs) in enumerate(zip((config.picture_width, *widths), widths, strict=False))
            )
        )
        self.middle = nn.Sequential(
            Residual(widths[-1], widths[-1], config.groups, 1e-6),
            PictureAttention(widths[-1], config.groups),
            Residual(widths[-1], widths[-1], config.groups, 1e-6),
        )
        self.norm_out = nn.GroupNorm(config.groups, widths[-1], eps=1e-6)
        self.conv_out = nn.Conv2d(widths[-1], 2 * config.latent, 3, padding=1)

    def forward(self, picture: Tensor) -> Tensor:
        """picture [B, 3, H, W] -> [B, 2 C, H / 8, W / 8]."""
        x = self.middle(self.levels(self.conv_in(picture)))
        return self.conv_out(F.silu(self.norm_out(x)))


class CrossAttention(nn.Module):
    """Attention of tokens to a context, which may be themselves."""

    def __init__(self, width: int, context: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(context, width, bias=False)
        self.value = nn.Linear(context, width, bias=False)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """x [B, N, W], context [B, F, D] -> [B, N, W]."""
        parts = (self.query(x), self.key(context), self.value(context))
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        return self.out(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(-2))


class SpatialTransformer(nn.Module):
    """Every place attends to all places and to the visual features, between two 1 x 1 convolutions."""

    def __init__(self, width: int, config: LatentAlignmentConfig) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(config.groups, width, eps=1e-6)
        self.conv_in = nn.Conv2d(width, width, 1)
        self.norm1 = nn.LayerNorm(width)
        self.attention1 = CrossAttention(width, width, config.heads)
        self.norm2 = nn.LayerNorm(width)
        self.attention2 = CrossAttention(width, config.context, config.heads)
        self.norm3 = nn.LayerNorm(width)
        self.widen = nn.Linear(width, 8 * width)
        self.narrow = nn.Linear(4 * width, width)
        self.conv_out = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """x [B, C, H, W], context [B, F, D] -> [B, C, H, W]."""
        y = self.conv_in(self.norm(x)).flatten(2).mT
        tokens = self.norm1(y)
        y = y + self.attention1(tokens, tokens)
        y = y + self.attention2(self.norm2(y), context)
        value, gate = self.widen(self.norm3(y)).chunk(2, dim=-1)
        y = y + self.narrow(value * F.gelu(gate))
        return x + self.conv_out(y.mT.unflatten(2, x.shape[2:]))


class UNetLevel(nn.Module):
    """A residual block, then attention but for the first level, then half the height and width but for the last."""

    def __init__(self, level: int, inputs: int, config: LatentAlignmentConfig) -> None:
        super().__init__()
        width = config.widths[level]
        self.residual = Residual(inputs, width, config.groups, 1e-5, config.time_width)
        self.attention = SpatialTransformer(width, config) if level > 0 else None
        last = level == len(config.widths) - 1
        self.down = nn.Identity() if last else nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, x: Tensor, time: Tensor, context: Tensor) -> Tensor:
        """x [B, C, H, W], time [B, time_width], context [B, F, D] -> [B, C', H / 2, W / 2]."""
        x = self.residual(x, time)
        return self.down(x if self.attention is None else self.attention(x, context))


class LatentAlignment(nn.Module):
    """Spectrogram as a picture, and visual features -> the logit that they belong together."""

    def __init__(self, config: LatentAlignmentConfig) -> None:
        super().__init__()
        self.config = config
        width = config.widths[-1]
        self.encoder = PictureEncoder(config)
        self.to_posterior = nn.Conv2d(2 * config.latent, 2 * config.latent, 1)
        self.project_features = nn.Linear(config.features, config.context)
        self.positions = nn.Embedding(config.positions, config.context)
        self.embed_time = TimeEmbedding(config.width, config.time_width)
        self.conv_in = nn.Conv2d(config.latent, config.width, 3, padding=1)
        inputs = (config.width, *config.widths)
        self.levels = nn.ModuleList(UNetLevel(level, inputs[level], config) for level in range(len(config.widths)))
        self.middle1 = Residual(width, width, config.groups, 1e-5, config.time_width)
        self.middle_attention = SpatialTransformer(width, config)
        self.middle2 = Residual(width, width, config.groups, 1e-5, config.time_width)
        self.norm_out = nn.GroupNorm(config.groups, width, eps=1e-5)
        self.conv_out = nn.Conv2d(width, config.width, 3, padding=1)
        self.classify = nn.Linear(config.width, 1)

    def encode(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance [B, C, M / 8, T / 8] of the unscaled posterior of a mel [B, M, T] in 0..1."""
        picture = mel.unsqueeze(1).expand(-1, self.config.picture_channels, -1, -1)
        mean, logvar = self.to_posterior(self.encoder(picture)).chunk(2, dim=1)
        return mean, logvar.clamp(-30.0, 20.0)

    def condition(self, features: Tensor) -> Tensor:
        """Visual features [B, F, D], in the order of time -> context [B, F, W].

        Raises:
            ValueError: if there are more of them than positions.
        """
        if features.shape[1] > self.config.positions:
            raise ValueError(f"{features.shape[1]} features, expected at most {self.config.positions}: drop the rest")
        return self.project_features(features) + self.positions.weight[: features.shape[1]]

    def pool(self, latent: Tensor, context: Tensor) -> Tensor:
        """Pooled representation [B, width]: scaled latent [B, C, H, W] under context [B, F, W], free of noise."""
        time = self.embed_time(torch.zeros(len(latent), device=latent.device))
        x = self.conv_in(latent)
        for level in self.levels:
            x = level(x, time, context)
        x = self.middle2(self.middle_attention(self.middle1(x, time), context), time)
        return self.conv_out(F.silu(self.norm_out(x))).mean(dim=(2, 3))

    def forward(self, latent: Tensor, features: Tensor) -> Tensor:
        """Scaled latent [B, C, H, W] and visual features [B, F, D] -> logits [B]."""
        return self.classify(self.pool(latent, self.condition(features))).squeeze(1)

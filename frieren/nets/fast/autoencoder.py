"""The mel autoencoder for inference on a processor: the decoder has its channels innermost; the encoder is plain."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frieren.nets.autoencoder import AttentionBlock, Decoder, Level, MelAutoencoder, ResidualBlock, Upsample
from frieren.nets.fast.convolution import Convolution, padded
from frieren.nets.fast.field import as_linear, group_norm, in_dtype


class FastResidualBlock(nn.Module):
    """A `ResidualBlock`."""

    def __init__(self, plain: ResidualBlock, dtype: torch.dtype) -> None:
        super().__init__()
        self.norm1, self.norm2 = in_dtype(plain.norm1, dtype), in_dtype(plain.norm2, dtype)
        self.conv1, self.conv2 = Convolution(plain.conv1, dtype), Convolution(plain.conv2, dtype)
        self.skip = as_linear(plain.skip, dtype) if isinstance(plain.skip, nn.Conv1d) else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, C] -> [B, T, C']."""
        y = self.conv1(padded(F.silu(group_norm(self.norm1, x)), self.conv1.margin))
        y = self.conv2(padded(F.silu(group_norm(self.norm2, y)), self.conv2.margin))
        return self.skip(x) + y


class FastAttentionBlock(nn.Module):
    """An `AttentionBlock`."""

    def __init__(self, plain: AttentionBlock, dtype: torch.dtype) -> None:
        super().__init__()
        self.norm = in_dtype(plain.norm, dtype)
        self.query, self.key, self.value, self.out = (
            as_linear(layer, dtype) for layer in (plain.query, plain.key, plain.value, plain.out)
        )

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, C] -> [B, T, C]."""
        y = group_norm(self.norm, x)
        query, key, value = (layer(y)[:, None] for layer in (self.query, self.key, self.value))
        return x + self.out(F.scaled_dot_product_attention(query, key, value)[:, 0])


class FastUpsample(nn.Module):
    """An `Upsample`."""

    def __init__(self, plain: Upsample, dtype: torch.dtype) -> None:
        super().__init__()
        self.conv = Convolution(plain.conv, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, C] -> [B, 2 T, C]."""
        return self.conv(padded(x.repeat_interleave(2, dim=1), self.conv.margin))


def fast_layers(layers: Iterable[nn.Module], dtype: torch.dtype) -> Iterable[nn.Module]:
    """Fast ones of residual blocks, attention and upsampling, in order; the identity is nothing."""
    kinds: dict[type, Any] = {
        ResidualBlock: FastResidualBlock,
        AttentionBlock: FastAttentionBlock,
        Upsample: FastUpsample,
    }
    return [kinds[type(layer)](layer, dtype) for layer in layers if not isinstance(layer, nn.Identity)]


class FastDecoder(nn.Module):
    """A `Decoder`."""

    def __init__(self, plain: Decoder, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.conv_in, self.conv_out = Convolution(plain.conv_in, dtype), Convolution(plain.conv_out, dtype)
        layers = list(plain.middle)
        for level in reversed(cast(list[Level], list(plain.levels))):
            layers += [*level.blocks, level.resample]
        self.layers = nn.Sequential(*fast_layers(layers, dtype))
        self.norm_out = in_dtype(plain.norm_out, dtype)

    def forward(self, z: Tensor) -> Tensor:
        """z [B, C, L] -> mel [B, M, T], float32."""
        x = self.conv_in(padded(z.mT.to(self.dtype), self.conv_in.margin))
        x = F.silu(group_norm(self.norm_out, self.layers(x)))
        return self.conv_out(padded(x, self.conv_out.margin)).float().mT


class FastAutoencoder(nn.Module):
    """A `MelAutoencoder`; without gradients."""

    def __init__(self, plain: MelAutoencoder, dtype: torch.dtype) -> None:
        super().__init__()
        self.config = plain.config
        self.encoder, self.to_posterior, self.from_latent = plain.encoder, plain.to_posterior, plain.from_latent
        self.decoder = FastDecoder(plain.decoder, dtype)
        if plain.config.shortcut:
            self.analysis, self.synthesis = plain.analysis, plain.synthesis

    encode = MelAutoencoder.encode
    decode = torch.inference_mode()(MelAutoencoder.decode)

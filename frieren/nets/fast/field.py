"""The vector field for inference on a processor: the same sums as `nets.field`, channels innermost, in one dtype."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frieren.nets.fast.convolution import Convolution, padded
from frieren.nets.field import Attention, Block, FeedForward, VectorField


def as_linear(conv: nn.Conv1d, dtype: torch.dtype) -> nn.Linear:
    """A convolution with a kernel of 1 as a linear layer over [..., C]."""
    linear = nn.Linear(conv.in_channels, conv.out_channels, device="meta")
    weight, bias = conv.weight.data[:, :, 0], cast(Tensor, conv.bias).data
    linear.weight, linear.bias = (nn.Parameter(each.to(dtype), requires_grad=False) for each in (weight, bias))
    return linear


def in_dtype(layer: nn.LayerNorm | nn.GroupNorm | nn.Linear, dtype: torch.dtype) -> Any:
    """A layer of the same kind with these parameters in `dtype`, which it shares if that is theirs."""
    copied = type(layer).__new__(type(layer))
    copied.__dict__ = {**layer.__dict__, "_parameters": {}}
    for name, parameter in layer._parameters.items():
        value = None if parameter is None else nn.Parameter(parameter.data.to(dtype), requires_grad=False)
        copied._parameters[name] = value
    return copied


def group_norm(norm: nn.GroupNorm, x: Tensor) -> Tensor:
    """A group normalisation over [B, T, W]."""
    image = x[:, None].permute(0, 3, 1, 2)  # [B, W, 1, T], for which there is a kernel that takes channels innermost
    return norm(image).permute(0, 2, 3, 1)[:, 0]


class FastAttention(nn.Module):
    """An `Attention`; query, key and value in one product."""

    weight: Tensor

    def __init__(self, plain: Attention, dtype: torch.dtype) -> None:
        super().__init__()
        self.heads, self.out = plain.heads, in_dtype(plain.out, dtype)
        layers = (plain.query, plain.key, plain.value)
        self.register_buffer("weight", torch.cat([layer.weight.detach() for layer in layers]).to(dtype))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, W] -> [B, T, W]."""
        query, key, value = F.linear(x, self.weight).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.out(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


class FastFeedForward(nn.Module):
    """A `FeedForward`."""

    def __init__(self, plain: FeedForward, dtype: torch.dtype) -> None:
        super().__init__()
        self.conv_in, self.conv_out = Convolution(plain.conv_in, dtype), Convolution(plain.conv_out, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, W] -> [B, T, W]."""
        value, gate = self.conv_in(padded(x, self.conv_in.margin)).chunk(2, dim=-1)
        return self.conv_out(padded(value * F.gelu(gate), self.conv_out.margin))


class FastBlock(nn.Module):
    """A `Block`."""

    def __init__(self, plain: Block, dtype: torch.dtype) -> None:
        super().__init__()
        self.norm, self.norm1, self.norm2, self.norm3 = (
            in_dtype(norm, dtype) for norm in (plain.norm, plain.norm1, plain.norm2, plain.norm3)
        )
        self.conv_in, self.conv_out = as_linear(plain.conv_in, dtype), as_linear(plain.conv_out, dtype)
        self.attention1 = FastAttention(plain.attention1, dtype)
        self.attention2 = FastAttention(plain.attention2, dtype)
        self.feed_forward = FastFeedForward(plain.feed_forward, dtype)

    def forward(self, h: Tensor) -> Tensor:
        """h [B, T, W] -> [B, T, W]."""
        y = self.conv_in(group_norm(self.norm, h))
        y = y + self.attention1(self.norm1(y))
        y = y + self.attention2(self.norm2(y))
        y = y + self.feed_forward(self.norm3(y))
        return h + self.conv_out(y)


class FastField(nn.Module):
    """A `VectorField`; without gradients. Conditions, made once per video, and velocities are float32."""

    def __init__(self, plain: VectorField, dtype: torch.dtype) -> None:
        super().__init__()
        self.config, self.dtype = plain.config, dtype
        self.embed_features, self.project_condition = plain.embed_features, plain.project_condition
        self.embed_time, self.embed_span = plain.embed_time, plain.embed_span
        self.input = Convolution(plain.input, dtype)
        self.project_input = in_dtype(plain.project_input, dtype)
        self.positions: Tensor
        self.register_buffer("positions", plain.positions.weight.detach().to(dtype))
        self.blocks = nn.ModuleList(FastBlock(block, dtype) for block in cast(Iterable[Block], plain.blocks))
        self.norm_out = in_dtype(plain.norm_out, dtype)
        self.output = as_linear(plain.output, dtype)

    condition = VectorField.condition
    null_condition = VectorField.null_condition
    _time = VectorField._time

    @torch.inference_mode()
    def forward(self, x: Tensor, t: Tensor, c: Tensor, span: Tensor | float = 0.0) -> Tensor:
        """The velocity [B, C, L] of x [B, C, L] at t [B], given c [B, L, W / 2]; see `VectorField.forward`."""
        columns = x.shape[-1]
        if columns >= self.config.positions:
            raise ValueError(f"{columns} latent columns, at most {self.config.positions - 1}: sample in windows")
        latent = self.project_input(self.input(padded(x.mT.to(self.dtype), self.input.margin)))
        rows = torch.cat([latent, c.to(self.dtype)], dim=-1)
        token = VectorField.embed_times(cast(VectorField, self), t, span)
        h = torch.cat([token.to(self.dtype)[:, None], rows], dim=1)
        h = h + self.positions[: columns + 1]
        for block in self.blocks:
            h = block(h)
        return self.output(group_norm(self.norm_out, h[:, 1:])).float().mT

"""The video tower for inference on a processor: normalisation folded into convolutions, which are all flat images.

A convolution over time alone is one over the first axis of an image of F rows and H W columns; with the channels
innermost in memory neither needs a copy.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frieren.nets.cavp import Bottleneck, ConvNorm, VideoTower


def relu_(x: Tensor) -> Tensor:
    """max(x, 0) in place."""
    if x.dtype == torch.bfloat16:
        # Its bits as integers: negative numbers are negative. Six times as fast as by way of float32.
        x.view(torch.int16).clamp_min_(0)
        return x
    return x.relu_()


class FoldedConvolution(nn.Module):
    """A `ConvNorm` as one convolution over [B, F, H, W, C]."""

    weight: Tensor
    bias: Tensor

    def __init__(self, plain: ConvNorm, dtype: torch.dtype) -> None:
        super().__init__()
        conv, norm = plain.conv, plain.norm
        self.time, self.space = conv.kernel_size[0], conv.kernel_size[1:]
        self.stride, self.padding = conv.stride[1], tuple(size // 2 for size in conv.kernel_size)
        mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
        scale = norm.weight.detach() / (variance + norm.eps).sqrt()
        weight = conv.weight.detach() * scale.view(-1, 1, 1, 1, 1)
        self.register_buffer("bias", (norm.bias.detach() - mean * scale).to(dtype))
        layout = torch.channels_last
        if self.time == 1:
            weight = weight[:, :, 0]
        elif self.space == (1, 1):
            weight = weight[:, :, :, 0]
        else:
            layout = torch.channels_last_3d
        self.register_buffer("weight", weight.to(dtype).contiguous(memory_format=layout))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, F, H, W, C] -> [B, F, H', W', C']."""
        batch, frames, height, width, _ = x.shape
        if self.time == 1:
            images = x.flatten(0, 1).permute(0, 3, 1, 2)
            y = F.conv2d(images, self.weight, self.bias, self.stride, self.padding[1:])
            return y.permute(0, 2, 3, 1).unflatten(0, (batch, frames))
        if self.space == (1, 1):
            rows = x.flatten(2, 3).permute(0, 3, 1, 2)
            y = F.conv2d(rows, self.weight, self.bias, 1, (self.padding[0], 0))
            return y.permute(0, 2, 3, 1).unflatten(2, (height, width))
        stride = (1, self.stride, self.stride)
        return F.conv3d(x.permute(0, 4, 1, 2, 3), self.weight, self.bias, stride, self.padding).permute(0, 2, 3, 4, 1)


class FastBottleneck(nn.Module):
    """A `Bottleneck`."""

    def __init__(self, plain: Bottleneck, dtype: torch.dtype) -> None:
        super().__init__()
        self.narrow, self.look, self.widen = (
            FoldedConvolution(layer, dtype) for layer in (plain.narrow, plain.look, plain.widen)
        )
        self.skip = FoldedConvolution(plain.skip, dtype) if isinstance(plain.skip, ConvNorm) else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """x [B, F, H, W, C] -> [B, F, H', W', C']."""
        y = self.widen(relu_(self.look(relu_(self.narrow(x)))))
        return relu_(y.add_(self.skip(x)))


class FastTower(nn.Module):
    """A `VideoTower`; without gradients. What comes and goes is float32."""

    def __init__(self, plain: VideoTower, dtype: torch.dtype) -> None:
        super().__init__()
        self.config, self.dtype = plain.config, dtype
        self.stem = FoldedConvolution(plain.stem, dtype)
        stages = cast(Iterable[Iterable[Bottleneck]], plain.stages)
        self.blocks = nn.Sequential(*(FastBottleneck(block, dtype) for stage in stages for block in stage))
        self.project = plain.project

    @property
    def receptive_frames(self) -> int:
        """Frames that a feature sees on each side of its own (9 for the published tower)."""
        return self.config.receptive_frames

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        """images [B, F, 3, H, W] in 0..1 -> unit vectors [B, F, embed]."""
        x = relu_(self.stem(images.permute(0, 1, 3, 4, 2).to(self.dtype)))
        if self.config.stem_pool:
            pooled = F.max_pool2d(x.flatten(0, 1).permute(0, 3, 1, 2), 3, 2, 1).permute(0, 2, 3, 1)
            x = pooled.unflatten(0, x.shape[:2])
        x = self.blocks(x).float().mean(dim=(2, 3))
        return F.normalize(self.project(x), dim=-1)

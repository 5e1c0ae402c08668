"""EfficientNet-Lite: which of ImageNet's thousand classes a photograph shows (arXiv:1905.11946).

Batch normalisation is folded into the convolutions when published weights are converted, so there is none here.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class EfficientNetConfig:
    """Sizes of the network. The defaults are those of EfficientNet-Lite0.

    Attributes:
        image_size: height and width that the weights were trained for, pixels.
        stem: channels of the first convolution.
        stages: kernel size, stride of the first block, expansion, channels and number of blocks of each stage.
        head: length of the embedding.
        classes: number of logits.
    """

    image_size: int = 224
    stem: int = 32
    stages: tuple[tuple[int, int, int, int, int], ...] = (
        (3, 1, 1, 16, 1),
        (3, 2, 6, 24, 2),
        (5, 2, 6, 40, 2),
        (3, 2, 6, 80, 3),
        (5, 1, 6, 112, 3),
        (5, 2, 6, 192, 4),
        (3, 1, 6, 320, 1),
    )
    head: int = 1280
    classes: int = 1000


class FixedDepthwise(torch.autograd.Function):
    """A depthwise convolution of stride 1 whose parameters stay, so that its backward pass is one as well.

    On a CPU torch's own backward pass takes five times as long in bfloat16.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """x [B, C, H, W], weight [C, 1, k, k] with odd k, bias [C] -> [B, C, H, W]."""
        ctx.save_for_backward(weight)
        return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """The gradient of x: a convolution with the turned filters."""
        (weight,), (gradient,) = ctx.saved_tensors, gradients
        turned = weight.flip(2, 3).contiguous(memory_format=torch.channels_last)
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        return F.conv2d(gradient, turned, padding=turned.shape[-1] // 2, groups=len(turned)), None, None


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow does: ceil(size / stride) pixels come out, odd padding goes to the end."""

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, H, W] -> [B, C', ceil(H / stride), ceil(W / stride)]."""
        if self.groups > 1 and x.requires_grad and not self.weight.requires_grad:
            if self.stride[0] == 1 and self.bias is not None:
                weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
                out: Tensor = FixedDepthwise.apply(x, weight, bias)  # type: ignore[no-untyped-call]
                return out
            x = x.float()
            with torch.autocast(x.device.type, enabled=False):
                return self.padded(x)
        return self.padded(x)

    def padded(self, x: Tensor) -> Tensor:
        """The convolution by torch itself."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        rows, columns = (max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in x.shape[-2:])
        if rows % 2 or columns % 2:
            x = F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
            return super().forward(x)
        # Odd padding is rare; the rest is left to the convolution, which saves a copy of the image.
        return F.conv2d(x, self.weight, self.bias, self.stride, (rows // 2, columns // 2), self.dilation, self.groups)


class InvertedResidual(nn.Module):
    """Expand channels, filter each one alone, project; what comes in is added where the shapes agree."""

    def __init__(self, channels: int, out_channels: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = channels * expansion
        self.expand = nn.Conv2d(channels, width, 1) if expansion > 1 else None
        self.depthwise = SameConv(width, width, kernel, stride, groups=width)
        self.project = nn.Conv2d(width, out_channels, 1)
        self.residual = stride == 1 and channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, H, W] -> [B, C', H / stride, W / stride]."""
        wide = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        out: Tensor = self.project(F.relu6(self.depthwise(wide), inplace=True))
        return out + x if self.residual else out


class EfficientNet(nn.Module):
    """Photographs -> one logit per class."""

    def __init__(self, config: EfficientNetConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = SameConv(3, config.stem, 3, stride=2)
        blocks, channels = [], config.stem
        for kernel, stride, expansion, out_channels, repeats in config.stages:
            for index in range(repeats):
                blocks.append(InvertedResidual(channels, out_channels, kernel, 1 if index else stride, expansion))
                channels = out_channels
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Conv2d(channels, config.head, 1)
        self.classify = nn.Linear(config.head, config.classes)

    def maps(self, images: Tensor) -> list[Tensor]:
        """Images [B, 3, H, W], RGB in 0..1 -> feature maps [B, C, H', W'] behind each stage, and the head's."""
        ends = list(accumulate(repeats for *_, repeats in self.config.stages))
        x = F.relu6(self.stem((images * 255 - 127) / 128), inplace=True)
        maps = []
        for index, block in enumerate(self.blocks, 1):
            x = block(x)
            if index in ends:
                maps.append(x)
        return [*maps, F.relu6(self.head(x), inplace=True)]

    def embed(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W], RGB in 0..1, best of the trained size -> embedding [B, head]."""
        return self.maps(images)[-1].mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Images as for `embed` -> logits [B, classes]."""
        logits: Tensor = self.classify(self.embed(images))
        return logits

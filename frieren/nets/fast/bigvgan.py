"""BigVGAN for inference on a processor: the same sums as `nets.bigvgan`, channels innermost, item by item."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frieren.nets.bigvgan import BigVGAN, Stage, Unit
from frieren.nets.fast.activation import FastActivation
from frieren.nets.fast.convolution import Convolution
from frieren.nets.fast.toom_cook import ToomCook, fastest


class Padded:
    """Memory for rows [S, C] between margins of zeros, used again and again; what convolutions read."""

    def __init__(self, rows: int, width: int, margin: int, dtype: torch.dtype) -> None:
        self.margin = margin
        self.memory = torch.zeros(rows + 2 * margin, width, dtype=dtype)
        self.rows = self.memory[margin : margin + rows]

    def seen_by(self, convolution: Convolution | ToomCook) -> Tensor:
        """The rows with just the margins that this convolution needs."""
        spare = self.margin - convolution.margin
        return self.memory[spare : len(self.memory) - spare]


class Upsampling(nn.Module):
    """A transposed convolution as one product, whose parts then overlap."""

    weight: Tensor
    bias: Tensor

    def __init__(self, plain: nn.ConvTranspose1d, dtype: torch.dtype) -> None:
        super().__init__()
        self.rate, self.kernel = plain.stride[0], plain.kernel_size[0]
        self.padding = (self.kernel - self.rate) // 2
        weight = plain.weight.detach().permute(2, 1, 0).flatten(0, 1)  # [k C', C]
        self.register_buffer("weight", weight.to(dtype).contiguous())
        self.register_buffer("bias", cast(Tensor, plain.bias).detach().to(dtype))

    def forward(self, x: Tensor) -> Tensor:
        """x [S, C] -> [S * rate, C']."""
        rows, rate, width = len(x), self.rate, len(self.bias)
        parts = F.linear(x, self.weight).view(rows, self.kernel, width)
        whole = self.bias.repeat((rows - 1) * rate + self.kernel, 1)
        for first in range(0, self.kernel, rate):
            part = parts[:, first : first + rate]
            view = whole.as_strided(part.shape, (rate * width, width, 1), first * width)
            view.add_(part)
        return whole[self.padding : self.padding + rows * rate]


class FastUnit(nn.Module):
    """A `Unit`."""

    def __init__(self, plain: Unit, dtype: torch.dtype) -> None:
        super().__init__()
        self.activation1, self.activation2 = FastActivation(plain.activation1), FastActivation(plain.activation2)
        self.conv1, self.conv2 = fastest(plain.conv1, dtype), fastest(plain.conv2, dtype)

    def forward(self, x: Tensor, padded: Padded) -> Tensor:
        """Adds to x [S, C] what the unit makes of it, in place."""
        self.activation1(x, padded.rows)
        y = self.conv1(padded.seen_by(self.conv1)[None])[0]
        self.activation2(y, padded.rows)
        return self.conv2.add_to(x, padded.seen_by(self.conv2))


class FastStage(nn.Module):
    """A `Stage`."""

    def __init__(self, plain: Stage, dtype: torch.dtype) -> None:
        super().__init__()
        self.up = Upsampling(plain.up, dtype)
        blocks = cast(Iterable[Iterable[Unit]], plain.blocks)
        fast = [[FastUnit(unit, dtype) for unit in block] for block in blocks]
        self.margin = max(unit.conv1.margin for block in fast for unit in block)
        self.blocks: Any = nn.ModuleList(nn.ModuleList(block) for block in fast)

    def forward(self, x: Tensor) -> Tensor:
        """x [S, C] -> [S * rate, C / 2]."""
        x = self.up(x)
        padded, y, total = Padded(len(x), x.shape[1], self.margin, x.dtype), torch.empty_like(x), torch.zeros_like(x)
        for block in self.blocks:
            y.copy_(x)
            for unit in block:
                unit(y, padded)
            total.add_(y, alpha=1 / len(self.blocks))
        return total


class FastBigVGAN(nn.Module):
    """A `BigVGAN`; without gradients."""

    def __init__(self, plain: BigVGAN, dtype: torch.dtype) -> None:
        super().__init__()
        self.config, self.dtype = plain.config, dtype
        self.conv_in, self.conv_out = Convolution(plain.conv_in, dtype), Convolution(plain.conv_out, dtype)
        self.stages = nn.ModuleList(FastStage(cast(Stage, stage), dtype) for stage in plain.stages)
        self.activation_out = FastActivation(plain.activation_out)

    @property
    def context(self) -> int:
        """Mel columns that a sample sees on each side of its own: what a chunk needs beyond its ends."""
        return self.config.context

    @torch.inference_mode()
    def forward(self, mel: Tensor) -> Tensor:
        """Vocode a log10 mel spectrogram [B, M, T] -> wave [B, T * hop] in -1..1, float32."""
        return torch.stack([self.vocode(item) for item in mel])

    def vocode(self, mel: Tensor) -> Tensor:
        """One item: mel [M, T] -> wave [T * hop]."""
        padded = Padded(mel.shape[1], mel.shape[0], self.conv_in.margin, self.dtype)
        padded.rows.copy_(mel.T)
        x = self.conv_in(padded.memory[None])[0]
        for stage in self.stages:
            x = stage(x)
        padded = Padded(len(x), x.shape[1], self.conv_out.margin, self.dtype)
        self.activation_out(x, padded.rows)
        return torch.tanh(self.conv_out(padded.memory[None])[0, :, 0].float())

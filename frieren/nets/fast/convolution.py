"""A one-dimensional convolution over [B, S, C], channels innermost, in the way that a processor multiplies fastest.

Which way that is was measured (docs/performance.md) and depends on sizes and processor alone, so a sound is the same
every time.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDE, NARROW = 512, 64  # input channels from which on, and up to which, float32 products of shifted rows are faster
SHORT = 1024  # rows below which oneDNN's convolution spends its time on sorting the weights


@cache
def has_fast_mkl() -> bool:
    """True where MKL multiplies float32 as fast as oneDNN: on Intel's processors, on others at half the rate."""
    try:
        return torch.backends.mkl.is_available() and "GenuineIntel" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def padded(x: Tensor, margin: int) -> Tensor:
    """x [B, S, C] between `margin` rows of zeros: [B, S + 2 margin, C], contiguous."""
    return F.pad(x, (0, 0, margin, margin)).contiguous()


class Convolution(nn.Module):
    """An `nn.Conv1d` of stride 1 that keeps the length. Every item comes with `margin` rows of zeros on both sides."""

    weight: Tensor
    bias: Tensor

    def __init__(self, conv: nn.Conv1d, dtype: torch.dtype) -> None:
        super().__init__()
        self.kernel, self.dilation = conv.kernel_size[0], conv.dilation[0]
        self.inputs, self.outputs = conv.in_channels, conv.out_channels
        self.margin = self.dilation * (self.kernel // 2)
        weight = conv.weight.detach()
        self.by_rows = dtype == torch.float32 and has_fast_mkl() and not NARROW < self.inputs < WIDE
        bias = torch.zeros(self.outputs) if conv.bias is None else conv.bias.detach()
        self.register_buffer("bias", bias.to(dtype))
        if self.by_rows:
            weight = weight.permute(2, 1, 0).contiguous()  # [k, C, C']
        else:
            weight = weight[:, :, None].to(dtype).contiguous(memory_format=torch.channels_last)  # [C', C, 1, k]
        self.register_buffer("weight", weight.to(dtype))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, S + 2 margin, C] -> [B, S, C']."""
        rows = x.shape[1] - 2 * self.margin
        if self.by_rows:
            # One item after the other: the margins between them keep them apart, and fill rows that nobody reads.
            whole = x.flatten(0, 1)
            y = self.bias.repeat(len(whole), 1)
            self._add_products(whole, y[: len(whole) - 2 * self.margin])
            return y.view(len(x), -1, self.outputs)[:, :rows]
        if rows * len(x) < SHORT and x.dtype != torch.float32:
            return self._by_columns(x, rows)
        image = x[:, None].permute(0, 3, 1, 2)  # [B, C, 1, S], its memory as it is
        return F.conv2d(image, self.weight, self.bias, dilation=self.dilation).permute(0, 2, 3, 1)[:, 0]

    def add_to(self, out: Tensor, x: Tensor) -> Tensor:
        """The convolution of one item x [S + 2 margin, C], added to out [S, C'] in place."""
        if self.by_rows:
            return self._add_products(x, out.add_(self.bias))
        return out.add_(self(x[None])[0])

    def _add_products(self, x: Tensor, out: Tensor) -> Tensor:
        """One product for every tap: shifted rows are a matrix that needs no copy."""
        for tap, weight in enumerate(self.weight):
            start = tap * self.dilation
            torch.addmm(out, x[start : start + len(out)], weight, out=out)
        return out

    def _by_columns(self, x: Tensor, rows: int) -> Tensor:
        """One product of all taps side by side."""
        batch, length, width = x.shape
        steps = (length * width, width, self.dilation * width, 1)
        columns = x.as_strided((batch, rows, self.kernel, width), steps, x.storage_offset()).flatten(2).contiguous()
        return F.linear(columns, self.weight.permute(0, 2, 3, 1).flatten(1), self.bias)

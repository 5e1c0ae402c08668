"""A one-dimensional convolution with half the multiplications: Toom and Cook's, as Winograd applied it to networks.

Four neighbouring outputs of four neighbouring taps are seven products, not sixteen: of the values of both polynomials
at seven points (Winograd 1980, "Arithmetic Complexity of Computations"; Lavin and Gray 2016 for images). Rows are taken
to the points and back by small matrices, between which every point has a matrix product over the channels of its own.
Longer kernels are sums of pieces of four taps, which share what was taken to the points.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frieren.nets.fast.convolution import Convolution

OUTPUTS = 4  # rows that are made together
POINTS = (0.0, 1.0, -1.0, 0.5, -0.5, 2.0)  # and infinity; small ones, for which float32 loses nothing (tests)
WORK = 640  # input channels times taps from which on the multiplications saved are worth the passes over memory
TILE = 1 << 21  # numbers at the points that are held at once


def taps_together(kernel: int) -> int:
    """Taps of a piece: all of a kernel of three, else as many as outputs, so that pieces share what they see."""
    return 3 if kernel == 3 else OUTPUTS


@cache
def transforms(taps: int) -> tuple[Tensor, Tensor, Tensor]:
    """To the points from inputs [P, P] and from taps [P, taps], and back to outputs [OUTPUTS, P]; P = taps + 3.

    The transpose of multiplying polynomials: V is the matrix of powers of the points. Rows have norm 1, which the taps
    make good for, so that no point has much larger numbers than another.
    """
    count = OUTPUTS + taps - 1
    points = torch.tensor(POINTS[: count - 1], dtype=torch.float64)

    def powers(columns: int) -> Tensor:
        values = torch.zeros(count, columns, dtype=torch.float64)
        values[:-1] = points[:, None] ** torch.arange(columns)
        values[-1, -1] = 1  # infinity: the highest power alone
        return values

    inputs, outputs = torch.linalg.inv(powers(count)).T, powers(OUTPUTS)
    of_inputs, of_outputs = inputs.norm(dim=1, keepdim=True), outputs.norm(dim=1, keepdim=True)
    return inputs / of_inputs, powers(taps) * of_inputs * of_outputs, (outputs / of_outputs).T


class ToomCook(nn.Module):
    """A `Convolution` in float32."""

    weight: Tensor
    bias: Tensor
    to_points: Tensor
    to_rows: Tensor

    def __init__(self, conv: nn.Conv1d) -> None:
        super().__init__()
        self.kernel, self.dilation = conv.kernel_size[0], conv.dilation[0]
        self.inputs, self.outputs = conv.in_channels, conv.out_channels
        self.margin = self.dilation * (self.kernel // 2)
        taps = taps_together(self.kernel)
        to_points, of_taps, to_rows = transforms(taps)
        self.points, self.pieces = len(to_points), -(-self.kernel // taps)
        weight = F.pad(conv.weight.detach(), (0, self.pieces * taps - self.kernel)).unflatten(-1, (-1, taps))
        weight = torch.einsum("pr,ocjr->jpco", of_taps.float(), weight)  # [pieces, P, C, C']
        self.register_buffer("weight", weight.contiguous())
        bias = torch.zeros(self.outputs) if conv.bias is None else conv.bias.detach()
        self.register_buffer("bias", bias.clone())
        self.register_buffer("to_points", to_points.float())
        self.register_buffer("to_rows", to_rows.float())

    def forward(self, x: Tensor) -> Tensor:
        """x [B, S + 2 margin, C] -> [B, S, C']."""
        return torch.stack([self._one(item) for item in x])

    def add_to(self, out: Tensor, x: Tensor) -> Tensor:
        """The convolution of one item x [S + 2 margin, C], added to out [S, C'] in place."""
        return out.add_(self._one(x))

    def _one(self, x: Tensor) -> Tensor:
        """x [S + 2 margin, C] -> [S, C']. Rows that are `dilation` apart become neighbours, then it is undone."""
        rows, apart = len(x) - 2 * self.margin, self.dilation
        size = -(-len(x) // (apart * OUTPUTS)) * OUTPUTS  # rows of each such series
        series = x.new_zeros(apart * size + OUTPUTS * self.pieces, self.inputs)
        whole = len(x) // apart  # what remains lies in the margin, which is zeros here too
        by_series = series[: apart * size].view(apart, size, -1)
        by_series[:, :whole] = x[: whole * apart].view(whole, apart, -1).transpose(0, 1)
        y = self._neighbours(series, apart * size)
        if apart > 1:
            y = y.view(apart, size, -1).transpose(0, 1).flatten(0, 1)
        return y[:rows]

    def _neighbours(self, x: Tensor, rows: int) -> Tensor:
        """The convolution of neighbouring rows x [rows + OUTPUTS * pieces, C] -> [rows, C']."""
        blocks, width = rows // OUTPUTS, self.inputs
        y, most = x.new_empty(blocks, OUTPUTS, self.outputs), max(1, TILE // (self.points * width))
        for first in range(0, blocks, most):
            count = min(most, blocks - first)
            seen = count + self.pieces - 1
            steps = (OUTPUTS * width, width, 1)
            windows = x.as_strided((seen, self.points, width), steps, x.storage_offset() + first * OUTPUTS * width)
            values = torch.bmm(self.to_points.expand(seen, -1, -1), windows).transpose(0, 1)  # [P, seen, C]
            products = torch.bmm(values[:, :count], self.weight[0])
            for piece in range(1, self.pieces):
                products.baddbmm_(values[:, piece : piece + count], self.weight[piece])
            back = self.to_rows.expand(count, -1, -1)
            torch.baddbmm(self.bias, back, products.transpose(0, 1), out=y[first : first + count])
        return y.flatten(0, 1)


def fastest(conv: nn.Conv1d, dtype: torch.dtype) -> Convolution | ToomCook:
    """The way of a convolution over many rows, by its size; in bfloat16 Toom-Cook's sums would be too rough."""
    if dtype == torch.float32 and conv.in_channels * conv.kernel_size[0] >= WORK:
        return ToomCook(conv)
    return Convolution(conv, dtype)

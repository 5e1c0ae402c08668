"""The fast networks against the plain ones, with odd lengths, batches of 1 and 3, in float32 and bfloat16."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from frieren.nets.bigvgan import Activation, BigVGAN, BigVGANConfig
from frieren.nets.fast import activation, convolution
from frieren.nets.fast.activation import FastActivation
from frieren.nets.fast.bigvgan import FastBigVGAN
from frieren.nets.fast.convolution import Convolution

VOCODER = BigVGANConfig(bins=6, width=32, rates=(4, 2), kernels=(8, 4), resblock_kernels=(3, 7), dilations=(1, 3))
# Relative error of a whole network: what the order of sums changes, and what rounding to 8 bits at every layer does.
EXACT, ROUNDED = 2e-6, 4e-2


def drawn(network: nn.Module) -> nn.Module:
    """The network with every parameter drawn, so that none is one that hides a mistake."""
    generator = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        spread = 0.3 if parameter.ndim == 1 else parameter[0].numel() ** -0.5
        parameter.data = torch.randn(parameter.shape, generator=generator) * spread
    return network.eval().requires_grad_(False)


def error(got: Tensor, expected: Tensor) -> float:
    """Relative error of the whole."""
    assert got.shape == expected.shape and got.dtype == torch.float32
    return float((got - expected).norm() / expected.norm())


@pytest.mark.parametrize("rows", [1, 2, 7, 8, 9, 40, 41, 133])
@pytest.mark.parametrize("tile", [1, 3 * 8 * 5, 1 << 16])
def test_the_activation(rows: int, tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activation, "TILE", tile)
    plain = drawn(Activation(5))
    x = 3 * torch.randn(rows, 5, generator=torch.Generator().manual_seed(rows))
    out = torch.full((rows, 5), torch.nan)
    expected = plain(x.T[None])[0].T
    assert torch.allclose(FastActivation(plain)(x, out), expected, atol=2e-6)


@pytest.mark.parametrize("mkl", [False, True])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, EXACT), (torch.bfloat16, ROUNDED)])
@pytest.mark.parametrize("rows", [1, 30, convolution.SHORT + 1])
@pytest.mark.parametrize("width", [12, 80])
def test_convolutions(
    width: int, rows: int, dtype: torch.dtype, bound: float, mkl: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convolution, "has_fast_mkl", lambda: mkl)
    plain = drawn(nn.Conv1d(width, 10, 7, padding=9, dilation=3))
    x = torch.randn(rows, width, generator=torch.Generator().manual_seed(0))
    fast, expected = Convolution(plain, dtype), plain(x.T[None])[0].T
    padded = nn.functional.pad(x.to(dtype), (0, 0, fast.margin, fast.margin))
    assert fast(padded).dtype == dtype
    assert error(fast(padded).float(), expected) < bound
    before = torch.randn(rows, 10, dtype=dtype)
    assert error(fast(padded, before.clone()).float(), before + expected) < bound


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("columns", [1, 5, 32])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, EXACT), (torch.bfloat16, ROUNDED)])
def test_the_vocoder(batch: int, columns: int, dtype: torch.dtype, bound: float) -> None:
    plain = drawn(BigVGAN(VOCODER))
    mel = torch.randn(batch, VOCODER.bins, columns, generator=torch.Generator().manual_seed(2))
    fast = FastBigVGAN(plain, dtype)
    assert fast.context == plain.context
    assert error(fast(mel), plain(mel)) < bound

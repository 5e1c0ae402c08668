"""The vocoder's discriminators against BigVGAN's written anew: Fourier transforms of frames, convolutions in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from frieren.nets.discriminators import DiscriminatorConfig, PeriodDiscriminator, SpectrumDiscriminator

SLOPE = 0.1
WIDTH = 0.125  # 4 channels for 32


def convolved(x: np.ndarray, layer: torch.nn.Conv2d, stride: tuple[int, int]) -> np.ndarray:
    """x [C, H, W] through a convolution that is padded by half its kernel; weights are g v / |v|."""
    scale, direction = (
        getattr(layer.parametrizations.weight, name).detach().double().numpy() for name in ("original0", "original1")
    )
    weight = scale * direction / np.sqrt((direction**2).sum(axis=(1, 2, 3), keepdims=True))
    tall, wide = weight.shape[2:]
    padded = np.pad(x, ((0, 0), (tall // 2, tall // 2), (wide // 2, wide // 2)))
    patches = np.lib.stride_tricks.sliding_window_view(padded, (tall, wide), axis=(1, 2))
    patches = patches[:, :: stride[0], :: stride[1]]
    return np.einsum("chwij,ocij->ohw", patches, weight) + layer.bias.detach().double().numpy()[:, None, None]


def maps(x: np.ndarray, layers: torch.nn.ModuleList, strides: list[tuple[int, int]]) -> list[np.ndarray]:
    """What every layer gives; all but the last are followed by a leaky rectifier."""
    found = []
    for layer, stride in zip(layers[:-1], strides[:-1], strict=True):
        x = convolved(x, layer, stride)
        x = np.where(x > 0, x, SLOPE * x)
        found.append(x)
    return [*found, convolved(x, layers[-1], strides[-1])]


def compare(ours: list[torch.Tensor], theirs: list[np.ndarray]) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.shape[1:] == other.shape
        assert mine[0].detach().numpy() == pytest.approx(other, rel=1e-3, abs=1e-4 * np.abs(other).max())


def test_the_spectrum_discriminator_is_bigvgans() -> None:
    """Magnitudes [bins, frames] of a rectangular window, reflected by (n_fft - hop) / 2; strides along time."""
    torch.manual_seed(0)
    n_fft, hop, length = 64, 10, 40
    network, wave = SpectrumDiscriminator(WIDTH, n_fft, hop, length), 0.3 * torch.randn(1, 300)
    padded = np.pad(wave[0].double().numpy(), (n_fft - hop) // 2, mode="reflect")
    window = np.pad(np.ones(length), (n_fft - length) // 2)  # in the middle of the transform
    starts = range(0, len(padded) - n_fft + 1, hop)
    spectrum = np.stack([np.abs(np.fft.rfft(window * padded[start : start + n_fft])) for start in starts], axis=1)
    strides = [(1, 1), (1, 2), (1, 2), (1, 2), (1, 1), (1, 1)]
    compare(network(wave), maps(spectrum[None], network.layers, strides))


def test_the_period_discriminator_is_hifigans() -> None:
    """Rows of `period` samples, the last one completed by reflection; strides along time."""
    torch.manual_seed(0)
    network, wave = PeriodDiscriminator(3, WIDTH), 0.3 * torch.randn(1, 200)
    samples = wave[0].double().numpy()
    folded = np.append(samples, samples[-2]).reshape(1, -1, 3)
    compare(network(wave), maps(folded, network.layers, [*[(3, 1)] * 4, (1, 1), (1, 1)]))


def test_the_published_sizes() -> None:
    """Shapes that BigVGAN's own classes give for a crop of 8192 samples."""
    config = DiscriminatorConfig()
    assert config.periods == (2, 3, 5, 7, 11)
    shapes = []
    for resolution in config.resolutions:
        layers = SpectrumDiscriminator(config.width, *resolution)(torch.randn(1, 8192))
        shapes.append([tuple(layers[layer].shape[1:]) for layer in (0, -1)])
    assert shapes[0] == [(32, 513, 68), (1, 513, 9)]
    assert shapes[1] == [(32, 1025, 34), (1, 1025, 5)]
    assert shapes[2] == [(32, 257, 163), (1, 257, 21)]
    parameters = sum(p.numel() for p in PeriodDiscriminator(2, config.width).parameters())
    assert parameters == pytest.approx(8.2e6, rel=0.01), "a fifth of HiFi-GAN's 41.1 M"

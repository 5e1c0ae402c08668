"""Spectrogram <-> latent: scaled as the flow sees it, in windows of one length, and blended where they overlap."""

from __future__ import annotations

import math

import pytest
import torch

from frieren.mel import decode_latent, encode_mel
from frieren.nets.autoencoder import AutoencoderConfig, MelAutoencoder


class Repeater(torch.nn.Module):
    """A decoder that repeats every column, and notes how long what it gets is."""

    config = AutoencoderConfig(bins=3, latent=3, scale=0.5, width=8, multipliers=(1, 2), groups=4)

    def __init__(self) -> None:
        super().__init__()
        self.lengths: list[int] = []

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        self.lengths.append(latent.shape[-1])
        return latent.repeat_interleave(2, dim=-1)


@pytest.mark.parametrize("columns", [1, 9, 10, 11, 25, 38])
def test_every_window_has_one_length_and_nothing_is_lost(columns):
    autoencoder, latent, calls = Repeater(), torch.randn(2, 3, columns), []
    mel = decode_latent(autoencoder, latent, 10, 4, lambda done, total: calls.append((done, total)))
    torch.testing.assert_close(mel, 2 * latent.repeat_interleave(2, dim=-1))  # latent / scale
    assert set(autoencoder.lengths) == {10}
    assert calls == [(done, len(calls)) for done in range(1, len(calls) + 1)]
    assert len(calls) == max(1, math.ceil((columns - 4) / 6))


def test_windows_that_disagree_are_blended():
    class Counter(Repeater):
        def decode(self, latent: torch.Tensor) -> torch.Tensor:
            super().decode(latent)
            return torch.full((1, 3, 20), float(len(self.lengths)))

    mel = decode_latent(Counter(), torch.zeros(1, 3, 16), 10, 4)[0, 0]
    ramp = (torch.arange(8) + 0.5) / 8
    torch.testing.assert_close(mel, torch.cat([torch.ones(12), 1 + ramp, torch.full((12,), 2.0)]))


def test_a_latent_is_in_the_units_of_the_flow():
    torch.manual_seed(0)
    config = AutoencoderConfig(bins=4, width=8, multipliers=(1, 2), blocks=1, groups=4, latent=3, scale=0.25)
    autoencoder, mel = MelAutoencoder(config).eval(), torch.randn(2, 4, 12)
    with torch.inference_mode():
        mean, log_variance = encode_mel(autoencoder, mel)
        plain, plain_log_variance = autoencoder.encode(mel)
    torch.testing.assert_close(mean, plain / 4)
    torch.testing.assert_close(log_variance.exp(), plain_log_variance.exp() / 16)

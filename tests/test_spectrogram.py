"""The mel front end against librosa and against the published numbers (stored in tests/data)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from frieren.spectrogram import MelConfig, log_mel, mel_filters, spectral_distance


def test_filters_equal_librosa():
    librosa = pytest.importorskip("librosa")
    config = MelConfig()
    expected = librosa.filters.mel(sr=config.sample_rate, n_fft=config.n_fft, n_mels=config.bins, fmin=0, fmax=8000)
    np.testing.assert_allclose(mel_filters(config).numpy(), expected, atol=1e-8)


def test_published_mel():
    golden = np.load(Path(__file__).parent / "data" / "golden.npz")
    wave, expected = torch.from_numpy(golden["wav"]), torch.from_numpy(golden["mel"])
    got = log_mel(wave, MelConfig()).reshape(expected.shape)
    assert ((got - expected).norm() / expected.norm()).item() < 1e-5


def test_columns_and_floor():
    mel = log_mel(torch.zeros(2, 16_000), MelConfig())
    assert mel.shape == (2, 80, 62)
    assert mel.max().item() < -4.0


def test_a_column_is_centred_half_a_hop_after_its_start():
    wave = torch.zeros(16_000)
    wave[256 * 20 + 128] = 1.0
    energy = log_mel(wave, MelConfig()).mean(0)
    assert energy.argmax().item() == 20
    assert energy[19].item() == pytest.approx(energy[21].item(), abs=1e-3)


def test_too_short_a_wave_is_refused():
    with pytest.raises(ValueError, match="384"):
        log_mel(torch.zeros(384), MelConfig())


def test_filters_made_during_inference_serve_training():
    config = MelConfig(bins=70)
    with torch.inference_mode():
        log_mel(torch.randn(4000), config)
    wave = torch.randn(4000, requires_grad=True)
    log_mel(wave, config).sum().backward()
    assert wave.grad is not None


def test_spectral_distance_of_what_is_twice_as_loud():
    wave = torch.randn(2, 16_000, generator=torch.Generator().manual_seed(0))
    assert spectral_distance(wave, wave).item() == 0
    assert spectral_distance(2 * wave, wave).item() == pytest.approx(1 + np.log(2), abs=1e-5)
    assert spectral_distance(wave, 2 * wave).item() == pytest.approx(0.5 + np.log(2), abs=1e-5)

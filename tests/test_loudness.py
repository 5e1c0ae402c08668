"""frieren.loudness against the standard's own calibration and against pyloudnorm."""

import math
import tracemalloc

import numpy as np
import pytest
import torch

from frieren import loudness, sounds
from frieren.longwave import LongWave


def tone(level: float, seconds: float, rate: int, frequency: float = 997.0, phase: float = 0.0) -> np.ndarray:
    """A sine of `level` dBFS (peak)."""
    return 10 ** (level / 20) * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate + phase)


def bursts(seconds: float, rate: int, seed: int) -> np.ndarray:
    """Noise with most of its energy below 4 kHz, and pauses, so that the gates have work."""
    wave = np.convolve(np.random.default_rng(seed).standard_normal(round(seconds * rate)), np.ones(6) / 6, "same")
    return 0.2 * wave * (np.sin(2 * np.pi * 0.3 * np.arange(len(wave)) / rate) > -0.5)


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_the_standards_calibration(rate):
    # BS.1770: a 997 Hz sine of 0 dBFS in one channel measures -3.01 LUFS.
    assert loudness.integrated(tone(-20, 3, rate), rate) == pytest.approx(-23.01, abs=0.05)


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
@pytest.mark.parametrize("seed", [0, 1])
def test_against_pyloudnorm(rate, seed):
    pyloudnorm = pytest.importorskip("pyloudnorm")
    wave = bursts(8, rate, seed)
    expected = pyloudnorm.Meter(rate).integrated_loudness(wave)
    assert loudness.integrated(torch.from_numpy(wave), rate) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("seconds", [0.05, 0.2, 0.39, 0.4, 0.41])
def test_short_waves_have_a_loudness(seconds):
    assert loudness.integrated(tone(-20, seconds, 16_000), 16_000) == pytest.approx(-23.0, abs=0.3)


def test_silence_is_left_alone():
    wave = np.zeros(16_000, np.float32)
    assert loudness.integrated(wave, 16_000) == -math.inf and loudness.true_peak(wave, 16_000) == -math.inf
    same, gain = loudness.normalise(wave, 16_000)
    assert same is wave and gain == 0.0


def test_long_waves_go_through_in_pieces():
    wave = np.concatenate([tone(-30, 13, 16_000), tone(-20, 13, 16_000)])
    # Energies average; the quiet half lies 7.4 LU below the mean, inside the relative gate of 10 LU.
    expected = 10 * math.log10((10**-2.301 + 10**-3.301) / 2)
    assert loudness.integrated(wave, 16_000) == pytest.approx(expected, abs=0.1)


def test_the_peak_between_the_samples():
    # A quarter of the rate, half a sample off: the samples stay 3.01 dB below the sine's crest (EBU 3341 case 15).
    wave = tone(-6, 1, 48_000, 12_000, math.pi / 4) * np.hanning(48_000)
    assert 20 * math.log10(np.abs(wave).max()) == pytest.approx(-9.01, abs=0.02)
    assert loudness.true_peak(wave, 48_000) == pytest.approx(-6.0, abs=0.1)


def test_the_target_is_reached():
    for level in (-24, -10, -3, 6):
        wave, gain = loudness.normalise(bursts(4, 16_000, 0) * 10 ** (level / 20), 16_000)
        reached = loudness.integrated(wave, 16_000)
        assert gain <= 12.0 and loudness.true_peak(wave, 16_000) <= -1.0 + 1e-3
        assert reached == pytest.approx(-20, abs=0.05) or (gain == pytest.approx(12.0) and reached < -20)


def test_without_a_limiter_the_peak_limits_the_gain():
    wave = tone(-40, 4, 16_000)
    wave[8000] = 0.8
    loud, gain = loudness.normalise(wave, 16_000, limit=0.0)
    assert gain < 1.0 and loudness.true_peak(loud, 16_000) == pytest.approx(-1.0, abs=0.01)
    np.testing.assert_allclose(loud, wave * 10 ** (gain / 20), rtol=1e-6)


def knocks(level: float) -> np.ndarray:
    """Four seconds of a tone, and ten knocks of `level` dBFS that ring off within 20 ms."""
    wave = tone(-26, 4, 16_000)
    ringing = 10 ** (level / 20) * np.sin(np.arange(1600) / 5) * np.exp(-np.arange(1600) / 80)
    for place in range(3200, 60_000, 6000):
        wave[place : place + 1600] += ringing
    return wave.astype(np.float32)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy, sounds.as_pieces])
def test_a_limiter_lowers_what_would_clip(kind):
    wave = knocks(-3)
    before = loudness.integrated(wave, 16_000)
    loud, gain = loudness.normalise(kind(wave), 16_000, before + 8)
    assert type(loud) is type(kind(wave)) and len(loud) == len(wave)
    heard = np.concatenate(list(loud)) if isinstance(loud, LongWave) else np.asarray(loud)
    assert loudness.true_peak(heard, 16_000) <= -1 + 1e-3
    assert loudness.integrated(heard, 16_000) == pytest.approx(before + gain, abs=0.01)
    assert loudness.normalise(wave, 16_000, before + 8, limit=0.0)[1] + 1 < gain < 8
    # Between the knocks it is as loud as it would be without their peaks, and in time with itself.
    between = slice(3200 + 3600, 3200 + 5600)
    assert np.corrcoef(heard[between], wave[between])[0, 1] > 0.9999
    assert heard[between].std() / wave[between].std() == pytest.approx(10 ** (8 / 20), rel=0.06)
    assert np.corrcoef(heard[3200:3700], wave[3200:3700])[0, 1] > 0.9


def test_the_limiter_lowers_by_no_more_than_it_may():
    """Peaks 30 dB above the rest, a target 20 dB up: 12 dB of gain at most, 3 dB of headroom and of limiting."""
    wave = knocks(-4)
    for most in (3.0, 6.0):
        louder = loudness.normalise(wave, 16_000, 0.0, limit=most)[0]
        between = slice(3200 + 3600, 3200 + 5600)
        rise = 20 * math.log10(louder[between].std() / wave[between].std())
        assert rise == pytest.approx(-1 - loudness.true_peak(wave, 16_000) + most, abs=0.5)


def test_what_lies_between_the_samples_is_lowered_too():
    """A quarter of the rate, half a sample off: the limiter sees samples 3 dB below the crest."""
    wave = tone(-10, 2, 16_000, 4000, math.pi / 4)
    wave[16_000:] *= 0.05
    loud, gain = loudness.normalise(wave, 16_000, 0.0)
    assert gain > 0 and loudness.true_peak(loud, 16_000) <= -1 + 1e-3


def test_what_is_below_the_ceiling_is_not_limited():
    wave = tone(-12, 2, 16_000).astype(np.float32)
    for ceiling, same in ((-11, True), (-13, False)):
        held = loudness.limited(wave, 16_000, ceiling).tensor().numpy()
        assert held.shape == wave.shape and (np.abs(held - wave).max() < 1e-6) == same
        assert 20 * math.log10(np.abs(held).max()) <= ceiling + 0.01 or same


def test_below_the_floor_untouched_and_kinds_kept():
    quiet = torch.from_numpy(tone(-55, 2, 16_000)).float()
    assert loudness.normalise(quiet, 16_000)[0] is quiet
    louder, gain = loudness.normalise(quiet * 10 ** (13 / 20), 16_000)
    assert isinstance(louder, torch.Tensor) and louder.dtype == torch.float32 and gain == pytest.approx(12.0)


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_pieces_measure_as_the_whole(rate):
    wave = bursts(2.5 * sounds.PIECE / rate, rate, 3).astype(np.float32)
    pieces = np.concatenate(list(sounds.resample_pieces([wave], rate, 4 * rate)))
    whole = sounds.resample(wave, rate, 4 * rate)
    assert pieces.shape == whole.shape and np.abs(pieces - whole).max() < 1e-6


def test_memory_does_not_grow_with_the_oversampling():
    wave = bursts(120, 16_000, 4).astype(np.float32)
    tracemalloc.start()
    loudness.integrated(wave, 16_000), loudness.true_peak(wave, 16_000)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1.5 * wave.nbytes  # fourfold oversampling in one go would be four times the wave and more

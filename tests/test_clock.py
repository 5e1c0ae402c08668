"""The clock: lengths agree with each other and with arithmetic on fractions."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest

from frieren.clock import Clock

PUBLISHED, MINI = Clock(), Clock(fps=25.0, window=160, overlap=48)


def test_the_published_rates():
    assert (PUBLISHED.mel_rate, PUBLISHED.latent_rate, PUBLISHED.samples_per_latent) == (62.5, 31.25, 512)
    assert PUBLISHED.window / PUBLISHED.latent_rate == 8.192


@pytest.mark.parametrize("clock", [PUBLISHED, MINI, Clock(sample_rate=44_100, hop=441, stride=4, fps=30.0)])
@pytest.mark.parametrize("samples", [1, 511, 512, 513, 16_000, 127_999, 128_000, 131_072, 10**7 + 1])
def test_lengths_cover_the_sound_and_no_more(clock, samples):
    seconds = samples / clock.sample_rate
    assert clock.samples(seconds) == samples
    columns = clock.columns(seconds)
    assert (columns - 1) * clock.samples_per_latent < samples <= columns * clock.samples_per_latent
    frames = Fraction(samples, clock.sample_rate) * Fraction(clock.fps)
    assert clock.frames(seconds) == max(1, ceil(frames))


def test_a_length_that_rounding_blurs_has_no_frame_too_many():
    assert MINI.frames(0.2 + 0.1) == 8 == ceil(Fraction(3, 10) * 25)
    assert MINI.frames(0.28) == 7, "and not eight: 0.28 * 25 is a little more than 7 in binary"
    assert PUBLISHED.frames(0.0) == PUBLISHED.columns(0.0) == 1


def test_times_are_starts_of_frames_and_centres_of_columns():
    assert MINI.frame_times(3) == [0.0, 0.04, 0.08]
    assert PUBLISHED.column_times(2) == [0.016, 0.048]
    assert MINI.frame_times(0) == MINI.column_times(0) == []


@pytest.mark.parametrize("name", ["sample_rate", "hop", "stride", "fps", "window"])
@pytest.mark.parametrize("value", [0, -1])
def test_rates_are_positive(name, value):
    with pytest.raises(ValueError, match=f"{name} must be positive, got {value}"):
        Clock(**{name: value})


def test_the_overlap_is_shorter_than_the_window():
    assert Clock(window=4, overlap=3).overlap == 3 and Clock(window=4, overlap=0).overlap == 0
    for overlap in (-1, 4):
        with pytest.raises(ValueError, match=rf"0..3 \(window - 1\), got {overlap}"):
            Clock(window=4, overlap=overlap)

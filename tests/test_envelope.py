"""Levels and correlations whose answer is known in closed form, or by another way of computing it."""

import numpy as np
import pytest

from frieren.evaluation.timing.envelope import Envelope
from frieren.world.script import Activity

RATE = 16_000
METER = Envelope()


def swelling(seconds=8.0, hertz=0.5, depth=0.9, phase=0.0, seed=0):
    """Noise whose amplitude swells, [S], and its amplitude, [S]."""
    t = np.arange(round(seconds * RATE)) / RATE
    loud = 1 - depth * (0.5 + 0.5 * np.cos(2 * np.pi * hertz * t + phase))
    return 0.1 * loud * np.random.default_rng(seed).standard_normal(len(t)), loud


def test_a_steady_tone_has_a_constant_level_to_both_ends():
    level = METER.level(0.3 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE), RATE)
    assert level.shape == (40,) and np.abs(level).max() < 0.1


def test_a_step_of_twenty_decibels_is_one():
    tone = np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE) * np.where(np.arange(2 * RATE) < RATE, 0.01, 0.1)
    level = METER.level(tone, RATE)
    assert level[:18] == pytest.approx(-20, abs=0.1) and level[22:] == pytest.approx(0, abs=0.1)
    assert METER.level(0.25 * tone, RATE) == pytest.approx(level)


def test_silence_is_constant_and_so_is_what_lies_below_the_range():
    assert set(METER.level(np.zeros(RATE), RATE)) == {-30.0}
    click = np.zeros(2 * RATE)
    click[RATE] = 1.0
    level = METER.level(click, RATE)
    assert level.max() == 0 and level.argmax() == 20 and (level == -30).sum() >= 37
    assert METER.level(np.zeros(0), RATE).shape == (0,)


def test_the_level_follows_the_script():
    wave, loud = swelling()
    times = np.arange(401) / 50
    activity = Activity("wind", "air", times, np.interp(times, np.arange(len(loud)) / RATE, loud), np.ones(401))
    scripted = METER.activity([activity], 8.0)
    measured = METER.level(wave, RATE)
    assert scripted.shape == measured.shape == (160,)
    assert METER.correlation(measured, scripted)[0] > 0.98
    assert METER.activity([activity, activity], 8.0) == pytest.approx(scripted)  # twice the power, the same curve


def test_the_powers_of_sources_add_up():
    """Loudness 0.3 and 0.4 together 0.5; then 1 and none: 6 dB apart."""
    first, second = (
        Activity("wind", "air", np.array([0.0, 0.5, 1.0]), np.array(loudness), np.ones(3))
        for loudness in ([0.3, 0.3, 1.0], [0.4, 0.4, 0.0])
    )
    level = METER.activity([first, second], 1.05)
    assert level[0] - level[-1] == pytest.approx(20 * np.log10(0.5), abs=1e-6)


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100])
def test_the_number_of_values_does_not_depend_on_the_sample_rate(rate):
    assert len(METER.level(np.ones(round(8.192 * rate)), rate)) == len(METER.times(8.192)) == 164


def test_every_shift_is_the_correlation_of_the_rolled_level():
    a, b = (METER.level(swelling(phase=phase, seed=phase)[0], RATE) for phase in (0, 1))
    by_shift = METER.correlation(a, b)
    for shift in (0, 1, 7, 159):
        assert by_shift[shift] == pytest.approx(np.corrcoef(np.roll(a, shift), b)[0, 1])
    assert by_shift.mean() == pytest.approx(0, abs=1e-12)


def test_reach_forgives_a_delay_and_not_more():
    level = METER.level(swelling()[0], RATE)
    late = np.roll(level, 2)
    assert METER.correlation(late, level)[0] < 0.99
    assert Envelope(reach=0.1).correlation(late, level)[0] == pytest.approx(1)
    assert Envelope(reach=0.05).correlation(late, level)[0] < 0.999


def test_constant_levels():
    level = METER.level(swelling()[0], RATE)
    still = METER.level(0.1 * np.random.default_rng(0).standard_normal(8 * RATE), RATE)
    assert np.isnan(METER.correlation(level, still)).all()  # undefined: nothing to follow
    assert (METER.correlation(still, level) == 0).all()  # follows nothing
    assert (METER.correlation(METER.level(np.zeros(8 * RATE), RATE), level) == 0).all()


def test_levels_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="160 and 40 values"):
        METER.correlation(np.zeros(160), np.zeros(40))

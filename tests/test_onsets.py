"""The detector on sounds whose onsets are known, and the matching against answers known by hand or by search."""

from itertools import permutations

import numpy as np
import pytest

pytest.importorskip("librosa")

from frieren.evaluation.timing.onset_detector import OnsetDetector, event_onsets, match, signed_errors
from frieren.world.script import Event

RATE = 16_000
TIMES = np.array([0.31, 0.92, 1.375, 2.1, 2.48, 3.333])
WINDOW = 0.050


def assert_found(onsets):
    """Every one of TIMES is found, and nothing else."""
    assert len(match(TIMES, onsets, WINDOW)) == len(TIMES) == len(onsets)


def impacts(times, gains, *, seconds=4.0, pitch=420.0, decay=0.25, seed=0):
    """A struck bar at each of `times`: three damped partials and a short contact noise, [S], peak near 0.5."""
    rng = np.random.default_rng(seed)
    wave = np.zeros(int(seconds * RATE))
    for time, gain in zip(times, gains, strict=True):
        start = round(time * RATE)
        t = np.arange(len(wave) - start) / RATE
        ring = sum(np.sin(2 * np.pi * pitch * r * t) * np.exp(-t * r / decay) / r for r in (1.0, 2.76, 5.40))
        wave[start:] += gain * (0.25 * ring + 0.2 * rng.standard_normal(len(t)) * np.exp(-t / 0.004))
    return wave


def event(time, kind="ball", visible=True):
    return Event(kind, "wood", time, 0.5, 0.5, 0.5, visible, 440.0)


# ---------------------------------------------------------------------------------------------------------- detector


def test_every_impact_is_found_without_bias():
    found = OnsetDetector().detect(impacts(TIMES, np.ones(6)), RATE)
    errors = signed_errors(TIMES, found, WINDOW)
    assert len(found) == len(errors) == 6
    assert abs(np.mean(errors)) < 0.002 and np.abs(errors).max() < 0.005


def test_an_impact_twelve_decibels_down_is_found():
    gains = np.where(np.arange(6) % 2, 10 ** (-12 / 20), 1.0)
    assert_found(OnsetDetector().detect(impacts(TIMES, gains), RATE))


@pytest.mark.parametrize("gain", [-12.0, 12.0])
def test_a_gain_changes_nothing(gain):
    wave = 0.3 * impacts(TIMES, np.linspace(0.3, 1.0, 6)) + 1e-3 * np.random.default_rng(3).standard_normal(4 * RATE)
    detector = OnsetDetector()
    assert np.allclose(detector.detect(wave, RATE), detector.detect(wave * 10 ** (gain / 20), RATE), atol=1e-6)


@pytest.mark.parametrize("hiss", [-60.0, -40.0, -30.0])
def test_hiss_below_the_impacts_adds_none_and_hides_none(hiss):
    noise = 10 ** (hiss / 20) * np.random.default_rng(1).standard_normal(4 * RATE)
    assert_found(OnsetDetector().detect(impacts(TIMES, np.ones(6)) + noise, RATE))


@pytest.mark.parametrize("seed", range(4))
def test_steady_noise_has_no_onset(seed):
    noise = 0.1 * np.random.default_rng(seed).standard_normal(8 * RATE)
    assert len(OnsetDetector().detect(noise, RATE)) == 0


def test_a_louder_impact_is_a_stronger_onset():
    found = OnsetDetector().find(impacts(TIMES, np.array([1.0, 0.1, 1.0, 0.1, 1.0, 0.1])), RATE)
    assert found.times.tolist() == OnsetDetector().detect(impacts(TIMES, np.array([1, 0.1] * 3)), RATE).tolist()
    assert found.strengths[::2].min() > found.strengths[1::2].max() > OnsetDetector().delta


def test_a_beating_decay_is_one_onset():
    t = np.arange(4 * RATE - 8000) / RATE
    beat = np.exp(-t / 1.2) * (
        np.sin(2 * np.pi * 500 * t) + np.sin(2 * np.pi * 506 * t) + 0.5 * np.sin(2 * np.pi * 1391 * t)
    )
    wave = np.concatenate([np.zeros(8000), 0.2 * beat]) + 1e-4 * np.random.default_rng(0).standard_normal(4 * RATE)
    assert np.allclose(OnsetDetector().detect(wave, RATE), [0.5], atol=0.02)


def test_a_gliding_pitch_is_no_rise():
    """A voice with vibrato wanders through the mel bands: a plain flux sees rises of 3 dB in its steady part."""
    t = np.arange(4 * RATE) / RATE
    phase = 2 * np.pi * np.cumsum(440 + 60 * np.sin(2 * np.pi * 3 * t)) / RATE
    voice = 0.1 * sum(np.sin(h * phase) / h for h in range(1, 5)) + 1e-4 * np.random.default_rng(0).standard_normal(
        len(t)
    )
    steady = slice(round(0.5 / 0.008), round(3.5 / 0.008))
    assert OnsetDetector().novelty(voice, RATE)[steady].max() < 0.5
    assert OnsetDetector(widen=1).novelty(voice, RATE)[steady].max() > 2


def test_a_tone_that_goes_on_from_its_first_sample_does_not_begin_there():
    """From a zero crossing on, that is: what was before is taken to be the tone turned about its first sample."""
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    assert OnsetDetector().novelty(tone, RATE)[:12].max() < 0.1 and OnsetDetector().detect(tone, RATE).size == 0


def test_a_bang_out_of_silence_rises_by_no_more_than_the_cap():
    detector, wave = OnsetDetector(), np.zeros(RATE)
    wave[RATE // 2 :] = 0.5 * np.random.default_rng(0).normal(size=RATE // 2)
    assert detector.cap - 2 < detector.novelty(wave, RATE).max() <= detector.cap


def test_silence_and_nothing_have_no_onset():
    for wave in (np.zeros(RATE), np.zeros(0), 1e-6 * np.random.default_rng(0).standard_normal(RATE)):
        assert OnsetDetector().detect(wave, RATE).shape == (0,)
    struck = impacts(TIMES, np.ones(6))
    struck /= np.abs(struck).max()
    assert_found(OnsetDetector().detect(1.1e-4 * struck, RATE))
    assert len(OnsetDetector().detect(0.9e-4 * struck, RATE)) == 0  # below a peak of 1e-4 it is silence


def test_another_sample_rate_gives_the_same_onsets():
    from scipy.signal import resample_poly

    wave = impacts(TIMES, np.ones(6))
    found = OnsetDetector(high=7000.0).detect(resample_poly(wave, 3, 2), 24_000)
    assert np.allclose(found, OnsetDetector(high=7000.0).detect(wave, RATE), atol=0.006)


def test_a_wave_of_two_channels_or_with_a_hole_is_refused():
    with pytest.raises(ValueError, match="mix to mono"):
        OnsetDetector().detect(np.zeros((2, 100)), RATE)
    with pytest.raises(ValueError, match="finite"):
        OnsetDetector().detect(np.array([0.0, np.nan]), RATE)


# ---------------------------------------------------------------------------------------------------------- matching


def test_perfect_shifted_extra_missed():
    assert len(match(TIMES, TIMES, WINDOW)) == 6
    assert len(match(TIMES, TIMES + 0.049, WINDOW)) == 6 and not match(TIMES, TIMES + 0.051, WINDOW)
    assert len(match(TIMES, np.append(TIMES, [0.6, 3.0]), WINDOW)) == 6
    assert len(match(TIMES, TIMES[:4], WINDOW)) == 4
    assert signed_errors(TIMES, TIMES + 0.02, WINDOW) == pytest.approx(0.02)


def test_empty_lists():
    assert match([], [], WINDOW) == match([1.0], [], WINDOW) == match([], [1.0], WINDOW) == []
    assert signed_errors([], [], WINDOW).shape == event_onsets([]).shape == (0,)


def test_the_matching_is_optimal_where_the_nearest_first_is_not():
    # Nearest first pairs 1.05 with 1.04 and leaves 1.00 and 1.10 apart; the optimum pairs both.
    assert sorted(match([1.00, 1.05], [1.04, 1.10], 0.06)) == [(0, 0), (1, 1)]


def test_many_far_pairs_are_better_than_fewer_near_ones():
    """Each found onset is 0.06 s late, and lies exactly on the next reference: 24 pairs, not 23 of distance zero."""
    reference = 0.06 * np.arange(24)
    assert sorted(match(reference, reference + 0.06, 0.06)) == [(index, index) for index in range(24)]


def test_two_found_for_one_reference_is_one_hit_the_nearer():
    assert match([1.0], [0.95, 1.01], 0.06) == [(0, 1)]


def test_the_matching_agrees_with_a_search_over_all_and_with_mir_eval():
    mir_eval = pytest.importorskip("mir_eval")
    rng = np.random.default_rng(0)
    for _ in range(40):
        reference, found = np.sort(rng.uniform(0, 0.5, 5)), np.sort(rng.uniform(0, 0.5, 4))
        best = max(
            sum(abs(reference[i] - t) <= 0.06 for i, t in zip(p, found, strict=True)) for p in permutations(range(5), 4)
        )
        assert len(match(reference, found, 0.06)) == best == len(mir_eval.util.match_events(reference, found, 0.06))


def test_events_closer_than_fifty_milliseconds_are_one():
    times = [2.0, 1.0, 1.03, 1.049, 1.06]
    assert event_onsets([event(time) for time in times]).tolist() == [1.0, 1.06, 2.0]
    assert event_onsets([event(time) for time in (0.0, 0.05)]).tolist() == [0.0, 0.05], "exactly fifty are not closer"

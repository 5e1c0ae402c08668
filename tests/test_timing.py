"""Scores of pairs of sounds whose timing is known: perfect, late, mismatched, silent, and what chance gives."""

import json
import re

import numpy as np
import pytest

pytest.importorskip("librosa")

from frieren.evaluation.timing.envelope import Envelope
from frieren.evaluation.timing.onset_detector import OnsetDetector, Onsets, match, signed_errors
from frieren.evaluation.timing.onset_scores import compare, scores
from frieren.evaluation.timing.protocol import WINDOWS, ReferenceTiming, SoundTiming

RATE = 16_000
SECONDS = 6.0


def impacts(seed):
    """A clip of 8 impacts and their times: (wave [S], seconds [8])."""
    rng = np.random.default_rng(seed)
    times = np.arange(8) * 0.7 + rng.uniform(0.1, 0.5, 8)
    wave = 1e-4 * rng.standard_normal(round(SECONDS * RATE))
    for time, gain in zip(times, rng.uniform(0.4, 1.0, 8), strict=True):
        t = np.arange(len(wave) - round(time * RATE)) / RATE
        wave[-len(t) :] += (
            0.3 * gain * rng.standard_normal(len(t)) * (0.7 * np.exp(-t / 0.006) + 0.3 * np.exp(-t / 0.05))
        )
    return wave, times


CLIPS = [impacts(seed) for seed in range(6)]
WAVES = [wave for wave, _ in CLIPS]


def test_the_reference_is_perfect_and_chance_is_far():
    timing = scores(WAVES, WAVES, RATE)
    assert len(timing.pooled) == 2 * 4 + 1
    for one in timing.pooled.values():
        assert one.value == pytest.approx(1) and one.ceiling == pytest.approx(1)
        assert one.chance_mean < one.chance_upper < 0.7 and one.left_out == 0
    assert np.concatenate(timing.offsets) == pytest.approx(0)


def test_against_events_the_detector_is_the_ceiling():
    known = [
        ReferenceTiming(times, None, SoundTiming(OnsetDetector().find(wave, RATE), np.zeros(0), SECONDS))
        for wave, times in CLIPS
    ]
    timing = scores([np.zeros_like(wave) for wave in WAVES], known, RATE)
    f1, envelope = timing.pooled["onset_f1_50ms"], timing.pooled["envelope"]
    assert f1.value == f1.chance_mean == 0 and f1.ceiling > 0.97
    assert np.isnan(envelope.value) and envelope.left_out == 6 and "envelope" not in timing.markdown()
    assert timing.summary()["envelope"]["value"] is None and np.isnan(timing.pooled["onset_precision_50ms"].value)


def test_without_a_reference_sound_there_is_no_ceiling():
    timing = scores(WAVES, [ReferenceTiming(times, None, None) for _, times in CLIPS], RATE)
    assert timing.pooled["onset_f1_50ms"].value > 0.97 and np.isnan(timing.pooled["onset_f1_50ms"].ceiling)
    assert re.search(r"\| +– \|", timing.markdown())


def test_a_late_sound_matches_in_the_wider_window_and_shows_in_the_offset():
    late = [np.roll(wave, round(0.075 * RATE)) for wave in WAVES]
    timing = scores(late, WAVES, RATE, shifts=10)
    assert timing.pooled["onset_f1_50ms"].value < 0.1 and timing.pooled["onset_f1_100ms"].value > 0.95
    assert timing.summary()["offset_ms"]["median"] == pytest.approx(75, abs=3)
    assert timing.summary()["ceiling_offset_ms"]["median"] == 0


def test_a_shift_by_half_a_second_costs_every_score():
    own, shifted = scores(WAVES, WAVES, RATE), scores([np.roll(wave, RATE // 2) for wave in WAVES], WAVES, RATE)
    for name, one in shifted.pooled.items():
        assert one.value < 0.6 * own.pooled[name].value
        assert abs(one.value - one.chance_mean) < 0.35


def test_the_score_does_not_depend_on_the_order_of_the_clips():
    mixed = WAVES[1:] + WAVES[:1]
    once, again = scores(mixed, WAVES, RATE, shifts=0), scores(mixed[::-1], WAVES[::-1], RATE, shifts=0)
    for name, one in once.pooled.items():
        assert one.value == pytest.approx(again.pooled[name].value)
        assert np.isnan(one.chance_mean)


def test_chance_is_what_scoring_shifted_onsets_one_by_one_gives():
    rng = np.random.default_rng(3)
    onsets = Onsets(np.sort(rng.uniform(0, SECONDS, 9)), rng.uniform(2, 9, 9))
    true = np.sort(rng.uniform(0, SECONDS, 7))
    pair = (SoundTiming(onsets, np.zeros(0), SECONDS), ReferenceTiming(true, None, None))
    timing = compare([pair], detector=OnsetDetector(), meter=Envelope(), shifts=50, seed=5)
    shifts = np.random.default_rng(5).uniform(0.0, 1.0, 50)
    for window in WINDOWS:
        hits = [len(match(true, np.sort((onsets.times + shift * SECONDS) % SECONDS), window)) for shift in shifts]
        assert timing.pooled[f"onset_f1_{1e3 * window:g}ms"].chance == pytest.approx(np.array(hits) / 8)


def test_a_circular_shift_hits_one_event_as_often_as_the_window_is_wide():
    pair = (
        SoundTiming(Onsets(np.array([1.0]), np.array([5.0])), np.zeros(0), 4.0),
        ReferenceTiming(np.array([2.0]), None, None),
    )
    timing = compare([pair], detector=OnsetDetector(), meter=Envelope(), shifts=20_000)
    assert timing.pooled["onset_recall_50ms"].chance_mean == pytest.approx(0.1 / 4, abs=0.005)
    assert timing.pooled["onset_ap_100ms"].chance_mean == pytest.approx(0.2 / 4, abs=0.008)


def test_intervals_keep_the_samples_of_a_video_together():
    mixed, videos = [WAVES[0], WAVES[2], WAVES[1], WAVES[3], *WAVES[4:]], ["a", "a", "b", "b", "c", "c"]
    timing = scores(mixed, WAVES, RATE, videos=videos, shifts=10)
    one = timing.pooled["onset_f1_50ms"]
    interval = one.interval(timing.videos)
    assert interval.low <= one.value <= interval.high
    assert one.interval(["a"] * 6) is None
    assert timing.subset([0, 4]).pooled["onset_f1_50ms"].value == pytest.approx(1)


def test_sounds_are_cut_to_the_shorter_of_two():
    timing = scores([wave[: 5 * RATE] for wave in WAVES], WAVES, RATE, shifts=10)
    assert timing.pooled["onset_recall_50ms"].value > 0.95 and timing.pooled["envelope"].value > 0.99


def test_a_summary_is_json():
    timing = scores(WAVES[:2], WAVES[:2], RATE, shifts=10)
    body = json.loads(json.dumps(timing.summary() | timing.settings()))
    assert body["shifts"] == 10 and body["meter"]["rate"] == 20 and body["onset_ap_50ms"]["clips"] == 2


def test_lists_that_do_not_fit_together_are_refused():
    with pytest.raises(ValueError, match="no pair"):
        scores([], [], RATE)
    with pytest.raises(ValueError, match="zip"):
        scores(WAVES[:2], WAVES[:1], RATE)
    with pytest.raises(ValueError, match="1 videos for 2 pairs"):
        scores(WAVES[:2], WAVES[:2], RATE, videos=["a"])


def test_the_offset_has_an_interval_and_what_chance_gives():
    late = [np.roll(wave, round(0.02 * RATE)) for wave in WAVES]
    timing = scores(late, WAVES, RATE, shifts=200)
    low, high, _ = timing.offset_interval()
    assert low <= timing.summary()["offset_ms"]["median"] <= high and 15 < low < high < 25
    shifts = np.random.default_rng(0).uniform(0.0, 1.0, (6, 200))
    found = [OnsetDetector().detect(wave, RATE) for wave in late]
    true = [OnsetDetector().detect(wave, RATE) for wave in WAVES]
    first = [
        signed_errors(t, (f + shift * SECONDS) % SECONDS, 0.1)
        for t, f, shift in zip(true, found, shifts[:, 0], strict=True)
    ]
    assert timing.offset_chance()[0] == pytest.approx(1e3 * np.median(np.concatenate(first)))
    assert abs(timing.offset_chance().mean()) < 15 and len(timing.offset_chance()) == 200
    silent = scores([0 * wave for wave in WAVES], WAVES, RATE, shifts=5)
    assert silent.offset_interval() is None and silent.summary()["offset_ms"]["chance_mean"] is None

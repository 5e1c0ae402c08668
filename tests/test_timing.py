"""Scores of pairs of sounds whose timing is known: perfect, late, foreign, silent, and what chance gives."""

import json

import numpy as np
import pytest

pytest.importorskip("librosa")

from frieren.evaluation.timing.envelope import Envelope
from frieren.evaluation.timing.onsets import OnsetDetector, Onsets, match, signed_errors
from frieren.evaluation.timing.scores import WINDOWS, Heard, Truth, compare, scores

RATE = 16_000
SECONDS = 6.0


def struck(seed):
    """A clip of 8 strikes and their times: (wave [S], seconds [8])."""
    rng = np.random.default_rng(seed)
    times = np.arange(8) * 0.7 + rng.uniform(0.1, 0.5, 8)
    wave = 1e-4 * rng.standard_normal(round(SECONDS * RATE))
    for time, gain in zip(times, rng.uniform(0.4, 1.0, 8), strict=True):
        t = np.arange(len(wave) - round(time * RATE)) / RATE
        wave[-len(t) :] += (
            0.3 * gain * rng.standard_normal(len(t)) * (0.7 * np.exp(-t / 0.006) + 0.3 * np.exp(-t / 0.05))
        )
    return wave, times


CLIPS = [struck(seed) for seed in range(6)]
WAVES = [wave for wave, _ in CLIPS]


def test_the_true_sound_is_perfect_and_chance_is_far():
    timing = scores(WAVES, WAVES, RATE)
    assert len(timing.measured) == 2 * 4 + 1
    for one in timing.measured.values():
        assert one.value == pytest.approx(1) and one.ceiling == pytest.approx(1)
        assert one.chance_mean < one.chance_upper < 0.7 and one.left_out == 0
    assert np.concatenate(timing.offsets) == pytest.approx(0)


def test_against_events_the_detector_is_the_ceiling():
    known = [Truth(times, None, Heard(OnsetDetector().find(wave, RATE), np.zeros(0), SECONDS)) for wave, times in CLIPS]
    timing = scores([np.zeros_like(wave) for wave in WAVES], known, RATE)
    f1, envelope = timing.measured["onset_f1_50ms"], timing.measured["envelope"]
    assert f1.value == f1.chance_mean == 0 and f1.ceiling > 0.97
    assert np.isnan(envelope.value) and envelope.left_out == 6 and "envelope" not in timing.markdown()
    assert timing.summary()["envelope"]["value"] is None and np.isnan(timing.measured["onset_precision_50ms"].value)


def test_without_a_true_sound_there_is_no_ceiling():
    timing = scores(WAVES, [Truth(times, None, None) for _, times in CLIPS], RATE)
    assert timing.measured["onset_f1_50ms"].value > 0.97 and np.isnan(timing.measured["onset_f1_50ms"].ceiling)
    assert "| – |" in timing.markdown()


def test_a_late_sound_is_met_in_the_wider_window_and_shows_in_the_offset():
    late = [np.roll(wave, round(0.075 * RATE)) for wave in WAVES]
    timing = scores(late, WAVES, RATE, shifts=10)
    assert timing.measured["onset_f1_50ms"].value < 0.1 and timing.measured["onset_f1_100ms"].value > 0.95
    assert timing.summary()["offset_ms"]["median"] == pytest.approx(75, abs=3)
    assert timing.summary()["ceiling_offset_ms"]["median"] == 0


def test_rolling_by_half_a_second_costs_every_score():
    true, rolled = scores(WAVES, WAVES, RATE), scores([np.roll(wave, RATE // 2) for wave in WAVES], WAVES, RATE)
    for name, one in rolled.measured.items():
        assert one.value < 0.6 * true.measured[name].value
        assert abs(one.value - one.chance_mean) < 0.35


def test_the_score_does_not_depend_on_the_order_of_the_clips():
    mixed = WAVES[1:] + WAVES[:1]
    once, again = scores(mixed, WAVES, RATE, shifts=0), scores(mixed[::-1], WAVES[::-1], RATE, shifts=0)
    for name, one in once.measured.items():
        assert one.value == pytest.approx(again.measured[name].value)
        assert np.isnan(one.chance_mean)


def test_chance_is_what_scoring_shifted_onsets_one_by_one_gives():
    rng = np.random.default_rng(3)
    onsets = Onsets(np.sort(rng.uniform(0, SECONDS, 9)), rng.uniform(2, 9, 9))
    true = np.sort(rng.uniform(0, SECONDS, 7))
    pair = (Heard(onsets, np.zeros(0), SECONDS), Truth(true, None, None))
    timing = compare([pair], detector=OnsetDetector(), meter=Envelope(), shifts=50, seed=5)
    turns = np.random.default_rng(5).uniform(0.0, 1.0, 50)
    for window in WINDOWS:
        hits = [len(match(true, np.sort((onsets.times + turn * SECONDS) % SECONDS), window)) for turn in turns]
        assert timing.measured[f"onset_f1_{1e3 * window:g}ms"].chance == pytest.approx(np.array(hits) / 8)


def test_a_circular_shift_meets_one_event_as_often_as_the_window_is_wide():
    pair = (Heard(Onsets(np.array([1.0]), np.array([5.0])), np.zeros(0), 4.0), Truth(np.array([2.0]), None, None))
    timing = compare([pair], detector=OnsetDetector(), meter=Envelope(), shifts=20_000)
    assert timing.measured["onset_recall_50ms"].chance_mean == pytest.approx(0.1 / 4, abs=0.005)
    assert timing.measured["onset_ap_100ms"].chance_mean == pytest.approx(0.2 / 4, abs=0.008)


def test_intervals_keep_the_samples_of_a_video_together():
    mixed, videos = [WAVES[0], WAVES[2], WAVES[1], WAVES[3], *WAVES[4:]], ["a", "a", "b", "b", "c", "c"]
    timing = scores(mixed, WAVES, RATE, videos=videos, shifts=10)
    one = timing.measured["onset_f1_50ms"]
    interval = one.interval(timing.videos)
    assert interval.low <= one.value <= interval.high
    assert one.interval(["a"] * 6) is None
    rows = list(timing.rows())
    assert [row["video"] for row in rows] == videos and rows[0]["onset_f1_50ms"] == 1 > rows[1]["onset_f1_50ms"]
    assert timing.of([0, 4]).measured["onset_f1_50ms"].value == pytest.approx(1)


def test_sounds_are_cut_to_the_shorter_of_two():
    timing = scores([wave[: 5 * RATE] for wave in WAVES], WAVES, RATE, shifts=10)
    assert timing.measured["onset_recall_50ms"].value > 0.95 and timing.measured["envelope"].value > 0.99


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
    turns = np.random.default_rng(0).uniform(0.0, 1.0, (6, 200))
    found = [OnsetDetector().detect(wave, RATE) for wave in late]
    true = [OnsetDetector().detect(wave, RATE) for wave in WAVES]
    first = [
        signed_errors(t, (f + turn * SECONDS) % SECONDS, 0.1)
        for t, f, turn in zip(true, found, turns[:, 0], strict=True)
    ]
    assert timing.offset_chance()[0] == pytest.approx(1e3 * np.median(np.concatenate(first)))
    assert abs(timing.offset_chance().mean()) < 15 and len(timing.offset_chance()) == 200
    silent = scores([0 * wave for wave in WAVES], WAVES, RATE, shifts=5)
    assert silent.offset_interval() is None and silent.summary()["offset_ms"]["chance_mean"] is None

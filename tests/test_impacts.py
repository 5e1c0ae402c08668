"""The protocols on clips whose answer is known: impacts, their controls, and the ceilings on FoleyWorld itself."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

pytest.importorskip("librosa")

from frieren.clock import Clock
from frieren.evaluation.timing import steady
from frieren.evaluation.timing.chance import partner, random_hits, random_times
from frieren.evaluation.timing.clipsets import (
    impact_clips,
    only_visible_activities,
    only_visible_impacts,
    steady_clips,
    take_turns,
)
from frieren.evaluation.timing.impacts import measure
from frieren.world import STEADY
from frieren.world.script import Event

RATE = 16_000


@dataclass(frozen=True)
class Struck:
    """What the protocol reads of a clip."""

    wave: np.ndarray
    events: tuple[Event, ...]
    seconds: float = 6.0


def clap(times, gains, seconds, rng):
    """A burst of noise with a fast and a slow decay at each of `times`, [S]."""
    wave = 1e-4 * rng.standard_normal(int(seconds * RATE))
    for time, gain in zip(times, gains, strict=True):
        start = round(time * RATE)
        t = np.arange(len(wave) - start) / RATE
        wave[start:] += 0.3 * gain * rng.standard_normal(len(t)) * (0.7 * np.exp(-t / 0.006) + 0.3 * np.exp(-t / 0.05))
    return wave


def struck(seed, kind="ball"):
    rng = np.random.default_rng(seed)
    times = random_times(8, 5.8, 0.2, rng) + 0.1
    events = tuple(Event(kind, "wood", time, 0.5, 0.5, 0.5, True, 440.0) for time in times)
    return Struck(clap(times, rng.uniform(0.4, 1.0, 8), 6.0, rng), events)


@pytest.fixture(scope="module")
def clips():
    return [struck(seed, "ball" if seed < 6 else "hammer") for seed in range(12)]


def test_the_true_sound_reaches_its_ceiling(clips):
    report = measure(lambda clip: clip.wave, clips, RATE)
    assert report.ceiling.f1 > 0.97 and report.ratio == 1.0
    assert report.generated == report.ceiling and report.ceiling.true == 96
    assert set(report.generated_by_kind) == {"ball", "hammer"}
    assert abs(report.ceiling_error[0]) < 0.015
    assert all(met for name, (_, _, met) in report.checks().items() if name != "foreign - random")
    assert abs(report.foreign.f1 - report.random_f1) < 0.12  # 96 instants: chance alone spreads it this far


def test_silence_scores_nothing(clips):
    report = measure(lambda clip: np.zeros_like(clip.wave), clips, RATE)
    assert (report.generated.f1, report.generated.found, report.random_f1, report.ratio) == (0, 0, 0, 0)
    assert not report.checks()["generated / ceiling"][2]


def test_sounds_of_other_clips_score_as_the_control_does(clips):
    order = {id(clip): position for position, clip in enumerate(clips)}
    report = measure(lambda clip: clips[partner(order[id(clip)], len(clips))].wave, clips, RATE)
    assert report.generated.f1 < 0.4 and report.foreign.f1 > 0.95  # here the foreign events are the right ones


def test_a_late_sound_shows_in_the_signed_error(clips):
    report = measure(lambda clip: np.roll(clip.wave, int(0.04 * RATE)), clips, RATE)
    assert report.generated.f1 > 0.95
    assert report.generated_error[0] - report.ceiling_error[0] == pytest.approx(0.04, abs=0.003)


def test_one_clip_has_no_control(clips):
    with pytest.raises(ValueError, match="two clips"):
        measure(lambda clip: clip.wave, clips[:1], RATE)


def test_no_clip_is_its_own_partner():
    for count in (2, 3, 64):
        partners = [partner(index, count) for index in range(count)]
        assert sorted(partners) == list(range(count)) and all(i != j for i, j in enumerate(partners))


def test_one_random_instant_meets_one_event_as_often_as_the_window_is_wide():
    assert random_hits([2.0], 1, 4.0, apart=0.05, draws=4000) == pytest.approx(0.12 / 4.0, abs=0.008)
    assert random_hits([0.0], 1, 4.0, apart=0.05, draws=4000) == pytest.approx(0.06 / 4.0, abs=0.006)  # half a window


def test_well_separated_events_are_hit_as_the_closed_form_says():
    # K instants, of which each lies in a given window with p = 0.12 / T: a window is met with 1 - (1 - p)^K.
    true, count, seconds = np.arange(1.0, 9.0), 12, 10.0
    expected = len(true) * (1 - (1 - 0.12 / seconds) ** count)
    assert random_hits(true, count, seconds, apart=0.0, draws=2000) == pytest.approx(expected, abs=0.05)


def test_random_times_keep_their_distance_and_cover_the_clip():
    rng = np.random.default_rng(0)
    drawn = np.array([random_times(20, 4.0, 0.08, rng) for _ in range(500)])
    assert drawn.min() >= 0 and drawn.max() <= 4.0 and np.diff(drawn).min() >= 0.08 - 1e-12
    assert drawn.mean() == pytest.approx(2.0, abs=0.02)
    assert len(random_times(0, 4.0, 0.08, rng)) == 0
    assert random_times(100, 4.0, 0.08, rng).max() <= 4.0  # more than fit: evenly spread


def test_kinds_take_turns():
    shelves = {"ball": [0, 1, 2, 3, 4], "hammer": [2, 7], "bell": [5]}
    assert take_turns(shelves, 5) == [0, 1, 5, 2, 7]  # grouped: ball 0 1, bell 5, hammer 2 7
    assert len(take_turns(shelves, 99)) == 7  # clip 2 has two kinds and is taken once


def test_report_as_json_and_markdown(clips):
    report = measure(lambda clip: clip.wave, clips[:4], RATE, shifts=100)
    body = json.loads(report.to_json())
    assert body["ceiling"]["f1"] == report.ceiling.f1 and body["detector"]["delta"] == report.timing.detector.delta
    assert body["checks"]["ceiling F1"]["met"] is True
    assert f"| {report.random_f1:.3f} |" in report.markdown() and "| ball | 32 |" in report.markdown()
    assert body["scores"]["onset_f1_50ms"]["chance_mean"] < 0.6 and body["shifts"] == 100
    assert body["scores"]["onset_f1_50ms"]["value"] == body["scores"]["onset_f1_50ms"]["ceiling"]


CLOCK = Clock()


def test_the_ceiling_on_foleyworld():
    chosen = impact_clips("valid", 12, CLOCK, picture=False)
    assert all(only_visible_impacts(clip) for clip in chosen)
    report = measure(lambda clip: clip.wave, chosen, CLOCK.sample_rate, shifts=100)
    assert report.ceiling.f1 >= 0.9
    assert abs(report.ceiling_error[0]) < 0.015
    for name in ("onset_f1_50ms", "onset_ap_50ms", "onset_f1_100ms"):
        one = report.timing.measured[name]
        assert one.ceiling > 0.98 and one.chance_mean < one.chance_upper < 0.5


@pytest.fixture(scope="module")
def going_on():
    return [clip for clip in steady_clips("valid", 12, CLOCK, picture=False) if len(clip.kinds) == 1]


def test_continuous_sounds_follow_their_script(going_on):
    assert all(only_visible_activities(clip) for clip in going_on)
    report = steady.measure(lambda clip: clip.wave, going_on, CLOCK.sample_rate)
    assert len(report.groups()) > 5 and set(report.groups()) <= {*STEADY, "all"}
    for timing in report.groups().values():
        one = timing.measured["envelope"]
        assert one.value == one.ceiling > 0.85 and one.left_out == 0
        assert abs(one.chance_mean) < 0.05 < one.chance_upper  # all shifts of one clip together have mean 0
    body = json.loads(report.to_json())
    assert body["envelope"]["rain"]["clips"] == 1 and "| envelope, rain |" in report.markdown()


def test_a_continuous_sound_that_knows_nothing_scores_as_chance(going_on):
    rng = np.random.default_rng(0)
    report = steady.measure(lambda clip: 0.1 * rng.standard_normal(len(clip.wave)), going_on, CLOCK.sample_rate)
    assert report.timing.measured["envelope"].value == 0  # steady noise follows nothing
    late = steady.measure(lambda clip: np.roll(clip.wave, 2 * CLOCK.sample_rate), going_on, CLOCK.sample_rate)
    assert late.timing.measured["envelope"].value < 0.4

"""Timing of models on clips whose answer is known: impacts, their controls, and the ceilings on FoleyWorld itself."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

pytest.importorskip("librosa")

from frieren.clock import Clock
from frieren.evaluation.timing import aims, steady
from frieren.evaluation.timing.by_kind import mismatches
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
MODEL = {"model": "toy", "steps": 25}


@dataclass(frozen=True)
class ImpactClip:
    """The members of a clip that the measurement reads."""

    wave: np.ndarray
    events: tuple[Event, ...]
    kinds: tuple[str, ...]
    level: int = 0
    unseen: bool = False
    seconds: float = 6.0


def bursts(times, gains, seconds, rng):
    """A burst of noise with a fast and a slow decay at each of `times`, [S]."""
    wave = 1e-4 * rng.standard_normal(int(seconds * RATE))
    for time, gain in zip(times, gains, strict=True):
        start = round(time * RATE)
        t = np.arange(len(wave) - start) / RATE
        wave[start:] += 0.3 * gain * rng.standard_normal(len(t)) * (0.7 * np.exp(-t / 0.006) + 0.3 * np.exp(-t / 0.05))
    return wave


def impact_clip(seed, kind="ball"):
    """Eight impacts at random times, at least 0.2 s apart."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.uniform(0.0, 4.4, 8)) + 0.2 * np.arange(8) + 0.1
    events = tuple(Event(kind, "wood", time, 0.5, 0.5, 0.5, True, 440.0) for time in times)
    return ImpactClip(bursts(times, rng.uniform(0.4, 1.0, 8), 6.0, rng), events, (kind,))


@pytest.fixture(scope="module")
def clips():
    return [impact_clip(seed, "ball" if seed < 6 else "hammer") for seed in range(12)]


def test_the_reference_sound_reaches_its_ceiling(clips):
    report = measure(lambda clip: clip.wave, clips, RATE, **MODEL, shifts=100)
    overall = report.onsets.overall
    assert overall.reference > 0.97 and overall.value == 1.0 and overall.generated == overall.reference
    assert set(report.onsets.groups["kind"]) == {"ball", "hammer"}
    assert all(aim.met for aim in report.aims())
    assert report.onsets.chance < report.onsets.chance_95 < 0.5
    assert report.scores.pooled["onset_f1_50ms"].value == overall.generated


def test_silence_scores_nothing(clips):
    report = measure(lambda clip: np.zeros_like(clip.wave), clips, RATE, **MODEL, shifts=20)
    assert (report.onsets.overall.generated, report.onsets.overall.value, report.onsets.chance) == (0, 0, 0)
    assert [aim.met for aim in report.aims()] == [True, False, False, True]


def test_a_sound_that_does_not_know_its_video_scores_as_chance(clips):
    order = {id(clip): index for index, clip in enumerate(clips)}
    report = measure(lambda clip: clips[(order[id(clip)] + 6) % 12].wave, clips, RATE, **MODEL, shifts=100)
    assert report.onsets.overall.generated < 0.4
    assert abs(report.onsets.overall.generated - report.onsets.chance) < 0.15


def test_a_sound_that_knows_another_video_misses_the_control(clips):
    """Every clip gets the sound of the very clip with which it is mismatched, so that the control finds it again."""
    pairs = dict(mismatches(clips, 0))
    wanted = {other: index for index, other in pairs.items()}
    order = {id(clip): index for index, clip in enumerate(clips)}

    def generate(clip):
        own = order[id(clip)]
        return clips[wanted.get(own, own)].wave

    report = measure(generate, clips, RATE, **MODEL, shifts=100)
    control = report.aims()[-1]
    assert control.value > 0.3 and not control.met


def test_a_late_sound_shows_in_the_offset(clips):
    late = measure(lambda clip: np.roll(clip.wave, int(0.03 * RATE)), clips, RATE, **MODEL, shifts=10).scores.summary()
    assert late["onset_f1_50ms"]["value"] > 0.95
    assert late["offset_ms"]["median"] - late["ceiling_offset_ms"]["median"] == pytest.approx(30, abs=3)


def test_clips_of_one_kind_have_no_mismatched_videos(clips):
    report = measure(lambda clip: clip.wave, clips[:3], RATE, **MODEL, shifts=10)
    assert np.isnan(report.onsets.mismatched) and not report.aims()[-1].met
    assert json.loads(report.to_json())["onset_f1"]["mismatched"] is None


def test_few_steps_have_their_own_aim(clips):
    report = measure(lambda clip: clip.wave, clips[:2], RATE, model="toy", steps=aims.MANY_STEPS - 1, shifts=10)
    assert report.aims()[1].bound == aims.F1_FEW_STEPS < aims.F1_MANY_STEPS


def test_kinds_take_turns():
    by_kind = {"ball": [0, 1, 2, 3, 4], "hammer": [2, 7], "bell": [5]}
    assert take_turns(by_kind, 5) == [0, 1, 5, 2, 7]  # grouped: ball 0 1, bell 5, hammer 2 7
    assert len(take_turns(by_kind, 99)) == 7  # clip 2 has two kinds and is taken once


def test_report_as_json_and_markdown(clips):
    report = measure(lambda clip: clip.wave, clips[4:8], RATE, **MODEL, shifts=100)
    body = json.loads(report.to_json())
    assert body["onset_f1"]["groups"]["all"]["all"]["generated"] == report.onsets.overall.generated
    assert body["clips"] == 4 and body["detector"]["delta"] == report.scores.detector.delta
    assert body["aims"][0]["met"] is True and body["shifts"] == 100
    assert body["scores"]["onset_f1_50ms"]["chance_mean"] < 0.6
    assert body["scores"]["onset_f1_50ms"]["value"] == body["scores"]["onset_f1_50ms"]["ceiling"]
    lines = report.markdown().splitlines()
    assert max(map(len, lines)) <= 80 and any(line.startswith("| ball ") for line in lines)


CLOCK = Clock()


def test_the_ceiling_on_foleyworld():
    chosen = impact_clips("valid", 12, CLOCK, picture=False)
    assert all(only_visible_impacts(clip) for clip in chosen)
    report = measure(lambda clip: clip.wave, chosen, CLOCK.sample_rate, **MODEL, shifts=100)
    assert report.onsets.overall.reference >= aims.DETECTOR
    assert abs(report.scores.summary()["ceiling_offset_ms"]["median"]) < 15
    for name in ("onset_f1_50ms", "onset_ap_50ms", "onset_f1_100ms"):
        one = report.scores.pooled[name]
        assert one.ceiling > 0.98 and one.chance_mean < one.chance_upper < 0.5


@pytest.fixture(scope="module")
def sustained():
    return [clip for clip in steady_clips("valid", 12, CLOCK, picture=False) if len(clip.kinds) == 1]


def test_sustained_sounds_follow_their_script(sustained):
    assert all(only_visible_activities(clip) for clip in sustained)
    report = steady.measure(lambda clip: clip.wave, sustained, CLOCK.sample_rate)
    assert len(report.groups()) > 5 and set(report.groups()) <= {*STEADY, "all"}
    for timing in report.groups().values():
        one = timing.pooled["envelope"]
        assert one.value == one.ceiling > 0.85 and one.left_out == 0
        assert abs(one.chance_mean) < 0.05 < one.chance_upper  # all shifts of one clip together have mean 0
    body = json.loads(report.to_json())
    assert body["envelope"]["rain"]["clips"] == 1 and "| rain " in report.markdown()


def test_a_sustained_sound_of_noise_scores_as_chance(sustained):
    rng = np.random.default_rng(0)
    report = steady.measure(lambda clip: 0.1 * rng.standard_normal(len(clip.wave)), sustained, CLOCK.sample_rate)
    assert report.timing.pooled["envelope"].value == 0  # steady noise follows nothing
    late = steady.measure(lambda clip: np.roll(clip.wave, 2 * CLOCK.sample_rate), sustained, CLOCK.sample_rate)
    assert late.timing.pooled["envelope"].value < 0.4

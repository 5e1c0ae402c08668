"""The timing protocol on clips whose answer is known, and its ceiling on FoleyWorld itself."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

pytest.importorskip("librosa")

from frieren.evaluation.timing import measure, partner, random_hits, random_times, take_turns
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


def test_report_as_json_and_markdown(clips, tmp_path):
    report = measure(lambda clip: clip.wave, clips[:4], RATE)
    report.save(tmp_path / "timing.json")
    body = json.loads((tmp_path / "timing.json").read_text())
    assert body["ceiling"]["f1"] == report.ceiling.f1 and body["detector"]["delta"] == report.detector.delta
    assert body["checks"]["ceiling F1"]["met"] is True
    assert f"| {report.random_f1:.3f} |" in report.markdown() and "| ball | 32 |" in report.markdown()


def test_a_picture_is_written(clips, tmp_path):
    pytest.importorskip("matplotlib")
    from frieren.evaluation.pictures import motion_energy, plot_clip

    images = np.zeros((24, 3, 8, 8), dtype=np.float32)
    images[12:] = 1.0
    assert motion_energy(images).tolist() == [0.0] * 12 + [1.0] + [0.0] * 11
    assert np.allclose(motion_energy((255 * images).astype(np.uint8)), motion_energy(images))
    waves = {"true": clips[0].wave, "generated": np.zeros_like(clips[0].wave)}
    plot_clip(tmp_path / "clip.png", images, waves, RATE, clips[0].events, title="clip 0")
    plot_clip(tmp_path / "waves.png", None, waves, RATE, clips[0].events)
    assert (tmp_path / "clip.png").stat().st_size > (tmp_path / "waves.png").stat().st_size > 10_000


def test_levels_are_the_models_mel_below_its_loudest_cell():
    from frieren.evaluation.pictures import BOTTOM, levels

    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    assert levels(tone, RATE).shape == (80, RATE // 128) and levels(tone, RATE).max() == 0
    band = levels(tone, RATE).mean(axis=1).argmax()
    assert 20 <= band <= 32  # 1 kHz is at 15 of 45.2 mels on Slaney's scale
    assert (levels(np.zeros(100), RATE) == BOTTOM).all()


def test_the_ceiling_on_foleyworld():
    world = pytest.importorskip("frieren.world")
    if not hasattr(world, "clip"):
        pytest.skip("the world has no clips yet")
    from frieren.clock import Clock
    from frieren.evaluation.timing import impact_clips, only_visible_impacts

    clips = impact_clips("valid", 12, Clock(), picture=False)
    assert all(only_visible_impacts(clip) for clip in clips)
    report = measure(lambda clip: clip.wave, clips, Clock().sample_rate)
    assert report.ceiling.f1 >= 0.9
    assert abs(report.ceiling_error[0]) < 0.015

"""FoleyWorld: clips are pure, balanced, spaced, and show what they sound."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache

import numpy as np
import pytest
import torch

from frieren.clock import Clock
from frieren.world import FAMILIES, GALLERY, IMPACTS, SECONDS, SPLITS, STEADY, UNSEEN, Clip, clip, example
from frieren.world.bench import measure as pace_of
from frieren.world.camera import Camera, Capture, draw_capture
from frieren.world.canvas import Canvas, Pose
from frieren.world.clips import CYCLE, LEVELS, Scene, stage
from frieren.world.matter import Task
from frieren.world.motion import GAP, HEAD, TAIL, Path, path, rhythm, strokes

CLOCK = Clock(fps=25.0)
ROUND = len(CYCLE) * LEVELS  # clips in which each pair of kind and level occurs once


@lru_cache
def scenes() -> tuple[Scene, ...]:
    return tuple(stage("train", index) for index in range(3 * ROUND))


def events_of(scene: Scene) -> list:
    return sorted((event for source in scene.sources for event in source.events), key=lambda event: event.time)


def index_of(kind: str, level: int = 0, turn: int = 0) -> int:
    return LEVELS * (CYCLE.index(kind) + turn * len(CYCLE)) + level


@pytest.mark.parametrize("index", [index_of("ball", 3), index_of("piano", 2), index_of("rain", 1)])
def test_a_clip_is_a_pure_function_of_split_and_index(index):
    one, two = clip("train", index, CLOCK), clip("train", index, CLOCK)
    np.testing.assert_array_equal(one.images, two.images)
    np.testing.assert_array_equal(one.wave, two.wave)
    assert one.events == two.events
    assert one.images.shape == (200, 3, 64, 64)
    assert one.images.dtype == np.uint8
    assert one.wave.shape == (round(SECONDS * CLOCK.sample_rate),)


def test_rate_size_and_picture_change_neither_script_nor_sound():
    index = index_of("drum", 3)
    full = clip("train", index, CLOCK)
    for other in (
        clip("train", index, Clock(fps=4.0)),
        clip("train", index, CLOCK, (48, 96)),
        clip("train", index, CLOCK, picture=False),
    ):
        np.testing.assert_array_equal(full.wave, other.wave)
        assert full.events == other.events


def test_a_clock_shows_the_frames_of_the_film():
    """Of a film of 25 frames per second, a clock of 50 shows each frame twice, and one of 5 every fifth."""
    index = next(i for i in range(0, 40 * LEVELS, LEVELS) if stage("train", i).capture == Capture(rate=25.0))
    film = clip("train", index, CLOCK, sound=False).images
    np.testing.assert_array_equal(clip("train", index, Clock(fps=50.0), sound=False).images, film.repeat(2, 0))
    few = clip("train", index, Clock(fps=5.0), sound=False)
    grain = np.abs(few.images.astype(int) - film[::5].astype(int)).max()
    assert grain <= 60  # another draw of the same grain, if there is any


def test_films_have_all_rates_and_shapes():
    rng = np.random.default_rng(0)
    films = [draw_capture(rng, level) for level in range(LEVELS) for _ in range(200)]
    assert {film.rate for film in films} >= {12.0, 24.0, 25.0, 30.0, 60.0}
    assert min(film.aspect for film in films) < 1 < max(film.aspect for film in films)
    assert all(0 <= film.exposure <= 1 / film.rate for film in films)
    assert 0.1 < np.mean([film.exposure > 0 for film in films]) < 0.5


@pytest.mark.parametrize("rate", [12.0, 30000 / 1001, 60.0])
def test_a_film_shows_the_last_frame_that_was_taken(rate):
    times = np.array(CLOCK.frame_times(CLOCK.frames(SECONDS)))
    moments, which = Capture(rate=rate).shown(times)
    late = times - moments[which]
    assert (late > -1e-6).all() and (late < 1 / rate).all()
    np.testing.assert_allclose(moments * rate, np.round(moments * rate), atol=1e-6)


@pytest.mark.parametrize("aspect", [16 / 9, 1.0, 9 / 16])
def test_a_disc_is_round_on_a_film_of_any_shape(aspect):
    film, size = Capture(aspect=aspect), 90
    height, width = round(size / min(1, aspect)), round(size * max(1, aspect))
    canvas = Canvas(torch.zeros(3, 1, height, width), Camera(0).at(np.zeros(1)), film.aspect_scale)
    canvas.brush().disc(0.5, 0.5, 0.3, (1, 1, 1))
    lit = canvas.pixels[0, 0] > 0.5
    across, down = lit.any(0).sum().item(), lit.any(1).sum().item()
    assert across == pytest.approx(0.6 * size, abs=1) and down == pytest.approx(0.6 * size, abs=1)


def test_an_exposure_ends_at_its_frame():
    instants = Capture(exposure=0.03).instants(np.array([1.0, 2.0]))
    np.testing.assert_allclose(instants.reshape(2, -1)[:, [0, -1]], [[0.97, 1.0], [1.97, 2.0]])


def test_shapes_that_overlap_within_a_frame_all_count():
    """Many shapes of one call are blended as if they had been drawn one after the other."""
    x, y = np.array([0.4, 0.5, 0.45, 0.6]), np.array([0.5, 0.55, 0.4, 0.5])
    frames = np.array([0, 0, 0, 1])
    at_once, in_turn = (Canvas(torch.ones(3, 2, 40, 40), Camera(0).at(np.zeros(2))) for _ in range(2))
    at_once.brush().disc(x, y, 0.2, (0.2, 0.4, 0.8), opacity=0.6, frames=frames)
    for one in range(len(x)):
        in_turn.brush().disc(x[one], y[one], 0.2, (0.2, 0.4, 0.8), opacity=0.6, frames=frames[one : one + 1])
    torch.testing.assert_close(at_once.pixels, in_turn.pixels)


def test_splits_and_indices_differ():
    waves = [
        clip(split, index, CLOCK, picture=False).wave
        for split, index in (("train", 4), ("test", 4), ("valid", 4), ("train", 4 + ROUND))
    ]
    assert all(not np.array_equal(waves[0], wave) for wave in waves[1:])


def test_kinds_and_levels_are_balanced_by_index():
    pairs = Counter((scene.kind, scene.level) for scene in scenes())
    assert set(pairs.values()) == {3, 9}
    assert {kind for kind, _ in pairs} == {*GALLERY, "silence"}
    assert all(count == (9 if kind == "silence" else 3) for (kind, _), count in pairs.items())


def test_up_to_four_sources_from_level_2_on():
    counts = {level: {len(scene.sources) for scene in scenes() if scene.level == level} for level in range(LEVELS)}
    assert counts == {0: {1}, 1: {1}, 2: {2, 3}, 3: {1, 2, 3, 4}}
    for scene in scenes():  # what fills the picture is there once, behind everything else
        assert [GALLERY[s.kind].fills for s in scene.sources if s.kind in GALLERY][1:].count(True) == 0


def test_a_fifth_of_the_pairs_is_kept_for_test():
    everything = {(name, material) for name, kind in GALLERY.items() for material in kind.materials}
    assert UNSEEN < everything and 0.15 < len(UNSEEN) / len(everything) < 0.25
    assert all(len(kind.materials) > sum(pair[0] == name for pair in UNSEEN) for name, kind in GALLERY.items())
    for split, there in (("train", False), ("valid", False), ("test", True)):
        clips = [clip(split, index, CLOCK, picture=False, sound=False) for index in range(2 * ROUND)]
        pairs = {(one.kind, one.material) for item in clips for one in (*item.events, *item.activities)}
        assert (len(pairs & UNSEEN) > 0.8 * len(UNSEEN)) == there
        assert any(item.unseen for item in clips) == there


def test_contacts_keep_their_distance_and_the_edges():
    for scene in scenes():
        times = np.array([event.time for event in events_of(scene)])
        assert (times > HEAD).all()
        assert (times < SECONDS - TAIL).all()
        assert (np.diff(times) >= GAP - 1e-9).all()
        assert all(0.35 <= event.strength <= 1 for event in events_of(scene))


def test_every_impact_clip_sounds_and_the_easy_ones_hide_nothing():
    for scene in scenes():
        if scene.kind in IMPACTS:
            assert len(events_of(scene)) >= 2
        assert all(0 < event.x < 1 and 0 < event.y < 1 for event in events_of(scene) if event.visible)
        if scene.level < 2:
            assert all(event.visible for event in events_of(scene)), (scene.kind, scene.level)
    hard = [event.visible for scene in scenes() if scene.level == 3 for event in events_of(scene)]
    assert 0.05 < 1 - np.mean(hard) < 0.5


def test_silent_clips_are_silent():
    for level in range(LEVELS):
        item = clip("train", index_of("silence", level), CLOCK, picture=False)
        assert (item.kinds, item.events, item.activities) == ((), (), ())
        assert np.sqrt(np.square(item.wave).mean()) < 0.01  # hiss and hum of the room


def test_a_tool_is_down_at_its_contacts_and_never_else():
    rng = np.random.default_rng(0)
    times = rhythm(rng, SECONDS)
    height, strengths = strokes(rng, times, SECONDS)
    np.testing.assert_allclose(height.at(times), 0, atol=1e-12)
    grid = np.linspace(0, SECONDS, 8001)
    away = np.abs(grid[:, None] - times).min(1) > 0.03
    assert height.at(grid)[away].min() > 0.02
    assert height.at(grid).min() >= 0
    assert len(strengths) == len(times)


def test_a_path_eases_between_its_knots():
    curve = path([(0.0, 0.0, 0), (1.0, 1.0, 0), (2.0, 0.0, 1)])
    assert isinstance(curve, Path)
    np.testing.assert_allclose(curve.at(np.array([-1, 0.5, 1, 1.5, 3])), [0, 0.25, 1, 0.25, 0])


@lru_cache
def examples(kind: str) -> tuple[Clip, ...]:
    return tuple(example(kind, index, CLOCK, 48) for index in range(3))


def change(item: Clip) -> np.ndarray:
    """Mean absolute difference of each frame from the one before, [F - 1]."""
    return np.abs(np.diff(item.images.astype(np.int16), axis=0)).mean((1, 2, 3))


def test_there_are_kinds_in_every_family():
    assert len(GALLERY) >= 26
    assert set(GALLERY) == {*IMPACTS, *STEADY}
    families = Counter(kind.family for kind in GALLERY.values())
    assert set(families) == set(FAMILIES) and min(families.values()) >= 5
    for name, kind in GALLERY.items():
        assert kind.name == name and kind.materials and bool(kind.builds) != bool(kind.voices)
        assert 0 < kind.pitches[0] < kind.pitches[1]
        assert kind.pitch(0.0) == pytest.approx(kind.pitches[1]) and kind.pitch(1.0) == pytest.approx(kind.pitches[0])


@pytest.mark.parametrize("kind", GALLERY)
def test_an_example_is_of_its_kind_and_the_same_again(kind):
    first = examples(kind)[0]
    again = example(kind, 0, CLOCK, 48)
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.wave, again.wave)
    assert first.kinds == (kind,)
    for item in examples(kind):
        assert np.isfinite(item.wave).all() and 0.02 < np.abs(item.wave).max() <= 1.0
        assert len(item.events) >= 2 if GALLERY[kind].builds else len(item.activities) == 1
    assert not np.array_equal(first.images, examples(kind)[1].images)


@pytest.mark.parametrize("kind", IMPACTS)
def test_contacts_of_every_kind_are_spaced_and_of_its_materials(kind):
    for level in (0, 2, 3):
        for index in range(4):
            events = example(kind, index, CLOCK, level=level, picture=False, sound=False).events
            times = np.array([event.time for event in events])
            assert (times > HEAD).all() and (times < SECONDS - TAIL).all()
            assert (np.diff(times) >= GAP - 1e-9).all()
            mine = [event for event in events if event.kind == kind]
            assert mine and all(0.35 <= event.strength <= 1 for event in events)
            assert all(event.material in GALLERY[kind].materials for event in mine)
            assert level or all(event.visible for event in events)


@pytest.mark.parametrize("kind", IMPACTS)
def test_the_first_contact_of_every_kind_is_heard_at_its_sample(kind):
    for item in examples(kind):
        first = round(item.events[0].time * item.sample_rate)
        before = np.abs(item.wave[:first]).max()
        assert np.abs(item.wave[first : first + 160]).max() > 4 * before


@pytest.mark.parametrize("kind", IMPACTS)
def test_the_picture_of_an_example_moves_at_its_contacts(kind):
    near, far = [], []
    for item in examples(kind):
        moved = change(item)
        offset = item.times[1:, None] - np.array([event.time for event in item.events])
        close = ((offset > -0.08) & (offset < 0.12)).any(1)
        near.append(moved[close].mean())
        far.append(moved[~close].mean())
    assert np.mean(near) > 1.15 * np.mean(far)


@pytest.mark.parametrize("kind", STEADY)
def test_what_goes_on_is_as_loud_as_its_curve_and_is_seen(kind):
    alike, seen = [], []
    for item in examples(kind):
        activity = item.activities[0]
        step = round(0.25 * item.sample_rate)
        rms = np.sqrt(np.square(item.wave[: len(item.wave) // step * step]).reshape(-1, step).mean(1))
        middle = (np.arange(len(rms)) + 0.5) * 0.25
        curve = np.interp(middle, activity.times, activity.loudness)
        alike.append(np.corrcoef(rms, curve)[0, 1])
        loud = np.interp(item.times[1:], activity.times, activity.loudness)
        heard, moved = loud > 0.05, change(item)
        if (~heard).sum() > 10 and heard.any():
            seen.append(moved[heard].mean() / max(moved[~heard].mean(), 1e-3))
        assert activity.loudness.min() >= 0 and activity.loudness.max() <= 1
        assert (activity.rate[activity.loudness == 0] == 0).all()
    assert np.mean(alike) > 0.8
    assert not seen or np.mean(seen) > 1.3


@pytest.mark.parametrize("kind", GALLERY)
def test_a_mute_source_of_any_kind_is_silent_and_can_be_drawn(kind):
    rng = np.random.default_rng(3)
    source = GALLERY[kind].simulate(Task(GALLERY[kind], SECONDS, (), mute=True), rng, rng)
    assert source.events == () and source.activity is None
    times = np.arange(8) / 4.0
    pixels = torch.full((3, len(times), 32, 32), 0.5)
    GALLERY[kind].render(Canvas(pixels, Camera(0).at(times)), Pose(), source, times)
    assert pixels.isfinite().all() and pixels.max() - pixels.min() > 0.1


def test_examples_are_no_clips_of_a_split():
    item = example("drum", 0, CLOCK, level=1, picture=False)
    assert item.level == 1 and item.split not in SPLITS
    with pytest.raises(ValueError, match="expected one of ball, hammer"):
        example("trumpet", 0, CLOCK)
    with pytest.raises(ValueError, match="level is 4"):
        example("bell", 0, CLOCK, level=4)
    with pytest.raises(ValueError, match="index"):
        example("bell", -1, CLOCK)


def test_wrong_names_are_named():
    with pytest.raises(ValueError, match="split"):
        clip("training", 0, CLOCK)
    with pytest.raises(ValueError, match="index"):
        clip("train", -1, CLOCK)


def test_a_background_slides_against_the_scene() -> None:
    times = np.linspace(0, SECONDS, 50)
    still, sliding = Camera(3, pan=0.02), Camera(3, pan=0.02, slide=0.2)
    for camera in (still, sliding):
        np.testing.assert_array_equal(camera.at(times).dx, still.at(times).dx)
    np.testing.assert_array_equal(still.behind(times).dx, still.at(times).dx)
    apart = sliding.behind(times).dx - sliding.at(times).dx
    assert 0.05 < np.ptp(apart) < 1.2


def test_the_pace_is_that_of_all_its_clips() -> None:
    heard: list[tuple[int, int]] = []
    pace = pace_of(3, workers=1, size=16, on_clip=lambda done, total: heard.append((done, total)))
    assert heard == [(1, 3), (2, 3), (3, 3)] and len(pace.picture) == len(pace.sound) == 3
    # One process does one thing after the other, so it cannot be faster than the sum of what its clips took.
    assert pace.seconds >= 0.9 * (pace.picture.sum() + pace.sound.sum())
    assert pace.per_minute == pytest.approx(180 / pace.seconds)


def test_a_pendulum_is_in_the_middle_at_its_ticks_and_never_else() -> None:
    kind, seen = GALLERY["clock"], 0
    grid = np.linspace(0, SECONDS, 8001)
    for seed in range(30):
        for mute in (False, True):
            rng = np.random.default_rng(seed)
            source = kind.simulate(Task(kind, SECONDS, (), mute), rng, rng)
            if source.look.shape not in ("pendulum", "metronome"):
                continue
            ticks = np.array([event.time for event in source.events])
            np.testing.assert_allclose(source.look.path.at(ticks), 0, atol=1e-9)
            sides = np.sign(source.look.path.at(grid))
            assert np.count_nonzero(np.diff(sides[sides != 0])) == len(ticks)
            seen += len(ticks)
    assert seen > 50

"""FoleyWorld: clips are pure, balanced, spaced, and show what they sound."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache

import numpy as np
import pytest

from frieren.clock import Clock
from frieren.world import IMPACTS, KINDS, SECONDS, clip
from frieren.world.clips import CYCLE, LEVELS, Scene, stage
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


def test_frames_of_a_slower_clock_are_frames_of_a_faster_one():
    index = next(i for i in range(index_of("drum"), 20 * ROUND, ROUND) if _clean(clip("train", i, CLOCK, sound=False)))
    fast, slow = clip("train", index, Clock(fps=50.0), sound=False), clip("train", index, CLOCK, sound=False)
    np.testing.assert_allclose(fast.times[::2], slow.times)
    np.testing.assert_array_equal(fast.images[::2], slow.images)


def _clean(item) -> bool:
    """Whether the camera adds nothing: then the first frame at 4 fps, where nothing blurs, is the first at 25."""
    slow = clip("train", item.index, Clock(fps=4.0), sound=False)
    return np.array_equal(slow.images[4], item.images[25])


# Sums over clips of version 1, as the models that ship were trained on them: contacts, their times weighted by
# strength, grey level, grey level weighted by row and time, RMS, magnitude weighted by time.
VERSION_1 = {
    ("train", 3): (21, 48.1764, 122.923, 30.129, 0.01841, 0.004566),
    ("train", 13): (9, 11.4719, 113.022, 26.45, 0.010799, 0.001178),
    ("train", 38): (0, 0.0, 120.078, 28.984, 0.036506, 0.008577),
    ("valid", 18): (15, 33.4833, 149.268, 39.298, 0.008114, 0.001066),
    ("test", 5): (12, 36.0349, 149.433, 37.191, 0.014641, 0.001823),
    ("test", 36): (0, 0.0, 59.438, 14.666, 0.0486, 0.017714),
    ("test", 43): (0, 0.0, 106.994, 26.944, 0.003162, 0.001263),
}


@pytest.mark.parametrize(("split", "index"), VERSION_1)
def test_clips_of_version_1_stay_as_they_are(split, index):
    item = clip(split, index, CLOCK)
    pixels, loud = item.images.astype(float), np.abs(item.wave[::7].astype(float))
    rows, frames = np.linspace(0, 1, 64), np.linspace(0, 1, 200)[:, None, None, None]
    now = (
        *(len(item.events), sum(event.time * event.strength for event in item.events)),
        *(pixels.mean(), (pixels * rows * frames).mean()),
        *(
            np.sqrt(np.mean(np.square(item.wave, dtype=float))),
            loud @ np.linspace(0, 1, len(loud)) / len(item.wave) * 7,
        ),
    )
    # The last digits of sines and transforms differ from machine to machine.
    np.testing.assert_allclose(now, VERSION_1[split, index], rtol=1e-3, atol=2e-6)


def test_splits_and_indices_differ():
    waves = [
        clip(split, index, CLOCK, picture=False).wave
        for split, index in (("train", 4), ("test", 4), ("valid", 4), ("train", 48))
    ]
    assert all(not np.array_equal(waves[0], wave) for wave in waves[1:])


def test_kinds_and_levels_are_balanced_by_index():
    pairs = Counter((scene.kind, scene.level) for scene in scenes())
    assert set(pairs.values()) == {3}
    assert {kind for kind, _ in pairs} == {*KINDS, "silence"}


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
        if scene.level < 2:
            assert all(event.visible for event in events_of(scene)), (scene.kind, scene.level)
    hard = [event.visible for scene in scenes() if scene.level == 3 for event in events_of(scene)]
    assert 0.05 < 1 - np.mean(hard) < 0.5


def test_silent_clips_are_silent():
    for level in range(LEVELS):
        item = clip("train", index_of("silence", level), CLOCK, picture=False)
        assert (item.kinds, item.events, item.activities) == ((), (), ())
        assert np.abs(item.wave).max() < 0.02


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


@pytest.mark.parametrize("kind", IMPACTS)
def test_the_picture_moves_at_its_contacts(kind):
    """Mean absolute frame difference within 0.1 s of a contact exceeds that at other times (ticks: right after)."""
    near, far = [], []
    for turn in range(4):
        item = clip("train", index_of(kind, 0, turn), CLOCK, sound=False)
        change = np.abs(np.diff(item.images.astype(np.int16), axis=0)).mean((1, 2, 3))
        hits = np.array([event.time for event in item.events])
        offset = item.times[1:, None] - hits
        close = ((offset > -0.08) & (offset < 0.12)).any(1)
        near.append(change[close].mean())
        far.append(change[~close].mean())
    assert np.mean(near) > 1.15 * np.mean(far)


def test_wrong_names_are_named():
    with pytest.raises(ValueError, match="split"):
        clip("training", 0, CLOCK)
    with pytest.raises(ValueError, match="index"):
        clip("train", -1, CLOCK)

"""The puppet world: what is drawn, where and when, against positions and instants that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from frieren.world import puppets
from frieren.world.puppets import flows
from frieren.world.puppets.act import ActScene, Place
from frieren.world.puppets.paths import RATE, Blow, Line, draw_manner, draw_rhythm, swing
from frieren.world.puppets.stage import Framing, Look, Part, draw_textures, rasterise


def test_clip_is_a_pure_function():
    one, again, other = puppets.clip("a", 3), puppets.clip("a", 3), puppets.clip("a", 4)
    assert torch.equal(one.film.images, again.film.images) and np.array_equal(one.blows, again.blows)
    assert one.film.images.shape != other.film.images.shape or not torch.equal(one.film.images, other.film.images)


@pytest.mark.parametrize("index", range(12))
def test_clips_are_whole(index):
    clip = puppets.clip("whole", index, seconds=1.5)
    images, times = clip.film.images, clip.film.times
    assert images.ndim == 3 and len(images) == len(times) and images.isfinite().all()
    assert times[0] == 0 and (np.diff(times) > 0).all() and times[-1] < 1.5
    assert (np.diff(clip.blows[:, 0]) >= 0).all() and ((clip.blows >= 0) & (clip.blows <= 1.5)).all()
    assert ((clip.going >= 0) & (clip.going <= 1)).all() and clip.ways


@pytest.mark.parametrize("seed", range(30))
def test_stroke_arrives_when_it_is_told_to(seed):
    rng = np.random.default_rng(seed)
    times = np.arange(4 * RATE) / RATE
    instants = np.round(np.array([0.6, 1.4, 2.1, 3.1]) * RATE) / RATE
    height = swing(rng, [Blow(float(time), 0.8) for time in instants], draw_manner(rng)).at(times)
    for instant in instants:
        index = round(instant * RATE)
        assert height[index] == pytest.approx(0, abs=1e-9)
        assert (height[index - 8 : index] > 0).all() and np.diff(height[index - 8 : index]).max() < 0  # it comes down


def test_given_instants_are_the_blows():
    given = [(0.5, 0.9), (1.25, 0.4)]
    for index in range(12):
        clip = puppets.clip("given", index, seconds=2.0, instants=given, clean=True)
        assert clip.film.start == 0
        assert clip.blows[:, 0] == pytest.approx([time for time, _ in given])


def test_line_eases():
    line = Line(1.0).wait(0.5).to(1.5, 3.0)
    times = np.array([0.0, 0.5, 1.0, 1.5, 2.0])
    assert line.at(times) == pytest.approx([1, 1, 2, 3, 3])


def test_rhythms_keep_their_distance():
    for seed in range(60):
        times = draw_rhythm(np.random.default_rng(seed), 3.0, 0.08)
        assert (np.diff(times) >= 0.08).all() and ((times > 0) & (times < 3)).all()


def test_part_is_painted_where_it_is():
    textures = draw_textures(np.random.default_rng(0), 1)
    ground = Part("box", 0.0, 0.0, 0.0, 9.0, 9.0, Look(tone=0.0, contrast=0.0))
    moving = Part("box", np.linspace(-0.5, 0.5, RATE + 1), 0.25, 0.0, 0.25, 0.125, Look(tone=1.0, contrast=0.0))
    pictures = rasterise([ground, moving], Framing(), np.array([0.0, 1.0]), 64, 64, textures)
    rows, columns = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    for picture, x in zip(pictures, (16, 48), strict=True):
        assert picture.sum() == pytest.approx(16 * 8, rel=0.02)  # its area in pixels
        assert (picture * columns).sum() / picture.sum() == pytest.approx(x, abs=0.1)
        assert (picture * rows).sum() / picture.sum() == pytest.approx(40, abs=0.1)
    zoomed = rasterise([ground, moving], Framing(x=-0.5, zoom=2.0), np.array([0.0]), 64, 64, textures)[0]
    assert zoomed.sum() == pytest.approx(4 * 16 * 8, rel=0.02)
    assert (zoomed * columns).sum() / zoomed.sum() == pytest.approx(32, abs=0.1)


def test_a_scratch_sounds_as_it_sets_out():
    """Where the tool turns round, and not before; with instants that are given, each of them sounds."""
    given, turned = [(0.5, 0.9), (1.3, 0.4), (2.0, 0.7)], []
    for seed in range(12):
        act = flows.scratch(ActScene(np.random.default_rng(seed), 3.0, Place(), given))
        assert act.blows == given
        tool = next(part for part in act.parts if part.shape == "limb")
        for time, strength in given:
            before, here, after = (round((time + shift) * RATE) for shift in (-0.06, 0, 0.06))
            assert act.going[here + 1] == pytest.approx(0.7 * strength) and act.going[here - 2] < act.going[here + 1]
            came = np.array([tool.x[here] - tool.x[before], tool.y[here] - tool.y[before]])
            goes = np.array([tool.x[after] - tool.x[here], tool.y[after] - tool.y[here]])
            turned.append((came @ goes, goes @ goes))
    came_on, went = np.sum(turned, 0)
    assert came_on < 0.3 * went  # together, since a hand that sways hides the small strokes


def test_harder_blows_come_from_higher():
    soft, hard = (
        np.mean([swing(rng, [Blow(1.0, strength)], draw_manner(rng)).at(np.arange(2 * RATE) / RATE).max()
                 for rng in map(np.random.default_rng, range(40))])
        for strength in (0.2, 0.9)
    )  # fmt: skip
    assert hard > 1.4 * soft  # at rest it may be held high already

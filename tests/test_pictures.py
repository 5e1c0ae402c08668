"""The pictures: what they compute is right, and what they draw is there."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from frieren.clock import Clock
from frieren.cues import Cues, Motion, SoundCue, Strike
from frieren.evaluation import pictures
from frieren.evaluation.pictures import (
    FLOOR_DB,
    Point,
    levels,
    motion_energy,
    plot_clip,
    plot_cues,
    plot_groups,
    plot_guidance,
    plot_sheet,
    plot_steps,
)
from frieren.world import example
from frieren.world.script import Event

RATE = 16_000
TIMES = (0.5, 1.25, 2.0)
EVENTS = [Event("ball", "wood", time, 0.5, 0.5, 0.5, True, 440.0) for time in TIMES]
CLICKS = np.isin(np.arange(3 * RATE), [round(time * RATE) for time in TIMES]).astype(float)
WAVE = np.convolve(CLICKS, np.exp(-np.arange(2000) / 300.0))[: 3 * RATE]


@pytest.fixture
def figures(monkeypatch):
    """The figures that are drawn, in order."""
    seen, make = [], pictures._figure
    monkeypatch.setattr(pictures, "_figure", lambda *size: seen.append(make(*size)) or seen[-1])
    return seen


def test_a_picture_is_written(tmp_path):
    images = np.zeros((24, 3, 8, 8), dtype=np.float32)
    images[12:] = 1.0
    assert motion_energy(images).tolist() == [0.0] * 12 + [1.0] + [0.0] * 11
    assert np.allclose(motion_energy((255 * images).astype(np.uint8)), motion_energy(images))
    waves = {"reference": WAVE, "generated": np.zeros_like(WAVE)}
    plot_clip(tmp_path / "clip.png", images, waves, RATE, EVENTS, title="clip 0")
    plot_clip(tmp_path / "waves.png", None, waves, RATE, EVENTS)
    assert (tmp_path / "clip.png").stat().st_size > (tmp_path / "waves.png").stat().st_size > 10_000


def test_levels_are_the_models_mel_below_its_loudest_cell():
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    assert levels(tone, RATE).shape == (80, RATE // 128) and levels(tone, RATE).max() == 0
    band = levels(tone, RATE).mean(axis=1).argmax()
    assert 20 <= band <= 32  # 1 kHz is at 15 of 45.2 mels on Slaney's scale
    assert (levels(np.zeros(100), RATE) == FLOOR_DB).all()


def test_scores_against_steps_and_guidance(tmp_path, figures):
    points = [Point(25, 0.84, (0.80, 0.88)), Point(1, 0.4), Point(5, 0.7, (0.65, 0.74))]
    plot_steps(tmp_path / "steps.svg", {"mini": points}, score="onset F1, 50 ms", ceiling=0.99, chance=0.17)
    plot_guidance(tmp_path / "guidance.svg", {"mini": points, "reflow": points[:1]}, score="onset F1, 50 ms")
    steps, guidance = (figure.axes[0] for figure in figures)
    assert steps.get_xscale() == "log" and guidance.get_xscale() == "linear"
    assert steps.lines[0].get_xdata().tolist() == [1, 5, 25] and steps.lines[0].get_ydata().tolist() == [0.4, 0.7, 0.84]
    assert [label.get_text() for label in steps.get_xticklabels()] == ["1", "5", "25"]
    labels = [text.get_text() for text in steps.get_legend().get_texts()]
    assert labels == ["mini", "reference sound (ceiling)", "chance"]
    assert len(steps.collections) == 2 and len(guidance.lines) == 2
    assert (tmp_path / "steps.svg").stat().st_size > 1000


def test_nothing_measured_is_nothing_drawn(tmp_path):
    with pytest.raises(ValueError, match="no point"):
        plot_steps(tmp_path / "steps.png", {"mini": []}, score="onset F1")


def test_a_contact_sheet_shows_frames_around_the_main_moment(tmp_path, figures):
    clips = [example(kind, 0, Clock(fps=25.0), 32) for kind in ("bell", "fire")]
    plot_sheet(tmp_path / "sheet.png", clips, columns=5)
    assert (tmp_path / "sheet.png").stat().st_size > 10_000
    axes = figures[0].axes
    assert len(axes) == 6
    hardest = max(clips[0].events, key=lambda event: event.strength).time
    shown = [float(label.get_text()) for label in axes[1].get_xticklabels()]
    assert len(shown) == 5 and shown[0] - 0.2 < hardest < shown[-1] + 0.2
    assert len(axes[2].lines) == len(clips[0].events) and len(axes[5].lines) == 1


def test_groups_have_a_column_and_models_a_mark_in_it(tmp_path, figures):
    scores = {
        "mini": {"ball": (0.9, (0.8, 1.0, "bootstrap")), "drum": (0.7, None)},
        "mini-1step": {"ball": (0.8, None), "drum": (0.6, (0.5, 0.7))},
    }
    plot_groups(tmp_path / "groups.png", scores, score="F1, generated / reference", aim=0.7)
    (axis,) = figures[0].axes
    marks, others, aim = axis.lines
    assert list(marks.get_ydata()) == [0.9, 0.7] and list(others.get_ydata()) == [0.8, 0.6]
    assert np.allclose(others.get_xdata() - marks.get_xdata(), 0.3) and aim.get_ydata()[0] == 0.7
    assert [text.get_text() for text in axis.get_xticklabels()] == ["ball", "drum"]
    bars = [segment[:, 1].tolist() for one in axis.collections for segment in one.get_segments()]
    assert bars == [[0.8, 1.0], [0.5, 0.7]]


def test_a_cue_sheet_is_drawn_on_one_time_axis(tmp_path, figures):
    cues = Cues(
        (SoundCue("dog", 0.5, 2.0, 1.0), SoundCue("cat", 1.0, None, 0.25), SoundCue("dog", 3.0, 3.5, 0.5)),
        (Strike(1.25, 0.5, 1.0), Strike(2.5, 1.0, 0.5)),
        Motion(25.0, tuple(index / 100 for index in range(100))),
        4.0,
    )
    images = np.random.default_rng(0).integers(0, 256, (5, 12, 20, 3), np.uint8)
    plot_cues(tmp_path / "cues.png", images, cues, title="clip")
    frames, motion, sounds = figures[0].axes
    assert frames.images[0].get_extent() == [0, 4, 0, 1] and frames.images[0].get_array().shape == (12, 100, 3)
    curve, *strikes = motion.collections
    assert curve.get_paths()[0].get_extents().bounds == pytest.approx((0, 0, 3.96, 0.99))
    assert [one.get_segments()[0].tolist() for one in strikes] == [[[1.25, 0], [1.25, 0.5]], [[2.5, 0], [2.5, 1]]]
    assert [one.get_alpha() for one in strikes] == pytest.approx([1.0, 0.6])
    bars = [(bar.get_x(), bar.get_width(), round(bar.get_y() + bar.get_height() / 2)) for bar in sounds.patches]
    assert bars == [(0.5, 1.5, 0), (1.0, 3.0, 1), (3.0, 0.5, 0)]
    assert [label.get_text() for label in sounds.get_yticklabels()] == ["Dog or wolf", "Cat"]
    assert sounds.get_xlim() == motion.get_xlim() == (0, 4)
    plot_cues(tmp_path / "nothing.png", images, Cues(seconds=4.0))
    assert "nothing" in figures[1].axes[2].get_ylabel()
    with pytest.raises(ValueError, match="length"):
        plot_cues(tmp_path / "cues.png", images, Cues())

"""Plots: motion above mels, contact and cue sheets, a score against a setting, scores by group."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from frieren.spectrogram import FLOOR, MelConfig, log_mel

if TYPE_CHECKING:
    from frieren.cues import Cues
    from frieren.evaluation.intervals import Interval
    from frieren.world import Clip
    from frieren.world.script import Event

FLOOR_DB = -70.0  # below each panel's loudest cell, where the colours end


def motion_energy(images: np.ndarray) -> np.ndarray:
    """Return the mean absolute change from the frame before, [F] in 0..1 (0 for the first).

    `images` is [F, 3, H, W], bytes or floats in 0..1.
    """
    images = np.asarray(images)
    images = images.astype(np.float32) / (255.0 if images.dtype == np.uint8 else 1.0)
    energy = np.zeros(len(images), dtype=np.float32)
    energy[1:] = np.abs(np.diff(images, axis=0)).mean(axis=(1, 2, 3))
    return energy


def levels(wave: np.ndarray, sample_rate: int, hop: int = 128) -> np.ndarray:
    """Return the model's own mel in dB below its loudest cell, [80, T]; silence is all FLOOR_DB."""
    import torch

    config = MelConfig(sample_rate=sample_rate, hop=hop, fmax=min(MelConfig.fmax, sample_rate / 2))
    wave = np.asarray(wave, dtype=np.float32)
    wave = np.pad(wave, (0, max(0, config.n_fft - len(wave))))
    mel = log_mel(torch.from_numpy(wave), config).numpy()
    if mel.max() <= math.log10(FLOOR) + 1e-6:
        return np.full(mel.shape, FLOOR_DB, dtype=np.float32)
    return np.maximum(20.0 * (mel - mel.max()), FLOOR_DB)


def plot_clip(
    path: str | Path,
    images: np.ndarray | None,
    waves: Mapping[str, np.ndarray],
    sample_rate: int,
    events: Sequence[Event],
    *,
    times: Sequence[float] | None = None,
    title: str = "",
) -> None:
    """Write one plot: motion energy (if there are images) above the mel of every wave, events as lines.

    Args:
        path: where to write; the suffix decides the format (.png, .svg, .pdf).
        images: [F, 3, H, W], bytes or floats in 0..1, or None.
        waves: name -> wave [S], drawn from top to bottom, such as {"reference": ..., "generated": ...}.
        sample_rate: of all waves.
        events: solid lines where they are visible, dotted where not.
        times: [F] seconds of the images; evenly over the longest wave by default.
        title: above it all.

    Raises:
        ValueError: if there is neither a wave nor an image.
    """
    panels = len(waves) + (images is not None)
    if not panels:
        raise ValueError("nothing to draw: neither images nor waves were given")
    seconds = max(
        (len(wave) / sample_rate for wave in waves.values()), default=float(times[-1]) if times is not None else 1.0
    )
    figure = _figure(9.0, 0.6 + 1.7 * panels)
    axes = list(figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0])
    for axis, (name, wave) in zip(axes[int(images is not None) :], waves.items(), strict=True):
        _draw_mel(axis, name, wave, sample_rate)
    if images is not None:
        at = np.asarray(times) if times is not None else np.arange(len(images)) * seconds / len(images)
        axes[0].step(at, motion_energy(images), where="post", color="black", linewidth=0.9)
        axes[0].set_ylabel("motion energy")
    for axis in axes:
        _mark(axis, events, "white" if axis.images else "tab:red")
    axes[-1].set_xlim(0.0, seconds)
    axes[-1].set_xlabel("seconds")
    figure.suptitle(title)
    figure.savefig(path, dpi=110)


def plot_sheet(path: str | Path, clips: Sequence[Clip], *, columns: int = 12, title: str = "") -> None:
    """Write a contact sheet: of every clip frames over its whole length, frames around its main moment, and its mel.

    Args:
        path: where to write; the suffix decides the format.
        clips: with frames and sound, drawn from top to bottom.
        columns: frames in a row.
        title: above it all.
    """
    figure = _figure(12.0, 0.4 + 3.6 * len(clips))
    axes = figure.subplots(3 * len(clips), 1, squeeze=False, height_ratios=[1.0, 1.0, 1.1] * len(clips))[:, 0]
    for clip, (whole, near, mel) in zip(clips, axes.reshape(-1, 3), strict=True):
        if clip.images is None or clip.wave is None:
            raise ValueError("a sheet shows clips with images and sound")
        even = np.linspace(0, len(clip.times) - 1, columns).round().astype(int)
        first = int(np.clip(np.searchsorted(clip.times, main_moment(clip)) - 3, 0, max(len(clip.times) - columns, 0)))
        for axis, chosen in ((whole, even), (near, np.arange(first, min(first + columns, len(clip.times))))):
            axis.imshow(np.concatenate(clip.images[chosen], axis=2).transpose(1, 2, 0))
            axis.set_yticks([])
            middle = (np.arange(len(chosen)) + 0.5) * clip.images.shape[3]
            axis.set_xticks(middle, [f"{clip.times[i]:.2f}" for i in chosen], fontsize="x-small")
        _draw_mel(mel, f"level {clip.level}", clip.wave, clip.sample_rate)
        _mark(mel, clip.events, "white")
        for activity in clip.activities:
            mel.plot(activity.times, 78 * activity.loudness, color="cyan", linewidth=0.9)
        mel.set_xlim(0.0, clip.seconds)
    figure.suptitle(title)
    figure.savefig(path, dpi=100)


def main_moment(clip: Clip) -> float:
    """Return the seconds of the hardest contact, or of where a sustained sound is loudest; 0 of silence."""
    if clip.events:
        return max(clip.events, key=lambda event: event.strength).time
    if clip.activities:
        loudest = max(clip.activities, key=lambda activity: activity.loudness.max())
        return float(loudest.times[np.argmax(loudest.loudness)])
    return 0.0


def plot_cues(path: str | Path, images: np.ndarray, cues: Cues, *, title: str = "") -> None:
    """Write a cue sheet on one time axis: frames, how much moves with every strike, categories.

    Strikes are as high as they are strong, categories a bar each; both are the paler the less sure.

    Args:
        path: where to write; the suffix decides the format.
        images: [F, H, W, 3], bytes; each shows the video at its left edge.
        cues: with the length of the video.
        title: above it all.

    Raises:
        ValueError: the length is not known.
    """
    if cues.seconds is None:
        raise ValueError("a cue sheet without the video's length cannot be drawn")
    count, height, width = images.shape[:3]
    names = list(dict.fromkeys(cue.category.title for cue in cues.sounds))
    heights = (10 / count * height / width, 1.6, 0.5 + 0.25 * len(names))  # inches
    figure = _figure(11.0, 0.8 + sum(heights))
    frames, motion, sounds = figure.subplots(3, 1, sharex=True, height_ratios=heights)
    strip = np.concatenate(list(images), axis=1)
    frames.imshow(strip, extent=(0.0, cues.seconds, 0.0, 1.0), aspect="auto")
    frames.set_yticks([])
    times = np.arange(len(cues.motion.values)) / cues.motion.rate
    motion.fill_between(times, cues.motion.values, color="0.75", linewidth=0)
    for strike in cues.strikes:
        motion.vlines(strike.time, 0, strike.strength, color="tab:red", alpha=_opacity(strike.certainty))
    motion.set_ylim(0.0, 1.05)
    motion.set_ylabel("motion, strikes")
    for cue in cues.sounds:
        row, end = names.index(cue.category.title), cues.seconds if cue.end is None else cue.end
        sounds.barh(row, end - cue.start, left=cue.start, color="tab:blue", alpha=_opacity(cue.certainty))
        sounds.text(cue.start, row, f" {cue.certainty:.2f}", va="center", fontsize="small", clip_on=True)
    sounds.set_yticks(range(len(names)), names)
    sounds.set_ylim(max(len(names), 1) - 0.4, -0.6)
    if not names:
        sounds.set_ylabel("nothing\nknown", rotation=0, ha="right", va="center")
    sounds.set_xlim(0.0, cues.seconds)
    sounds.set_xlabel("seconds")
    figure.suptitle(title)
    figure.savefig(path, dpi=110)


def _opacity(certainty: float) -> float:
    """Return an opacity that can still be seen where nothing is certain."""
    return 0.2 + 0.8 * certainty


class Point(NamedTuple):
    """One measured score: at which setting, how much, and its 95 % interval if there is one."""

    at: float
    value: float
    interval: tuple[float, float] | None = None


def plot_steps(
    path: str | Path,
    curves: Mapping[str, Sequence[Point]],
    *,
    score: str,
    ceiling: float | None = None,
    chance: float | None = None,
) -> None:
    """Plot a score against solver steps, on a logarithmic axis; arguments as in `plot_guidance`."""
    _plot_curves(path, curves, "solver steps", score, "log", ceiling, chance)


def plot_guidance(
    path: str | Path,
    curves: Mapping[str, Sequence[Point]],
    *,
    score: str,
    ceiling: float | None = None,
    chance: float | None = None,
) -> None:
    """Plot a score against guidance.

    Args:
        path: where to write; the suffix decides the format.
        curves: name -> measured points, such as {"mini": ..., "mini, reflow": ...}.
        score: what the points are, for the axis.
        ceiling, chance: of the score, drawn as lines if given.

    Raises:
        ValueError: if there is no point.
    """
    _plot_curves(path, curves, "guidance", score, "linear", ceiling, chance)


def _plot_curves(
    path: str | Path,
    curves: Mapping[str, Sequence[Point]],
    setting: str,
    score: str,
    scale: str,
    ceiling: float | None,
    chance: float | None,
) -> None:
    """Plot one score against one setting; see `plot_guidance`."""
    if not any(curves.values()):
        raise ValueError(f"nothing to draw: no point of {score} against {setting} was given")
    figure = _figure(6.0, 4.0)
    axis = figure.subplots()
    _draw_curves(axis, curves, setting, score, scale)
    for name, level, style in (("reference sound (ceiling)", ceiling, "--"), ("chance", chance, ":")):
        if level is not None:
            axis.axhline(level, color="gray", linewidth=1.0, linestyle=style, label=name)
    axis.legend()
    figure.savefig(path, dpi=110)


def plot_panels(path: str | Path, panels: Mapping[str, Mapping[str, Sequence[Point]]], *, setting: str) -> None:
    """Plot several scores against solver steps or guidance side by side, three in a row.

    Args:
        path: where to write; the suffix decides the format.
        panels: score -> name -> measured points; all panels have the same names.
        setting: "steps", on a logarithmic axis, or "guidance".
    """
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = _figure(3.6 * columns, 0.4 + 2.7 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    scale, words = ("log", "solver steps") if setting == "steps" else ("linear", setting)
    for axis, (score, curves) in zip(axes, panels.items(), strict=False):
        _draw_curves(axis, curves, words, score, scale)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=len(labels), loc="outside upper center")
    figure.savefig(path, dpi=80)


def _draw_curves(axis: Any, curves: Mapping[str, Sequence[Point]], setting: str, score: str, scale: str) -> None:
    """Draw measured points joined by lines, their intervals as bars; every measured setting has its own tick."""
    for name, points in curves.items():
        points = sorted(points)
        (drawn,) = axis.plot(
            [point.at for point in points], [point.value for point in points], "o-", markersize=4, label=name
        )
        for point in points:
            if point.interval is not None:
                axis.vlines(point.at, *point.interval, color=drawn.get_color(), linewidth=1.0)
    ticks = sorted({point.at for points in curves.values() for point in points})
    axis.set_xscale(scale)
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()
    axis.set_xlabel(setting)
    axis.set_ylabel(score)


def plot_groups(
    path: str | Path,
    scores: Mapping[str, Mapping[str, tuple[float, Interval | None]]],
    *,
    score: str,
    aim: float,
) -> None:
    """Plot a score by group: a column for each group, in it a mark for every model.

    Args:
        path: where to write; the suffix decides the format.
        scores: model -> group -> (score, 95 % interval or None); all have the same groups.
        score: name of the score, for the axis.
        aim: drawn as a line.
    """
    groups = list(next(iter(scores.values())))
    figure = _figure(2.0 + 0.4 * len(groups), 4.0)
    axis = figure.subplots()
    for place, (name, by_group) in enumerate(scores.items()):
        columns = np.arange(len(groups)) + 0.6 * ((place + 0.5) / len(scores) - 0.5)
        values, intervals = zip(*(by_group[group] for group in groups), strict=True)
        (drawn,) = axis.plot(columns, values, "o", markersize=4, label=name)
        for column, interval in zip(columns, intervals, strict=True):
            if interval is not None:
                axis.vlines(column, interval[0], interval[1], color=drawn.get_color(), linewidth=1.0)
    axis.axhline(aim, color="gray", linewidth=1.0, linestyle="--", label="aim")
    axis.set_xticks(range(len(groups)), groups, rotation=60, ha="right")
    axis.set_ylabel(score)
    axis.legend(ncols=len(scores) + 1, loc="lower center", bbox_to_anchor=(0.5, 1))  # above: no point is hidden
    figure.savefig(path, dpi=110)


def _figure(width: float, height: float) -> Any:
    """Make a figure of its own, not pyplot's: no global state, no display, nothing to close; in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _draw_mel(axis: Any, name: str, wave: np.ndarray, sample_rate: int) -> None:
    """Draw the log-mel of one wave as an image over seconds."""
    extent = (0.0, len(wave) / sample_rate, 0, 80)
    axis.imshow(
        levels(wave, sample_rate), origin="lower", aspect="auto", extent=extent, vmin=FLOOR_DB, vmax=0.0, cmap="magma"
    )
    axis.set_ylabel(f"{name}\nmel band")


def _mark(axis: Any, events: Sequence[Event], colour: str) -> None:
    """Draw a vertical line at every event."""
    for event in events:
        axis.axvline(event.time, color=colour, linewidth=0.8, alpha=0.8, linestyle="-" if event.visible else ":")

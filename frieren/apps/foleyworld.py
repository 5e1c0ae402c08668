"""Models and clips of FoleyWorld for the commands that measure on it; what does not go together is a wrong option."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import numpy as np

    from frieren import Model
    from frieren.world import Clip


def frame_model(name: str) -> Model:
    """Load a model that FoleyWorld's frames can be given to.

    Raises:
        typer.BadParameter: none is named, or the model sees cue sheets.
    """
    import frieren

    remedy = "`frieren train foleyworld` makes models that see frames; give one with --model FOLDER"
    if not name:
        raise typer.BadParameter(f"no model of FoleyWorld ships; {remedy}")
    loaded = frieren.load(name)
    if loaded.config.condition == "cues":
        raise typer.BadParameter(f"--model {name}: sees cue sheets, not frames; {remedy}")
    return loaded


def impact_clips(split: str, count: int, model: Model) -> list[Clip]:
    """Return clips whose only sounds are visible impacts, at the model's frame rate and image size."""
    from frieren.evaluation.timing import clipsets

    try:
        return clipsets.impact_clips(split, count, model.clock, model.image_size)
    except ValueError as error:
        raise typer.BadParameter(f"--clips: {error}") from error


def steady_clips(split: str, count: int, model: Model) -> list[Clip]:
    """Return clips whose only sounds are visible and sustained, at the model's frame rate and image size."""
    from frieren.evaluation.timing import clipsets

    try:
        return clipsets.steady_clips(split, count, model.clock, model.image_size)
    except ValueError as error:
        raise typer.BadParameter(f"--steady: {error}") from error


def plot(out: Path, model: Model, clip: Clip, wave: np.ndarray) -> None:
    """Write the plot of one clip: motion, mels of the reference and of the generated sound, events."""
    from frieren.evaluation.pictures import plot_clip
    from frieren.evaluation.timing.clipsets import reference_wave

    reference = reference_wave(clip)
    waves = {"reference": reference, "generated": wave[: len(reference)]}
    path = out / f"{clip.split}_{clip.index:04d}_{clip.kinds[0]}.png"
    title = f"{clip.split} {clip.index}: {', '.join(clip.kinds)}, level {clip.level}"
    times = [float(time) for time in clip.times]
    plot_clip(path, clip.images, waves, model.clock.sample_rate, clip.events, times=times, title=title)

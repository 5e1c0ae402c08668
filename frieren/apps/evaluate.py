"""Measure a model.

frieren evaluate timing --model mini --out docs/timing
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from frieren.apps.generate import prepare_folder
from frieren.apps.progress import Bars
from frieren.apps.world import Split
from frieren.errors import FrierenError

if TYPE_CHECKING:
    import numpy as np

    from frieren import Model
    from frieren.world import Clip

app = typer.Typer(help="Measure a model.", no_args_is_help=True)


@app.callback()
def top() -> None:
    """Measure a model."""


@app.command()
def timing(
    model: Annotated[str, typer.Option(help="A name, a folder, or a Hub repository.")] = "mini",
    split: Annotated[Split, typer.Option(help="FoleyWorld split.")] = "test",
    clips: Annotated[int, typer.Option(min=2, help="Clips whose only sounds are visible impacts.")] = 64,
    steps: Annotated[int | None, typer.Option(min=1, help="Solver steps; otherwise the model's own.")] = None,
    guidance: Annotated[float | None, typer.Option(min=0, help="Guidance; otherwise the model's own.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Clip i is generated with seed + i.")] = 0,
    pictures: Annotated[int, typer.Option(min=0, help="How many clips to draw, spread over the kinds.")] = 7,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for tables and pictures.")] = None,
) -> None:
    """Does the sound strike when the picture does? Needs the extra `eval`."""
    needs_extra()
    import frieren
    from frieren.evaluation.timing import impact_clips, measure

    if out:
        prepare_folder(out)
    loaded = frieren.load(model)
    try:
        chosen = impact_clips(split, clips, loaded.clock, loaded.image_size)
    except ValueError as error:
        raise typer.BadParameter(f"--clips: {error}") from error
    drawn = {round(index * (len(chosen) - 1) / max(1, pictures - 1)) for index in range(pictures)} if out else set()
    with Bars(f"{clips} clips") as bars:

        def on_clip(position: int, clip: Clip, wave: np.ndarray) -> None:
            bars("sample", position + 1, clips)
            if position in drawn:
                draw(out, loaded, clip, wave)

        numbers = iter(range(clips))
        report = measure(
            lambda clip: sound_of(loaded, clip, seed + next(numbers), steps, guidance),
            chosen,
            loaded.clock.sample_rate,
            on_clip=on_clip,
        )
    typer.echo(report.markdown())
    if out:
        report.save(out / "timing.json")
        (out / "timing.md").write_text(report.markdown(), encoding="utf-8")


class MissingExtraError(FrierenError):
    """What measures is not installed."""


def needs_extra() -> None:
    """One line instead of an import that fails in the middle."""
    missing = [name for name in ("librosa", "matplotlib", "scipy") if find_spec(name) is None]
    if missing:
        raise MissingExtraError(f"measuring needs {', '.join(missing)}: pip install 'frieren[eval]'")


def sound_of(model: Model, clip: Clip, seed: int, steps: int | None, guidance: float | None) -> np.ndarray:
    """The model's sound for a clip's frames, [S]."""
    import torch

    features = model.encode(torch.from_numpy(clip.images).float() / 255)
    latent = model.sample(features, seconds=clip.seconds, seed=seed, steps=steps, guidance=guidance)
    return model.vocode(model.decode(latent)).numpy()


def draw(out: Path, model: Model, clip: Clip, wave: np.ndarray) -> None:
    """The picture of one clip: motion, true and generated mel, true instants."""
    from frieren.evaluation.pictures import plot_clip

    waves = {"true": clip.wave, "generated": wave[: len(clip.wave)]}
    path = out / f"{clip.split}_{clip.index:04d}_{clip.kinds[0]}.png"
    title = f"{clip.split} {clip.index}: {', '.join(clip.kinds)}, level {clip.level}"
    plot_clip(path, clip.images, waves, model.clock.sample_rate, clip.events, times=clip.times, title=title)

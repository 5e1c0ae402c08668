"""Render FoleyWorld clips to files, and say what there is.

frieren world list
frieren world render out/world --split test --clips 8
frieren world preview out/kinds --kind bell --kind fire
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from frieren.apps.checks import needs_extra, prepare_folder
from frieren.apps.progress import Bars

if TYPE_CHECKING:
    import numpy as np

    from frieren.world import Clip

Split = Literal["train", "valid", "test"]
LEVELS = (
    "one clean object on a plain ground",
    "textures, camera, noise",
    "several sources and silent movers",
    "occlusion, cuts, off-screen, low light",
)

app = typer.Typer(help="FoleyWorld, the drawn and sounded world that the small model comes from.", no_args_is_help=True)


@app.command()
def render(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for NNNN.mp4 and NNNN.json.")],
    split: Annotated[Split, typer.Option(help="Which clips.")] = "test",
    clips: Annotated[int, typer.Option(min=1, help="How many.")] = 8,
    start: Annotated[int, typer.Option(min=0, help="Index of the first.")] = 0,
    size: Annotated[int, typer.Option(min=16, max=2048, help="Shorter side in pixels; even.")] = 256,
    fps: Annotated[float, typer.Option(min=1, max=120, help="Frames per second.")] = 25.0,
    silent: Annotated[bool, typer.Option("--silent", help="Without the sound.")] = False,
) -> None:
    """Write clips as .mp4 with a .json of what happens: kinds, true instants, places, loudness curves."""
    if size % 2:
        raise typer.BadParameter(f"--size must be even for H.264, got {size}")
    from frieren import Clock, world

    prepare_folder(out)
    clock = Clock(fps=fps)
    with Bars(str(out)) as bars:
        for done, index in enumerate(range(start, start + clips)):
            bars("render", done, clips)
            clip = world.clip(split, index, clock, size, square=False, sound=not silent)
            write_clip(clip, out / f"{index:04d}.mp4", fps)
    typer.echo(f"{out}  {clips} clip{'s' if clips > 1 else ''} of {split}")


@app.command("list")
def show() -> None:
    """The kinds of sources and the levels of difficulty."""
    from frieren import world

    typer.echo(
        f"FoleyWorld version {world.WORLD_VERSION}: clips of {world.SECONDS:g} s; splits {', '.join(world.SPLITS)}"
    )
    typer.echo("\nkinds")
    for family in world.FAMILIES:
        for name, kind in world.GALLERY.items():
            if kind.family == family:
                materials = (made + "*" * ((name, made) in world.UNSEEN) for made in kind.materials)
                typer.echo(f"  {name:<10}{family:<12}{', '.join(materials)}")
    typer.echo(f"  {'silence':<10}{'':<12}things that move without a sound, still pictures")
    typer.echo("\n  * only in the split test")
    typer.echo("\nlevels")
    for level, what in enumerate(LEVELS):
        typer.echo(f"  {level:<10}{what}")


@app.command()
def preview(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for KIND.png, or as --format says.")],
    kind: Annotated[list[str] | None, typer.Option(help="Which kind; may be repeated. All by default.")] = None,
    examples: Annotated[int, typer.Option(min=1, max=8, help="How many of each, from level 0 on.")] = 3,
    size: Annotated[int, typer.Option(min=16, max=512, help="Shorter side in pixels.")] = 96,
    suffix: Annotated[Literal["png", "jpg", "webp"], typer.Option("--format", help="Of the sheets.")] = "png",
) -> None:
    """One contact sheet per kind: frames over a spectrogram with its events marked. Needs the extra `eval`."""
    needs_extra()
    from frieren import Clock, world
    from frieren.evaluation.pictures import plot_sheet

    wanted = kind or list(world.GALLERY)
    if unknown := [name for name in wanted if name not in world.GALLERY]:
        raise typer.BadParameter(f"--kind {unknown[0]} is none of {', '.join(world.GALLERY)}")
    prepare_folder(out)
    clock = Clock(fps=25.0)
    with Bars(str(out)) as bars:
        for done, name in enumerate(wanted):
            bars("draw", done, len(wanted))
            clips = [world.example(name, i, clock, size, level=i % world.LEVELS, square=False) for i in range(examples)]
            plot_sheet(out / f"{name}.{suffix}", clips, title=f"{name} ({world.GALLERY[name].family})")
    typer.echo(f"{out}  {len(wanted)} contact sheet{'s' if len(wanted) > 1 else ''}")


DECIMALS = 4  # of a script's numbers: a tenth of a millisecond


def write_clip(clip: Clip, target: Path, fps: float) -> None:
    """A clip as `target` (H.264, and AAC if it has a sound) and its script as .json beside it."""
    from frieren import remux
    from frieren.files import replacing

    if clip.images is None:
        raise ValueError("the clip was rendered without images")
    if clip.wave is None:
        with replacing(target) as part:
            write_picture(clip.images, part, fps)
    else:
        with tempfile.TemporaryDirectory() as folder:
            silent = Path(folder) / target.name
            write_picture(clip.images, silent, fps)
            remux.write_video(
                silent, clip.wave, target, clip.sample_rate, comment=f"FoleyWorld {clip.split} {clip.index}"
            )
    with replacing(target.with_suffix(".json")) as part:
        part.write_text(json.dumps(script(clip, fps), indent=1) + "\n", encoding="utf-8")


def write_picture(images: np.ndarray, path: Path, fps: float) -> None:
    """uint8 RGB images [F, 3, H, W] -> an H.264 file without sound."""
    import av

    from frieren.media import as_os_errors, file_url

    with as_os_errors(), av.open(file_url(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options={"crf": "18"})
        stream.height, stream.width = images.shape[2:]
        stream.pix_fmt = "yuv420p"
        for image in images:
            frame = av.VideoFrame.from_ndarray(image.transpose(1, 2, 0).copy(), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def script(clip: Clip, fps: float) -> dict[str, Any]:
    """What happens in a clip, as plain numbers, lists and names."""
    from frieren.world import WORLD_VERSION
    from frieren.world.script import as_table

    return {
        "world_version": WORLD_VERSION,
        "split": clip.split,
        "index": clip.index,
        "level": clip.level,
        "kinds": list(clip.kinds),
        "unseen": clip.unseen,
        "seconds": clip.seconds,
        "fps": fps,
        "film": asdict(clip.capture),
        "events": [as_table(event, DECIMALS) for event in clip.events],
        "activities": [as_table(activity, DECIMALS) for activity in clip.activities],
    }

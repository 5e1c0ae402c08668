"""Errors as one line, by their type: a fault of frieren is named as one; --debug adds the traceback."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from frieren.errors import FrierenError, reason


class Tracebacks:
    """State of --debug: errors are shown with their tracebacks."""

    shown = False


class MachineError(FrierenError):
    """The system, the device or FFmpeg refuses something that nothing else has a name for."""


class FaultError(FrierenError):
    """A fault in frieren itself, whatever the input is."""


def show_tracebacks(wanted: bool) -> None:
    """Callback of --debug, which may stand before or after a verb."""
    Tracebacks.shown |= wanted


Debug = Annotated[
    bool, typer.Option("--debug", callback=show_tracebacks, help="Show the traceback of every error.", is_eager=True)
]


def complain(error: FrierenError) -> None:
    """Print an error as one line, after its traceback if those are shown."""
    if Tracebacks.shown:
        traceback.print_exception(error)
    typer.echo(f"frieren: {printable(str(error))}", err=True)


def printable(text: str) -> str:
    """Text without control characters: names in files that strangers wrote must not steer a terminal."""
    return "".join(one if one.isprintable() or one == "\n" else repr(one)[1:-1] for one in text)


@contextmanager
def explained(video: Path | None = None) -> Iterator[None]:
    """Raise every error as a FrierenError that names the video, by the error's type.

    Out of memory, the system and FFmpeg have a remedy; any other error is a fault of ours, never the video's.
    """
    try:
        yield
    except (FrierenError, typer.Exit):
        raise
    except Exception as error:
        raise explain(error, video) from error


def explain(error: Exception, video: Path | None) -> FrierenError:
    """The error that `explained` raises for another."""
    import av
    import torch

    subject, text = video, reason(error)
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        kind: type[FrierenError] = MachineError
        remedy = "ask for less at a time" if video is None else "try --device cpu, or a shorter video"
        text = f"out of memory ({text})"
    elif isinstance(error, (OSError, av.error.FFmpegError)):
        kind = MachineError
        remedy = "see `frieren doctor`" if video is None else "convert it to .mp4, or see `frieren doctor`"
        subject = video or getattr(error, "filename", None)
    else:
        kind = FaultError
        name = type(error).__name__
        text = text if text == name else f"{name}: {text}"
        remedy = "this is a fault in frieren, please report it"
        remedy += "" if Tracebacks.shown else "; --debug shows the traceback"
    return kind(f"{subject}: {text}; {remedy}" if subject else f"{text}; {remedy}")

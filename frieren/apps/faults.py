"""Errors as one line, by their type: a fault of frieren is named as one; --debug adds the traceback.

A standard output that takes nothing more ends the program: nobody would learn what comes of the rest.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, TextIO, cast

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


class Output:
    """A standard output whose failures end the program, and are not taken for those of a video.

    Where nobody reads any more (`| head -1`) nothing is said; otherwise one line.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write as the stream does; exit with 1 where it cannot."""
        with self._failing():
            return self._stream.write(text)

    def flush(self) -> None:
        """Flush as the stream does; exit with 1 where it cannot."""
        with self._failing():
            self._stream.flush()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            with suppress(OSError):  # or Python would fail once more when it flushes the rest at its end
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            if error.errno != errno.EPIPE:
                complain(MachineError(f"standard output: {reason(error)}; make room, or send it elsewhere"))
            sys.exit(1)


@contextmanager
def own_output() -> Iterator[None]:
    """Standard output is an `Output` meanwhile."""
    stream = sys.stdout
    if stream is not None:  # closed by the caller
        sys.stdout = cast(TextIO, Output(stream))
    try:
        yield
    finally:
        sys.stdout = stream


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

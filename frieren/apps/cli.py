"""The command line: all verbs, and errors as one line.

frieren generate | spot | studio | serve | world | prepare | pairs | train | bench | evaluate | reproduce |
weights | doctor
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from types import FrameType
from typing import Annotated, Any

import typer

import frieren
from frieren.apps import doctor, evaluate, pairs, prepare, spot, train, weights, world
from frieren.apps.bench import command as bench
from frieren.apps.faults import Debug, Tracebacks, complain, explained, own_output
from frieren.apps.generate.command import generate
from frieren.apps.reproduce.command import reproduce
from frieren.apps.web import serve, studio
from frieren.errors import FrierenError

app = typer.Typer(
    name="frieren",
    help="A silent video gets its soundtrack.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("generate")(generate)
app.command("spot")(spot.spot)
app.command("studio")(studio.studio)
app.command("serve")(serve.serve)
app.add_typer(world.app, name="world")
app.command("prepare")(prepare.prepare)
app.command("pairs")(pairs.pairs)
app.command("train")(train.train)
app.add_typer(bench.app, name="bench")
app.add_typer(evaluate.app, name="evaluate")
app.command("reproduce")(reproduce)
app.add_typer(weights.app, name="weights")
app.command("doctor")(doctor.doctor)


SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")


def show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"frieren {frieren.__version__}")
        raise typer.Exit


@app.callback()
def top(
    version: Annotated[bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print it.")] = False,
    debug: Debug = False,
) -> None:
    """A silent video gets its soundtrack."""


def show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    """Print a warning as one line, without its place in the code."""
    typer.echo(f"frieren: warning: {message}", err=True)


def stop(number: int, frame: FrameType | None) -> None:
    """Exit on a signal as on any error, so that temporary files are removed.

    While modules are being imported there are none, and Python or a library may swallow or abort on the exception.
    """
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            os._exit(128 + number)
        frame = frame.f_back
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


def stop_at_once(number: int, frame: FrameType | None) -> None:
    """Exit on a signal that comes when nothing is left to be removed, and nobody to catch an exception."""
    os._exit(128 + number)


def handle_signals(handler: Callable[[int, FrameType | None], None]) -> None:
    """Let a function handle the signals that ask a process to end, in the main thread."""
    if threading.current_thread() is threading.main_thread():
        for name in SIGNALS:
            # Ignored ones stay ignored: nohup asks for that, and a shell for what it runs in the background.
            if (number := getattr(signal, name, None)) and signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, handler)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code.

    0 success, 1 failure, 2 wrong options; 129 hung up, 130 interrupted, 131 quit, 143 terminated.

    Args:
        arguments: those after the program's name; those of this process by default.
    """
    # Before torch is imported: threads that wait must not spin, or another busy process makes all 17 times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    warnings.showwarning = show_warning
    handle_signals(stop)
    Tracebacks.shown = False
    try:
        with own_output(), explained():
            app(args=arguments)
    except FrierenError as error:
        complain(error)
        sys.exit(1)
    finally:
        if arguments is None:
            handle_signals(stop_at_once)


if __name__ == "__main__":
    main()

"""The command line: all verbs, and errors as one line.

frieren generate | spot | world | prepare | pairs | train | bench | evaluate | weights | doctor
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from typing import Annotated, Any

import typer

import frieren
from frieren.apps import bench, doctor, evaluate, pairs, prepare, spot, train, weights, world
from frieren.apps.faults import Debug, Tracebacks, complain, explained
from frieren.apps.generate.command import generate
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
app.add_typer(world.app, name="world")
app.command("prepare")(prepare.prepare)
app.command("pairs")(pairs.pairs)
app.command("train")(train.train)
app.add_typer(bench.app, name="bench")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(weights.app, name="weights")
app.command("doctor")(doctor.doctor)


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


def stop(*_: object) -> None:
    """Exit on SIGTERM as on any error, so that temporary files are removed."""
    sys.exit(143)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code.

    0 success, 1 failure, 2 wrong options, 130 interrupted, 143 terminated.

    Args:
        arguments: those after the program's name; those of this process by default.
    """
    # Before torch is imported: threads that wait must not spin, or another busy process makes all 17 times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    warnings.showwarning = show_warning
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, stop)
    Tracebacks.shown = False
    try:
        with explained():
            app(args=arguments)
    except FrierenError as error:
        complain(error)
        sys.exit(1)


if __name__ == "__main__":
    main()

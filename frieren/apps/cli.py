"""The command line: puts the verbs together and turns errors into one line.

frieren generate | world | prepare | pairs | train | bench | evaluate | weights | doctor
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from typing import Annotated

import typer

import frieren
from frieren.apps import bench, doctor, evaluate, generate, pairs, prepare, train, weights, world
from frieren.errors import FrierenError

app = typer.Typer(
    name="frieren",
    help="A silent video gets its soundtrack.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("generate")(generate.generate)
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
) -> None:
    """A silent video gets its soundtrack."""


def one_line(message: Warning | str, *_: object) -> None:
    """A warning as a user wants it: what, without where in the code."""
    typer.echo(f"frieren: warning: {message}", err=True)


def stop(*_: object) -> None:
    """What is asked to end takes its temporary files along."""
    sys.exit(143)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code.

    0 fine, 1 it failed, 2 wrong options, 130 interrupted, 143 told to end.

    Args:
        arguments: those after the program's name; those of this process by default.
    """
    # Before torch comes in: threads that wait must not spin, or a busy neighbour makes everything 17 times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    warnings.showwarning = one_line
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, stop)
    try:
        app(args=arguments)
    except FrierenError as error:
        typer.echo(f"frieren: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()

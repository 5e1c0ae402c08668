"""The studio on the command line: the service on this machine alone, and its page in the browser.

frieren studio
frieren studio --model mini --no-browser
"""

from __future__ import annotations

import threading
import webbrowser
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from frieren.apps.checks import check_device, needs_extra
from frieren.apps.faults import Debug
from frieren.apps.web.serve import run
from frieren.files import cache_folder

MODELS = ("mini-1step", "mini-reflow", "mini")  # the fastest first: the page takes the first one
PORT = 8765


def studio(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes one that is free.")] = PORT,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Models to choose from, the first by default.", show_default=", ".join(MODELS)),
    ] = None,
    device: Annotated[str, typer.Option(help="Where sounds are made.")] = "auto",
    folder: Annotated[Path | None, typer.Option(help="Of takes; by default in the user's cache.")] = None,
    keep: Annotated[float, typer.Option(min=0.01, metavar="HOURS", help="How long takes stay.")] = 24.0,
    debug: Debug = False,
) -> None:
    """Spot, listen, compare and correct in the browser: a page that this machine serves to itself alone."""
    needs_extra("web")
    from frieren.service.intake import config_of
    from frieren.service.settings import LOOPBACK, Settings

    models = tuple(model or MODELS)
    for name in models:
        config_of(name)  # a name that is wrong is said now, not in the page
    check_device(device)
    settings = Settings(folder=folder or cache_folder() / "studio", models=models, devices=(device,), keep_hours=keep)
    run(settings, LOOPBACK[0], port, {*LOOPBACK}, page="studio/", on_ready=show if browser else None)


def show(url: str) -> threading.Thread:
    """Open a page in the user's browser, in a thread: some programs are waited for until they end."""
    opening = threading.Thread(target=partial(webbrowser.open, url), daemon=True)
    opening.start()
    return opening

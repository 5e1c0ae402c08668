"""The HTTP service on the command line.

frieren serve
FRIEREN_TOKEN=... frieren serve --host 0.0.0.0 --port 8000 --model mini --device cuda:0 --device cuda:1
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from frieren.apps.checks import check_device, needs_extra
from frieren.apps.faults import Debug, MachineError
from frieren.apps.generate.options import Precision
from frieren.errors import reason
from frieren.files import cache_folder

if TYPE_CHECKING:
    from frieren.service.settings import Settings

TOKEN = "FRIEREN_TOKEN"  # variable of the environment: a token on the command line would be seen by every user
MIB = 2**20
BACKLOG = 2048  # connections that wait to be taken up
KEPT_ALIVE = 75  # seconds that an idle connection stays: longer than Retry-After, and than proxies use it
CONNECTIONS = 5  # seconds that open connections have when the service is stopped
MODELS = ("mini", "mini-reflow", "mini-1step")


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen at; other than loopback, set FRIEREN_TOKEN.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes one that is free.")] = 8000,
    model: Annotated[
        list[str] | None, typer.Option(help="Models that clients may name.", show_default=", ".join(MODELS))
    ] = None,
    device: Annotated[
        list[str] | None, typer.Option(metavar="DEVICE", help="Each has a worker.", show_default="auto")
    ] = None,
    precision: Annotated[Precision, typer.Option(help="Arithmetic of the networks; auto: the fastest.")] = "float32",
    ray: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Ray cluster for the workers, which sees --folder too.")
    ] = None,
    folder: Annotated[Path | None, typer.Option(help="Of jobs and results; by default in the user's cache.")] = None,
    queue: Annotated[int, typer.Option(min=1, help="Jobs that wait or run, at most.")] = 64,
    batch: Annotated[int, typer.Option(min=1, help="Jobs that are sampled together, at most.")] = 8,
    max_size: Annotated[int, typer.Option(min=1, metavar="MIB", help="Of an upload, at most.")] = 512,
    max_length: Annotated[float, typer.Option(min=0.01, metavar="MINUTES", help="Of a video, at most.")] = 10.0,
    max_pixels: Annotated[int, typer.Option(min=1, help="Of a frame, at most.")] = 4096 * 2304,
    keep: Annotated[float, typer.Option(min=0.01, metavar="HOURS", help="How long results stay.")] = 24.0,
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Another name that the service may be called by.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Serve sounds over HTTP: jobs that are queued, survive a crash, and can be followed and cancelled."""
    needs_extra("web")
    models, devices = model or MODELS, device or ("auto",)
    from frieren.service.intake import config_of
    from frieren.service.settings import LOOPBACK, Settings

    for name in models:
        config_of(name)  # a name that is wrong is said now, not to the first client
    check_devices(devices, precision, ray)
    try:
        settings = Settings(
            folder=folder or cache_folder() / "service", models=tuple(models), devices=tuple(devices),
            precision=precision, ray=ray, queue=queue,
            batch=batch, max_bytes=max_size * MIB, max_seconds=max_length * 60, max_pixels=max_pixels,
            keep_hours=keep, token=os.environ.get(TOKEN) or None,
        )  # fmt: skip
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    warn_of_openness(host, settings.token)
    run(settings, host, port, {*LOOPBACK, *(allow_host or ())} if host in LOOPBACK else None)


def check_devices(devices: Sequence[str], precision: Precision, ray: str | None) -> None:
    """Check that the devices are there and can do the arithmetic; those of a cluster are told by its nodes.

    Raises:
        UnavailableError, ClusterError: a device is not there, or nobody is at the cluster's address.
        typer.BadParameter: float16 on a CPU, or a numbered device on a cluster.
    """
    if ray is not None:
        from frieren.dataset.scatter import connect

        if unknown := set(devices) - {"auto", "cpu", "cuda"}:
            raise typer.BadParameter(f"{min(unknown)}: Ray numbers the devices of its nodes; give cpu or cuda")
        connect(ray)
    for one in devices if ray is None else ():
        check_device(one)
    if precision == "float16" and any(one == "cpu" for one in devices):
        raise typer.BadParameter("--precision float16 needs a GPU; on a CPU take bfloat16 or float32")


def warn_of_openness(host: str, token: str | None) -> None:
    """Say what it means to listen to a network."""
    from frieren.service.settings import LOOPBACK

    if host in LOOPBACK:
        return
    risk = "the token and all videos travel unencrypted; put a proxy with TLS before it"
    if token is None:
        risk = f"whoever reaches it can use this machine; set {TOKEN}, and put a proxy with TLS before it"
    typer.echo(f"frieren: warning: {host} is open to the network: {risk}", err=True)


def run(
    settings: Settings,
    host: str,
    port: int,
    hosts: set[str] | None,
    page: str = "docs",
    on_ready: Callable[[str], object] | None = None,
) -> None:
    """Serve until a signal comes; then running jobs have a while to end.

    Args:
        page: whose address is printed.
        on_ready: called with that address as soon as it answers.
    """
    import uvicorn

    from frieren.service.application import create_app

    listener = listen(host, port)
    app = create_app(settings, hosts)

    class Server(uvicorn.Server):
        """Ends streams of events before it waits for connections."""

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            app.state.running.close_streams()
            await super().shutdown(sockets)

    name = f"[{host}]" if ":" in host else host
    url = f"http://{name}:{listener.getsockname()[1]}/{page}"
    typer.echo(f"{url}  Ctrl-C ends it", err=True)
    if on_ready is not None:
        on_ready(url)
    config = uvicorn.Config(
        app,
        log_level="warning",
        timeout_graceful_shutdown=CONNECTIONS,
        timeout_keep_alive=KEPT_ALIVE,
        server_header=False,
    )
    Server(config).run(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        MachineError: the address is not this machine's, or is taken.
    """
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=2048
        )
    except OSError as error:
        raise MachineError(f"{host}:{port}: cannot listen there ({reason(error)}); try another --port") from error

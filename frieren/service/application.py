"""The service as an ASGI application: routes, guards, limits, errors in one line, and a page of documentation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from frieren.service.guards import Guards
from frieren.service.intake import MOST_OPTIONS
from frieren.service.routes import router
from frieren.service.running import Running
from frieren.service.schema import JobOptions
from frieren.service.settings import Settings
from frieren.service.studio import page
from frieren.service.studio.routes import router as cues
from frieren.version import __version__

ABOUT = """A silent video gets its soundtrack.

Send a video with `POST /v1/jobs`, follow the job with `GET /v1/jobs/{id}/events`, fetch `GET /v1/jobs/{id}/result`.
Every refusal has a reason: `{"detail": "..."}`.
"""
ROOM = 2**16  # bytes of a form besides its parts


def create_app(settings: Settings, hosts: Collection[str] | None = None) -> FastAPI:
    """The application; its parts are at `app.state.running`.

    Args:
        hosts: names that it may be called by; None: any.

    Raises:
        OutputError: the folder cannot be used.
    """
    running = Running(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with running.open():
            yield

    app = FastAPIOffline(
        title="frieren",
        version=__version__,
        description=ABOUT,
        lifespan=lifespan,
        redoc_url=None,
        static_url="/docs/files",
        max_body_size=settings.max_bytes + MOST_OPTIONS + ROOM,
    )
    app.state.running = running
    for each in (router, cues, page.router):
        app.include_router(each)
    app.add_middleware(Guards, token=settings.token, hosts=hosts)
    app.openapi = lambda: _schema(app)  # type: ignore[method-assign]
    app.add_exception_handler(RequestValidationError, _explain)
    app.add_exception_handler(HTTPException, _refuse)
    return app


async def _explain(request: Request, error: Exception) -> Response:
    """A parameter that is none of an endpoint's, in one line."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:])
    return await _refuse(request, HTTPException(422, f"{where}: {first['msg']}"))


async def _refuse(request: Request, error: Exception) -> Response:
    """A refusal, counted."""
    assert isinstance(error, HTTPException)
    request.app.state.running.metrics.refused(error.status_code)
    headers = {**(error.headers or {})}
    if error.status_code == 405:  # the framework tells those of the first endpoint of a path alone
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    return JSONResponse({"detail": error.detail}, error.status_code, headers)


def _methods(request: Request) -> set[str]:
    """The methods that a path takes."""
    routes = [route for each in (router, cues, page.router) for route in each.routes if isinstance(route, APIRoute)]
    found = [route.methods for route in routes if route.path_regex.match(request.url.path)]
    return {method for methods in found for method in methods or ()}


def _schema(app: FastAPI) -> dict[str, object]:
    """The OpenAPI schema; the options of a job are in a form, where the framework does not look for them."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        options = JobOptions.model_json_schema(ref_template="#/components/schemas/{model}")
        schema["components"]["schemas"] |= {**options.pop("$defs"), "JobOptions": options}
        app.openapi_schema = schema
    return app.openapi_schema

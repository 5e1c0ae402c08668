"""The endpoints for cue sheets: what is seen of a video, and what a sheet may name."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, Literal

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.sse import format_sse_event
from pydantic import BaseModel

from frieren.categories import categories
from frieren.service.routes import LATER, WHY, refusals
from frieren.service.schema import Problem
from frieren.service.studio.sight import Spotted

router = APIRouter()


class Sounding(BaseModel):
    """A category that a cue sheet may name."""

    name: str
    title: str
    behaviour: Literal["impact", "sustained", "vocal", "tonal"]
    aliases: list[str]


FORM = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["video"],
                "additionalProperties": False,
                "properties": {"video": {"type": "string", "format": "binary", "description": "The video file."}},
            }
        }
    },
}


@router.post(
    "/v1/cues",
    tags=["cues"],
    summary="What is seen of a video",
    response_model=Spotted,
    openapi_extra={"requestBody": FORM},
    responses={
        **refusals(400, 413, 415, 422),
        **{status: {"model": Problem, "description": WHY[status], "headers": LATER} for status in (429, 503)},
    },
)
async def spot(request: Request) -> Response:
    """Spot a video; nothing of it is kept. A request that accepts `text/event-stream` gets events: `progress`, and at
    the end `sight` or `error`. Whoever ends the connection ends the work."""
    running = request.app.state.running
    if running.is_closing:
        raise HTTPException(503, "the service is stopping", {"Retry-After": "10"})
    look, video = await running.sights.take(request)
    seeing = running.sights.see(look, video)
    if "text/event-stream" in request.headers.get("accept", ""):
        return StreamingResponse(_told(seeing), media_type="text/event-stream", headers={"Cache-Control": "no-store"})
    async for kind, data in seeing:
        if kind == "sight":
            return JSONResponse(data)
        if await request.is_disconnected():
            await seeing.aclose()
            break
    return Response(status_code=499)  # nobody reads it


async def _told(seeing: AsyncIterator[tuple[str, dict[str, Any]]]) -> AsyncIterator[bytes]:
    """Events as they go over the wire; after the first one a refusal is an event, too."""
    try:
        async for kind, data in seeing:
            yield format_sse_event(event=kind, data_str=json.dumps(data))
    except HTTPException as error:
        yield format_sse_event(event="error", data_str=json.dumps({"detail": error.detail}))


@router.get("/v1/categories", tags=["cues"], summary="What a cue sheet may name", responses=refusals())
async def named_categories() -> list[Sounding]:
    """The categories: their names, titles for people, how they sound, and other names that are taken for them."""
    return [
        Sounding(name=each.name, title=each.title, behaviour=each.behaviour, aliases=list(each.aliases))
        for each in categories()
    ]

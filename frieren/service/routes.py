"""The endpoints of /v1, and their part in the OpenAPI schema."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, HTTPException, Request, Response
from fastapi import Path as InPath
from fastapi.responses import FileResponse, JSONResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from frieren.service.intake import config_of
from frieren.service.running import Running
from frieren.service.schema import ENDED, ID, Health, Job, JobOptions, ModelCard, Problem
from frieren.service.store import StoredJob
from frieren.version import __version__

TYPES = {
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "mkv": "video/x-matroska",
    "wav": "audio/wav",
    "flac": "audio/flac",
}
WHY = {
    400: "The request is not what its headers say.",
    401: "The token is missing or wrong.",
    403: "Another host's name, or another page's request.",
    404: "There is no such job, or it has expired.",
    409: "The job is not in a state for this, or its id is taken.",
    413: "The upload is too large.",
    415: "No multipart form, or the upload is no video that can be read.",
    416: "The range lies outside the file.",
    422: "An option is out of range, or the video is too long or too large.",
    429: "The queue is full; see Retry-After.",
    503: "The service is stopping; see Retry-After.",
}
LATER = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
FORM = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["video"],
                "additionalProperties": False,
                "properties": {
                    "video": {"type": "string", "format": "binary", "description": "The video file."},
                    "options": {"$ref": "#/components/schemas/JobOptions"},
                },
            },
            "encoding": {"options": {"contentType": "application/json"}},
        }
    },
}
Id = Annotated[str, InPath(pattern=ID, description="Id of a job.", examples=["5f0c3f8e9d5b4a41"])]
router = APIRouter()


def refusals(*statuses: int, **content: Any) -> dict[int | str, dict[str, Any]]:
    """Responses of an endpoint that refuses, for the schema; a token may be missing anywhere."""
    said = content or {"model": Problem}
    return {status: {**said, "description": WHY[status]} for status in (401, 403, *statuses)}


def _running(request: Request) -> Running:
    running: Running = request.app.state.running
    return running


def _found(request: Request, id: Id) -> StoredJob:
    job = _running(request).store.get(id)
    if job is None:
        raise HTTPException(404, f"there is no job {id}; results are removed some time after their end")
    return job


Found = Annotated[StoredJob, Depends(_found)]
PROBLEM = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


ACCEPTING: dict[str, Any] = {
    "status_code": 202,
    "response_model": Job,
    "openapi_extra": {"requestBody": FORM},
    "responses": {
        200: {"model": Job, "description": "This very job is there already."},
        **refusals(400, 409, 413, 415, 422),
        **{status: {"model": Problem, "description": WHY[status], "headers": LATER} for status in (429, 503)},
    },
}


@router.post("/v1/jobs", tags=["jobs"], summary="Ask for the sound of a video", **ACCEPTING)
async def submit(request: Request) -> Response:
    """Queue a job. Everything is checked first: what is accepted will be made, also after a crash."""
    return await _accept(request, None)


@router.put("/v1/jobs/{id}", tags=["jobs"], summary="Ask for the sound of a video, under an id of yours", **ACCEPTING)
async def submit_as(request: Request, id: Id) -> Response:
    """Queue a job once: the same id with the same video and options gives the job that is there."""
    return await _accept(request, id)


async def _accept(request: Request, name: str | None) -> Response:
    running = _running(request)
    if running.is_closing:
        raise HTTPException(503, "the service is stopping", {"Retry-After": "10"})
    job, is_new = await running.intake.take(request, name)
    if is_new:
        running.workers.wake()
    told = running.told(job).model_dump(mode="json")
    return JSONResponse(told, 202 if is_new else 200, {"Location": f"/v1/jobs/{job.id}"})


@router.get("/v1/jobs/{id}", tags=["jobs"], summary="State of a job", responses=refusals(404, 422))
async def look(request: Request, found: Found) -> Job:
    """Position in the queue, seconds left by measured averages, progress, and where the result is."""
    return _running(request).told(found)


@router.get(
    "/v1/jobs/{id}/events",
    tags=["jobs"],
    summary="Follow a job",
    response_class=EventSourceResponse,
    responses=refusals(404, 422, content=PROBLEM),
)
async def follow(
    request: Request, found: Found, last_event_id: Annotated[str | None, Header()] = None
) -> AsyncIterable[ServerSentEvent]:
    """Events `state` and `progress`, from the first on, or from the one after Last-Event-ID; the last is the end."""
    running = _running(request)
    after = int(last_event_id) if last_event_id and last_event_id.isascii() and last_event_id.isdecimal() else 0
    async for event in running.bulletin.follow(found.id, min(after, 2**62)):
        yield ServerSentEvent(event=event.kind, id=str(event.number), raw_data=event.data, retry=1000)


@router.delete("/v1/jobs/{id}", tags=["jobs"], summary="Cancel or remove a job", responses=refusals(404, 422))
async def cancel(request: Request, found: Found) -> Job:
    """Cancel a job that waits or runs, also in the midst of sampling; of one that has ended, remove the result."""
    running = _running(request)
    if running.store.cancel(found.id):
        running.metrics.ended("cancelled")
        running.bulletin.publish(found.id)
        return running.told(_found(request, found.id))
    told = running.told(_found(request, found.id))
    running.remove(found.id)
    return told


@router.get(
    "/v1/jobs/{id}/result",
    tags=["results"],
    summary="The video with its sound, or the sound",
    response_class=FileResponse,
    responses={
        200: {"content": {kind: {} for kind in TYPES.values()}, "description": "The file."},
        206: {"content": {kind: {} for kind in TYPES.values()}, "description": "The range that was asked for."},
        **refusals(400, 404, 409, 416, 422),
    },
)
async def result(request: Request, job: Found) -> FileResponse:
    """The result of a job that is done. Ranges are served, so a player can seek."""
    path, _ = _made(request, job)
    form = JobOptions.model_validate_json(job.options).format
    return FileResponse(path, media_type=TYPES[form], filename=_name(job, form))


@router.get(
    "/v1/jobs/{id}/record",
    tags=["results"],
    summary="How a sound was made",
    response_class=FileResponse,
    responses={
        200: {"content": {"application/json": {}}, "description": "The record."},
        **refusals(400, 404, 409, 416, 422),
    },
)
async def record(request: Request, job: Found) -> FileResponse:
    """The record beside the result: `frieren generate --replay` makes the same sound of it."""
    path, outcome = _made(request, job)
    form = JobOptions.model_validate_json(job.options).format
    return FileResponse(
        path.with_name(outcome["record"]), media_type="application/json", filename=f"{_name(job, form)}.json"
    )


@router.get("/v1/models", tags=["service"], summary="Models", responses=refusals())
async def models(request: Request) -> list[ModelCard]:
    """The models that jobs may name, with the defaults of their sampling."""
    running = _running(request)
    cards = []
    for name in running.settings.models:
        config = config_of(name)
        cards.append(
            ModelCard(
                name=name,
                description=config.description,
                condition=config.condition,
                steps=config.steps,
                guidance=config.guidance,
                solver=config.solver,
                sample_rate=config.clock.sample_rate,
                loaded=name in running.workers.loaded,
            )
        )
    return cards


@router.get("/v1/health", tags=["service"], summary="Health", responses={503: {"model": Health}})
async def health(request: Request, response: Response) -> Health:
    """200 while the service works, 503 while it stops or a worker has died."""
    running = _running(request)
    counts, alive = running.store.counts(), running.workers.alive
    is_well = alive == len(running.settings.devices)
    state: Literal["ok", "stopping", "failing"] = "stopping" if running.is_closing else "ok" if is_well else "failing"
    response.status_code = 200 if state == "ok" else 503
    queued, at_work = counts.get("queued", 0), counts.get("running", 0)
    return Health(status=state, version=__version__, queued=queued, running=at_work, workers=alive)


@router.get(
    "/metrics",
    tags=["service"],
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "Prometheus' text format."}, **refusals()},
)
async def metrics(request: Request) -> Response:
    """Jobs, queue, stages, refusals and the process."""
    return Response(_running(request).metrics.text(), media_type="text/plain; version=0.0.4")


def _made(request: Request, job: StoredJob) -> tuple[Path, dict[str, Any]]:
    """The result's file, and the outcome that the store has."""
    if job.state != "done":
        said = "and has no result" if job.state in ENDED else "; wait for its end"
        raise HTTPException(409, f"the job is {job.state} {said}")
    outcome = json.loads(job.outcome)
    return _running(request).settings.folder / job.folder / outcome["file"], outcome


def _name(job: StoredJob, form: str) -> str:
    """What a result is called: clip.mov -> clip_frieren.mp4."""
    return f"{Path(json.loads(job.video)['name']).stem}_frieren.{form}"

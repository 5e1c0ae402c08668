"""A stored job as it is told to clients: position, time that is left, progress and links."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from frieren.service.schema import ENDED, Job, JobOptions, Progress, Result, Video
from frieren.service.settings import Settings
from frieren.service.store import Store, StoredJob


def status(job: StoredJob, store: Store, settings: Settings) -> Job:
    """The job as it stands."""
    outcome, result, progress = json.loads(job.outcome), None, None
    if job.state == "done":
        place = f"/v1/jobs/{job.id}"
        told = {"bytes": outcome["bytes"], "warnings": outcome.get("warnings", [])}
        result = Result(url=f"{place}/result", record=f"{place}/record", **told)
    if job.state == "running" and (last := store.last_progress(job.id)):
        progress = Progress(**last)
    waits = job.state not in ENDED
    ahead = store.ahead(job) if waits else []
    return Job(
        id=job.id,
        state=job.state,  # type: ignore[arg-type]  # the table holds no other
        options=JobOptions.model_validate_json(job.options),
        video=Video.model_validate_json(job.video),
        created=_time(job.created),
        started=None if job.started is None else _time(job.started),
        finished=None if job.finished is None else _time(job.finished),
        expires=None if job.finished is None else _time(job.finished + settings.keep_hours * 3600),
        position=len(ahead) + 1 if job.state == "queued" else 0 if waits else None,
        estimated_seconds=_seconds_left([*ahead, job], store, settings) if waits else None,
        progress=progress,
        result=result,
        error=outcome.get("error"),
    )


def _seconds_left(jobs: list[StoredJob], store: Store, settings: Settings) -> float | None:
    """Seconds until all of these are done, by the averages of jobs before; None where a model has not run yet.

    What a running job has had of its time is taken off, but never all of it.
    """
    paces, left, now = {job.model: store.pace(job.model) for job in jobs}, 0.0, datetime.now(UTC).timestamp()
    for job in jobs:
        pace = paces[job.model]
        if pace is None:
            return None
        whole = pace * job.seconds
        left += whole if job.started is None else max(0.1 * whole, whole - (now - job.started))
    return round(left / len(settings.devices), 1)


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)

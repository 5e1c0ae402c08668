"""A client of the service: send a video, follow its job, fetch the sound.

from frieren.service.client import Client

with Client("http://127.0.0.1:8000") as client:
    job = client.submit("clip.mp4", seed=1, sounds="rain")
    for event in client.events(job.id):
        print(event)
    client.save(job.id, "clip_with_sound.mp4")
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import TypeAdapter

from frieren.errors import FrierenError
from frieren.files import replacing
from frieren.service.schema import ENDED, Health, Job, JobOptions, ModelCard

TIMEOUT = 60.0  # seconds without a byte from the service, which sends a sign of life every 15
PAUSE = 1.0  # seconds before a broken connection is tried again
TRIES = 10  # connections in a row that may break before anything is heard


class ServiceError(FrierenError):
    """The service refuses a request, cannot be reached, or a job has failed.

    Attributes:
        status: of HTTP; 0 if there is none.
        retry_after: seconds after which to try again; None if that would not help.
    """

    def __init__(self, message: str, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after


class Client:
    """A connection to a service. Raises ServiceError wherever the service says no."""

    def __init__(self, url: str = "http://127.0.0.1:8000", *, token: str | None = None) -> None:
        import httpx2

        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._http = httpx2.Client(base_url=url, headers=headers, timeout=TIMEOUT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._http.close()

    def submit(self, video: str | Path, *, id: str | None = None, **options: Any) -> Job:
        """Queue a job.

        Args:
            id: of yours; the same one with the same video and options is the same job, so this can be repeated.
            options: see `JobOptions`: model, seed, sounds, cues, steps, guidance, solver, loudness, format, ...

        Raises:
            ValueError: an option that is none, or out of range.
        """
        chosen, path = JobOptions(**options), Path(video)
        with path.open("rb") as file:
            return Job.model_validate_json(
                self._json(
                    "POST" if id is None else "PUT",
                    "/v1/jobs" if id is None else f"/v1/jobs/{id}",
                    files={"video": (path.name, file)},
                    data={"options": chosen.model_dump_json(exclude_defaults=True)},
                )
            )

    def job(self, id: str) -> Job:
        """The job as it stands."""
        return Job.model_validate_json(self._json("GET", f"/v1/jobs/{id}"))

    def cancel(self, id: str) -> Job:
        """Cancel a job; of one that has ended, remove the result."""
        return Job.model_validate_json(self._json("DELETE", f"/v1/jobs/{id}"))

    def models(self) -> list[ModelCard]:
        """The models that jobs may name."""
        return TypeAdapter(list[ModelCard]).validate_json(self._json("GET", "/v1/models"))

    def health(self) -> Health:
        """Whether the service works."""
        return Health.model_validate_json(self._json("GET", "/v1/health"))

    def events(self, id: str, *, after: int = 0) -> Iterator[dict[str, Any]]:
        """What happens to a job until its end; a connection that breaks is taken up where it was.

        Yields:
            {"state": ...}, with "error" where it failed, or {"stage": ..., "done": ..., "total": ...}.
        """
        import httpx2

        failures = 0
        while failures < TRIES:
            try:
                headers = {"Last-Event-ID": str(after)}
                with self._http.stream("GET", f"/v1/jobs/{id}/events", headers=headers) as response:
                    self._check(response)
                    for number, data in _events(response.iter_lines()):
                        after, failures = number, 0
                        yield data
                        if data.get("state") in ENDED:
                            return
            except httpx2.TransportError:
                pass
            failures += 1
            time.sleep(PAUSE)
        raise ServiceError(f"{self._http.base_url}: cannot be reached; is the service running?")

    def wait(self, id: str) -> Job:
        """The job at its end, whatever that is."""
        for _ in self.events(id):
            pass
        return self.job(id)

    def save(self, id: str, target: str | Path) -> Path:
        """Wait for a job's end, and write its result to a file, whole or not at all.

        Raises:
            ServiceError: the job failed or was cancelled.
        """
        job = self.wait(id)
        if job.state != "done":
            raise ServiceError(job.error or f"job {id} was {job.state}")
        target = Path(target)
        with (
            replacing(target) as part,
            part.open("wb") as file,
            self._http.stream("GET", f"/v1/jobs/{id}/result") as response,
        ):
            self._check(response)
            for piece in response.iter_bytes():
                file.write(piece)
        return target

    def record(self, id: str) -> dict[str, Any]:
        """How a job's sound was made."""
        found: dict[str, Any] = json.loads(self._json("GET", f"/v1/jobs/{id}/record"))
        return found

    def _json(self, method: str, path: str, **content: Any) -> bytes:
        import httpx2

        try:
            response = self._http.request(method, path, **content)
        except httpx2.TransportError as error:
            raise ServiceError(
                f"{self._http.base_url}: cannot be reached ({error}); is the service running?"
            ) from error
        self._check(response)
        answer: bytes = response.content
        return answer

    def _check(self, response: Any) -> None:
        """Raise what the service says of a request that it refuses."""
        if response.is_success:
            return
        response.read()
        try:
            detail = str(response.json()["detail"])
        except (ValueError, KeyError, TypeError):
            detail = response.text[:200] or response.reason_phrase
        later = response.headers.get("Retry-After")
        raise ServiceError(detail, response.status_code, float(later) if later else None)


def _events(lines: Iterator[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and data of each server-sent event."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        if line and name:
            fields[name] = value.removeprefix(" ")
        elif not line and "data" in fields:
            yield int(fields.get("id", 0)), json.loads(fields["data"])
            fields = {}

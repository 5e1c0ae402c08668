"""What a service tells Prometheus: jobs, queue, stages and refusals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

BUCKETS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)  # seconds


class Metrics:
    """The metrics of one service, in a registry of its own."""

    def __init__(self, counts: Callable[[], Mapping[str, int]]) -> None:
        """counts: gives the number of jobs by state."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._accepted = Counter("frieren_jobs_accepted", "Jobs that were accepted.", registry=self.registry)
        self._ended = Counter("frieren_jobs_ended", "Jobs that ended, by how.", ["state"], registry=self.registry)
        self._refused = Counter("frieren_refused", "Requests refused, by status.", ["status"], registry=self.registry)
        self._bytes = Counter("frieren_upload_bytes", "Bytes of accepted uploads.", registry=self.registry)
        self._seconds = Counter(
            "frieren_video_seconds", "Seconds of video that got a sound.", ["model"], registry=self.registry
        )
        self._stages = Histogram(
            "frieren_stage_seconds", "Seconds of a stage.", ["stage"], registry=self.registry, buckets=BUCKETS
        )
        for state in ("queued", "running"):
            gauge = Gauge(f"frieren_jobs_{state}", f"Jobs that are {state}.", registry=self.registry)
            gauge.set_function(partial(_count, counts, state))

    def accepted(self, size: int) -> None:
        """Count a job, and the bytes of its upload."""
        self._accepted.inc()
        self._bytes.inc(size)

    def refused(self, status: int) -> None:
        """Count a request that was refused."""
        self._refused.labels(str(status)).inc()

    def ended(self, state: str) -> None:
        """Count a job that ended: done, failed or cancelled."""
        self._ended.labels(state).inc()

    def made(self, model: str, seconds: float, stages: Mapping[str, float]) -> None:
        """Count a sound: seconds of its video, and seconds that each stage took."""
        self._seconds.labels(model).inc(seconds)
        for stage, taken in stages.items():
            self._stages.labels(stage).observe(taken)

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)


def _count(counts: Callable[[], Mapping[str, int]], state: str) -> float:
    return counts().get(state, 0)

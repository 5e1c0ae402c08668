"""What a service is run with: folder, models, devices, and the limits that it sets to strangers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from frieren.isolation import Limits

Precision = Literal["float32", "bfloat16", "float16", "auto"]
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a service.

    Attributes:
        folder: of the database, uploads and results; one service at a time.
        models: names that clients may ask for.
        devices: each has a worker with one model in memory.
        precision: arithmetic of the networks where a job does not ask for another.
        ray: address of a Ray cluster that the workers are on, and that sees `folder` under the same path; None: here.
        queue: jobs that wait or run, at most; more are refused with 429.
        batch: jobs of one model that are sampled together, at most.
        max_bytes, max_seconds, max_pixels: of an upload, at most; pixels of one frame.
        keep_hours: how long jobs and results stay after their end.
        attempts: after how many ends of the process in its midst a job is given up.
        grace: seconds that running jobs have when the service is stopped; then they wait for the next start.
        token: that clients have to bring, or None.
        reader: what the processes may take that read uploads.
    """

    folder: Path
    models: tuple[str, ...] = ("mini", "mini-reflow", "mini-1step")
    devices: tuple[str, ...] = ("auto",)
    precision: Precision = "float32"
    ray: str | None = None
    queue: int = 64
    batch: int = 8
    max_bytes: int = 512 * 2**20
    max_seconds: float = 600.0
    max_pixels: int = 4096 * 2304
    keep_hours: float = 24.0
    attempts: int = 5
    grace: float = 20.0
    token: str | None = None
    reader: Limits = field(default_factory=lambda: Limits(memory=4 * 2**30, seconds=600, silence=60.0))

    def __post_init__(self) -> None:
        for name in ("queue", "batch", "max_bytes", "max_seconds", "max_pixels", "keep_hours", "attempts"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if not self.models or not self.devices:
            raise ValueError("a service needs at least one model and one device")
        if self.token is not None and len(self.token) < 16:
            raise ValueError("a token of fewer than 16 letters can be guessed; take a longer one")

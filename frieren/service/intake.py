"""Uploads and options -> jobs: everything that can be refused is refused here, before anything waits in the queue."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from fastapi import HTTPException, Request
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile

from frieren import isolation
from frieren.catalogue import choose_device, find
from frieren.errors import FrierenError, OutputError, VideoError
from frieren.formats import CONTAINERS
from frieren.openvideo import VideoInfo
from frieren.service.inspection import named
from frieren.service.metrics import Metrics
from frieren.service.schema import ID, JobOptions, Video
from frieren.service.settings import Settings
from frieren.service.store import KnownJobError, Store, StoredJob
from frieren.service.synthesis import UPLOAD
from frieren.weights import ModelConfig, read_model_config

MOST_OPTIONS = 16 * 2**20  # bytes of options; a cue sheet of two hours has 2 MB
PIECE = 2**20  # bytes
LONGEST_NAME = 120
MEASURES = {"seconds", "fps", "width", "height", "codec"}


@cache
def config_of(model: str) -> ModelConfig:
    """The settings of a model, without its weights."""
    if model == "tiny":
        from frieren.tiny import tiny_model

        return tiny_model()[0]
    return read_model_config(find(model))


class Intake:
    """Takes jobs in."""

    def __init__(self, settings: Settings, store: Store, metrics: Metrics) -> None:
        self.settings, self.store, self.metrics = settings, store, metrics
        self._entering = 0  # requests that are being read or inspected
        self.inspections = asyncio.Semaphore(max(1, (os.cpu_count() or 2) - len(settings.devices)))

    async def take(self, request: Request, name: str | None = None) -> tuple[StoredJob, bool]:
        """The job of a request, and whether it is new: PUT with the same id, upload and options gives the first one.

        Raises:
            HTTPException: 400, 409, 413, 415, 422 or 429, with the reason.
        """
        if not request.headers.get("content-type", "").startswith("multipart/form-data"):
            raise HTTPException(415, "send multipart/form-data with the parts `video`, a file, and `options`, JSON")
        if name is not None and not re.fullmatch(ID, name):
            raise HTTPException(422, "id must be 1 to 64 letters, digits, - or _")
        is_known = name is not None and self.store.get(name) is not None
        async with self.room(is_known), request.form(max_files=1, max_fields=1, max_part_size=MOST_OPTIONS) as form:
            options, upload = self._options(form), self.upload(form)
            folder = self.settings.folder / "jobs" / secrets.token_hex(16)
            try:
                job = await self._accepted(name or secrets.token_hex(8), options, upload, folder)
            except KnownJobError as error:
                shutil.rmtree(folder, ignore_errors=True)
                return error.job, False
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
        self.metrics.accepted(upload.size or 0)
        return job, True

    @asynccontextmanager
    async def room(self, is_known: bool) -> AsyncIterator[None]:
        """A place in the queue for a request that is still being read; a job that is there already needs none."""
        counts = self.store.counts()
        if not is_known and counts.get("queued", 0) + counts.get("running", 0) + self._entering >= self.settings.queue:
            raise HTTPException(
                429, f"the queue is full ({self.settings.queue} jobs); try again", {"Retry-After": self._retry_after()}
            )
        self._entering += 1
        try:
            yield
        finally:
            self._entering -= 1

    def _retry_after(self) -> str:
        """Seconds until a place in the queue may be free: the time of one of its jobs, on average."""
        running = self.store.running()
        left = [(self.store.pace(job.model) or 1.0) * job.seconds for job in running] or [1.0]
        return str(min(60, max(1, round(sum(left) / len(left)))))

    def _options(self, form: FormData) -> JobOptions:
        """The options of a form, checked; those that are left out have their defaults."""
        text = form.get("options", "{}")
        if not isinstance(text, str):
            raise HTTPException(422, "options: send JSON text, not a file")
        try:
            table = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise HTTPException(400, f"options: no JSON ({error})") from error
        try:
            options = JobOptions.model_validate_json(json.dumps(table))
        except ValidationError as error:
            raise HTTPException(422, f"options: {explained(error)}") from error
        if options.model not in self.settings.models:
            known = ", ".join(self.settings.models)
            raise HTTPException(422, f"options: model: there is no {options.model!r} here; choose one of {known}")
        if (options.precision or self.settings.precision) == "float16" and self._has_cpu():
            raise HTTPException(422, "options: precision: float16 needs a GPU; take bfloat16 or float32")
        if config_of(options.model).condition != "cues" and (options.sounds or options.cues):
            raise HTTPException(422, f"options: {options.model} sees frames and takes no sounds or cues")
        return options

    def _has_cpu(self) -> bool:
        """Whether a job may come to a worker without a GPU."""
        return any(choose_device(device) == "cpu" for device in self.settings.devices)

    def upload(self, form: FormData) -> UploadFile:
        """The file of a form."""
        upload = form.get("video")
        if unknown := sorted(set(form) - {"video", "options"}):
            raise HTTPException(422, f"unknown part {unknown[0][:80]!r}; send `video` and `options`")
        if not isinstance(upload, UploadFile):
            raise HTTPException(422, "video is missing: send the part `video`, a file with a name")
        if not upload.size:
            raise HTTPException(422, "video: an empty file")
        if upload.size > self.settings.max_bytes:
            raise HTTPException(413, f"video: {upload.size} bytes, more than {self.settings.max_bytes}")
        return upload

    async def _accepted(self, name: str, options: JobOptions, upload: UploadFile, folder: Path) -> StoredJob:
        """Store and inspect an upload, and put its job into the queue.

        Raises:
            KnownJobError: there is this very job.
            HTTPException: there is another job of this id; or the upload is refused.
        """
        sha256 = await asyncio.to_thread(stored, upload.file, folder)
        text = options.model_dump_json()
        digest = hashlib.sha256(f"{sha256} {text}".encode()).hexdigest()
        if known := self.store.get(name):
            raise self._known(known, digest)
        async with self.inspections:
            video = await self.inspected(folder / UPLOAD, clean(upload.filename), sha256, options)
        precision = options.precision or self.settings.precision
        sampling = [options.model, precision, options.steps, options.guidance, options.solver]
        alone = "dopri5" in (options.solver, config_of(options.model).solver if options.solver is None else "")
        job = StoredJob(
            id=name,
            folder=folder.relative_to(self.settings.folder).as_posix(),
            digest=digest,
            model=options.model,
            batch_key="" if alone else json.dumps(sampling),
            options=text,
            video=video.model_dump_json(),
            seconds=video.seconds,
        )
        try:
            return await asyncio.to_thread(self.store.add, job)
        except KnownJobError as error:
            raise self._known(error.job, digest) from error

    def _known(self, job: StoredJob, digest: str) -> Exception:
        """What to say of a job that is there already."""
        if job.digest == digest:
            return KnownJobError(job)
        return HTTPException(409, f"{job.id}: there is a job of this id with another video or other options")

    async def inspected(self, path: Path, name: str, sha256: str, options: JobOptions) -> Video:
        """Measure an upload in a process with limits, and hold it against those of the service."""
        chosen: dict[str, Any] = {}
        if f".{options.format}" in CONTAINERS:
            chosen = {"encode": options.encode, "audio_codec": options.audio_codec}
            chosen |= {"mixed": options.keep_original, "as_track": options.as_track}
        inspect, limits = "frieren.service.inspection:inspect", self.settings.reader
        try:
            found = await asyncio.to_thread(isolation.call, inspect, str(path), options.format, limits=limits, **chosen)
        except VideoError as error:
            raise HTTPException(415, named(str(error), str(path), name)) from error
        except (OutputError, FrierenError) as error:
            raise HTTPException(422, named(str(error), str(path), name)) from error
        except RuntimeError as error:  # a fault in the reader that no error has a name for: the file is odd at least
            raise HTTPException(415, f"{name}: cannot be read ({error}); convert it to .mp4") from error
        notes, measures = found.pop("notes"), VideoInfo(**found)
        if measures.seconds > self.settings.max_seconds:
            most = f"more than {self.settings.max_seconds:g}; cut it"
            raise HTTPException(422, f"{name}: {measures.seconds:.1f} seconds long, {most}")
        if measures.width * measures.height > self.settings.max_pixels:
            size = f"{measures.width} x {measures.height} pixels"
            raise HTTPException(422, f"{name}: {size}, more than {self.settings.max_pixels}; make it smaller")
        if late := [each.start for each in options.redo if each.start >= measures.seconds]:
            raise HTTPException(422, f"options: redo: {late[0]:g} s lies beyond the end, {measures.seconds:g} s")
        return Video(name=name, sha256=sha256, notes=notes, **{key: getattr(measures, key) for key in MEASURES})


def stored(file: BinaryIO, folder: Path) -> str:
    """Write an upload into a new folder, down to the disk, and return its SHA-256."""
    folder.mkdir(parents=True)
    digest = hashlib.sha256()
    file.seek(0)
    with (folder / UPLOAD).open("wb") as target:
        while piece := file.read(PIECE):
            digest.update(piece)
            target.write(piece)
        target.flush()
        os.fsync(target.fileno())
    return digest.hexdigest()


def clean(name: str | None) -> str:
    """The last part of a file's name as a client gave it, without what steers terminals or paths; never used as one."""
    last = re.split(r"[\\/]", name or "")[-1]
    printable = "".join(letter for letter in last if letter.isprintable()).strip(". ")
    return printable[-LONGEST_NAME:] or "video"


def explained(error: ValidationError) -> str:
    """The first thing that is wrong, in one line, without the value, which may be long."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    what = str(first["msg"]).removeprefix("Value error, ")
    return f"{where}: {what}" if where else what

"""What is seen of a video, before there is a sound of it: its cue sheet, to be read and corrected."""

from __future__ import annotations

import asyncio
import json
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from weakref import WeakSet

from fastapi import HTTPException, Request
from pydantic import BaseModel

from frieren import isolation
from frieren.errors import FrierenError, VideoError
from frieren.service.inspection import named
from frieren.service.intake import Intake, clean, stored
from frieren.service.schema import JobOptions, Video
from frieren.service.synthesis import UPLOAD, EndedError

GUESSES = 5  # categories that are told where none is known
MOST = 8  # videos that are looked at or wait for it


class Guess(BaseModel):
    """A category and its mean probability over the whole video."""

    name: str
    certainty: float


class Spotted(BaseModel):
    """What is seen of a video: its cue sheet, and the likeliest categories, which may be below what a sheet names."""

    video: Video
    cues: dict[str, Any]
    likeliest: list[Guess]


class SightedUpload:
    """A video that is looked at; its file goes with this."""

    def __init__(self, folder: Path) -> None:
        """folder: in which the upload has a folder of its own."""
        self.place = tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True)
        self.path = Path(self.place.name) / "upload" / UPLOAD

    def close(self) -> None:
        """Remove the file; of a request that is given up before anybody looks, it goes with the object."""
        self.place.cleanup()


class Sights:
    """Looks at videos, one at a time."""

    def __init__(self, intake: Intake) -> None:
        self.intake, self._turn = intake, asyncio.Semaphore(1)
        self._open: WeakSet[SightedUpload] = WeakSet()

    async def take(self, request: Request) -> tuple[SightedUpload, Video]:
        """Store and measure the video of a request.

        Raises:
            HTTPException: 400, 413, 415, 422 or 429, with the reason.
        """
        if not request.headers.get("content-type", "").startswith("multipart/form-data"):
            raise HTTPException(415, "send multipart/form-data with the part `video`, a file")
        if len(self._open) >= MOST:
            raise HTTPException(429, f"{MOST} videos are being looked at; try again", {"Retry-After": "10"})
        look = SightedUpload(self.intake.settings.folder / "jobs")
        self._open.add(look)
        try:
            async with request.form(max_files=1, max_fields=0) as form:
                upload = self.intake.upload(form)
                sha256 = await asyncio.to_thread(stored, upload.file, look.path.parent)
                name, options = clean(upload.filename), JobOptions.model_validate({"format": "wav"})
                async with self.intake.inspections:
                    return look, await self.intake.inspected(look.path, name, sha256, options)
        except BaseException:
            self._close(look)
            raise

    async def see(self, look: SightedUpload, video: Video) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Look at a video: ("progress", frames done and total) as it goes on, and at the end ("sight", `Spotted`).

        Raises:
            HTTPException: 415 or 422.
        """
        loop, news, ended = asyncio.get_running_loop(), asyncio.Queue[tuple[int, int] | None](), threading.Event()

        def on_progress(done: int, total: int) -> None:
            if ended.is_set():
                raise EndedError
            loop.call_soon_threadsafe(news.put_nowait, (done, total))

        async with self._turn:
            work = asyncio.create_task(asyncio.to_thread(self._looked, look, on_progress))
            work.add_done_callback(lambda task: news.put_nowait(None))
            try:
                while (at := await news.get()) is not None:
                    yield "progress", {"done": at[0], "total": at[1]}
                seen = await work
            except VideoError as error:
                raise HTTPException(415, named(str(error), str(look.path), video.name)) from error
            except FrierenError as error:
                raise HTTPException(422, named(str(error), str(look.path), video.name)) from error
            except RuntimeError as error:  # a fault in the reader that no error has a name for
                raise HTTPException(415, f"{video.name}: cannot be looked at ({error})") from error
            finally:
                ended.set()
                self._close(look)
        yield "sight", Spotted(video=video, **seen).model_dump(mode="json")

    def _close(self, look: SightedUpload) -> None:
        self._open.discard(look)
        look.close()

    def _looked(self, look: SightedUpload, on_progress: Callable[[int, int], None]) -> dict[str, Any]:
        """Look in a process with limits."""
        limits = self.intake.settings.reader
        seen: dict[str, Any] = isolation.call(
            "frieren.service.studio.sight:look_at", str(look.path), limits=limits, on_progress=on_progress
        )
        return seen


def look_at(path: str, on_frame: Callable[[int, int], None] = lambda done, total: None) -> dict[str, Any]:
    """The cue sheet of a video and the likeliest categories, JSON types only."""
    from frieren.spotting import look

    sight = look(path, on_frame)
    guesses = [{"name": name, "certainty": round(mean, 3)} for name, mean in sight.likeliest[:GUESSES]]
    return {"cues": json.loads(sight.cues.to_json()), "likeliest": guesses}

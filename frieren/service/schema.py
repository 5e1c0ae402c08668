"""What goes over the wire: the options of a job, and what is told of jobs, models and health."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from frieren.configs import from_table
from frieren.cues import Cues, parse_sounds
from frieren.errors import ConfigError
from frieren.formats import LEVELS, SOUND_FILES, AudioCodec, SampleRate
from frieren.redo import Redo
from frieren.service.settings import Precision

State = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED: tuple[State, ...] = ("done", "failed", "cancelled")
Solver = Literal["euler", "midpoint", "heun", "rk4", "dopri5", "average", "ddim", "pndm", "dpm++", "autoregressive"]
Format = Literal["mp4", "mov", "mkv", "wav", "flac"]
Level = Annotated[float, Field(ge=-100, le=40)]  # dB
ID = r"^[A-Za-z0-9_-]{1,64}$"
OPTIONS: dict[str, JsonValue] = {"model": "mini", "seed": 1, "sounds": "rain, dog@2-4", "format": "mp4"}


class Stretch(BaseModel):
    """Seconds of a sound that are made again with a seed of their own, while all else stays."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )

    start: float = Field(ge=0, le=1e6, alias="from")
    end: float = Field(gt=0, le=1e6, alias="to")
    seed: int = Field(ge=0, le=2**62)

    @model_validator(mode="after")
    def _lasts(self) -> Stretch:
        self.redo()
        return self

    def redo(self) -> Redo:
        """As `Model.generate` takes it."""
        return Redo(self.start, self.end, self.seed)


class JobOptions(BaseModel):
    """Options of a job; names, defaults and meaning are those of `frieren generate`."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, serialize_by_alias=True, json_schema_extra={"examples": [OPTIONS]}
    )

    model: str = Field("mini", min_length=1, max_length=200, description="One of /v1/models.")
    seed: int = Field(0, ge=0, le=2**62, description="The same seed gives the same sound.")
    sounds: str | None = Field(
        None, max_length=10_000, description='What is to be heard, such as "dog" or "rain, dog@2-4"; for cue models.'
    )
    cues: dict[str, Any] | None = Field(
        None, description="Cue sheet of the video, as `frieren spot` writes it; it is then not looked at."
    )
    steps: int | None = Field(None, ge=1, le=1000, description="Solver steps; otherwise the model's own.")
    guidance: float | None = Field(None, ge=0, le=1000, description="Guidance; otherwise the model's own.")
    solver: Solver | None = Field(None, description="Solver of the flow; otherwise the model's own.")
    precision: Precision | None = Field(None, description="Arithmetic of the networks; otherwise the service's own.")
    redo: tuple[Stretch, ...] = Field((), max_length=100, description="What is then made again, one after the other.")
    loudness: float | None = Field(-20.0, ge=-70, le=0, description="LUFS of the sound (BS.1770); null leaves it.")
    keep_original: bool = Field(False, description="Mix the new sound under the old.")
    levels: tuple[Level, Level] = Field(LEVELS, description="Of the new and the old sound then, in dB.")
    as_track: bool = Field(False, description="Keep the old sounds as tracks of their own.")
    audio_codec: AudioCodec | None = Field(None, description="Codec of the sound in a video.")
    encode: bool = Field(True, description="Encode a video that the container cannot hold (H.264).")
    sample_rate: SampleRate | None = Field(None, description="Samples per second; otherwise the model's own.")
    format: Format = Field("mp4", description="Of the result: the video with its sound, or the sound alone.")

    @field_validator("sounds")
    @classmethod
    def _known_sounds(cls, text: str | None) -> str | None:
        if text is not None:
            _explained(parse_sounds, text)
        return text

    @field_validator("cues")
    @classmethod
    def _whole_sheet(cls, table: dict[str, Any] | None) -> dict[str, Any] | None:
        if table is not None:
            _explained(from_table, Cues, table)
        return table

    @model_validator(mode="after")
    def _agree(self) -> JobOptions:
        if self.keep_original and self.as_track:
            raise ValueError("keep_original mixes, as_track does not; leave one of them out")
        if f".{self.format}" in SOUND_FILES and (self.keep_original or self.as_track or self.audio_codec):
            raise ValueError(f"keep_original, as_track and audio_codec are for videos, not for .{self.format}")
        return self

    def redos(self) -> list[Redo]:
        """What is made again, as `Model.generate` takes it."""
        return [each.redo() for each in self.redo]

    def sheet(self) -> Cues | None:
        """The cue sheet, if one was given."""
        return None if self.cues is None else from_table(Cues, self.cues)


def _explained(function: Any, *arguments: Any) -> None:
    """Call a function; pydantic takes a ValueError where this package has a ConfigError."""
    try:
        function(*arguments)
    except ConfigError as error:
        raise ValueError(str(error)) from error


class Video(BaseModel):
    """An upload as it was measured.

    `fps` is the average. `notes` tells what is lost or changed: a truncated file, subtitles that a container cannot
    hold.
    """

    name: str
    sha256: str
    seconds: float
    fps: float | None = None
    width: int
    height: int
    codec: str
    notes: list[str]


class Progress(BaseModel):
    """How far a stage is: encode, sample, decode, vocode."""

    stage: str
    done: int
    total: int


class Result(BaseModel):
    """Where a result is, relative to the service; `warnings`: music or voices in it that nobody asked for."""

    url: str
    record: str
    bytes: int
    warnings: list[str] = []


JOB: dict[str, JsonValue] = {
    "id": "5f0c3f8e9d5b4a41",
    "state": "queued",
    "options": OPTIONS,
    "video": {
        "name": "clip.mp4",
        "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "seconds": 8.0,
        "fps": 25.0,
        "width": 1920,
        "height": 1080,
        "codec": "h264",
        "notes": [],
    },
    "created": "2026-11-30T08:00:00Z",
    "position": 2,
    "estimated_seconds": 14.5,
}


class Job(BaseModel):
    """A job as it stands.

    `position` counts jobs until this one is done, itself included; `estimated_seconds` comes from averages of the jobs
    before, and is null as long as there are none. `expires`: when the job and its result are removed.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [JOB]})

    id: str
    state: State
    options: JobOptions
    video: Video
    created: datetime
    started: datetime | None = None
    finished: datetime | None = None
    expires: datetime | None = None
    position: int | None = None
    estimated_seconds: float | None = None
    progress: Progress | None = None
    result: Result | None = None
    error: str | None = None


class ModelCard(BaseModel):
    """A model that jobs may name. `condition`: what it sees, frames or cue sheets."""

    name: str
    description: str
    condition: str
    steps: int
    guidance: float
    solver: str
    sample_rate: int
    loaded: bool


class Health(BaseModel):
    """Whether the service works, and what it has to do."""

    status: Literal["ok", "stopping", "failing"]
    version: str
    queued: int
    running: int
    workers: int


class Problem(BaseModel):
    """Why a request is refused, in one line."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"detail": "steps: Input should be less than 1001"}]})

    detail: str

"""A cue sheet: what is seen when, what strikes when, how much moves. A JSON file that a person can read and edit.

docs/cues.md documents the file. What a sheet leaves out takes the defaults below, so that
`{"sounds": [{"name": "dog", "from": 2, "to": 4}], "strikes": [{"time": 1.2}]}` is a whole one.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NoReturn

from frieren.categories import Category, find
from frieren.configs import from_table, key_of
from frieren.errors import ConfigError, reason
from frieren.files import write_text

VERSION = 1
MOST_BYTES = 64 * 2**20  # of a file
MOST_SECONDS = 7 * 24 * 3600.0  # latest instant: a week
MOST_CUES = 1_000_000  # sounds, strikes, and values of a curve


@dataclass(frozen=True)
class SoundCue:
    """Something that can be heard for a while.

    Attributes:
        name: a name or alias of a category, see `categories.find`.
        start, end: seconds from the video's first frame on ("from" and "to" in the file); None: to the video's end.
        certainty: how probable it is, 0..1.

    Raises:
        ValueError: an empty or endless span, or a certainty outside 0..1.
        ConfigError: no category is called so.
    """

    name: str
    start: float = field(default=0.0, metadata={"key": "from"})
    end: float | None = field(default=None, metadata={"key": "to"})
    certainty: float = 1.0

    def __post_init__(self) -> None:
        find(self.name)
        _check_time("from", self.start)
        if self.end is not None:
            _check_time("to", self.end)
            if self.end <= self.start:
                raise ValueError(f"to must be after from, got {self.start:g} to {self.end:g}")
        _check_share("certainty", self.certainty)

    @property
    def category(self) -> Category:
        """What the name means."""
        return find(self.name)


@dataclass(frozen=True)
class Strike:
    """Something that hits something.

    Attributes:
        time: seconds from the video's first frame on, of the sound's onset.
        strength: 0..1, 1 for the hardest.
        certainty: how probable it is, 0..1.
    """

    time: float
    strength: float = 1.0
    certainty: float = 1.0

    def __post_init__(self) -> None:
        _check_time("time", self.time)
        _check_share("strength", self.strength)
        _check_share("certainty", self.certainty)


@dataclass(frozen=True)
class Motion:
    """How much moves.

    Attributes:
        rate: values a second; the first is at the video's first frame.
        values: 0..1, 0 where all stands still; none where it was not measured.
    """

    rate: float = 25.0
    values: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1000:
            raise ValueError(f"rate must be above 0 and at most 1000 a second, got {self.rate:g}")
        _check_count("values", self.values)
        for value in self.values:
            _check_share("values", value)


@dataclass(frozen=True)
class Cues:
    """A cue sheet.

    Attributes:
        sounds: what can be heard; spans may overlap, and where there is none nothing is known.
        strikes: in order of time, whatever order they are given in.
        motion: how much moves.
        seconds: length of the video; None where it is not known.
        version: of the file's layout.
    """

    sounds: tuple[SoundCue, ...] = ()
    strikes: tuple[Strike, ...] = ()
    motion: Motion = field(default_factory=Motion)
    seconds: float | None = None
    version: int = VERSION

    def __post_init__(self) -> None:
        if self.version != VERSION:
            raise ValueError(f"version must be {VERSION}, got {self.version}; a newer program wrote this sheet")
        if self.seconds is not None:
            _check_time("seconds", self.seconds)
        _check_count("sounds", self.sounds)
        _check_count("strikes", self.strikes)
        object.__setattr__(self, "strikes", tuple(sorted(self.strikes, key=lambda strike: strike.time)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the sheet as JSON, one cue a line.

        Raises:
            OutputError: it cannot be written.
        """
        write_text(Path(path), self.to_json())

    def to_json(self) -> str:
        """The sheet as JSON text; `from_json` gives back an equal one."""
        parts = [f'"version": {self.version}']
        if self.seconds is not None:
            parts.append(f'"seconds": {json.dumps(self.seconds)}')
        for name, cues in (("sounds", self.sounds), ("strikes", self.strikes)):
            lines = ",\n".join(f"    {json.dumps(_table(cue), ensure_ascii=False)}" for cue in cues)
            parts.append(f'"{name}": [\n{lines}\n  ]' if lines else f'"{name}": []')
        parts.append(f'"motion": {json.dumps(asdict(self.motion))}')
        return "{\n  " + ",\n  ".join(parts) + "\n}\n"


def read(path: str | os.PathLike[str]) -> Cues:
    """A sheet from a file.

    Raises:
        ConfigError: it cannot be read or is no cue sheet, in one line that names the file and the key.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ConfigError(f"{path}: larger than {MOST_BYTES // 2**20} MiB; this is no cue sheet")
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({reason(error)})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is no text in UTF-8; this is no cue sheet") from error
    try:
        return from_json(text)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def from_json(text: str) -> Cues:
    """A sheet from JSON text.

    Raises:
        ConfigError: it is none, in one line that names the key.
    """
    try:
        table = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"is no JSON ({reason(error)})") from error
    if not isinstance(table, dict):
        raise ConfigError(f'must be a JSON object such as {{"sounds": []}}, got a {type(table).__name__}')
    return from_table(Cues, table)


def parse_sounds(text: str) -> tuple[SoundCue, ...]:
    """Sounds as the command line takes them: names, with times in seconds where they do not last throughout.

        parse_sounds("rain, dog@2-4, hammer@5-")

    Raises:
        ConfigError: an unknown name (the nearest are listed), or times that are none.
    """
    return tuple(_parse_sound(item.strip()) for item in text.split(","))


def _parse_sound(item: str) -> SoundCue:
    """One of them: "dog", "dog@2-4", "dog@2-", "dog@-4"."""
    name, at, span = item.partition("@")
    start, dash, end = span.partition("-")
    try:
        if at and (not dash or not (start.strip() or end.strip())):
            raise ValueError("expected seconds from and to, such as dog@2-4")
        return SoundCue(name.strip(), float(start.strip() or 0), float(end) if end.strip() else None)
    except ValueError as error:
        raise ConfigError(f"{item[:80]!r}: {reason(error)}; write it as in dog@2-4") from error


def _table(cue: SoundCue | Strike) -> dict[str, Any]:
    """One cue by the file's keys; an end that is not known is left out."""
    values = {key_of(item): getattr(cue, item.name) for item in fields(cue)}
    return {key: value for key, value in values.items() if value is not None}


def _refuse(constant: str) -> NoReturn:
    """NaN and infinities, which Python would read."""
    raise ValueError(f"{constant} is no number")


def _check_time(name: str, value: float) -> None:
    if not 0 <= value <= MOST_SECONDS:  # also false for NaN
        raise ValueError(f"{name} must be 0 to {MOST_SECONDS:g} seconds, got {value:g}")


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be 0 to 1, got {value:g}")


def _check_count(name: str, items: tuple[Any, ...]) -> None:
    if len(items) > MOST_CUES:
        raise ValueError(f"{name} must be at most {MOST_CUES}, got {len(items)}")

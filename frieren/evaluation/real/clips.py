"""A folder of real clips and its manifest.json:

{"clips": [{"file": "a.mp4", "action": "axe chopping", "seconds": 5.0, "events_s": [1.2, 2.9], "ignore_s": [[0, 0.08]],
            "scored": true, "category": "axe"}, ...]}

`events_s` are the instants at which something strikes, `ignore_s` stretches that do not count. What is not `scored` is
not measured for timing. `category` is what the clip shows, a list if several answers are right, "" if nothing that the
table knows; left out, nobody has said. Other keys do not matter.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frieren.categories import find
from frieren.errors import ConfigError, FrierenError, reason

MANIFEST, HOW = "manifest.json", "docs/evaluation.md says how to write it"


class ManifestError(FrierenError):
    """A folder has no list of clips, or one that cannot be used."""


@dataclass(frozen=True)
class RealClip:
    """One clip of a manifest.

    Attributes:
        path: the video.
        action: what is done in it; clips of one action are also pooled by themselves.
        seconds: length that counts.
        events: instants in seconds at which something strikes, increasing.
        ignore: stretches (from, to) in seconds in which nothing counts.
        scored: whether timing is measured on it.
        categories: names of which each is right; none for nothing of the table, None if nobody has said.
    """

    path: Path
    action: str
    seconds: float
    events: tuple[float, ...]
    ignore: tuple[tuple[float, float], ...] = ()
    scored: bool = True
    categories: tuple[str, ...] | None = None


def read_clips(folder: Path) -> list[RealClip]:
    """The clips of a folder, in the manifest's order.

    Raises:
        ManifestError: there is no manifest, or no clip in it, or one that cannot be used, in one line.
    """
    path = folder / MANIFEST
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["clips"]
        clips = [_clip(folder, row) for row in rows]
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({reason(error)}); {HOW}") from error
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, ConfigError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else reason(error)
        raise ManifestError(f"{path}: no list of clips ({what}); {HOW}") from error
    if not clips:
        raise ManifestError(f"{path}: there is no clip in it")
    return clips


def _clip(folder: Path, row: Any) -> RealClip:
    if not isinstance(row, dict):
        raise TypeError(f"a clip must be an object, got {row!r:.80}")
    scored, category = bool(row.get("scored", True)), row.get("category")
    seconds = float(row["seconds"])
    events = sorted(float(time) for time in row["events_s"]) if scored else []
    ignore = tuple((float(start), float(end)) for start, end in row.get("ignore_s", ()))
    if not 0 < seconds < math.inf or not all(0 <= time <= seconds for time in events):
        raise ValueError(f"{row['file']}: seconds must be positive, and every event within them")
    if not all(start <= end for start, end in ignore):  # also of NaN
        raise ValueError(f"{row['file']}: ignore_s must be pairs of seconds, from and to")
    names = None if category is None else tuple(find(str(name)).name for name in _several(category))
    return RealClip(folder / row["file"], str(row["action"]), seconds, tuple(events), ignore, scored, names)


def _several(category: Any) -> list[Any]:
    """What a manifest says of a clip's category as a list, empty for nothing."""
    return category if isinstance(category, list) else [category] if category else []

"""What an upload is, found out in a process with limits: its measures, and what a result can hold of it."""

from __future__ import annotations

import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

from frieren.openvideo import probe, warn_of_times
from frieren.remux import choose


def inspect(path: str, form: str, **options: Any) -> dict[str, Any]:
    """Measure a video, and choose how its result is written.

    Args:
        path: the upload.
        form: of the result, "mp4", "wav" and the like.
        options: of `remux.choose`, for results that are videos.

    Returns:
        The measures of `probe`, and "notes": what a client should know, a line each.

    Raises:
        VideoError: it cannot be read, or not be put into such a result.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        info = probe(path)
        warn_of_times(path, info)
    notes = [str(warning.message) for warning in caught]
    if options:
        choice = choose(path, Path(path).with_name(f"result.{form}"), **options)
        notes += choice.notes()
    return {**asdict(info), "notes": [named(note, path) for note in notes]}


def named(text: str, path: str, name: str = "") -> str:
    """A message about a file under another name: where an upload lies is not the client's business."""
    for known in (path, Path(path).name):
        text = text.replace(f"{known}: ", f"{name}: " if name else "", 1)
    return text

"""The script of a clip: what happens, where and when, on a continuous time axis.

Picture and sound are two renderings of the same script; neither is ever derived from the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

Look = TypeVar("Look")


@dataclass(frozen=True)
class Event:
    """One sounding contact at one instant.

    Attributes:
        kind: name of the kind that caused it, such as "ball".
        material: what the struck body is made of, such as "wood".
        time: seconds from the start of the clip, exact.
        strength: 0..1, how hard; sets level and brightness.
        x, y: position on screen at that instant, 0..1 from the left and from the top.
        visible: False if the contact cannot be seen (off screen or hidden).
        pitch: fundamental in Hz of the struck body.
    """

    kind: str
    material: str
    time: float
    strength: float
    x: float
    y: float
    visible: bool
    pitch: float


@dataclass(frozen=True)
class Activity:
    """A sound that goes on: its loudness and speed over time.

    Attributes:
        kind: name of the kind that causes it, such as "engine".
        material: as in Event.
        times: [N] seconds, evenly spaced, covering the clip.
        loudness: [N] 0..1 linear amplitude.
        rate: [N] the kind's own speed: firing rate in Hz for an engine, drops per second for rain, gust 0..1 for wind.
        visible: False if the cause cannot be seen.
    """

    kind: str
    material: str
    times: np.ndarray
    loudness: np.ndarray
    rate: np.ndarray
    visible: bool = True


@dataclass(frozen=True)
class Source(Generic[Look]):
    """One thing in the scene that may sound: what it does (events, activity) and what its drawing needs (look).

    Attributes:
        kind: name of the kind.
        size: 0..1, small to large; sets pitch (small is high) and drawing.
        events: contacts in order of time.
        activity: the continuous sound, if the kind has one.
        look: the kind's own dataclass of what rendering it needs: lengths, colours [3], paths.
    """

    kind: str
    size: float
    events: tuple[Event, ...] = ()
    activity: Activity | None = None
    look: Look | None = None

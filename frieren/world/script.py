"""The script of a clip: what happens, where and when, on a continuous time axis.

Picture and sound are two renderings of the same script; neither is ever derived from the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

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
        look: the kind's own dataclass of what rendering it needs: lengths, colours [3], paths.
        events: contacts in order of time.
        activity: the continuous sound, if the kind has one.
    """

    kind: str
    size: float
    look: Look
    events: tuple[Event, ...] = ()
    activity: Activity | None = None


def shift_is_visible(events: Sequence[Event], activities: Sequence[Activity]) -> bool:
    """Whether a shift of the sound against the video is visible.

    Two visible impacts show it, or a visible activity that is at some time twice as loud as at another.
    """
    changing = any(one.visible and one.loudness.max() > 2 * one.loudness.min() for one in activities)
    return changing or sum(event.visible for event in events) >= 2


def as_table(one: Event | Activity, decimals: int | None = None) -> dict[str, Any]:
    """An event or activity as JSON can hold it; numbers rounded if `decimals` is given."""
    table = {}
    for name, value in asdict(one).items():
        if isinstance(value, np.ndarray):
            table[name] = (value if decimals is None else value.round(decimals)).tolist()
        else:
            table[name] = round(value, decimals) if decimals is not None and isinstance(value, float) else value
    return table


def from_table(table: Mapping[str, Any]) -> tuple[tuple[Event, ...], tuple[Activity, ...]]:
    """Events and activities of a script that `as_table` wrote."""
    arrays = ("times", "loudness", "rate")
    activities = ({**one, **{name: np.asarray(one[name]) for name in arrays}} for one in table["activities"])
    return tuple(Event(**one) for one in table["events"]), tuple(Activity(**one) for one in activities)

"""The voices of FoleyWorld: from the script of a clip to its sound.

Impacts are struck bodies (modal.py), continuous sounds follow their activity, and a room (room.py) colours the sum.
Events sound at sample round(time * sample_rate), whatever the room.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from frieren.world.kinds import GALLERY, Kind, named
from frieren.world.modal import Body, Build, draw_body, hit
from frieren.world.room import Room, draw_room, record
from frieren.world.script import Activity, Event, Source

__all__ = ["Room", "draw_room", "sound", "strike"]

IMPACT_PEAK = 0.65  # of the hardest hit, 1 m away
STEADY_RMS = 10.0 ** (-17.0 / 20.0)  # of a continuous sound at loudness 1
SPREAD_DB = 2.5  # how much louder or softer a source may be than another
EDGE = 0.010  # seconds of fade at both ends of a continuous sound


def strike(
    kind: str, material: str, pitch: float, strength: float, sample_rate: int, rng: np.random.Generator
) -> np.ndarray:
    """One impact [N] float32 of a newly drawn body; contact at sample 0, peak about 1 at strength 1.

    Args:
        kind: one with contacts, such as "ball".
        material: one of its materials.
        pitch: fundamental, Hz.
        strength: 0..1.

    Raises:
        ValueError: if the kind has no impacts or not this material.
    """
    body = draw_body(build_of(kind, material), pitch, sample_rate, rng)
    return impact(named(kind), body, strength, 0, sample_rate, rng)


def sound(
    sources: tuple[Source[Any], ...], room: Room, seconds: float, sample_rate: int, rng: np.random.Generator
) -> np.ndarray:
    """All sources in their room.

    Returns:
        [S] float32 in -1..1, S = round(seconds * sample_rate). A source draws from its own generator, so that
        another source does not change how it sounds.
    """
    dry = np.zeros(round(seconds * sample_rate), dtype=np.float32)
    seeds = rng.integers(2**63, size=len(sources) + 1)
    for source, seed in zip(sources, seeds[1:], strict=True):
        own = np.random.default_rng(seed)
        gain = np.float32(10.0 ** (own.uniform(-SPREAD_DB, SPREAD_DB) / 20.0))
        if source.events:
            dry += gain * impacts(source.events, len(dry), sample_rate, own)
        if source.activity is not None:
            dry += gain * steady(source.activity, len(dry), sample_rate, own)
    return record(dry, room, sample_rate, np.random.default_rng(seeds[0]))


def build_of(kind: str, material: str) -> Build:
    """How that material behaves in that kind, or a ValueError that names what there is."""
    builds = named(kind).builds
    if not builds:
        there = ", ".join(name for name, kind in GALLERY.items() if kind.builds)
        raise ValueError(f"kind is {kind!r}; expected one with impacts: {there}")
    if material not in builds:
        raise ValueError(f"material is {material!r}; expected one that a {kind} is made of: {', '.join(builds)}")
    return builds[material]


def impact(
    kind: Kind[Any], body: Body, strength: float, number: int, sample_rate: int, rng: np.random.Generator
) -> np.ndarray:
    """Hit `number` of a body, [N] float32: one hit, or what the kind makes of it."""
    if kind.hit is None:
        return hit(body, strength, sample_rate, rng)
    return kind.hit(body, strength, number, sample_rate, rng)


def touch(keep: float, samples: int, sample_rate: int) -> np.ndarray:
    """What a touch leaves of a ring, [samples] float32 from 1 down to `keep` within some milliseconds."""
    return keep + (1.0 - keep) * np.exp(-np.arange(samples) / (0.003 * sample_rate)).astype(np.float32)


def impacts(events: tuple[Event, ...], samples: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """All contacts of one source, [samples] float32; one body per material, tuned to each event's pitch."""
    track = np.zeros(samples, dtype=np.float32)
    bodies: dict[str, tuple[Body, float]] = {}
    damped = touch(named(events[0].kind).keep, samples, sample_rate)
    end = 0
    for count, event in enumerate(events):
        if event.material not in bodies:
            body = draw_body(build_of(event.kind, event.material), event.pitch, sample_rate, rng)
            bodies[event.material] = (body, event.pitch)
        body, pitch = bodies[event.material]
        wave = impact(named(event.kind), body.at_pitch(event.pitch / pitch), event.strength, count, sample_rate, rng)
        first = round(event.time * sample_rate)
        if not 0 <= first < samples:
            continue
        # Touching a ringing body damps it; without that a hard hit would hide a soft one right after it.
        if end > first:
            track[first:end] *= damped[: end - first]
        last = min(first + len(wave), samples)
        track[first:last] += IMPACT_PEAK * wave[: last - first]
        end = max(end, last)
    return track


def steady(activity: Activity, samples: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """A continuous sound [samples] float32, RMS STEADY_RMS at loudness 1, faded at both ends of the clip."""
    voices = named(activity.kind).voices
    if not voices:
        there = ", ".join(name for name, kind in GALLERY.items() if kind.voices)
        raise ValueError(f"kind is {activity.kind!r}; expected one that sounds on: {there}")
    t = np.arange(samples) / sample_rate
    loudness = np.interp(t, activity.times, activity.loudness).astype(np.float32)
    rate = np.interp(t, activity.times, activity.rate)
    wave = voices[activity.material](rate, loudness, sample_rate, rng) * loudness * np.float32(STEADY_RMS)
    edge = np.sin(0.5 * np.pi * np.minimum(np.arange(samples) / (EDGE * sample_rate), 1.0)).astype(np.float32) ** 2
    return wave * edge * edge[::-1]

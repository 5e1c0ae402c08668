"""The voices of FoleyWorld: from the script of a clip to its sound.

Impacts are struck bodies (modal.py), continuous sounds follow their activity, and a room (room.py) colours the sum.
Events sound at sample round(time * sample_rate), whatever the room.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from frieren.world.modal import Body, Build, band, coloured, draw_body, fade_out, hit
from frieren.world.room import Room, draw_room, record
from frieren.world.script import Activity, Event, Source

__all__ = ["MATERIALS", "PITCHES", "Room", "draw_room", "sound", "strike"]

# Wood, rubber and skin lose a ring within a tenth of a second, glass and metal within most of a second.
BUILDS: dict[str, dict[str, Build]] = {
    "ball": {
        "rubber": Build("membrane", (0.04, 0.08), 0.8, 1500, 0.35, 0.012, (150, 2500)),
        "wood": Build("block", (0.03, 0.08), 0.8, 4000, 0.40, 0.010, (300, 5000)),
        "plastic": Build("shell", (0.04, 0.10), 0.6, 5000, 0.40, 0.008, (600, 6500)),
        "glass": Build("shell", (0.20, 0.60), 0.4, 7000, 0.35, 0.006, (1500, 7500)),
    },
    "drum": {
        "skin": Build("membrane", (0.12, 0.30), 0.6, 2000, 0.40, 0.014, (200, 4500)),
        "plastic": Build("membrane", (0.08, 0.20), 0.7, 3500, 0.45, 0.010, (400, 6000)),
        "bag": Build("membrane", (0.05, 0.10), 1.0, 1000, 0.55, 0.025, (120, 3000)),
    },
    "hammer": {
        "metal": Build("plate", (0.25, 0.80), 0.4, 6500, 0.45, 0.008, (1200, 7500)),
        "wood": Build("bar", (0.04, 0.08), 0.6, 3500, 0.45, 0.012, (250, 5000)),
        "stone": Build("plate", (0.03, 0.09), 0.5, 6000, 0.55, 0.012, (800, 7500)),
    },
    "drip": {"water": Build("bubble", (0.05, 0.11), 0.0, 9000, 0.22, 0.010, (1000, 7000))},
    "clock": {
        "metal": Build("bar", (0.04, 0.10), 0.3, 9000, 0.50, 0.006, (2000, 7500)),
        "wood": Build("block", (0.03, 0.06), 0.5, 6000, 0.50, 0.008, (1000, 6000)),
    },
    "piano": {"string": Build("string", (0.40, 0.80), 0.35, 3000, 0.14, 0.012, (250, 4000))},
    "chop": {
        "wood": Build("block", (0.03, 0.08), 0.7, 3500, 0.55, 0.035, (1200, 7500)),
        "plastic": Build("block", (0.03, 0.06), 0.6, 4500, 0.60, 0.030, (1500, 7500)),
    },
}
MATERIALS: dict[str, tuple[str, ...]] = {
    **{kind: tuple(builds) for kind, builds in BUILDS.items()},
    "rain": ("water",),
    "engine": ("metal",),
    "wind": ("air",),
}
# Fundamentals in Hz; for rain the bubbles, for the engine the firing rate, for wind the centre of the band.
PITCHES: dict[str, tuple[float, float]] = {
    "ball": (160.0, 900.0),
    "drum": (70.0, 260.0),
    "hammer": (240.0, 1400.0),
    "drip": (500.0, 2500.0),
    "clock": (1200.0, 3000.0),
    "piano": (130.8, 1046.5),
    "chop": (160.0, 600.0),
    "rain": (1200.0, 4500.0),
    "engine": (20.0, 120.0),
    "wind": (180.0, 1200.0),
}
IMPACT_PEAK = 0.65  # of the hardest hit, 1 m away
STEADY_RMS = 10.0 ** (-17.0 / 20.0)  # of a continuous sound at loudness 1
SPREAD_DB = 2.5  # how much louder or softer a source may be than another
KEEP = 0.35  # of a ring survives the next contact with the same body; a string under its own hammer keeps more
KEEP_STRING = 0.6
TOCK = 0.82  # the second click of an escapement over the first
EDGE = 0.010  # seconds of fade at both ends of a continuous sound
MOST_DROPS = 300.0  # drops per second that are made one by one; more of them are heard as noise
DROPS = 24  # different drops in a shower


def strike(
    kind: str, material: str, pitch: float, strength: float, sample_rate: int, rng: np.random.Generator
) -> np.ndarray:
    """One impact [N] float32 of a newly drawn body; contact at sample 0, peak about 1 at strength 1.

    Args:
        kind: an impact of MATERIALS, such as "ball".
        material: one of MATERIALS[kind].
        pitch: fundamental, Hz.
        strength: 0..1.

    Raises:
        ValueError: if the kind has no impacts or not this material.
    """
    return impact(kind, draw_body(build_of(kind, material), pitch, sample_rate, rng), strength, 0, sample_rate, rng)


def sound(
    sources: tuple[Source, ...], room: Room, seconds: float, sample_rate: int, rng: np.random.Generator
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
    """The entry of BUILDS, or a ValueError that names what there is."""
    if kind not in BUILDS:
        raise ValueError(f"kind is {kind!r}; expected one with impacts: {', '.join(BUILDS)}")
    if material not in BUILDS[kind]:
        raise ValueError(f"material is {material!r}; expected one that a {kind} is made of: {', '.join(BUILDS[kind])}")
    return BUILDS[kind][material]


def impact(
    kind: str, body: Body, strength: float, count: int, sample_rate: int, rng: np.random.Generator
) -> np.ndarray:
    """Hit number `count` of a body, [N] float32; a clock alternates tick and tock, each a double click."""
    if kind != "clock":
        return hit(body, strength, sample_rate, rng)
    body = body.at_pitch(TOCK) if count % 2 else body
    wave = hit(body, strength, sample_rate, rng)
    # The pallet first meets the wheel, then drops onto the locking face some milliseconds later.
    delay = int(0.006 * sample_rate)
    wave[delay:] += 0.4 * hit(body, strength, sample_rate, rng)[: len(wave) - delay]
    return fade_out(wave)


def impacts(events: tuple[Event, ...], samples: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """All contacts of one source, [samples] float32; one body per material, tuned to each event's pitch."""
    track = np.zeros(samples, dtype=np.float32)
    bodies: dict[str, tuple[Body, float]] = {}
    damped = KEEP + (1.0 - KEEP) * np.exp(-np.arange(samples) / (0.003 * sample_rate)).astype(np.float32)
    damped_string = KEEP_STRING + (1.0 - KEEP_STRING) / (1.0 - KEEP) * (damped - KEEP)
    end = 0
    for count, event in enumerate(events):
        if event.material not in bodies:
            body = draw_body(build_of(event.kind, event.material), event.pitch, sample_rate, rng)
            bodies[event.material] = (body, event.pitch)
        body, pitch = bodies[event.material]
        wave = impact(event.kind, body.at_pitch(event.pitch / pitch), event.strength, count, sample_rate, rng)
        first = round(event.time * sample_rate)
        if not 0 <= first < samples:
            continue
        # Touching a ringing body damps it; without that a hard hit would hide a soft one right after it.
        if end > first:
            track[first:end] *= (damped_string if event.kind == "piano" else damped)[: end - first]
        last = min(first + len(wave), samples)
        track[first:last] += IMPACT_PEAK * wave[: last - first]
        end = max(end, last)
    return track


def steady(activity: Activity, samples: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """A continuous sound [samples] float32, RMS STEADY_RMS at loudness 1, faded at both ends of the clip."""
    if activity.kind not in STEADY:
        raise ValueError(f"kind is {activity.kind!r}; expected one that sounds on: {', '.join(STEADY)}")
    t = np.arange(samples) / sample_rate
    loudness = np.interp(t, activity.times, activity.loudness).astype(np.float32)
    rate = np.interp(t, activity.times, activity.rate)
    wave = STEADY[activity.kind](rate, loudness, sample_rate, rng) * loudness * np.float32(STEADY_RMS)
    edge = np.sin(0.5 * np.pi * np.minimum(np.arange(samples) / (EDGE * sample_rate), 1.0)).astype(np.float32) ** 2
    return wave * edge * edge[::-1]


def rain(rate: np.ndarray, loudness: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Drops as a Poisson process of `rate` [S] per second over a bed of noise; [S] float32, RMS about 1."""
    samples = len(rate)
    chance = np.minimum(rate, MOST_DROPS) / sample_rate
    first = np.flatnonzero(rng.random(samples, dtype=np.float32) < chance)
    length = int(0.02 * sample_rate)
    t = np.arange(length) / sample_rate
    bank = np.empty((DROPS, length))
    for drop in bank:
        pitch = np.exp(rng.uniform(*np.log(PITCHES["rain"])))
        bubble = np.sin(2.0 * np.pi * pitch * t * (1.0 + 4.0 * t)) * np.exp(-t / rng.uniform(0.002, 0.005))
        splash = coloured(length, band(800.0, 6000.0), sample_rate, rng) * np.exp(-t / rng.uniform(0.0005, 0.002))
        drop[:] = fade_out(rng.uniform(0.3, 1.0) * bubble + 0.5 * splash)
    which = rng.integers(DROPS, size=len(first))
    size = np.exp(0.6 * rng.standard_normal(len(first)))
    at = first[:, None] + np.arange(length)
    wave = np.bincount(at.ravel(), (bank[which] * size[:, None]).ravel(), minlength=samples)[:samples]
    bed = coloured(samples, lambda hz: band(500.0, 5000.0)(hz) ** 0.7, sample_rate, rng)
    # Few drops are heard one by one, many melt into the bed.
    density = np.minimum(rate / MOST_DROPS, 1.0)
    return ((2.0 - 0.7 * density) * wave + (0.1 + 0.6 * np.sqrt(density)) * bed).astype(np.float32)


def engine(rate: np.ndarray, loudness: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Harmonics of the firing rate [S] Hz with jitter and exhaust noise; [S] float32, RMS about 1.

    One turn of two to four unequal firings is a table read at the integrated phase, so that a changing rate sweeps
    without breaks; a dull and a bright table are mixed by speed.
    """
    samples, cylinders = len(rate), int(rng.integers(2, 5))
    knots = np.linspace(0.0, samples, 2 + samples // (sample_rate // 16))  # about 16 a second
    wander = np.interp(np.arange(samples), knots, rng.standard_normal(len(knots)))
    phase = np.cumsum(rate * (1.0 + 0.006 * wander)) / sample_rate + rng.uniform()
    size = 4096
    order = np.arange(1, size // 2)
    harmonic = order / cylinders
    onset = rng.uniform(0.0, 2.0 * np.pi, len(order))
    body = 1.0 + 1.5 * np.exp(-0.5 * ((np.log2(harmonic) - rng.uniform(1.0, 3.0)) / 0.5) ** 2)
    between = np.where(order % cylinders == 0, 1.0, rng.uniform(0.04, 0.15))
    fits = harmonic * max(float(rate.max()), 1.0) < 0.45 * sample_rate
    position = ((phase / cylinders) % 1.0 * size).astype(np.int32) % size
    speed = np.clip(np.log2(np.maximum(rate, 1.0) / PITCHES["engine"][0]) / 2.6, 0.0, 1.0).astype(np.float32)
    tables = []
    for fall in (1.5, 0.8):
        spectrum = np.zeros(size // 2 + 1, dtype=complex)
        spectrum[1:-1] = harmonic**-fall * body * between * fits * np.exp(1j * onset)
        table = np.fft.irfft(spectrum)
        tables.append((table / np.sqrt(np.mean(table**2))).astype(np.float32)[position])
    tone = (1.0 - speed) * tables[0] + speed * tables[1]
    puff = (0.5 + 0.5 * np.cos(2.0 * np.pi * phase)).astype(np.float32) ** 2
    noise = coloured(samples, band(150.0, 2500.0), sample_rate, rng) * (0.3 + puff)
    return 0.93 * tone + (0.15 + 0.3 * speed) * noise


def wind(rate: np.ndarray, loudness: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Band-passed noise whose centre rises with the gust `rate` [S] 0..1 and with loudness; [S] float32, RMS about 1.

    Three fixed bands are mixed with weights that slide over them: a filter that moves, at the cost of three.
    """
    low, high = np.array(PITCHES["wind"]) * rng.uniform(0.8, 1.25)
    where = 2.0 * np.clip(0.7 * rate + 0.3 * loudness, 0.0, 1.0)
    wave = np.zeros(len(rate), dtype=np.float32)
    for index, centre in enumerate(np.geomspace(low, high, 3)):
        weight = np.sqrt(np.clip(1.0 - np.abs(where - index), 0.05, 1.0)).astype(np.float32)
        wave += weight * coloured(len(rate), lambda hz, c=centre: band(0.85 * c, 1.18 * c)(hz) ** 3, sample_rate, rng)
    return wave


STEADY: dict[str, Callable[..., np.ndarray]] = {"rain": rain, "engine": engine, "wind": wind}

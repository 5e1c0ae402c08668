"""Recordings -> short scenes with the cue sheet that a video of them would have: training data without any video.

What strikes is cut into single hits, which are put at new times and strengths; what sounds on is faded up and down with
what moves; notes stay as they were played. Sources are placed in time, mixed over a faint background and heard in a
room. The sheet says what the eyes would say: a share of certainty for each thing, instants a little beside the sound's,
and motion that follows the sound as far as motion does, and goes on where nothing strikes. Sometimes what is there, or
when it strikes, is not known.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frieren.categories import Category, categories
from frieren.cues import Cues, Motion, SoundCue, Strike
from frieren.dataset.takes import LEAD, STRENGTH_RANGE, Take, TakeLibrary, Wave, gain
from frieren.world.room import draw_room, limit, record

RATE = 25.0  # values of motion a second
JITTER = 0.012  # s, standard deviation of a strike's instant against the sound's
SECOND, BACKGROUND, ROOM = 0.25, 0.3, 0.45  # probability of a second source, an unseen one, a room
UNTIMED = 0.12  # probability that it is not known when something strikes
# Probability that it is not known what is there. A thing that no classifier knows and that strikes is most often a
# stick or a hand on something: what the model makes of a nameless strike must be a blow and not, say, a piano that
# plays on.
UNKNOWN = {"impact": 0.3, "vocal": 0.05, "tonal": 0.03, "sustained": 0.08}
MISSED = 0.6  # that things also move as for a strike where there is none: arms go back, hands miss
STRAY = {"impact": 0.0, "vocal": 0.1, "tonal": 0.15, "sustained": 0.35}  # that strikes are seen which nobody hears
Curve = NDArray[np.float64]


@dataclass(frozen=True)
class Mixture:
    """A scene: its sound [S] in -1..1, its cue sheet, and the categories that are heard in front."""

    wave: Wave
    cues: Cues
    categories: tuple[str, ...]


@dataclass(frozen=True)
class Layer:
    """One thing in a scene.

    Attributes:
        wave: [S], its peak is 1 at most.
        strikes: onsets that a camera would see.
        motion: [T] 0..1 at RATE.
        start, end: s between which it is there.
    """

    wave: Wave
    strikes: tuple[Strike, ...]
    motion: Curve
    start: float
    end: float


def mixture(library: TakeLibrary, split: str, index: int, seconds: float) -> Mixture:
    """Scene `index` of a split, always the same one of the same recordings."""
    rng = np.random.default_rng([zlib.crc32(split.encode()), index])
    count = 2 if rng.random() < SECOND else 1
    chosen = [_draw_category(rng, library) for _ in range(count)]
    sources = [_draw_source(rng, library, category, seconds) for category in chosen]
    gains = [1.0, *(10 ** (-rng.uniform(0, 8, count - 1) / 20))]
    wave = sum((level * each.wave for level, each in zip(gains, sources, strict=True)), np.zeros(1, np.float32))
    if rng.random() < BACKGROUND:
        behind = _draw_source(rng, library, _draw_category(rng, library), seconds)
        wave = wave + 10 ** (-rng.uniform(18, 36) / 20) * behind.wave
    wave = (10 ** (-rng.uniform(1, 9) / 20) / max(float(np.abs(wave).max()), 1e-3) * wave).astype(np.float32)
    wave = record(wave, draw_room(rng, int(rng.integers(3))), library.rate, rng) if rng.random() < ROOM else limit(wave)
    return Mixture(wave, _cues(rng, chosen, sources, seconds), tuple(each.name for each in chosen))


def _draw_category(rng: np.random.Generator, library: TakeLibrary) -> Category:
    """One of those with recordings; with more of them a little more often."""
    weights = np.array([len(library.by_category[name]) for name in library.names]) ** 0.4
    name = library.names[rng.choice(len(weights), p=weights / weights.sum())]
    return next(each for each in categories() if each.name == name)


def _draw_source(rng: np.random.Generator, library: TakeLibrary, category: Category, seconds: float) -> Layer:
    """A source of a category, by how that behaves."""
    recordings = library.by_category[category.name]
    take = library.take(recordings[rng.integers(len(recordings))])
    start, end = 0.0, seconds
    if rng.random() < 0.3:  # comes later, or leaves
        start, end = np.sort(rng.uniform(0, seconds, 2)) if rng.random() < 0.5 else (rng.uniform(0, seconds / 2), end)
        end = min(seconds, max(end, start + 1.5))
    if category.behaviour == "sustained":
        return _sustained(rng, take, seconds, start, end)
    again = {"impact": 0.75, "vocal": 0.6, "tonal": 0.3}[category.behaviour]
    if rng.random() < again and take.hits:
        return _struck(rng, take, seconds, start, end)
    return _as_recorded(rng, take, seconds, start, end)


def _struck(rng: np.random.Generator, take: Take, seconds: float, start: float, end: float) -> Layer:
    """The hits of a recording at new times and strengths."""
    times = _rhythm(rng, take, start, end)
    forces = np.clip(rng.uniform(0.55, 1.0) + 0.12 * rng.standard_normal(len(times)), 0.25, 1.0)
    wave = np.zeros(round(seconds * take.rate), np.float32)
    pool = rng.permutation(len(take.hits))[: int(rng.integers(1, 1 + min(6, len(take.hits))))]
    for time, force in zip(times, forces, strict=True):
        _add(wave, gain(force) * take.hits[rng.choice(pool)], round((time - LEAD) * take.rate))
    strikes = tuple(Strike(time, force) for time, force in zip(times.tolist(), forces.tolist(), strict=True))
    return Layer(_peak_of_one(wave), strikes, _motion_of_strikes(rng, strikes, seconds), start, end)


def _rhythm(rng: np.random.Generator, take: Take, start: float, end: float) -> Curve:
    """Instants between two times: regular, irregular or in bursts, about as dense as in the recording or not."""
    gaps = np.diff(take.onsets)
    usual = float(np.median(gaps)) if len(gaps) else 0.6
    gap = float(np.clip((usual if rng.random() < 0.5 else 0.6) * np.exp(0.5 * rng.standard_normal()), 0.12, 3.0))
    spread = rng.choice([0.04, 0.25, 0.7])
    times = [start + rng.uniform(0.0, min(gap, 1.0))]
    while times[-1] < end:
        pause = rng.uniform(1.0, 2.5) if rng.random() < 0.08 else 0.0
        times.append(times[-1] + max(0.1, gap * np.exp(spread * rng.standard_normal())) + pause)
    return np.array(times[:-1])


def _as_recorded(rng: np.random.Generator, take: Take, seconds: float, start: float, end: float) -> Layer:
    """A recording as it was made, once or with pauses between."""
    wave = np.zeros(round(seconds * take.rate), np.float32)
    strikes: list[Strike] = []
    place = start + rng.uniform(0, max(0.0, min(1.5, end - start - take.seconds)))
    once = rng.random() < 0.3
    while place < end - 0.1:
        _add(wave, take.wave[: round((end - place) * take.rate)], round(place * take.rate))
        strikes += [
            Strike(place + time, force)
            for time, force in zip(take.onsets.tolist(), take.strengths, strict=True)
            if place + time < end and force > 0.15
        ]
        place += take.seconds + rng.exponential(0.4)
        if once:
            end = min(end, place)
            break
    return Layer(_peak_of_one(wave), tuple(strikes), _motion_of_strikes(rng, tuple(strikes), seconds), start, end)


def _sustained(rng: np.random.Generator, take: Take, seconds: float, start: float, end: float) -> Layer:
    """A recording that goes on, faded up and down with the motion."""
    size = round(seconds * take.rate)
    wave = _looped(rng, take, size)
    times = np.arange(round(seconds * RATE)) / RATE
    level = np.zeros(len(times))  # dB
    if rng.random() < 0.5:
        knots = np.arange(0, seconds + 1, rng.uniform(0.4, 1.5))
        level = np.interp(times, knots, rng.uniform(-rng.uniform(3, 18), 0, len(knots)))
    edge = rng.uniform(0.05, 0.4)
    there = np.interp(times, [start - 1e-3, start + edge, max(end - edge, start + edge), end + 1e-3], [0, 1, 1, 0])
    if start <= 0:
        there[times < seconds / 2] = 1
    if end >= seconds:
        there[times >= seconds / 2] = 1
    curve = 10 ** (level / 20) * there
    wave = wave * np.interp(np.arange(size) / take.rate, times, curve).astype(np.float32)
    motion = np.clip(1 + 20 * np.log10(np.maximum(curve, 1e-3)) / STRENGTH_RANGE, 0, 1)
    return Layer(_peak_of_one(wave), (), motion * rng.uniform(0.4, 1.0), start, end)


def _looped(rng: np.random.Generator, take: Take, size: int) -> Wave:
    """A part of a recording [size]; one that is too short is repeated, each time faded into the next."""
    if len(take.wave) >= size:
        first = int(rng.integers(len(take.wave) - size + 1))
        return take.wave[first : first + size]
    fade = min(len(take.wave) // 4, round(0.25 * take.rate))
    ramp = np.sin(np.linspace(0, np.pi / 2, max(fade, 1), dtype=np.float32))
    piece = take.wave.copy()
    piece[: len(ramp)] *= ramp
    piece[len(piece) - len(ramp) :] *= ramp[::-1]
    step = len(piece) - len(ramp)
    wave = np.zeros(size, np.float32)
    for place in range(-int(rng.integers(step)), size, step):
        _add(wave, piece, place)
    return wave


def _motion_of_strikes(rng: np.random.Generator, strikes: tuple[Strike, ...], seconds: float) -> Curve:
    """What moves before and after each strike, 0..1."""
    times = np.arange(round(seconds * RATE)) / RATE
    before, after = rng.uniform(0.06, 0.2), rng.uniform(0.03, 0.1)
    motion = np.zeros(len(times))
    for strike in strikes:
        distance = times - strike.time + 0.04
        width = np.where(distance < 0, before, after)
        motion = np.maximum(motion, (0.4 + 0.6 * strike.strength) * np.exp(-0.5 * (distance / width) ** 2))
    return motion * rng.uniform(0.5, 1.0)


def _cues(rng: np.random.Generator, chosen: list[Category], sources: list[Layer], seconds: float) -> Cues:
    """The sheet of a scene, as far as it is known."""
    sounds: list[SoundCue] = []
    if rng.random() >= min(UNKNOWN[each.behaviour] for each in chosen):
        certainties = np.array([1.0]) if rng.random() < 0.15 else rng.beta(1.6, 1.2, 1)
        certainties = np.concatenate([certainties, rng.beta(1.6, 1.2, len(chosen) - 1)])
        certainties = np.maximum(certainties, 0.2) / max(1.0, float(np.maximum(certainties, 0.2).sum()))
        for category, source, certainty in zip(chosen, sources, certainties.tolist(), strict=True):
            start, end = (float(np.clip(each + 0.2 * rng.standard_normal(), 0, seconds)) for each in
                          (source.start, source.end))  # fmt: skip
            if source.start <= 0:
                start = 0.0
            if source.end >= seconds:
                end = seconds
            if end > start + 0.2:
                sounds.append(SoundCue(category.name, start, end, certainty))
        if rng.random() < 0.35 and (rest := 1 - float(certainties.sum())) > 0.05:  # something that is not there
            other = categories()[rng.integers(len(categories()))]
            if other not in chosen:
                sounds.append(SoundCue(other.name, 0.0, seconds, rng.uniform(0.05, min(rest, 0.6 * certainties[0]))))
    if rng.random() < UNTIMED:
        return Cues(tuple(sounds), seconds=seconds)
    strikes = [
        Strike(float(np.clip(one.time + JITTER * rng.standard_normal(), 0, seconds)), one.strength)
        for category, source in zip(chosen, sources, strict=True)
        for one in source.strikes
    ]
    if rng.random() < max(STRAY[each.behaviour] for each in chosen) and not any(
        each.behaviour == "impact" for each in chosen
    ):
        strikes = [Strike(time, rng.uniform(0.3, 1)) for time in rng.uniform(0, seconds, rng.poisson(seconds)).tolist()]
    motion = np.maximum.reduce([source.motion for source in sources])
    trust = rng.uniform(0.3, 1.0)  # motion that has nothing to do with the sound makes up the rest
    knots = np.arange(0, seconds + 1, 0.5)
    other_motion = np.interp(np.arange(len(motion)) / RATE, knots, rng.uniform(0, rng.uniform(0.1, 0.9), len(knots)))
    motion = np.clip(trust * motion + (1 - trust) * other_motion + 0.03 * rng.standard_normal(len(motion)), 0, 1)
    if strikes and rng.random() < MISSED:
        times = rng.uniform(0, seconds, rng.poisson(rng.uniform(0.3, 2.0) * seconds)).tolist()
        misses = tuple(Strike(time, rng.uniform(0.3, 1)) for time in times)
        motion = np.maximum(motion, _motion_of_strikes(rng, misses, seconds))
    values: list[float] = np.asarray(motion).round(3).tolist()
    seen = Motion() if rng.random() < 0.15 else Motion(RATE, tuple(values))
    return Cues(tuple(sounds), tuple(strikes), seen, seconds)


def _add(wave: Wave, part: Wave, place: int) -> None:
    """Adds `part` to `wave` from sample `place` on, as far as it lies within."""
    first, last = max(place, 0), min(place + len(part), len(wave))
    if last > first:
        wave[first:last] += part[first - place : last - place]


def _peak_of_one(wave: Wave) -> Wave:
    """Scaled so that its peak is 1; silence stays."""
    return wave / max(float(np.abs(wave).max(initial=0.0)), 1e-2)

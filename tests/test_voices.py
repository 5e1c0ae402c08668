"""The sounds of FoleyWorld against what their script says: instants, pitches, levels."""

from __future__ import annotations

import numpy as np
import pytest

from frieren.world import GALLERY
from frieren.world.modal import fast_length
from frieren.world.room import Room, draw_room, record
from frieren.world.script import Activity, Event, Source
from frieren.world.voices import sound, steady, strike

RATE = 16000
QUIET = Room(hiss=-200.0, hum=-200.0)  # nothing but the direct sound
STEADY = tuple(name for name, kind in GALLERY.items() if kind.voices)
IMPACTS = tuple(name for name, kind in GALLERY.items() if kind.builds)
MATERIALS = {name: kind.materials for name, kind in GALLERY.items()}
PITCHES = {name: kind.pitches for name, kind in GALLERY.items()}
LOOSE = ("clap", "kit", "steps", "shatter")  # more noise than ring, or pieces that ring each at its own pitch
FOLLOWED = ("shatter", "punch", "steps")  # a hit brings softer ones after it: pieces, a chain, the toe
# A rate at which each of them goes on, in its own unit: drops, cracks, turns or teeth per second, Hz, or 0..1.
RATES = {
    **{"rain": 80.0, "engine": 40.0, "wind": 0.5, "fire": 25.0, "stream": 0.5, "waves": 0.5, "roll": 1.0},
    **{"scrape": 0.5, "saw": 120.0, "wheel": 1.0, "drill": 200.0, "siren": 800.0, "kettle": 2000.0, "flute": 500.0},
}
PAIRS = [(kind, material) for kind in IMPACTS for material in MATERIALS[kind]]


def struck(kind: str, material: str, hits: list[tuple[float, float]], pitch: float | None = None) -> Source:
    pitch = pitch or float(np.sqrt(np.prod(PITCHES[kind])))
    events = tuple(Event(kind, material, time, strength, 0.5, 0.5, True, pitch) for time, strength in hits)
    return Source(kind, 0.5, None, events=events)


def running(
    kind: str, rate: tuple[float, float], loudness: tuple[float, float] = (1.0, 1.0), seconds: float = 4.0
) -> Source:
    times = np.linspace(0.0, seconds, 50)
    return Source(
        kind,
        0.5,
        None,
        activity=Activity(kind, MATERIALS[kind][0], times, np.linspace(*loudness, 50), np.linspace(*rate, 50)),
    )


def decibels(wave: np.ndarray) -> float:
    return float(10.0 * np.log10(np.mean(np.square(wave, dtype=np.float64)) + 1e-20))


def flux(wave: np.ndarray, hop: int = 64) -> np.ndarray:
    """Mean rise of the log magnitude over bands [N], one value per hop; the plainest onset detector."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(wave, (256, 256)), 512)[::hop] * np.hanning(512)
    level = np.log(np.abs(np.fft.rfft(frames))[:, 4:252].reshape(len(frames), 31, 8).mean(-1) + 1e-2)
    return np.maximum(level[4:] - level[:-4], 0.0).mean(-1)


@pytest.mark.parametrize(("kind", "material"), PAIRS)
def test_impact_starts_at_its_sample_and_at_once(kind, material):
    time = 0.50003
    start = round(time * RATE)
    for pitch in PITCHES[kind]:
        wave = sound((struck(kind, material, [(time, 0.8)], pitch),), QUIET, 1.5, RATE, np.random.default_rng(1))
        assert len(wave) == round(1.5 * RATE)
        assert wave.dtype == np.float32
        assert np.abs(wave[:start]).max() < 1e-6
        assert np.abs(wave[start : start + 3]).max() > 1e-4
        energy = np.convolve(np.square(wave), np.ones(32), mode="valid")
        assert start - 32 <= int(np.argmax(energy)) <= start + round(0.005 * RATE)


@pytest.mark.parametrize("level", range(4))
def test_nothing_is_heard_before_its_cause(level):
    """Two clips that differ only in a late event agree until that event, whatever the room."""
    room = draw_room(np.random.default_rng(level), level)
    early, both = struck("hammer", "metal", [(0.3, 0.7)]), struck("hammer", "metal", [(0.3, 0.7), (1.0, 1.0)])
    one, two = (sound((source,), room, 2.0, RATE, np.random.default_rng(5)) for source in (early, both))
    assert np.abs(one[:RATE] - two[:RATE]).max() < 2e-5
    assert np.abs(one[RATE:] - two[RATE:]).max() > 0.02


def test_the_same_seed_gives_the_same_sound_and_another_seed_another():
    sources = (struck("drum", "skin", [(0.2, 1.0)]), running("wind", (0.2, 0.8)))
    room = draw_room(np.random.default_rng(0), 2)
    first, again, other = (sound(sources, room, 2.0, RATE, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other, atol=1e-2)


@pytest.mark.parametrize("level", range(4))
def test_levels(level):
    for seed in range(3):
        rng = np.random.default_rng([level, seed])
        room = draw_room(rng, level)
        hits = [(0.3 * i + 0.1, float(rng.uniform(0.35, 1.0))) for i in range(6)] + [(1.9, 1.0)]
        for kind in IMPACTS:
            wave = sound((struck(kind, str(rng.choice(MATERIALS[kind])), hits),), room, 2.0, RATE, rng)
            assert np.isfinite(wave).all() and 0.08 < np.abs(wave).max() <= 1.0
        background = decibels(sound((), room, 2.0, RATE, rng))
        assert -90.0 < background < (-54.0 if level < 2 else -38.0)


def test_many_loud_sources_stay_in_range():
    sources = tuple(struck("drum", "bag", [(0.5, 1.0)]) for _ in range(12))
    wave = sound(sources, Room(), 1.0, RATE, np.random.default_rng(0))
    assert 0.85 < np.abs(wave).max() <= 1.0


@pytest.mark.parametrize(("kind", "material"), PAIRS)
def test_strength_spans_twelve_decibels(kind, material):
    def mean_level(strength: float) -> float:
        waves = (strike(kind, material, 600.0, strength, RATE, np.random.default_rng(seed)) for seed in range(12))
        return float(np.mean([20.0 * np.log10(np.abs(wave).max()) for wave in waves]))

    assert 9.0 < mean_level(1.0) - mean_level(0.35) < 15.0


@pytest.mark.parametrize(("kind", "material"), [pair for pair in PAIRS if pair[0] not in ("drip", *LOOSE)])
def test_the_fundamental_sounds(kind, material):
    for pitch in PITCHES[kind]:
        wave = strike(kind, material, pitch, 1.0, RATE, np.random.default_rng(2))
        spectrum = np.abs(np.fft.rfft(wave, 1 << 16))
        hz = np.fft.rfftfreq(1 << 16, 1.0 / RATE)
        near = (hz > 0.8 * pitch) & (hz < 1.22 * pitch)
        # A heavily damped mode has a wide, leaning peak.
        assert abs(hz[near][np.argmax(spectrum[near])] / pitch - 1.0) < 0.08
        assert spectrum[near].max() > 0.2 * spectrum.max()


def test_a_bubble_rises():
    wave = strike("drip", "water", 1000.0, 1.0, RATE, np.random.default_rng(0))[160:]

    def crossings(part: np.ndarray) -> float:
        index = np.flatnonzero(np.diff(np.signbit(part)))
        return (len(index) - 1) / (index[-1] - index[0])

    assert crossings(wave[320:640]) > 1.02 * crossings(wave[:320])


def test_metal_rings_longer_than_wood():
    def centre(material: str) -> float:
        wave = np.square(strike("hammer", material, 500.0, 1.0, RATE, np.random.default_rng(0)))
        return float(np.sum(np.arange(len(wave)) * wave) / np.sum(wave))

    assert centre("metal") > 3.0 * centre("wood")


@pytest.mark.parametrize(("kind", "material"), [pair for pair in PAIRS if pair[0] not in FOLLOWED])
def test_a_soft_hit_right_after_a_hard_one_is_found(kind, material):
    for seed in range(3):
        source = struck(kind, material, [(0.5, 1.0), (0.63, 0.35)])
        wave = sound((source,), draw_room(np.random.default_rng(seed), 1), 1.2, RATE, np.random.default_rng(seed))
        novelty = flux(wave)
        at = [int(time * RATE / 64) for time in (0.5, 0.63)]
        peaks = [novelty[i - 8 : i + 4].max() for i in at]
        between = novelty[at[0] + 8 : at[1] - 12].max(initial=0.0)
        assert min(peaks) > 1.5 * between and min(peaks) > 0.1


def test_hits_of_one_source_are_alike_but_not_equal():
    wave = sound((struck("ball", "wood", [(0.1, 0.8), (0.6, 0.8)]),), QUIET, 1.0, RATE, np.random.default_rng(0))
    first, second = (np.abs(np.fft.rfft(wave[int(t * RATE) :][:2000])) for t in (0.1, 0.6))
    likeness = float(first @ second / np.sqrt((first @ first) * (second @ second)))
    assert 0.8 < likeness < 0.99999


@pytest.mark.parametrize("kind", STEADY)
def test_continuous_sounds_have_level_and_soft_edges(kind):
    rate = (RATES[kind], RATES[kind])
    for seed in range(4):
        wave = sound((running(kind, rate),), QUIET, 4.0, RATE, np.random.default_rng(seed))
        assert -24.0 < decibels(wave) < -12.0
        dry = steady(running(kind, rate).activity, 4 * RATE, RATE, np.random.default_rng(seed))
        assert np.abs(dry[:4]).max() < 1e-3 and np.abs(dry[-4:]).max() < 1e-3
        silent = sound((running(kind, rate, (0.0, 0.0)),), QUIET, 4.0, RATE, np.random.default_rng(seed))
        assert np.abs(silent).max() < 1e-6


@pytest.mark.parametrize("kind", STEADY)
def test_continuous_sounds_follow_their_loudness(kind):
    rate = (RATES[kind], RATES[kind])
    wave = sound((running(kind, rate, (0.1, 1.0)),), QUIET, 4.0, RATE, np.random.default_rng(0))
    assert decibels(wave[-RATE:]) - decibels(wave[:RATE]) > 8.0


@pytest.mark.parametrize("rate", [30.0, 55.0, 110.0])
def test_the_harmonics_of_an_engine_lie_at_its_firing_rate(rate):
    wave = sound((running("engine", (rate, rate)),), QUIET, 4.0, RATE, np.random.default_rng(1))
    power = np.square(np.abs(np.fft.rfft(wave * np.hanning(len(wave)))))
    hz = np.fft.rfftfreq(len(wave), 1.0 / RATE)
    comb = {
        f: sum(power[np.abs(hz - k * f) < 0.02 * k * f].sum() for k in range(1, 5))
        for f in (rate, 0.83 * rate, 1.21 * rate)
    }
    assert comb[rate] > 4.0 * max(comb[0.83 * rate], comb[1.21 * rate])


def centroid(wave: np.ndarray) -> float:
    power = np.square(np.abs(np.fft.rfft(wave)))
    return float(np.sum(np.fft.rfftfreq(len(wave), 1.0 / RATE) * power) / np.sum(power))


@pytest.mark.parametrize(("kind", "rate"), [("engine", (25.0, 110.0)), ("wind", (0.0, 1.0))])
def test_faster_is_brighter(kind, rate):
    wave = sound((running(kind, rate),), QUIET, 4.0, RATE, np.random.default_rng(3))
    assert centroid(wave[-RATE:]) > 1.3 * centroid(wave[:RATE])


def test_more_drops_where_the_rate_is_higher():
    wave = sound((running("rain", (2.0, 60.0)),), QUIET, 4.0, RATE, np.random.default_rng(3))

    def peaky(part: np.ndarray) -> int:
        return int(np.sum(np.abs(part).reshape(-1, 160).max(-1) > 0.2))

    assert peaky(wave[-RATE:]) > 2 * peaky(wave[:RATE])


def test_reverberation_lengthens_a_click():
    click = np.zeros(RATE, dtype=np.float32)
    click[1000] = 0.5
    dry, wet = (
        record(click, Room(reverb_time=time, reverb_mix=0.4, hiss=-200.0, hum=-200.0), RATE, np.random.default_rng(0))
        for time in (0.0, 0.6)
    )
    assert np.abs(dry[2000:]).max() < 1e-5
    assert np.abs(wet[2000:]).max() > 1e-3


def test_unknown_names_say_what_there_is():
    with pytest.raises(ValueError, match="rubber, wood, plastic, glass"):
        strike("ball", "cheese", 300.0, 1.0, RATE, np.random.default_rng(0))
    with pytest.raises(ValueError, match="expected one with impacts"):
        strike("wind", "air", 300.0, 1.0, RATE, np.random.default_rng(0))
    with pytest.raises(ValueError, match="level is 4"):
        draw_room(np.random.default_rng(0), 4)


def test_fast_length_is_short_and_enough():
    for samples in (1, 7, 8, 1000, 128000, 131073):
        assert samples <= fast_length(samples) <= max(1.26 * samples, 8)

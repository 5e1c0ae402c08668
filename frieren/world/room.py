"""Rooms and microphones: what happens to a sound between its cause and the file.

The direct sound is never delayed, so that an event stays at its sample; everything is causal, so that nothing is
heard before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from frieren.world.modal import fast_length

LIMIT = 0.85  # amplitude above which the last limiter bends the wave so that it stays within -1..1


@dataclass(frozen=True)
class Room:
    """Where it is heard and through what.

    Attributes:
        distance: metres to the microphone; level falls by its inverse from 1 m on.
        dullness: Hz of the low-pass that distance and soft walls put on everything.
        reverb_time: seconds for the tail to fall by 60 dB; 0 for none.
        reverb_mix: RMS of the tail over that of the direct sound.
        hiss: RMS of the background noise, dBFS.
        hiss_tilt: 0 white to 0.5 pink.
        hum: RMS of the mains hum, dBFS.
        hum_hz: its fundamental, 50 or 60 Hz.
        low_hz, high_hz: band limits of the microphone.
        clip: amplitude at which the microphone flattens the wave; 1 for never.
    """

    distance: float = 1.0
    dullness: float = 8000.0
    reverb_time: float = 0.0
    reverb_mix: float = 0.0
    hiss: float = -75.0
    hiss_tilt: float = 0.0
    hum: float = -100.0
    hum_hz: float = 50.0
    low_hz: float = 20.0
    high_hz: float = 8000.0
    clip: float = 1.0


# Per level 0..3: (low, high) of each uniform draw.
RANGES: dict[str, tuple[tuple[float, float], ...]] = {
    "distance": ((0.9, 1.2), (0.9, 1.6), (1.0, 1.9), (1.0, 2.2)),
    "dullness": ((7000, 8000), (5000, 8000), (3500, 8000), (2500, 8000)),
    "reverb_time": ((0.0, 0.1), (0.1, 0.35), (0.15, 0.6), (0.2, 0.9)),
    "reverb_mix": ((0.0, 0.05), (0.05, 0.2), (0.05, 0.35), (0.1, 0.5)),
    "hiss": ((-72, -62), (-67, -57), (-60, -48), (-54, -42)),
    "hiss_tilt": ((0.0, 0.2), (0.0, 0.5), (0.0, 0.5), (0.0, 0.5)),
    "hum": ((-90, -80), (-80, -64), (-72, -54), (-64, -46)),
    "low_hz": ((20, 30), (20, 60), (20, 120), (40, 200)),
    "high_hz": ((7500, 8000), (6000, 8000), (4500, 8000), (3500, 8000)),
    "clip": ((1.0, 1.0), (1.0, 1.0), (0.5, 1.5), (0.2, 1.2)),
}


def draw_room(rng: np.random.Generator, level: int) -> Room:
    """A room of difficulty `level`: 0 dry and nearly clean to 3 far, live, noisy and badly recorded.

    Raises:
        ValueError: if level is not 0, 1, 2 or 3.
    """
    if level not in (0, 1, 2, 3):
        raise ValueError(f"level is {level!r}; expected 0, 1, 2 or 3")
    drawn = {name: float(rng.uniform(*ranges[level])) for name, ranges in RANGES.items()}
    drawn["clip"] = min(drawn["clip"], 1.0)
    return Room(hum_hz=float(rng.choice([50.0, 60.0])), **drawn)


def record(dry: np.ndarray, room: Room, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """The dry sound [S] as the microphone of `room` hears it, [S] float32 in -1..1."""
    samples = len(dry)
    size = fast_length(samples + int(room.reverb_time * sample_rate) + sample_rate // 10)
    hz = np.fft.rfftfreq(size, 1.0 / sample_rate)
    spectrum = np.fft.rfft(dry.astype(np.float32), size)
    if room.reverb_time > 0.0 and room.reverb_mix > 0.0:
        spectrum = spectrum * (1.0 + np.fft.rfft(reverberation(room, sample_rate, rng), size))
    z = np.exp(-2j * np.pi * hz / sample_rate).astype(np.complex64)
    spectrum = spectrum * (low_pass(room.dullness, z, sample_rate) * np.float32(1.0 / max(room.distance, 1.0)))
    spectrum = spectrum + hiss(room, hz, size, rng)
    spectrum = spectrum * low_pass(room.high_hz, z, sample_rate) * high_pass(room.low_hz, z, sample_rate)
    wave = np.fft.irfft(spectrum, size)[:samples].astype(np.float32)
    wave += hum(room, samples, sample_rate, rng)
    return limit(np.clip(wave, -room.clip, room.clip) if room.clip < 1.0 else wave)


def reverberation(room: Room, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """The tail without the direct sound [N] float32: decaying noise (Moorer 1979) after a first gap, RMS reverb_mix."""
    samples = max(int(room.reverb_time * sample_rate), 2)
    gap = int(rng.uniform(0.004, 0.015) * sample_rate)
    t = np.arange(samples) / sample_rate
    tail = rng.standard_normal(samples) * np.exp(-np.log(1000.0) * t / room.reverb_time)
    # Walls swallow treble: the mean of neighbours is the cheapest low-pass.
    tail[1:] = 0.5 * (tail[1:] + tail[:-1])
    tail *= room.reverb_mix / np.sqrt(np.sum(tail**2))
    return np.concatenate([np.zeros(gap), tail]).astype(np.float32)


def hiss(room: Room, hz: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Spectrum [size // 2 + 1] of background noise at room.hiss dBFS before the band limits."""
    shape = (np.maximum(hz, 60.0) / 1000.0) ** -room.hiss_tilt
    shape *= 10.0 ** (room.hiss / 20.0) / np.sqrt(np.mean(shape**2)) * np.sqrt(size / 2.0)
    shape[0] = 0.0
    return rng.standard_normal(2 * len(hz), dtype=np.float32).view(np.complex64) * shape.astype(np.float32)


def hum(room: Room, samples: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Mains hum [samples] float32 with two overtones, RMS room.hum dBFS."""
    phase = (2.0 * np.pi * room.hum_hz / sample_rate) * np.arange(samples) + rng.uniform(0.0, 2.0 * np.pi)
    weights = np.array([1.0, rng.uniform(0.3, 0.9), rng.uniform(0.1, 0.5)])
    weights *= 10.0 ** (room.hum / 20.0) * np.sqrt(2.0 / np.sum(weights**2))
    # sin 2x = 2 sin x cos x and sin 3x = sin x (3 - 4 sin^2 x) save two rounds of sines.
    sine, cosine = np.sin(phase), np.cos(phase)
    wave = sine * (weights[0] + 2.0 * weights[1] * cosine + weights[2] * (3.0 - 4.0 * sine**2))
    return wave.astype(np.float32)


def low_pass(cutoff: float, z: np.ndarray, sample_rate: int) -> np.ndarray:
    """Response at z = exp(-j w) of two one-pole low-passes in a row: causal, with its -6 dB point near `cutoff` Hz."""
    if cutoff >= 0.499 * sample_rate:
        return np.ones_like(z)
    # The pole that puts a digital one-pole 3 dB down at the cutoff.
    c = 2.0 - np.cos(2.0 * np.pi * cutoff / sample_rate)
    pole = np.float32(c - np.sqrt(c * c - 1.0))
    return ((1.0 - pole) / (1.0 - pole * z)) ** 2


def high_pass(cutoff: float, z: np.ndarray, sample_rate: int) -> np.ndarray:
    """Response at z = exp(-j w) of a causal one-pole high-pass, -3 dB near `cutoff` Hz."""
    pole = np.float32(np.exp(-2.0 * np.pi * cutoff / sample_rate))
    return 0.5 * (1.0 + pole) * (1.0 - z) / (1.0 - pole * z)


def limit(wave: np.ndarray) -> np.ndarray:
    """Bends what exceeds LIMIT smoothly below 1; the rest is untouched. In place."""
    loud = np.abs(wave) > LIMIT
    if loud.any():
        over = np.abs(wave[loud]) - LIMIT
        wave[loud] = np.sign(wave[loud]) * (LIMIT + (1.0 - LIMIT) * np.tanh(over / (1.0 - LIMIT)))
    return wave

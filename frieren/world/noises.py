"""Stuff that continuous sounds are made of: noise whose band moves, showers of grains, tones that sweep."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from frieren.world.modal import HIGHEST, band, coloured, fade_out

TABLE = 4096  # samples of one period of a tone


def sliding(where: np.ndarray, centres: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Band-passed noise [S] float32 whose centre moves: `where` [S] is 0 at the first of `centres` (Hz), 1 at the next.

    Fixed bands are mixed with weights that slide over them: a filter that moves, at the cost of one per band.
    """
    wave = np.zeros(len(where), dtype=np.float32)
    for index, centre in enumerate(centres):
        weight = np.sqrt(np.clip(1.0 - np.abs(where - index), 0.05, 1.0)).astype(np.float32)

        def narrow(hz: np.ndarray, centre: float = centre) -> np.ndarray:
            return band(0.85 * centre, 1.18 * centre)(hz) ** 3

        wave += weight * coloured(len(where), narrow, sample_rate, rng)
    return wave


def arrivals(rate: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Samples [N] at which something happens: a Poisson process of `rate` [S] per second."""
    return np.flatnonzero(rng.random(len(rate), dtype=np.float32) < rate / sample_rate)


def scattered(
    first: np.ndarray, bank: np.ndarray, samples: int, rng: np.random.Generator, spread: float = 0.6
) -> np.ndarray:
    """[samples]: at each of `first` [N] a grain of `bank` [K, G], louder or softer by `spread` (of the log)."""
    which = rng.integers(len(bank), size=len(first))
    size = np.exp(spread * rng.standard_normal(len(first)))
    at = first[:, None] + np.arange(bank.shape[1])
    return np.bincount(at.ravel(), (bank[which] * size[:, None]).ravel(), minlength=samples)[:samples]


def clicks(
    count: int,
    seconds: float,
    fall: tuple[float, float],
    hz: tuple[float, float],
    sample_rate: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """A bank [count, G] of bursts of noise in the band `hz`, dying in `fall` (shortest, longest) seconds."""
    t = np.arange(int(seconds * sample_rate)) / sample_rate
    bank = [coloured(len(t), band(*hz), sample_rate, rng) * np.exp(-t / rng.uniform(*fall)) for _ in range(count)]
    return np.stack([fade_out(grain) for grain in bank])


def wander(samples: int, step: int, rng: np.random.Generator) -> np.ndarray:
    """A random curve [samples] of about unit size, with a knot about every `step` samples."""
    knots = np.linspace(0.0, samples, 2 + samples // step)
    return np.interp(np.arange(samples), knots, rng.standard_normal(len(knots)))


def tone(
    hz: np.ndarray, weights: Sequence[float] | np.ndarray, sample_rate: int, rng: np.random.Generator
) -> np.ndarray:
    """A periodic sound [S] float32 of unit RMS at the frequency `hz` [S], with harmonics of amplitudes `weights`."""
    weights = np.asarray(weights, float)
    order = np.arange(1, len(weights) + 1)
    fits = order * max(float(hz.max()), 1.0) < HIGHEST * sample_rate
    spectrum = np.zeros(TABLE // 2 + 1, dtype=complex)
    spectrum[order] = weights * fits * np.exp(2j * np.pi * rng.uniform(size=len(order)))
    table = np.fft.irfft(spectrum)
    table = (table / max(np.sqrt(np.mean(table**2)), 1e-9)).astype(np.float32)
    return table[(np.cumsum(hz) / sample_rate % 1.0 * TABLE).astype(np.int32) % TABLE]


def unit(wave: np.ndarray, loudness: np.ndarray) -> np.ndarray:
    """The wave [S] as float32, scaled to an RMS of 1 where it is to be heard."""
    weight = np.square(loudness, dtype=np.float64)
    power = float(np.sum(weight * np.square(wave, dtype=np.float64)) / max(float(weight.sum()), 1e-9))
    return (wave / np.sqrt(max(power, 1e-9))).astype(np.float32)

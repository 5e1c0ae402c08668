"""Struck bodies: an impact as a sum of damped sinusoids and a short burst of contact noise.

Modal synthesis after van den Doel and Pai, "The sounds of physical shapes" (1998): frequencies come from the shape,
damping from the material, the balance of the modes from where and how hard the body is hit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

# Mode frequencies over the fundamental (Fletcher and Rossing, "The physics of musical instruments").
SHAPES: dict[str, tuple[float, ...]] = {
    "bar": (1.0, 2.76, 5.40, 8.93),
    "membrane": (1.0, 1.59, 2.14, 2.30, 2.65, 2.92),
    "plate": (1.0, 1.34, 1.83, 2.37, 2.92, 3.61, 4.28, 5.17, 6.05, 7.30),
    "shell": (1.0, 1.72, 2.57, 3.64, 4.81, 6.13, 7.70),
    "block": (1.0, 1.47, 2.09, 2.56, 3.37),
    "string": tuple(float(k) for k in range(1, 13)),
    "bubble": (1.0,),
    "bell": (1.0, 0.5, 1.2, 1.5, 2.0, 2.5, 2.66, 3.0, 4.0),
    "panel": (1.0, 1.93, 2.61, 3.87, 5.2),
}
STIFFNESS = 4e-4  # of a string: mode k sounds at k sqrt(1 + STIFFNESS k^2)
FLOOR_DB = 60.0  # tails end where the slowest mode has fallen this far
LONGEST = 2.0  # seconds, and never later than this
STRENGTH_DB = 12.0  # level between the softest and the hardest hit
SOFTEST = 0.35
BITE = 0.6  # by how much the first instants stand out: the many fast modes that are not modelled one by one
BITE_SECONDS = 0.003
HIGHEST = 0.45  # of the sample rate: modes above are left out
BLOCK = 128  # samples in a row of the factorised exponential; about the root of the usual tail


@dataclass(frozen=True)
class Build:
    """How one material behaves in one kind of object: the ranges that a body is drawn from.

    Attributes:
        shape: key of SHAPES.
        decay: (low, high) seconds in which the fundamental falls by 30 dB.
        slope: mode at ratio r decays r**slope times as fast.
        hardness: Hz above which the hardest hit no longer excites modes.
        noise: amplitude of the contact noise over that of the ring.
        noise_decay: seconds in which the noise falls by 30 dB.
        noise_band: (low, high) Hz of the noise.
    """

    shape: str
    decay: tuple[float, float]
    slope: float
    hardness: float
    noise: float
    noise_decay: float
    noise_band: tuple[float, float]


@dataclass(frozen=True)
class Body:
    """One drawn body, K modes; every hit of a source shares it.

    Attributes:
        frequencies: [K] Hz.
        damping: [K] amplitude decay, 1/s.
        weights: [K] of the modes for the usual place of the hit.
        hardness, noise, noise_decay, noise_band: as in Build.
        rise: relative rise of the frequency per second (a bubble nearing the surface).
        scale: factor that brings the hardest hit to a peak of 1.
    """

    frequencies: np.ndarray
    damping: np.ndarray
    weights: np.ndarray
    hardness: float
    noise: float
    noise_decay: float
    noise_band: tuple[float, float]
    rise: float = 0.0
    scale: float = 1.0

    def at_pitch(self, ratio: float) -> Body:
        """The same body tuned `ratio` times higher; like the keys of a piano, higher ones ring a little less long."""
        if ratio == 1.0:
            return self
        return replace(self, frequencies=self.frequencies * ratio, damping=self.damping * ratio**0.3)


def loudness(strength: float) -> float:
    """Amplitude of a hit: 1 at strength 1, STRENGTH_DB lower at SOFTEST, linear in dB between and beyond."""
    return float(10.0 ** (STRENGTH_DB / 20.0 * (strength - 1.0) / (1.0 - SOFTEST)))


def coloured(
    samples: int, gain: Callable[[np.ndarray], np.ndarray], sample_rate: int, rng: np.random.Generator
) -> np.ndarray:
    """Gaussian noise [samples] float32 of unit RMS whose spectrum follows `gain` (Hz [N] -> amplitude [N])."""
    size = fast_length(samples)
    shape = gain(np.fft.rfftfreq(size, 1.0 / sample_rate)).astype(np.float32)
    spectrum = rng.standard_normal(2 * len(shape), dtype=np.float32).view(np.complex64) * shape
    spectrum[0] = 0.0
    power = 4.0 * float(np.sum(shape[1:].astype(np.float64) ** 2))
    return (np.fft.irfft(spectrum, size)[:samples] * (size / np.sqrt(max(power, 1e-20)))).astype(np.float32)


def band(low: float, high: float) -> Callable[[np.ndarray], np.ndarray]:
    """Amplitude over Hz of a gentle band-pass: 12 dB per octave outside low..high."""
    return lambda hz: 1.0 / ((1.0 + (low / np.maximum(hz, 1.0)) ** 2) * (1.0 + (hz / high) ** 2))


def fast_length(samples: int) -> int:
    """The smallest length >= samples that a Fourier transform likes: 8, 9, 10, 12 or 15 times a power of two."""
    return min(factor << max(0, (-(-samples // factor) - 1).bit_length()) for factor in (8, 9, 10, 12, 15))


def draw_body(build: Build, pitch: float, sample_rate: int, rng: np.random.Generator) -> Body:
    """A body of `build` whose fundamental is `pitch` Hz.

    The random part is the damping, the place where it is hit, a slight spread of the upper modes and of the noise.
    """
    ratios = np.array(SHAPES[build.shape])
    order = np.arange(len(ratios))
    if build.shape == "string":
        ratios = ratios * np.sqrt((1.0 + STIFFNESS * ratios**2) / (1.0 + STIFFNESS))
    elif len(ratios) > 1:
        # Real bodies are not ideal: every mode but the first is a little off.
        ratios = ratios * np.where(order > 0, np.exp(0.03 * rng.standard_normal(len(ratios))), 1.0)
    place = rng.uniform(0.12, 0.22)
    # A hit at `place` of the length drives mode k by sin(pi k place); the floor keeps nodes from going mute.
    weights = np.maximum(np.abs(np.sin(np.pi * (order + 1) * place)), 0.15) / (1.0 + 0.35 * order)
    weights[0] = max(weights[0], 0.8 * weights.max())
    fall = np.log(10.0) * 30.0 / 20.0
    damping = fall / np.exp(rng.uniform(*np.log(build.decay))) * ratios**build.slope
    body = Body(
        frequencies=pitch * ratios,
        damping=damping,
        weights=weights / np.sum(weights),
        hardness=build.hardness * rng.uniform(0.8, 1.25),
        noise=build.noise * rng.uniform(0.8, 1.25),
        noise_decay=build.noise_decay * rng.uniform(0.8, 1.25),
        noise_band=build.noise_band,
        rise=rng.uniform(2.0, 7.0) if build.shape == "bubble" else 0.0,
    )
    peaks = [np.max(np.abs(hit(body, 1.0, sample_rate, rng))) for _ in range(3)]
    return replace(body, scale=1.0 / float(np.median(peaks)))


def hit(body: Body, strength: float, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """One hit [N] float32; the contact is at sample 0, the peak about loudness(strength)."""
    # A softer hit stays in contact for longer, which filters the force (Hertz: contact time falls with speed).
    cutoff = body.hardness * (0.4 + 0.6 * strength)
    force = body.weights / (1.0 + (body.frequencies / cutoff) ** 2)
    force = force * (body.frequencies < HIGHEST * sample_rate)  # what the sample rate cannot hold would fold down
    force = force / max(float(np.sum(force)), 1e-9) * np.exp(0.12 * rng.standard_normal(len(force)))
    wave = chirp(body, force, sample_rate) if body.rise else ring(body, force, sample_rate)
    first = np.arange(min(int(6.0 * BITE_SECONDS * sample_rate), len(wave))) / (BITE_SECONDS * sample_rate)
    wave[: len(first)] *= (1.0 + BITE * np.exp(-first)).astype(np.float32)
    burst = contact(body, cutoff, sample_rate, rng)[: len(wave)]
    wave[: len(burst)] += burst
    return wave * np.float32(body.scale * loudness(strength) * np.exp(0.04 * rng.standard_normal()))


def tail(body: Body, sample_rate: int) -> int:
    """Samples until the slowest mode has fallen by FLOOR_DB, at least 40 ms."""
    seconds = np.log(10.0) * FLOOR_DB / 20.0 / float(np.min(body.damping))
    return int(min(max(seconds, 0.04), LONGEST) * sample_rate)


def ring(body: Body, force: np.ndarray, sample_rate: int) -> np.ndarray:
    """The sum over modes of force * sin(2 pi f t) exp(-damping t), [N] float32, to FLOOR_DB.

    exp(z n) with n = BLOCK i + j is exp(z BLOCK i) exp(z j), so the whole sum is one small matrix product.
    """
    samples = tail(body, sample_rate)
    z = (2j * np.pi * body.frequencies - body.damping) / sample_rate
    rows = np.exp(np.outer(np.arange(-(-samples // BLOCK)) * BLOCK, z)) * force
    columns = np.exp(np.outer(z, np.arange(BLOCK)))
    left = np.concatenate([rows.imag, rows.real], axis=1).astype(np.float32)
    right = np.concatenate([columns.real, columns.imag], axis=0).astype(np.float32)
    return fade_out((left @ right).reshape(-1)[:samples])


def chirp(body: Body, force: np.ndarray, sample_rate: int) -> np.ndarray:
    """A bubble's ring [N] float32: one mode that rises as the bubble nears the surface (van den Doel 2005)."""
    t = np.arange(tail(body, sample_rate)) / sample_rate
    phase = 2.0 * np.pi * body.frequencies[0] * (t + 0.5 * body.rise * t**2)
    return fade_out((force[0] * np.sin(phase) * np.exp(-body.damping[0] * t)).astype(np.float32))


def contact(body: Body, cutoff: float, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """The noise of the touch itself [N] float32: full at sample 0, then an exponential fall."""
    samples = max(int(2.0 * body.noise_decay * sample_rate), 8)
    low, high = body.noise_band
    noise = coloured(samples, band(low, min(high, max(cutoff, 2.0 * low))), sample_rate, rng)
    fall = np.log(10.0) * 30.0 / 20.0 / body.noise_decay
    return fade_out(body.noise * noise * np.exp(-fall * np.arange(samples) / sample_rate).astype(np.float32))


def layered(*parts: tuple[int, float, np.ndarray]) -> np.ndarray:
    """The sum [N] float32 of waves, each (samples of delay, gain, wave), as long as the last of them."""
    total = np.zeros(max(delay + len(wave) for delay, _, wave in parts), dtype=np.float32)
    for delay, gain, wave in parts:
        total[delay : delay + len(wave)] += np.float32(gain) * wave.astype(np.float32)
    return total


def fade_out(wave: np.ndarray) -> np.ndarray:
    """The last eighth of a tail goes to zero, so that cutting it off cannot click; in place."""
    samples = max(len(wave) // 8, 1)
    wave[-samples:] *= np.linspace(1.0, 0.0, samples, dtype=np.float32)
    return wave

"""The camera and the file: exposure, light, noise, compression, frame rate; from parts to the frames of a film."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from frieren.world.puppets.paths import RATE, Curve, wander
from frieren.world.puppets.stage import Framing, Part, rasterise

RATES = (12, 15, 15, 15, 20, 21, 24, 25, 25, 29.97, 30, 30, 30, 50, 60)


@dataclass(frozen=True)
class Film:
    """Frames as a file holds them.

    Attributes:
        images: [F, h, w] float32 grey in 0..1.
        times: [F] seconds, increasing from 0.
        start: s, instant of the scene at which the first frame is exposed.
    """

    images: Tensor
    times: Curve
    start: float


def draw_view(rng: np.random.Generator, seconds: float) -> Framing:
    """Draws how the camera is held: on a stand, in a hand, panning, zooming."""
    t = np.arange(int(seconds * RATE) + 2) / RATE
    x, y, angle, zoom = np.zeros_like(t), np.zeros_like(t), np.zeros_like(t), np.ones_like(t)
    hand = rng.choice([0.0, 0.4, 1.0, 2.0]) * rng.uniform(0.2, 1)
    if hand:
        for cutoff, size in ((0.4, 0.03), (1.5, 0.012), (5.0, 0.003)):
            x, y = x + wander(rng, t, cutoff, hand * size), y + wander(rng, t, cutoff, hand * size)
            angle = angle + wander(rng, t, cutoff, hand * size * 0.5)
    if rng.random() < 0.15:
        start, length = rng.uniform(0, seconds), rng.uniform(0.3, 2)
        u = np.clip((t - start) / length, 0, 1)
        way = u * u * (3 - 2 * u)
        x, y = x + rng.normal(0, 0.6) * way, y + rng.normal(0, 0.3) * way
        if rng.random() < 0.4:
            zoom = zoom * np.exp(rng.normal(0, 0.3) * way)
    return Framing(x, y, angle, zoom)


def shoot(
    rng: np.random.Generator,
    parts: list[Part],
    view: Framing,
    seconds: float,
    height: int,
    width: int,
    textures: Tensor,
    fps: float | None = None,
    clean: bool = False,
) -> Film:
    """Films the parts.

    Args:
        rng: faults of the camera and the file.
        parts: from the back to the front.
        view: of the camera.
        seconds: length.
        height, width: of the pictures.
        textures: as `draw_textures` gives them.
        fps: frame rate; drawn if it is not given.
        clean: no faults at all.
    """
    fps = float(fps or rng.choice(RATES))
    start = 0.0 if clean else rng.uniform(0, 1 / fps)
    times = np.arange(start, seconds, 1 / fps)
    shutter = 0.0 if clean else rng.choice([0.0, 0.25, 0.5, 1.0]) * min(1 / fps, 1 / 20)
    shots = 1 if shutter < 0.012 else 2 if shutter < 0.03 else 3
    offsets = (np.arange(shots) + 0.5) / shots * shutter
    exposures = (times[:, None] + offsets[None]).ravel().clip(0, seconds)
    images = rasterise(parts, view, exposures, height, width, textures)
    images = images.view(len(times), shots, height, width).mean(1)
    if not clean:
        images = _faults(rng, images, times, fps)
    return Film(images, times - start, start)


def _faults(rng: np.random.Generator, images: Tensor, times: Curve, fps: float) -> Tensor:
    gain = np.ones(len(times))
    if rng.random() < 0.2:  # automatic exposure, lamps
        gain = gain * np.exp(wander(rng, times + 1e-3, rng.uniform(0.3, 6), rng.uniform(0.01, 0.1)))
    if rng.random() < 0.05:
        gain = gain * (1 + rng.uniform(0.01, 0.1) * np.sin(2 * np.pi * rng.uniform(1, 12) * times))
    images = images * torch.from_numpy(gain.astype(np.float32)).view(-1, 1, 1)
    if rng.random() < 0.3:
        kernel = torch.tensor([0.25, 0.5, 0.25])
        images = F.conv2d(
            F.pad(images[:, None], (1, 1, 1, 1), mode="replicate"), (kernel[:, None] * kernel)[None, None]
        )[:, 0]
    images = images.clamp(0.01, 1) ** float(rng.uniform(0.6, 1.6))
    low, high = sorted(rng.uniform(0, 1, 2)) if rng.random() < 0.3 else (0.0, 1.0)
    images = low + images * max(high - low, 0.25)
    seed = torch.Generator().manual_seed(int(rng.integers(2**31)))
    noise = float(rng.choice([0.0005, 0.002, 0.005, 0.015]))
    images = images + noise * torch.randn(images.shape, generator=seed)
    if rng.random() < 0.6:
        images = _compress(rng, images, fps)
    if rng.random() < 0.12:  # frames that the recorder has doubled or a converter repeated
        if rng.random() < 0.5:
            index = np.arange(len(images)) // 2 * 2
        else:
            index = np.arange(len(images))
            index[rng.random(len(index)) < 0.08] -= 1
        images = images[torch.from_numpy(index.clip(0))]
    return (images * 255).round() / 255 if rng.random() < 0.5 else images


def _compress(rng: np.random.Generator, images: Tensor, fps: float) -> Tensor:
    """What a codec does to small changes: it leaves them out until they are large, or until the next key frame."""
    step = float(rng.choice([0.004, 0.008, 0.016]))
    every = int(rng.choice([12, 30, 60, 250]))
    phase, out = int(rng.integers(every)), [images[0]]
    for index in range(1, len(images)):
        change = images[index] - out[-1]
        if (index + phase) % every == 0:
            out.append(images[index])
            continue
        blocks = F.avg_pool2d(change.abs()[None], 2, ceil_mode=True)
        moved = F.interpolate(blocks[None], size=change.shape, mode="nearest")[0, 0] > step
        out.append(out[-1] + change * moved)
    return torch.stack(out)

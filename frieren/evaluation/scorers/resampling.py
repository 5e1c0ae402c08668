"""torchaudio's default resampler: windowed sinc, Hann, six zero crossings, roll-off 0.99.

Published scores were heard through it, and a score moves with the resampler; torchaudio itself does not import beside a
processor-only torch. Smith, "Digital audio resampling", https://ccrma.stanford.edu/~jos/resample.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

CROSSINGS, ROLL_OFF = 6, 0.99


def resample_sinc(wave: Tensor, rate: int, target: int) -> Tensor:
    """float32 [S] at `rate` -> float32 [ceil(S target / rate)] at `target` samples per second."""
    if rate == target:
        return wave
    divisor = math.gcd(rate, target)
    rate, target = rate // divisor, target // divisor
    cutoff = min(rate, target) * ROLL_OFF
    width = math.ceil(CROSSINGS * rate / cutoff)
    kernels = sinc_kernels(rate, target, cutoff, width).to(wave)
    padded = F.pad(wave[None, None], (width, width + rate))
    resampled = F.conv1d(padded, kernels[:, None], stride=rate)[0].T.flatten()
    return resampled[: math.ceil(target * len(wave) / rate)]


def sinc_kernels(rate: int, target: int, cutoff: float, width: int) -> Tensor:
    """One filter per phase of the output, [target, 2 width + rate], in float64."""
    places = torch.arange(-width, width + rate, dtype=torch.float64) / rate
    times = places - torch.arange(target, dtype=torch.float64)[:, None] / target
    times = (times * cutoff).clamp(-CROSSINGS, CROSSINGS)
    window = torch.cos(times * math.pi / CROSSINGS / 2) ** 2
    return torch.sinc(times) * window * cutoff / rate

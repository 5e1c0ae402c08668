"""Random changes of log-mels for classification: what a recording could as well have sounded like.

All on log10 mels [M, T], by the global random numbers. Numbers are settings of `RecordingsLoss`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from frieren.training.loss_settings import RecordingsLoss

FLOOR = -9.0  # log10 of what stands for silence where sounds are added
QUIETEST = 0.1  # of the noise's random amplitudes, in terms of its level


def uniform(low: float, high: float) -> float:
    """A random number."""
    return low + (high - low) * torch.rand(()).item()


def cut(mel: Tensor, columns: int, first: int | None = None) -> Tensor:
    """`columns` columns of a mel that is repeated if it is shorter, from column `first`; None: any."""
    if mel.shape[-1] < columns:
        mel = mel.repeat(1, -(-columns // mel.shape[-1]))
    if first is None:
        first = int(torch.randint(mel.shape[-1] - columns + 1, ()))
    return mel[:, first : first + columns]


def warped(mel: Tensor, loss: RecordingsLoss) -> Tensor:
    """At another speed and pitch."""
    columns = max(1, round(mel.shape[-1] * 2 ** uniform(-loss.speed, loss.speed)))
    mel = F.interpolate(mel[None], size=columns, mode="linear")[0]
    bins = round(uniform(-loss.pitch, loss.pitch))
    edge = mel[:1] if bins > 0 else mel[-1:]
    filling = edge.expand(abs(bins), -1)
    return torch.cat([filling, mel[:-bins]] if bins > 0 else [mel[-bins:], filling])


def smooth_curve(bins: int, points: int, deviation: float) -> Tensor:
    """A random curve over the bins, [M, 1]: `points` normal numbers joined by lines."""
    curve = deviation * torch.randn(1, 1, points)
    return F.interpolate(curve, size=bins, mode="linear", align_corners=True)[0, 0, :, None]


def added(one: Tensor, other: Tensor) -> Tensor:
    """Two log-mels as one; phases do not count."""
    return (10**one + 10**other).log10()


def with_noise(mel: Tensor, loss: RecordingsLoss) -> Tensor:
    """With coloured noise, its level drawn against the loudest."""
    level = mel.amax() + uniform(*loss.noise) + smooth_curve(len(mel), 4, 0.3)
    return added(mel, level + torch.rand_like(mel).clamp(min=QUIETEST).log10())


def changed(mel: Tensor, loss: RecordingsLoss) -> Tensor:
    """A crop [M, columns] of a changed mel."""
    if torch.rand(()) < loss.warped:
        mel = warped(mel, loss)
    mel = cut(mel.roll(int(torch.randint(mel.shape[-1], ())), -1), loss.columns)
    mel = mel + smooth_curve(len(mel), 6, loss.colour)
    return with_noise(mel, loss) if torch.rand(()) < loss.noisy else mel


def mixed(one: Tensor, other: Tensor) -> tuple[Tensor, float]:
    """Both at their loudest made alike, the second at most as loud; and the first one's share of the target."""
    share = torch.distributions.Beta(0.4, 0.4).sample().item()
    share = min(max(share, 1 - share), 1 - 10**FLOOR)
    quieter = torch.tensor([share, 1 - share]).log10().tolist()
    return added(one - one.amax() + quieter[0], other - other.amax() + quieter[1]), share


def masked(mel: Tensor, loss: RecordingsLoss) -> Tensor:
    """With silent bands and silent spans of time."""
    mel = mel.clone()
    for _ in range(loss.masks):
        for axis, widest in ((0, loss.mask_bins), (1, loss.mask_columns)):
            width = int(torch.randint(min(widest, mel.shape[axis]) + 1, ()))
            first = int(torch.randint(mel.shape[axis] - width + 1, ()))
            mel.narrow(axis, first, width).fill_(FLOOR)
    return mel

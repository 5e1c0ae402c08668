"""The motion encoder: local motion of a film -> how likely something strikes at each frame, how hard, and what goes on.

It is shown how things move and never what they look like: appearance learnt from a drawn world does not hold in
photographs, the way in which a stroke speeds up and ends does. A few small networks that learnt from different random
numbers are averaged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class MotionConfig:
    """Sizes of the motion encoder, and how its outputs are read.

    Raises:
        ValueError: if there is no member.
    """

    channels: int = 7  # of the local motion
    widths: tuple[int, int, int] = (24, 32, 48)  # of the convolutions over space and time
    hidden: int = 96  # of the convolutions over time
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    embed: int = 16  # values of each member's description of the motion
    ways: tuple[str, ...] = ()  # names of the ways of moving that it tells apart while it learns
    members: int = 3  # networks that are averaged
    dropout: float = 0.1
    threshold: float = 0.35  # probability from which on a peak is a strike
    delay: float = 0.0  # s, added to the time of every strike

    def __post_init__(self) -> None:
        if self.members < 1:
            raise ValueError(f"members must be 1 or more, got {self.members}")

    @property
    def context(self) -> int:
        """Frames on either side that an output depends on."""
        return 3 + sum(self.dilations)


class MotionOutput(NamedTuple):
    """What is seen at each frame; log-odds where nothing else is said.

    Attributes:
        strike: [B, T] that something strikes at this frame.
        strength: [B, T] of the strike, if there is one.
        sustained: [B, T] loudness of what sounds on: rubbing, turning, churning.
        embed: [B, T, members * embed] description of the motion.
        ways: [B, T, members, ways] logits of the way of moving.
    """

    strike: Tensor
    strength: Tensor
    sustained: Tensor
    embed: Tensor
    ways: Tensor


class MotionMember(nn.Module):
    """One network: convolutions over space and time, maxima and means over space, dilated convolutions over time."""

    def __init__(self, config: MotionConfig) -> None:
        super().__init__()
        first, second, third = config.widths
        self.near = nn.Conv3d(config.channels, first, 3, padding=1)
        self.middle = nn.Conv3d(first, second, 3, stride=(1, 2, 2), padding=1)
        self.far = nn.Conv3d(second, third, 3, stride=(1, 2, 2), padding=1)
        self.project = nn.Linear(first + second + 2 * third, config.hidden)
        self.convs = nn.ModuleList(
            nn.Conv1d(config.hidden, config.hidden, 3, padding=each, dilation=each) for each in config.dilations
        )
        self.norms = nn.ModuleList(nn.LayerNorm(config.hidden) for _ in config.dilations)
        self.dropout = nn.Dropout(config.dropout)
        self.cues = nn.Linear(config.hidden, 3)
        self.embed = nn.Linear(config.hidden, config.embed)
        self.ways = nn.Linear(config.embed, len(config.ways))

    def forward(self, motion: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B, C, T, h, w] -> log-odds [B, T, 3], embedding [B, T, embed], logits [B, T, ways]."""
        near = F.relu(self.near(motion))
        middle = F.relu(self.middle(near))
        far = F.relu(self.far(middle))
        pooled = [near.amax((3, 4)), middle.amax((3, 4)), far.amax((3, 4)), far.mean((3, 4))]
        x = F.relu(self.project(torch.cat(pooled, 1).transpose(1, 2)))
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = x + self.dropout(F.relu(conv(norm(x).transpose(1, 2)))).transpose(1, 2)
        embed = torch.tanh(self.embed(x))
        return self.cues(x), embed, self.ways(embed)


class MotionEncoder(nn.Module):
    """The average of a few networks; every one sees the film as it is and, in evaluation, mirrored."""

    def __init__(self, config: MotionConfig) -> None:
        super().__init__()
        self.config = config
        self.members = nn.ModuleList(MotionMember(config) for _ in range(config.members))

    def forward(self, motion: Tensor) -> MotionOutput:
        """Local motion [B, C, T, h, w], normalised, -> what is seen at each of the T frames."""
        cues, embeds, ways = zip(*(member(motion) for member in self.members), strict=True)
        strike, strength, sustained = torch.stack(cues).mean(0).unbind(-1)
        return MotionOutput(strike, strength, sustained, torch.cat(embeds, -1), torch.stack(ways, 2))

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
        ValueError: if there is no member, or one of a kind that is not known.
    """

    channels: int = 7  # of the local motion
    widths: tuple[int, int, int] = (24, 32, 48)  # of the convolutions over space and time
    hidden: int = 96  # of the convolutions over time
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    embed: int = 16  # values of each member's description of the motion
    ways: tuple[str, ...] = ()  # names of the ways of moving that it tells apart while it learns
    members: tuple[str, ...] = ("maxima", "attention", "speeds")  # kinds of the networks that are averaged
    dropout: float = 0.1
    threshold: float = 0.35  # probability from which on a peak is a strike
    delay: float = 0.0  # s, added to the time of every strike

    def __post_init__(self) -> None:
        if not self.members or not set(self.members) <= set(MEMBERS):
            raise ValueError(f"members must be one or more of {', '.join(MEMBERS)}, got {self.members}")

    @property
    def context(self) -> int:
        """Frames on either side that an output depends on."""
        return 4 + sum(self.dilations)  # speeds: a frame more, for their change


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


class MaximaMember(nn.Module):
    """Convolutions over space and time, maxima and means over space, dilated convolutions over time."""

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
        self.heads = MotionHeads(config)

    def forward(self, motion: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B, C, T, h, w] -> log-odds [B, T, 3], embedding [B, T, embed], logits [B, T, ways]."""
        near = F.relu(self.near(motion))
        middle = F.relu(self.middle(near))
        far = F.relu(self.far(middle))
        pooled = [near.amax((3, 4)), middle.amax((3, 4)), far.amax((3, 4)), far.mean((3, 4))]
        x = F.relu(self.project(torch.cat(pooled, 1).transpose(1, 2)))
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = x + self.dropout(F.relu(conv(norm(x).transpose(1, 2)))).transpose(1, 2)
        return self.heads(x)


class SpeedsMember(MaximaMember):
    """The same from how fast things move and how that changes, whichever way they go."""

    def forward(self, motion: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As for `MaximaMember`."""
        u, v, residual, half_u, half_v, half_residual, size = motion.unbind(1)
        # 0.01: a root is steepest at 0, where it would magnify rounding.
        speed, half_speed = (u * u + v * v + 0.01).sqrt(), (half_u * half_u + half_v * half_v + 0.01).sqrt()
        changes = [F.pad(each.diff(dim=1), (0, 0, 0, 0, 1, 0)) for each in (speed, size)]
        return super().forward(torch.stack([speed, half_speed, residual, half_residual, size, *changes], 1))


class AttentionMember(nn.Module):
    """Longer convolutions over time, four attentions over space beside maxima and means, gated convolutions over time.

    Attention weights are a softmax over cells; the gates are those of Dauphin et al. 2017.
    """

    def __init__(self, config: MotionConfig) -> None:
        super().__init__()
        first, _, third = config.widths
        self.near = nn.Conv3d(config.channels, first, (5, 3, 3), padding=(2, 1, 1))
        self.far = nn.Conv3d(first, third, 3, stride=(1, 2, 2), padding=1, groups=4)
        self.where = nn.Conv3d(third, 4, 1)
        self.project = nn.Linear(2 * first + 6 * third, config.hidden)
        self.convs = nn.ModuleList(
            nn.Conv1d(config.hidden, 2 * config.hidden, 3, padding=each, dilation=each) for each in config.dilations
        )
        self.norms = nn.ModuleList(nn.LayerNorm(config.hidden) for _ in config.dilations)
        self.dropout = nn.Dropout(config.dropout)
        self.heads = MotionHeads(config)

    def forward(self, motion: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As for `MaximaMember`."""
        near = F.silu(self.near(motion))
        far = F.silu(self.far(near))
        where = self.where(far).flatten(3).softmax(-1)
        attended = torch.einsum("bktn,bctn->bkct", where, far.flatten(3)).flatten(1, 2)
        pooled = [near.amax((3, 4)), near.mean((3, 4)), far.amax((3, 4)), far.mean((3, 4)), attended]
        x = F.silu(self.project(torch.cat(pooled, 1).transpose(1, 2)))
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = x + self.dropout(F.glu(conv(norm(x).transpose(1, 2)), 1)).transpose(1, 2)
        return self.heads(x)


class MotionHeads(nn.Module):
    """What every member says of its hidden values [B, T, hidden]."""

    def __init__(self, config: MotionConfig) -> None:
        super().__init__()
        self.cues = nn.Linear(config.hidden, 3)
        self.embed = nn.Linear(config.hidden, config.embed)
        self.ways = nn.Linear(config.embed, len(config.ways))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """-> log-odds [B, T, 3], embedding [B, T, embed], logits [B, T, ways]."""
        embed = torch.tanh(self.embed(x))
        return self.cues(x), embed, self.ways(embed)


MEMBERS: dict[str, type[nn.Module]] = {"maxima": MaximaMember, "attention": AttentionMember, "speeds": SpeedsMember}


class MotionEncoder(nn.Module):
    """The average of a few networks."""

    def __init__(self, config: MotionConfig) -> None:
        super().__init__()
        self.config = config
        self.members = nn.ModuleList(MEMBERS[kind](config) for kind in config.members)

    def forward(self, motion: Tensor) -> MotionOutput:
        """Local motion [B, C, T, h, w], normalised, -> what is seen at each of the T frames."""
        cues, embeds, ways = zip(*(member(motion) for member in self.members), strict=True)
        strike, strength, sustained = torch.stack(cues).mean(0).unbind(-1)
        return MotionOutput(strike, strength, sustained, torch.cat(embeds, -1), torch.stack(ways, 2))

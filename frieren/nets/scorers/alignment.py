"""The alignment classifier: how probable it is that a video and a sound belong together, in kind and in time.

It has its own visual encoder: with the one that a generator is conditioned on, an evaluation would flatter it. Frames
and spectrogram become vectors at the same time steps; each frame's vector is compared with the sound's around it, head
by head. A matched pair agrees best where the lag is zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GROUP = 8  # channels in one group of a group normalisation


@dataclass(frozen=True)
class AlignmentConfig:
    """Sizes of the alignment classifier, and the rates and length of what it compares.

    Raises:
        ValueError: if a width is not a multiple of 8, or `embed` not one of `heads`.
    """

    fps: float = 25.0  # frames per second
    image_size: int = 32  # height and width in pixels that frames are reduced to
    bins: int = 80  # mel bins
    mel_rate: float = 62.5  # mel columns per second
    frames: int = 128  # frames in a window as in training; its threshold does not fit much longer or shorter ones
    segment: int = 200  # frames encoded at once, from which windows are cut: normalisation is over all of them
    widths: tuple[int, ...] = (24, 48, 96, 160)  # channels of each level, of both front ends
    embed: int = 128  # length of a vector
    heads: int = 4  # parts of a vector that are compared apart
    lags: int = 15  # frames by which the sound may be early or late in the comparison
    hidden: int = 96  # width of the layers that decide

    def __post_init__(self) -> None:
        for width in self.widths:
            if width % GROUP:
                raise ValueError(f"widths must be multiples of {GROUP}, got {width}")
        if self.embed % self.heads:
            raise ValueError(f"embed must be a multiple of heads ({self.heads}), got {self.embed}")

    @property
    def parts(self) -> int:
        """Similarities per frame: one for each head and lag."""
        return self.heads * (2 * self.lags + 1)


class MotionBranch(nn.Sequential):
    """Looks around in space at half the resolution, then at the frames before and after."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv3d(inputs, outputs, (1, 3, 3), (1, 2, 2), (0, 1, 1)),
            nn.GroupNorm(outputs // GROUP, outputs),
            nn.ReLU(),
            nn.Conv3d(outputs, outputs, (3, 1, 1), padding=(1, 0, 0)),
            nn.GroupNorm(outputs // GROUP, outputs),
            nn.ReLU(),
        )


class Timbre(nn.Sequential):
    """Looks around in frequency, at half the resolution, and in time."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.Conv2d(inputs, outputs, 3, (2, 1), 1), nn.GroupNorm(outputs // GROUP, outputs), nn.ReLU())


class TimeSteps(nn.Module):
    """One vector per time step, from the mean and the maximum over space, and from the time steps around it."""

    def __init__(self, inputs: int, embed: int) -> None:
        super().__init__()
        self.project = nn.Conv1d(2 * inputs, embed, 1)
        self.around = nn.Sequential(nn.GELU(), nn.Conv1d(embed, embed, 5, padding=2))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, T, places] -> [B, embed, T]."""
        x = self.project(torch.cat([x.mean(dim=-1), x.amax(dim=-1)], dim=1))
        return x + self.around(x)


class AlignmentClassifier(nn.Module):
    """Frames and log-mel of the same seconds -> the logit that they belong together."""

    def __init__(self, config: AlignmentConfig) -> None:
        super().__init__()
        self.config = config
        self.look = nn.Sequential(*map(MotionBranch, (9, *config.widths), config.widths))
        self.listen = nn.Sequential(*map(Timbre, (2, *config.widths), config.widths))
        self.embed_video = TimeSteps(config.widths[-1], config.embed)
        self.embed_sound = TimeSteps(config.widths[-1], config.embed)
        self.convolve = nn.Sequential(
            nn.Conv1d(config.parts, config.hidden, 1),
            nn.GELU(),
            nn.Conv1d(config.hidden, config.hidden, 5, padding=2),
            nn.GELU(),
        )
        self.decide = nn.Sequential(
            nn.Linear(1 + config.parts + 2 * config.hidden, config.hidden), nn.GELU(), nn.Linear(config.hidden, 1)
        )

    def encode_video(self, images: Tensor) -> Tensor:
        """Vectors [B, F, embed] of frames [B, F, 3, H, W] in 0..1."""
        size = (self.config.image_size, self.config.image_size)
        small = F.interpolate(images.flatten(0, 1), size=size, mode="area").unflatten(0, images.shape[:2])
        steps = small.diff(dim=1)
        nothing = torch.zeros_like(small[:, :1])
        # What changes is small beside what stays; a contact is a change of the change.
        motion = 4 * torch.cat([torch.cat([nothing, steps], dim=1), torch.cat([steps, nothing], dim=1)], dim=2)
        # With the channels innermost these convolutions train about four times as fast on a CPU.
        x = torch.cat([small - 0.5, motion], dim=2).transpose(1, 2).contiguous(memory_format=torch.channels_last_3d)
        return self.embed_video(self.look(x).flatten(3)).mT

    def encode_sound(self, mel: Tensor, frames: int) -> Tensor:
        """Vectors [B, frames, embed] of a log10 mel [B, M, T], at the times of `frames` frames from its start."""
        level = (mel + 3) / 1.5  # about -1..3
        rise = F.pad(mel.diff(dim=-1), (1, 0)).clamp(min=0)
        x = self.listen(torch.stack([level, rise], dim=1).contiguous(memory_format=torch.channels_last))
        return at_frames(self.embed_sound(x.transpose(2, 3)), frames, self.config).mT

    def similarities(self, video: Tensor, sound: Tensor) -> Tensor:
        """Products of each frame with the sound `lag` frames later: both [B, F, embed] -> [B, F, heads, lags].

        The lags are -config.lags ... config.lags; sound beyond the ends counts as nothing. Vectors keep their lengths,
        so that times at which nothing happens need not count.
        """
        lags, heads = self.config.lags, self.config.heads
        video, sound = (x.unflatten(-1, (heads, -1)) for x in (video, sound))
        around = F.pad(sound, (0, 0, 0, 0, lags, lags)).unfold(1, 2 * lags + 1, 1)
        return torch.einsum("bfhd,bfhdl->bfhl", video, around) / video.shape[-1] ** 0.5

    def simultaneity(self, similar: Tensor) -> Tensor:
        """Logarithm [B] of the probability that video and sound agree at lag 0, of all lags."""
        return similar.mean(dim=(1, 2)).log_softmax(-1)[:, self.config.lags]

    def cut(self, x: Tensor, starts: Tensor) -> Tensor:
        """Windows [N, frames, E] of vectors x [N, F, E], each from its own start."""
        places = starts[:, None] + torch.arange(self.config.frames, device=x.device)
        return x.gather(1, places[..., None].expand(-1, -1, x.shape[2]))

    def compare(self, similar: Tensor) -> Tensor:
        """Logits [B] from similarities [B, F, heads, lags]."""
        x = similar.flatten(2).mT
        y = self.convolve(x)
        evidence = [self.simultaneity(similar)[:, None], x.mean(dim=-1), y.mean(dim=-1), y.amax(dim=-1)]
        return self.decide(torch.cat(evidence, dim=1)).squeeze(1)

    def forward(self, images: Tensor, mel: Tensor) -> Tensor:
        """images [B, F, 3, H, W] in 0..1 and log10 mel [B, M, T] that begin together -> logits [B]."""
        return self.compare(self.similarities(self.encode_video(images), self.encode_sound(mel, images.shape[1])))


def at_frames(x: Tensor, frames: int, config: AlignmentConfig) -> Tensor:
    """x [B, C, T] at the centres of mel columns -> [B, C, frames] at the times of frames, by straight lines."""
    position = torch.arange(frames, device=x.device) / config.fps * config.mel_rate - 0.5
    position = position.clamp(0, x.shape[-1] - 1)
    before = position.floor().long().clamp(max=max(0, x.shape[-1] - 2))
    after = (before + 1).clamp(max=x.shape[-1] - 1)
    return torch.lerp(x[..., before], x[..., after], (position - before).to(x.dtype))

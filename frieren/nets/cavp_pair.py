"""Both towers of CAVP: the video tower, and a network over spectrograms that it is trained against (paper section 4.1).

Generation does not need the audio tower and the logit scale; contrastive training does, and with them the published
checkpoint has a place for every number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frieren.nets.cavp import CAVPConfig, VideoTower


@dataclass(frozen=True)
class SpectrogramConfig:
    """Sizes of the audio tower. The defaults are the published ones (paper section 4.1)."""

    bins: int = 128  # mel bins
    widths: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048)  # channels of each block
    embed: int = 512  # length of a feature vector


class SpectrogramBlock(nn.Module):
    """Two 3 x 3 convolutions over time and frequency."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, T, M] -> [B, C', T, M]."""
        x = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(x)))


class SpectrogramTower(nn.Module):
    """A convolutional network over a mel spectrogram: one unit vector per 16 columns (paper section 4.1).

    All blocks but the last two halve time and frequency, the last but one halves frequency only.
    """

    def __init__(self, config: SpectrogramConfig) -> None:
        super().__init__()
        self.config = config
        self.norm = nn.BatchNorm1d(config.bins)
        inputs = (1, *config.widths[:-1])
        self.blocks = nn.ModuleList(map(SpectrogramBlock, inputs, config.widths))
        self.hidden = nn.Linear(config.widths[-1], config.widths[-1])
        self.project = nn.Linear(config.widths[-1], config.embed)

    def forward(self, mel: Tensor) -> Tensor:
        """Encode a mel spectrogram [B, M, T] (64 columns per second) -> [B, T // 16, embed], vectors of length 1."""
        return F.normalize(self.project_columns(mel), dim=-1)

    def project_columns(self, mel: Tensor) -> Tensor:
        """The vectors [B, T // 16, embed] of a mel [B, M, T] at the length that the network gives them."""
        x = self.norm(mel).transpose(1, 2).unsqueeze(1)
        last = len(self.blocks) - 1
        for level, block in enumerate(self.blocks):
            x = block(x)
            if level < last:
                x = F.avg_pool2d(x, (2, 2) if level < last - 1 else (1, 2))
        x = x.mean(dim=-1)
        x = F.max_pool1d(x, 3, stride=1, padding=1) + F.avg_pool1d(x, 3, stride=1, padding=1)
        x = x.transpose(1, 2)
        x = F.relu(self.hidden(F.relu(self.hidden(x))))  # the same layer twice, as published
        return self.project(x)


@dataclass(frozen=True)
class CAVPPairConfig:
    """Both towers."""

    video: CAVPConfig = field(default_factory=CAVPConfig)
    audio: SpectrogramConfig = field(default_factory=SpectrogramConfig)


class CAVP(nn.Module):
    """Both towers and the temperature of their contrastive loss."""

    def __init__(self, config: CAVPPairConfig) -> None:
        super().__init__()
        self.config = config
        self.video = VideoTower(config.video)
        self.audio = SpectrogramTower(config.audio)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, images: Tensor, mel: Tensor) -> tuple[Tensor, Tensor]:
        """images [B, F, 3, H, W] in 0..1 and mel [B, M, T] -> [B, F, embed] and [B, T // 16, embed]."""
        return self.video(images), self.audio(mel)

    def pooled(self, images: Tensor, mel: Tensor) -> tuple[Tensor, Tensor]:
        """One vector of length 1 per clip, both [B, embed]: the maximum over time, element by element.

        What the contrastive training compares (paper section 4.1): pooled first, normalised afterwards.
        """
        video, sound = self.video.project_frames(images), self.audio.project_columns(mel)
        return F.normalize(video.amax(dim=1), dim=-1), F.normalize(sound.amax(dim=1), dim=-1)

"""CAVP: video frames and sound as vectors in one space (paper section 4.1).

This is the video tower, which turns every frame into one vector and is all that generation needs; its partner in
contrastive training is in `cavp_pair`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class CAVPConfig:
    """Sizes of the video tower. The defaults are the published ones (paper section 4.1).

    Raises:
        ValueError: if the stages do not agree in number, or a kernel is even.
    """

    width: int = 64  # channels after the stem; doubles at every stage
    blocks: tuple[int, ...] = (3, 4, 6, 3)  # bottlenecks per stage
    expansion: int = 4  # output channels of a bottleneck, in planes
    stem_kernel: tuple[int, int, int] = (1, 7, 7)  # time, height, width
    stem_pool: bool = True  # halve height and width once more after the stem
    temporal_kernels: tuple[int, ...] = (1, 1, 3, 3)  # of each bottleneck's first convolution, per stage
    embed: int = 512  # length of a feature vector
    image_size: int = 224  # height and width in pixels that the tower was trained on
    chunk: int = 40  # frames that are encoded together
    context: int = 0  # further frames seen on each side of a chunk, whose features are dropped

    def __post_init__(self) -> None:
        if len(self.blocks) != len(self.temporal_kernels):
            raise ValueError(
                f"temporal_kernels needs one entry per stage ({len(self.blocks)}), got {len(self.temporal_kernels)}"
            )
        for kernel in (*self.stem_kernel, *self.temporal_kernels):
            if kernel % 2 == 0:
                raise ValueError(f"kernels must be odd, got {kernel} in {self.stem_kernel} or {self.temporal_kernels}")

    @property
    def receptive_frames(self) -> int:
        """Frames that a feature sees on each side of its own (9 for the published tower)."""
        stages = sum(count * (kernel // 2) for count, kernel in zip(self.blocks, self.temporal_kernels, strict=True))
        return self.stem_kernel[0] // 2 + stages

    @property
    def channels(self) -> int:
        """Channels of the last stage (2048)."""
        return self.width * 2 ** (len(self.blocks) - 1) * self.expansion


class ConvNorm(nn.Sequential):
    """A convolution over time, height and width, without bias and without stride in time; batch normalisation."""

    def __init__(self, inputs: int, outputs: int, kernel: tuple[int, int, int], stride: int = 1) -> None:
        super().__init__()
        time, height, width = (size // 2 for size in kernel)
        self.conv = nn.Conv3d(inputs, outputs, kernel, (1, stride, stride), (time, height, width), bias=False)
        self.norm = nn.BatchNorm3d(outputs)


class Bottleneck(nn.Module):
    """Narrow in time, look around in space, widen; plus the skip connection."""

    def __init__(self, inputs: int, planes: int, outputs: int, temporal_kernel: int, stride: int, skip: bool) -> None:
        super().__init__()
        self.narrow = ConvNorm(inputs, planes, (temporal_kernel, 1, 1))
        self.look = ConvNorm(planes, planes, (1, 3, 3), stride)
        self.widen = ConvNorm(planes, outputs, (1, 1, 1))
        self.skip = ConvNorm(inputs, outputs, (1, 1, 1), stride) if skip else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, F, H, W] -> [B, C', F, H', W']."""
        y = F.relu(self.narrow(x))
        y = F.relu(self.look(y))
        return F.relu(self.widen(y) + self.skip(x))


class VideoTower(nn.Module):
    """A residual network over the frames: one unit vector per frame, no stride in time (paper section 4.1).

    Frames beyond the ends count as zeros in every temporal convolution, so a feature nearer than
    `receptive_frames` to an end depends on where the video was cut.
    """

    def __init__(self, config: CAVPConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = ConvNorm(3, config.width, config.stem_kernel, stride=2)
        self.stages = nn.ModuleList()
        inputs = config.width
        for level, (count, kernel) in enumerate(zip(config.blocks, config.temporal_kernels, strict=True)):
            planes, stage = config.width * 2**level, nn.Sequential()
            for index in range(count):
                stride = 2 if level > 0 and index == 0 else 1
                outputs = planes * config.expansion
                stage.append(Bottleneck(inputs, planes, outputs, kernel, stride, skip=index == 0))
                inputs = outputs
            self.stages.append(stage)
        self.project = nn.Linear(config.channels, config.embed)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if config.stem_kernel[0] > 1:
            # Neighbouring frames are nearly alike, so random filters hardly see what moves. Half of them start without
            # a response to what stays, and their normalisation then brings motion up to the size of the rest.
            moving = self.stem.conv.weight.data[::2]
            moving -= moving.mean(dim=2, keepdim=True)

    @property
    def receptive_frames(self) -> int:
        """Frames that a feature sees on each side of its own (9 for the published tower)."""
        return self.config.receptive_frames

    def forward(self, images: Tensor) -> Tensor:
        """Encode frames.

        Args:
            images: [B, F, 3, H, W] RGB in 0..1, no further normalisation.

        Returns:
            [B, F, embed], every vector of length 1.
        """
        return F.normalize(self.project_frames(images), dim=-1)

    def project_frames(self, images: Tensor) -> Tensor:
        """The vectors [B, F, embed] of frames [B, F, 3, H, W] at the length that the network gives them."""
        # With the channels innermost, 3-D convolutions on a CPU train about 1.7 times as fast as otherwise.
        x = images.transpose(1, 2).contiguous(memory_format=torch.channels_last_3d)
        x = F.relu(self.stem(x))
        if self.config.stem_pool:
            x = F.max_pool3d(x, kernel_size=(1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
        for stage in self.stages:
            x = stage(x)
        return self.project(x.mean(dim=(-2, -1)).mT)

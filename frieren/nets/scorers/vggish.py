"""VGGish: 0.96 s of sound as 128 numbers (arXiv:1609.09430). FAD looks through it.

As FAD was defined with it: no ReLU after the last layer, no PCA and no quantisation behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class VggishConfig:
    """Sizes of VGGish. The defaults are the published ones."""

    columns: int = 96  # mel columns in a patch
    bins: int = 64  # mel bins
    widths: tuple[int, ...] = (64, 128, 256, 512)  # channels of each block
    depths: tuple[int, ...] = (1, 1, 2, 2)  # convolutions in each block
    hidden: int = 4096  # width of the two layers before the embedding
    embed: int = 128  # length of the embedding

    @property
    def pooled(self) -> int:
        """Numbers that are left after all blocks, each of which halves time and frequency (12288)."""
        shrink = 2 ** len(self.widths)
        return (self.columns // shrink) * (self.bins // shrink) * self.widths[-1]


class VggishBlock(nn.ModuleList):
    """3 x 3 convolutions over time and frequency, then the largest of every 2 x 2."""

    def __init__(self, inputs: int, outputs: int, depth: int) -> None:
        super().__init__(nn.Conv2d(width, outputs, 3, padding=1) for width in (inputs, *[outputs] * (depth - 1)))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, T, M] -> [B, C', T / 2, M / 2]."""
        for conv in self:
            x = F.relu(conv(x))
        return F.max_pool2d(x, 2)


class Vggish(nn.Module):
    """Patches of a log-mel spectrogram -> embeddings."""

    def __init__(self, config: VggishConfig) -> None:
        super().__init__()
        self.config = config
        self.blocks = nn.Sequential(*map(VggishBlock, (1, *config.widths), config.widths, config.depths))
        self.hidden1 = nn.Linear(config.pooled, config.hidden)
        self.hidden2 = nn.Linear(config.hidden, config.hidden)
        self.project = nn.Linear(config.hidden, config.embed)

    def forward(self, patches: Tensor) -> Tensor:
        """Patches [N, columns, bins] of natural log-mels -> embeddings [N, embed]."""
        x = self.blocks(patches.unsqueeze(1))
        x = x.permute(0, 2, 3, 1).flatten(1)  # channels innermost, as where the weights come from
        x = F.relu(self.hidden2(F.relu(self.hidden1(x))))
        return self.project(x)

"""Diff-Foley (arXiv 2306.17203) in small: contrastive features, a U-Net with cross-attention, an alignment classifier.

The features are learnt by contrast with sounds on top of the visual encoder's; U-Net and classifier take them as they
are. The U-Net predicts the noise in a latent, an image of one row; the classifier says of a noisy latent whether it
belongs to the features and is in time with them, and its gradient steers the sampling.

What the U-Net has to find is only how the noise differs from the one that is expected in data of mean 0 and variance 1,
sqrt(1 - a) x (`DiffFoley.forward`): where a latent is nearly noise, x itself is nearly the answer, and a small error
there would be multiplied by 1 / sqrt(a), which is 15 at the last of the times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frieren.errors import package
from frieren.nets.field import TIME_SCALE, TimeEmbedding
from frieren.noise_schedule import TIMES, squared_signal


@dataclass(frozen=True)
class DiffFoleyConfig:
    """Sizes of the parts, and how much the classifier steers.

    Raises:
        ValueError: if a window's columns cannot be pooled.
    """

    latent: int = 48  # channels of the latent
    features: int = 128  # length of a visual feature
    embed: int = 64  # length of a contrastive feature
    pool: int = 8  # latent columns of a contrastive feature
    window: int = 160  # latent columns at most
    widths: tuple[int, ...] = (64, 80, 112)  # of the U-Net's levels
    context: int = 128  # width of its cross-attention's keys and values
    heads: int = 4
    groups: int = 16  # of its group normalisation
    hidden: int = 64  # width of the other networks
    alignment: float = 0.0  # weight of the classifier's gradient in sampling; 0: none
    regulator: Literal["time"] = "time"  # as in `FieldConfig`
    repeat: int = 1
    time_steps: int | None = None
    predicts: Literal["noise"] = "noise"

    def __post_init__(self) -> None:
        if self.window % self.pool:
            raise ValueError(f"window must be a multiple of pool ({self.pool}), got {self.window}")


def convolutions(inputs: int, width: int) -> nn.Sequential:
    """Two convolutions over time, each seeing a column more on both sides."""
    first, second = nn.Conv1d(inputs, width, 3, padding=1), nn.Conv1d(width, width, 3, padding=1)
    return nn.Sequential(first, nn.GELU(), second, nn.GELU())


class DiffFoley(nn.Module):
    """Contrastive features of frames and of sounds, the U-Net, and the classifier."""

    def __init__(self, config: DiffFoleyConfig) -> None:
        super().__init__()
        self.config = config
        hidden, embed, levels = config.hidden, config.embed, len(config.widths)
        self.of_frames = nn.Sequential(convolutions(config.features, hidden), nn.Conv1d(hidden, embed, 1))
        self.of_sound = nn.Sequential(convolutions(config.latent, hidden), nn.Conv1d(hidden, embed, 1))
        self.logit_scale = nn.Parameter(torch.tensor(2.66))  # the log of 1 / 0.07, as CLIP's
        self.project = nn.Linear(embed, config.context)
        self.positions = nn.Embedding(config.window // config.pool, config.context)
        self.unet = package("diffusers", "rivals").UNet2DConditionModel(
            in_channels=config.latent,
            out_channels=config.latent,
            down_block_types=("CrossAttnDownBlock2D",) * (levels - 1) + ("DownBlock2D",),
            up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * (levels - 1),
            block_out_channels=config.widths,
            layers_per_block=1,
            norm_num_groups=config.groups,
            cross_attention_dim=config.context,
            attention_head_dim=config.heads,
        )
        self.noisy = nn.Conv1d(config.latent, hidden, 3, padding=1)
        self.embed_time = TimeEmbedding(hidden, hidden)
        self.compare = nn.Sequential(convolutions(hidden + embed, hidden), convolutions(hidden, hidden))
        self.aligned = nn.Linear(hidden, 1)

    def pooled(self, columns: Tensor) -> Tensor:
        """[B, E, L] -> vectors [B, P, E] of length 1: the maximum over every `pool` columns, as CAVP's."""
        return F.normalize(F.max_pool1d(columns, self.config.pool, ceil_mode=True).mT, dim=-1)

    def condition(self, features: Tensor, index: Tensor | None = None) -> Tensor:
        """Contrastive features [B, P, E] of features of every latent column [B, L, D]; `index` is that of columns."""
        shown = features if index is None else features[:, index]
        return self.pooled(self.of_frames(shown.mT))

    def sound(self, latent: Tensor) -> Tensor:
        """Contrastive features [B, P, E] of a latent [B, C, L] without noise."""
        return self.pooled(self.of_sound(latent))

    def null_condition(self, like: Tensor) -> Tensor:
        """The condition of zero features, in the shape of a condition [B, P, E]."""
        zeros = like.new_zeros(1, like.shape[1] * self.config.pool, self.config.features)
        return self.condition(zeros).expand_as(like)

    def forward(self, x: Tensor, t: Tensor, c: Tensor) -> Tensor:
        """The noise in x [B, C, L] at t = k / 1000 [B], given c [B, P, E]: [B, C, L].

        It is sqrt(1 - a) x + sqrt(a) v. The v that is right, sqrt(a) x0 - sqrt(1 - a) x1, has one variance at all
        times (arXiv 2202.00512), and an error in it is no larger in the data that follows from x and the noise.
        """
        context = self.project(c * c.shape[-1] ** 0.5) + self.positions.weight[: c.shape[1]]
        v = self.unet(x[:, :, None], TIME_SCALE * t.float(), context).sample[:, :, 0]
        a = torch.tensor(squared_signal(), device=x.device)[(TIMES * t).round().long(), None, None]
        return (1 - a).sqrt() * x + a.sqrt() * v

    def align(self, x: Tensor, t: Tensor, c: Tensor) -> Tensor:
        """Logit [B] that a noisy latent x [B, C, L] is that of the frames behind c [B, P, E], and in time with them."""
        seen = c.mT.repeat_interleave(self.config.pool, dim=-1)[..., : x.shape[-1]]
        heard = F.gelu(self.noisy(x) + self.embed_time(TIME_SCALE * t)[..., None])
        return self.aligned(self.compare(torch.cat([heard, seen], dim=1)).mean(-1))[:, 0]

"""The sound tagger: which kinds of thing a spectrogram sounds like, and a vector that says what it sounds like.

A small network for metrics: its logits and embeddings stand where published metrics have those of a large one (PANNs),
so that an evaluation needs no download.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class TaggerConfig:
    """Sizes of the tagger, and what its classes are called."""

    classes: tuple[str, ...] = ()  # names, in the order of the logits; empty in a recipe: what the data has
    bins: int = 80  # mel bins
    widths: tuple[int, ...] = (16, 32, 64, 128, 192)  # channels of each block
    embed: int = 128  # length of the embedding


class TaggerBlock(nn.Sequential):
    """Two 3 x 3 convolutions over frequency and time, then half of both."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.AvgPool2d(2),
        )


class Tagger(nn.Module):
    """Log-mel spectrogram of any length -> embedding -> one logit per class."""

    def __init__(self, config: TaggerConfig) -> None:
        super().__init__()
        self.config = config
        self.norm = nn.BatchNorm1d(config.bins)
        self.blocks = nn.Sequential(*map(TaggerBlock, (1, *config.widths), config.widths))
        self.project = nn.Linear(config.widths[-1], config.embed)
        self.classify = nn.Linear(config.embed, len(config.classes))

    def embed(self, mel: Tensor) -> Tensor:
        """The embedding [B, embed] of a log10 mel [B, M, T].

        Raises:
            ValueError: if T is too short to be halved by every block.
        """
        shortest = 2 ** len(self.config.widths)
        if mel.shape[-1] < shortest:
            raise ValueError(f"the mel has {mel.shape[-1]} columns, the tagger needs at least {shortest}: pad it")
        x = self.blocks(self.norm(mel).unsqueeze(1)).mean(dim=2)
        # A sound that goes on raises the mean over time, a single stroke the largest value.
        return F.relu(self.project(x.mean(dim=-1) + x.amax(dim=-1)))

    def forward(self, mel: Tensor) -> Tensor:
        """Log10 mel [B, M, T] -> logits [B, classes]; their softmax is the probability of each class."""
        return self.classify(self.embed(mel))

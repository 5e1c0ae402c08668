"""The sound classifier: which of the table's categories a recording is of, by a network that knows photographs.

A log-mel is shown as a grey picture to EfficientNet-Lite0, whose weights for photographs are the start: with few
recordings to learn from this gets far further than a network from scratch (as in arXiv:2007.11154).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import torch.nn.functional as F
from torch import Tensor, nn

from frieren.nets.efficientnet import EfficientNet, EfficientNetConfig


@dataclass(frozen=True)
class SoundClassifierConfig:
    """Sizes of the classifier.

    Attributes:
        classes: names, in the order of the logits; empty in a recipe: the table's categories.
        bins: mel bins.
        hop: samples per mel column.
        columns: mel columns that it was trained on, and best sees together: 3.1 s.
        depth: log10 units below the loudest that it sees.
        drop: dropout of the embedding in training.
        picture: the network; its own classes do not count.
    """

    classes: tuple[str, ...] = ()
    bins: int = 128
    hop: int = 512
    columns: int = 96
    depth: float = 4.5
    drop: float = 0.2
    picture: EfficientNetConfig = field(default_factory=EfficientNetConfig)


class SoundClassifier(nn.Module):
    """Log-mel spectrogram -> one logit per category, whatever its level."""

    def __init__(self, config: SoundClassifierConfig) -> None:
        super().__init__()
        self.config = config
        self.picture = EfficientNet(dataclasses.replace(config.picture, classes=len(config.classes)))
        # What photographs excite most, sounds need not: the last layer gets every number at the same scale.
        self.norm = nn.BatchNorm1d(config.picture.head, eps=1e-2, affine=False)

    def maps(self, mel: Tensor, loudest: Tensor) -> list[Tensor]:
        """Log10 mel [B, M, T], and what counts as its loudest [B, 1, 1] -> the network's feature maps [B, C, H, W]."""
        grey = ((mel - loudest) / self.config.depth + 1).clamp(0, 1)
        return self.picture.maps(grey[:, None].expand(-1, 3, -1, -1))

    def embed(self, mel: Tensor) -> Tensor:
        """Log10 mel [B, M, T] -> the network's embedding [B, D]."""
        return self.maps(mel, mel.amax((-2, -1), keepdim=True))[-1].mean(dim=(2, 3))

    def classify(self, embedding: Tensor) -> Tensor:
        """Embedding [B, D] -> logits [B, classes]."""
        dropped = F.dropout(self.norm(embedding), self.config.drop, self.training)
        logits: Tensor = self.picture.classify(dropped)
        return logits

    def forward(self, mel: Tensor) -> Tensor:
        """Log10 mel [B, M, T] -> logits [B, classes]; their softmax is the probability of each."""
        return self.classify(self.embed(mel))

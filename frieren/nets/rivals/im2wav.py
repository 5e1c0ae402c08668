"""Im2Wav (arXiv 2211.03089) in small: two levels of codes of a sound, each written by a transformer of its own.

The lower level has few codes, each of a long stretch; it is written from the features. The upper level has many codes
of the same sound, each of a short stretch, and is written from the features and what the lower one sounds like. Both
are given the mean of the features before the first code, and with every code the feature of its time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from frieren.nets.rivals.codes import CodeTransformer, CodeTransformerConfig


@dataclass(frozen=True)
class Im2WavConfig:
    """Sizes of both levels.

    Raises:
        ValueError: if a column of the lower level is not a whole number of those of the upper one.
    """

    latent: int = 48  # channels of the latent
    features: int = 128  # length of a visual feature
    groups: int = 4  # codes of each column of codes
    codes: int = 512  # in each group's codebook
    lower_join: int = 8  # latent columns behind a column of codes of the lower level
    upper_join: int = 2  # the same of the upper level
    window: int = 160  # latent columns at most
    width: int = 128  # of both transformers
    depth: int = 4
    heads: int = 4
    top: int = 128  # most probable codes of which one is drawn
    regulator: Literal["time"] = "time"  # as in `FieldConfig`
    repeat: int = 1
    time_steps: int | None = None
    predicts: Literal["codes"] = "codes"

    def __post_init__(self) -> None:
        if self.lower_join % self.upper_join:
            raise ValueError(f"lower_join must be a multiple of upper_join ({self.upper_join}), got {self.lower_join}")

    def level(self, join: int, features: int) -> CodeTransformerConfig:
        """The transformer of one level, for columns of codes of `join` latent columns and features of a length."""
        return CodeTransformerConfig(
            latent=self.latent,
            features=features,
            groups=self.groups,
            codes=self.codes,
            join=join,
            pool=join,
            conditioning="additive",
            window=self.window,
            width=self.width,
            depth=self.depth,
            heads=self.heads,
            top=self.top,
        )


class Im2Wav(nn.Module):
    """Two levels, each with codebooks and transformer."""

    def __init__(self, config: Im2WavConfig) -> None:
        super().__init__()
        self.config = config
        self.lower = CodeTransformer(config.level(config.lower_join, config.features))
        self.upper = CodeTransformer(config.level(config.upper_join, config.features + config.latent))

    @property
    def levels(self) -> tuple[CodeTransformer, ...]:
        """What writes codes, the coarsest first; each but the first is given what the one before sounds like."""
        return self.lower, self.upper

    def fit(self, latents: Tensor) -> None:
        """Make the codebooks of both levels by k-means of latents [B, C, L]."""
        for level in self.levels:
            level.fit(latents)


CodeWriter = CodeTransformer | Im2Wav  # networks that write codes

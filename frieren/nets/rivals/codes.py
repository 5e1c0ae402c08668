"""SpecVQGAN (arXiv 2110.08791) in small: codebooks of spectrograms, and a transformer that writes codes after features.

Codes stand on a grid, `groups` for each column of codes, and are written column by column. Here they are codes of the
mel autoencoder's latent, of which each group has its share of channels, so that autoencoder and vocoder are shared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from frieren.errors import package


@dataclass(frozen=True)
class CodeTransformerConfig:
    """Sizes of codebooks and transformer.

    Raises:
        ValueError: if channels cannot be shared among groups, or columns not joined or pooled.
    """

    latent: int = 48  # channels of the latent
    features: int = 128  # length of a visual feature
    groups: int = 4  # codes of each column of codes
    codes: int = 512  # in each group's codebook
    join: int = 4  # latent columns behind a column of codes
    pool: int = 8  # latent columns behind a feature that the transformer is given
    window: int = 160  # latent columns at most
    width: int = 192
    depth: int = 4
    heads: int = 4
    top: int = 128  # most probable codes of which one is drawn
    regulator: Literal["time"] = "time"  # as in `FieldConfig`
    repeat: int = 1
    time_steps: int | None = None
    predicts: Literal["codes"] = "codes"

    def __post_init__(self) -> None:
        for name, total, divisor in (
            ("latent", self.latent, self.groups),
            ("window", self.window, self.join),
            ("window", self.window, self.pool),
            ("width", self.width, self.heads),
        ):
            if total % divisor:
                raise ValueError(f"{name} must be a multiple of {divisor}, got {total}")


class CodeTransformer(nn.Module):
    """Codebooks and a GPT-2 decoder over [features, codes]."""

    def __init__(self, config: CodeTransformerConfig) -> None:
        super().__init__()
        self.config = config
        transformers, quantize = package("transformers", "rivals"), package("vector_quantize_pytorch", "rivals")
        self.codebooks = quantize.VectorQuantize(
            dim=config.latent * config.join,
            codebook_dim=config.latent * config.join // config.groups,
            codebook_size=config.codes,
            heads=config.groups,
            separate_codebook_per_head=True,
            kmeans_init=True,
        )
        self.codebooks.zero = torch.zeros((), device="cpu")  # not saved: made where it is, also on the meta device
        self.given = nn.Linear(config.features, config.width)
        self.decoder = transformers.GPT2Model(
            transformers.GPT2Config(
                vocab_size=config.groups * config.codes,
                n_positions=config.window // config.pool + config.window // config.join * config.groups,
                n_embd=config.width,
                n_layer=config.depth,
                n_head=config.heads,
                attn_implementation="eager",
                bos_token_id=None,
                eos_token_id=None,
            )
        )
        self.head = nn.Linear(config.width, config.groups * config.codes)

    # -- codebooks --

    def rows(self, latent: Tensor) -> Tensor:
        """latent [B, C, L] -> [B, L / join, D], group after group: channels g, g + groups, ... of `join` columns."""
        config = self.config
        grid = latent.unflatten(1, (-1, config.groups)).unflatten(-1, (-1, config.join))
        return grid.permute(0, 3, 2, 1, 4).flatten(2)

    def latent_of(self, rows: Tensor) -> Tensor:
        """The inverse of `rows`."""
        config = self.config
        grid = rows.unflatten(-1, (config.groups, -1, config.join))
        return grid.permute(0, 3, 2, 1, 4).flatten(1, 2).flatten(-2)

    @torch.no_grad()
    def fit(self, latents: Tensor) -> None:
        """Make the codebooks by k-means of latents [B, C, L]."""
        self.codebooks.train()
        self.codebooks(self.rows(latents))

    @torch.no_grad()
    def encode(self, latent: Tensor) -> Tensor:
        """The nearest codes [B, N, groups] of a latent [B, C, L]."""
        with torch.autocast(latent.device.type, enabled=False):
            return self.codebooks(self.rows(latent.float()), freeze_codebook=True)[1]

    def decode(self, codes: Tensor) -> Tensor:
        """The latent [B, C, L] of codes [B, N, groups]."""
        return self.latent_of(self.codebooks.get_codes_from_indices(codes))

    # -- transformer --

    def condition(self, features: Tensor) -> Tensor:
        """Features of every latent column [B, L, D] -> what stands before the codes, [B, P, W]."""
        return self.given(features.unflatten(1, (-1, self.config.pool)).mean(2))

    def embed(self, codes: Tensor, first: int = 0) -> Tensor:
        """codes [B, N, G] of the groups from `first` on -> tokens [B, N G, W]; every group has its own."""
        shift = self.config.codes * torch.arange(first, first + codes.shape[-1], device=codes.device)
        return self.decoder.wte((codes + shift).flatten(1))

    def logits(self, hidden: Tensor, first: int) -> Tensor:
        """Logits [B, T, codes] of codes from number `first` on, of the transformer's outputs [B, T, W] before them."""
        groups = self.config.groups
        which = (first + torch.arange(hidden.shape[1], device=hidden.device)) % groups
        return self.head(hidden).unflatten(-1, (groups, -1))[:, torch.arange(len(which)), which]

    def forward(self, codes: Tensor, c: Tensor) -> Tensor:
        """Logits [B, N groups, codes] of codes [B, N, groups], each given all before it and c [B, P, W]."""
        tokens = torch.cat([c, self.embed(codes)[:, :-1].to(c)], dim=1)
        hidden = self.decoder(inputs_embeds=tokens, use_cache=False).last_hidden_state
        return self.logits(hidden[:, c.shape[1] - 1 :], 0)

    def step(self, tokens: Tensor, cache: Any, index: int) -> tuple[Tensor, Any]:
        """Logits [B, codes] of code number `index` after further tokens [B, T, W], and what is kept of all before."""
        out = self.decoder(inputs_embeds=tokens, use_cache=True, cache=cache)
        return self.logits(out.last_hidden_state[:, -1:], index)[:, 0], out.cache

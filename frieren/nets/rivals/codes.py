"""SpecVQGAN (arXiv 2110.08791) in small: codebooks of spectrograms, and a transformer that writes codes after features.

Codes stand on a grid, `groups` for each column of codes, and are written column by column. Here they are codes of the
mel autoencoder's latent, of which each group has its share of channels, so that autoencoder and vocoder are shared.

Im2Wav (`im2wav`) is two of these, each with features added to its codes instead of in front of them.
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
        ValueError: if channels cannot be shared among groups, or columns not joined or pooled, or features that are
            added to codes are not those of a column of codes.
    """

    latent: int = 48  # channels of the latent
    features: int = 128  # length of a visual feature
    groups: int = 4  # codes of each column of codes
    codes: int = 512  # in each group's codebook
    join: int = 4  # latent columns behind a column of codes
    pool: int = 8  # latent columns behind a feature that the transformer is given
    # Where features go: all of them before the codes; or that of its time is added to each code, and the mean of all
    # stands before the first.
    conditioning: Literal["prefix", "additive"] = "prefix"
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
        if self.conditioning == "additive" and self.pool != self.join:
            raise ValueError(f"pool must be join ({self.join}) where features are added to codes, got {self.pool}")


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
        additive = config.conditioning == "additive"
        self.given = nn.Linear(config.features, config.width)
        self.start = nn.Linear(config.features, config.width) if additive else None
        self.decoder = transformers.GPT2Model(
            transformers.GPT2Config(
                vocab_size=config.groups * config.codes,
                n_positions=(not additive) * config.window // config.pool
                + config.window // config.join * config.groups,
                n_embd=config.width,
                n_layer=config.depth,
                n_head=config.heads,
                attn_implementation="eager",
                bos_token_id=None,
                eos_token_id=None,
            )
        )
        self.head = nn.Linear(config.width, config.groups * config.codes)
        for layer in (self.given, self.start) if self.start else ():  # no louder than the codes that it is added to
            nn.init.normal_(layer.weight, std=self.decoder.config.initializer_range)

    @property
    def levels(self) -> tuple[CodeTransformer, ...]:
        """What writes codes, the coarsest first: this alone."""
        return (self,)

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

    def condition(self, features: Tensor, coarse: Tensor | None = None) -> Tensor:
        """The rows c [B, P, W] that `tokens` puts before the codes, or adds to them.

        Args:
            features: of every latent column, [B, L, D].
            coarse: latent [B, C, L] of the level of codes below, if the transformer is given one.
        """
        shown = features if coarse is None else torch.cat([features, coarse.mT.to(features)], dim=-1)
        rows = self.given(shown.unflatten(1, (-1, self.config.pool)).mean(2))
        if self.start is None:
            return rows
        rows = rows.repeat_interleave(self.config.groups, 1)
        return torch.cat([rows[:, :1] + self.start(shown.mean(1, keepdim=True)), rows[:, 1:]], dim=1)

    def before(self, c: Tensor) -> int:
        """How many of the rows c [B, P, W] stand before the codes."""
        return c.shape[1] if self.start is None else 1

    def embed(self, codes: Tensor) -> Tensor:
        """codes [B, n] from the first on -> [B, n, W]; every group has its own."""
        groups = torch.arange(codes.shape[1], device=codes.device) % self.config.groups
        return self.decoder.wte(codes + self.config.codes * groups)

    def tokens(self, codes: Tensor, c: Tensor) -> Tensor:
        """What the transformer reads [B, before + n, W], of the first codes [B, n] and c [B, P, W] of a condition."""
        before, embedded = self.before(c), self.embed(codes).to(c)
        if self.start is not None:
            embedded = embedded + c[:, 1 : 1 + codes.shape[1]]
        return torch.cat([c[:, :before], embedded], dim=1)

    def logits(self, hidden: Tensor, first: int) -> Tensor:
        """Logits [B, T, codes] of codes from number `first` on, of the transformer's outputs [B, T, W] before them."""
        groups = self.config.groups
        which = (first + torch.arange(hidden.shape[1], device=hidden.device)) % groups
        return self.head(hidden).unflatten(-1, (groups, -1))[:, torch.arange(len(which)), which]

    def forward(self, codes: Tensor, c: Tensor) -> Tensor:
        """Logits [B, N groups, codes] of codes [B, N, groups], each given all before it and c [B, P, W]."""
        tokens = self.tokens(codes.flatten(1)[:, :-1], c)
        hidden = self.decoder(inputs_embeds=tokens, use_cache=False).last_hidden_state
        return self.logits(hidden[:, self.before(c) - 1 :], 0)

    def step(self, tokens: Tensor, cache: Any, index: int) -> tuple[Tensor, Any]:
        """Logits [B, codes] of code number `index` after further tokens [B, T, W], and what is kept of all before."""
        out = self.decoder(inputs_embeds=tokens, use_cache=True, cache=cache)
        return self.logits(out.last_hidden_state[:, -1:], index)[:, 0], out.cache

"""The vector field: a transformer that gives the velocity of a noisy latent (paper sections 4.3 and 4.4).

For comparisons the same network predicts other things: the noise in the latent, or the average velocity over a span.

Work is split by how often it is done: `condition` once per video, `forward` once per solver step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

TIME_SCALE = 1000  # the time embedding sees 0..1000 where the solver sees 0..1
Prediction = Literal["velocity", "noise", "average velocity"]
LONGEST_PERIOD = 10_000  # of the time embedding's cosines, in units of 2 pi / TIME_SCALE


@dataclass(frozen=True)
class FieldConfig:
    """Sizes of the vector field. The defaults are the published ones (paper section 4.4).

    Raises:
        ValueError: if the width cannot be halved, shared among the heads or split into the groups.
    """

    latent: int = 20  # channels of the latent
    features: int = 512  # length of a visual feature
    context: int = 768  # length of a feature after the input linear
    width: int = 576  # of the transformer
    depth: int = 4  # blocks
    heads: int = 8  # of every attention
    ffn_mult: int = 4  # hidden channels of the feed-forward part, in widths
    ffn_kernel: int = 9  # of its two convolutions, in latent columns
    input_kernel: int = 5  # of the latent's input convolution
    positions: int = 1000  # rows of the positional table: latent columns + 1 at most
    time_features: int = 256  # cosines and sines of the time embedding
    block_groups: int = 32  # of the group normalisation that opens a block
    output_groups: int = 16  # of the last group normalisation
    regulator: Literal["repeat", "time"] = "repeat"  # features to columns: by count (published) or by time stamps
    repeat: int = 8  # latent columns per feature, for "repeat"
    # Features join the latent's channels (published), or the second attention of every block goes from it to them.
    conditioning: Literal["concat", "cross-attention"] = "concat"
    summary: bool = False  # every feature is added the mean over its window; published: it is not
    time_steps: int | None = 1000  # a velocity's t is rounded down to a multiple of 1 / time_steps (published), or not
    # A flow's velocity; a diffusion's noise, t being k / 1000 (`diffusion`); or the average velocity over [t, t + span]
    # (MeanFlow, arXiv 2505.13447).
    predicts: Prediction = "velocity"
    gradient_checkpointing: bool = False  # recompute the blocks in the backward pass to save memory

    def __post_init__(self) -> None:
        if self.regulator not in ("repeat", "time"):
            raise ValueError(f"regulator must be 'repeat' or 'time', got {self.regulator!r}")
        if self.conditioning not in ("concat", "cross-attention"):
            raise ValueError(f"conditioning must be 'concat' or 'cross-attention', got {self.conditioning!r}")
        if self.predicts not in get_args(Prediction):
            raise ValueError(f"predicts must be one of {', '.join(get_args(Prediction))}, got {self.predicts!r}")
        for name, divisor in (("2", 2), ("heads", self.heads), ("block_groups", self.block_groups)):
            if self.width % divisor:
                raise ValueError(f"width must be a multiple of {name} ({divisor}), got {self.width}")
        if self.width % self.output_groups:
            raise ValueError(f"width must be a multiple of output_groups ({self.output_groups}), got {self.width}")


def column_frames(frame_times: Tensor, column_times: Tensor) -> Tensor:
    """The frame that is displayed at the time of each latent column.

    Args:
        frame_times: [F] or [B, F], seconds, increasing.
        column_times: [L] or [B, L], seconds.

    Returns:
        [L] or [B, L] int64: the last frame whose time is not later; the first one before that.
    """
    return (torch.searchsorted(frame_times.contiguous(), column_times.contiguous(), right=True) - 1).clamp(min=0)


def repeat_index(columns: int, repeat: int, frames: int | None = None) -> Tensor:
    """The published length regulator as an index [columns]: every frame `repeat` times (paper section 4.3).

    With `frames`, columns beyond the last frame stay on the last frame.
    """
    index = torch.arange(columns) // repeat
    return index if frames is None else index.clamp(max=frames - 1)


def regulate(x: Tensor, index: Tensor) -> Tensor:
    """One row of x per latent column: x [B, F, W] and index [L] or [B, L] -> [B, L, W]."""
    index = index.to(x.device)
    if index.ndim == 1:
        return x.index_select(1, index)
    return x.gather(1, index.unsqueeze(-1).expand(-1, -1, x.shape[-1]))


class TimeEmbedding(nn.Module):
    """A time as cosines and sines, then a small network."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.features = features
        self.hidden = nn.Linear(features, width)
        self.out = nn.Linear(width, width)

    def forward(self, time: Tensor) -> Tensor:
        """time [B] in 0..1000 -> [B, W]."""
        half = self.features // 2
        exponents = torch.arange(half, device=time.device, dtype=torch.float32) / half
        angles = time.float()[:, None] * torch.exp(-math.log(LONGEST_PERIOD) * exponents)
        waves = torch.cat([angles.cos(), angles.sin()], dim=-1)
        return self.out(F.silu(self.hidden(waves.to(self.hidden.weight.dtype))))


class FeatureEmbedding(nn.Module):
    """A visual feature in the width of the transformer. The first layer is the published "cond stage"."""

    def __init__(self, config: FieldConfig) -> None:
        super().__init__()
        self.input = nn.Linear(config.features, config.context)
        self.hidden = nn.Linear(config.context, config.width)
        self.out = nn.Linear(config.width, config.width)
        self.norm = nn.LayerNorm(config.width)
        self.summary = nn.Linear(config.context, config.width, bias=False) if config.summary else None

    def forward(self, features: Tensor) -> Tensor:
        """features [B, F, D] -> [B, F, W]; with a summary, F are the rows of one window."""
        x = self.input(features)
        hidden = self.hidden(x)
        if self.summary is not None:
            hidden = hidden + self.summary(x.mean(1, keepdim=True))
        return self.norm(self.out(F.gelu(hidden, approximate="tanh")))


class Attention(nn.Module):
    """Attention without mask, of rows to one another or to other rows."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """x [B, T, W] -> [B, T, W]; keys and values are of context [B, L, W] if there is one."""
        seen = x if context is None else context
        query, key, value = (
            layer(rows).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, rows in ((self.query, x), (self.key, seen), (self.value, seen))
        )
        if self.training and x.device.type == "cpu":  # where the fused kernel's backward pass is several times slower
            y = (query * query.shape[-1] ** -0.5 @ key.mT).softmax(-1) @ value
        else:
            y = F.scaled_dot_product_attention(query, key, value)
        return self.out(y.transpose(1, 2).flatten(-2))


class FeedForward(nn.Module):
    """A gated pair of convolutions over time; most of the parameters are here."""

    def __init__(self, width: int, mult: int, kernel: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv1d(width, 2 * mult * width, kernel, padding=kernel // 2)
        self.conv_out = nn.Conv1d(mult * width, width, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, W] -> [B, T, W]."""
        value, gate = self.conv_in(x.mT).chunk(2, dim=1)
        return self.conv_out(value * F.gelu(gate)).mT


class Block(nn.Module):
    """Two attentions and a feed-forward part between two 1 x 1 convolutions; the second starts at zero."""

    def __init__(self, config: FieldConfig) -> None:
        super().__init__()
        width = config.width
        self.norm = nn.GroupNorm(config.block_groups, width, eps=1e-6)
        self.conv_in = nn.Conv1d(width, width, 1)
        self.norm1 = nn.LayerNorm(width)
        self.attention1 = Attention(width, config.heads)
        self.norm2 = nn.LayerNorm(width)
        self.attention2 = Attention(width, config.heads)
        self.norm3 = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, config.ffn_mult, config.ffn_kernel)
        self.conv_out = nn.Conv1d(width, width, 1)
        for parameter in self.conv_out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, h: Tensor, context: Tensor | None = None) -> Tensor:
        """h [B, W, T] -> [B, W, T]; the second attention is to context [B, L, W] if there is one."""
        y = self.conv_in(self.norm(h)).mT
        y = y + self.attention1(self.norm1(y))
        y = y + self.attention2(self.norm2(y), context)
        y = y + self.feed_forward(self.norm3(y))
        return h + self.conv_out(y.mT)


class VectorField(nn.Module):
    """v(x, t | c): the velocity of a latent on its way from noise (t = 0) to sound (t = 1)."""

    def __init__(self, config: FieldConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.embed_time = TimeEmbedding(config.time_features, width)
        average = config.predicts == "average velocity"
        self.embed_span = TimeEmbedding(config.time_features, width) if average else None
        self.embed_features = FeatureEmbedding(config)
        share = width if config.conditioning == "cross-attention" else width // 2  # of latent, and of features
        self.project_condition = nn.Linear(width, share)
        self.input = nn.Conv1d(config.latent, width, config.input_kernel, padding=config.input_kernel // 2)
        self.project_input = nn.Linear(width, share)
        self.positions = nn.Embedding(config.positions, width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm_out = nn.GroupNorm(config.output_groups, width)
        self.output = nn.Conv1d(width, config.latent, 1)
        self._initialise()

    def _initialise(self) -> None:
        """The published start (paper section 4.4). The blocks begin as the identity; the output is not zero."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for embedding in filter(None, (self.embed_time, self.embed_span)):
            for layer in (embedding.hidden, embedding.out):
                nn.init.normal_(layer.weight, std=0.02)
        nn.init.xavier_normal_(self.positions.weight)
        if self.embed_features.summary is not None:
            nn.init.zeros_(self.embed_features.summary.weight)

    def condition(self, features: Tensor, index: Tensor | None = None) -> Tensor:
        """The condition of the field, from visual features; once per video, or per window with `summary`.

        Args:
            features: [B, F, D] visual features.
            index: [L] or [B, L] int64, the frame of each latent column (`column_frames` or `repeat_index`). None
                repeats every frame `config.repeat` times, L = F * repeat; only with the regulator "repeat".

        Returns:
            c [B, L, W / 2]; W if blocks attend to it.

        Raises:
            ValueError: if there is no index and the regulator goes by time stamps.
        """
        if index is None:
            if self.config.regulator != "repeat":
                raise ValueError(
                    "index is None, but this model aligns by time: pass column_frames(frame times, column times)"
                )
            index = repeat_index(features.shape[1] * self.config.repeat, self.config.repeat)
        if self.config.summary:
            return self.project_condition(self.embed_features(regulate(features, index)))
        # Every layer works on one frame alone, so spreading the frames last gives the same at a fraction of the work.
        return regulate(self.project_condition(self.embed_features(features)), index)

    def null_condition(self, like: Tensor) -> Tensor:
        """The condition of no video, in the shape of a condition `like` [B, L, W / 2 or W].

        It is that of zero features (paper section 4.4): the learned biases of the layers above.
        """
        zeros = like.new_zeros(1, 1, self.config.features)
        return self.project_condition(self.embed_features(zeros)).expand_as(like)

    def forward(self, x: Tensor, t: Tensor, c: Tensor, span: Tensor | float = 0.0) -> Tensor:
        """The velocity, or what `predicts` says; once per solver step.

        Args:
            x: [B, C, L] point on the path, scaled latent.
            t: [B] time in 0..1, 0 is noise.
            c: [B, L, W / 2 or W] from `condition` or `null_condition`.
            span: [B] or a number, over which the velocity is averaged, if that is what is predicted.

        Returns:
            v [B, C, L].

        Raises:
            ValueError: if L + 1 exceeds the positional table.
        """
        tokens = x.shape[-1] + 1
        if tokens > self.config.positions:
            raise ValueError(f"{x.shape[-1]} latent columns, at most {self.config.positions - 1}: sample in windows")
        latent = self.project_input(self.input(x).mT)
        crossed = self.config.conditioning == "cross-attention"
        rows = latent if crossed else torch.cat([latent, c], dim=-1)
        context = c + self.positions.weight[1:tokens] if crossed else None
        h = torch.cat([self.embed_times(t, span).unsqueeze(1), rows], dim=1)
        h = (h + self.positions.weight[:tokens]).mT
        for block in self.blocks:
            if self.config.gradient_checkpointing and self.training:
                h = checkpoint(block, h, context, use_reentrant=False)
            else:
                h = block(h, context)
        return self.output(self.norm_out(h[..., 1:]))

    def embed_times(self, t: Tensor, span: Tensor | float) -> Tensor:
        """The token of time t [B] and, if there is one, of the span: [B, W]."""
        token = self.embed_time(self._time(t))
        if self.embed_span is None:
            return token
        return token + self.embed_span(TIME_SCALE * (span if isinstance(span, Tensor) else torch.full_like(t, span)))

    def _time(self, t: Tensor) -> Tensor:
        """Input of the time embedding. The product is rounded down in float32, as published (paper section 7)."""
        if self.config.time_steps is None or self.config.predicts != "velocity":
            return t.float() * TIME_SCALE
        return torch.floor(t.float() * self.config.time_steps) * (TIME_SCALE / self.config.time_steps)

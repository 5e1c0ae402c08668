"""Synchformer: by how much a sound is early or late for its video, of 21 offsets (arXiv:2401.16423). DeSync asks it.

Segments of 0.64 s are encoded by MotionFormer (arXiv:2106.05392) and AST (arXiv:2104.01778), each apart; a small
transformer then looks at 14 of both. The three share their parts but for the attention over space and time.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class SynchformerConfig:
    """Sizes of Synchformer. The defaults are the published ones.

    Raises:
        ValueError: if the width cannot be shared among the heads.
    """

    width: int = 768  # of every token
    heads: int = 12  # of both towers' attentions
    video_depth: int = 12  # blocks of the video tower
    sound_depth: int = 12  # blocks of the sound tower
    image_size: int = 224  # height and width of an image
    frames: int = 16  # images in a segment
    patch: int = 16  # height and width of a patch of either tower
    patch_frames: int = 2  # images in a patch
    bins: int = 128  # mel bins
    columns: int = 66  # mel columns in a segment
    patch_hop: int = 10  # mel bins or columns from one patch of the spectrogram to the next
    segments: int = 14  # that are compared
    comparing_depth: int = 3  # blocks of the transformer that compares
    comparing_heads: int = 8
    classes: int = 21  # offsets from -2 to 2 s

    def __post_init__(self) -> None:
        for heads in (self.heads, self.comparing_heads):
            if self.width % heads:
                raise ValueError(f"width must be a multiple of the heads ({heads}), got {self.width}")

    @property
    def places(self) -> int:
        """Patches of one image (196)."""
        return (self.image_size // self.patch) ** 2

    @property
    def video_tokens(self) -> int:
        """Tokens of a segment of the video (8)."""
        return self.frames // self.patch_frames

    @property
    def bands(self) -> int:
        """Patches of a spectrogram from bottom to top (12)."""
        return (self.bins - self.patch) // self.patch_hop + 1

    @property
    def sound_tokens(self) -> int:
        """Tokens of a segment of the sound (6)."""
        return (self.columns - self.patch) // self.patch_hop + 1

    @property
    def positions(self) -> int:
        """Tokens that are compared: two that stand before video and sound, and those of all segments (198)."""
        return 2 + self.segments * (self.video_tokens + self.sound_tokens)


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Scaled dot-product attention of query [B, N, D] to key and value [B, M, D] -> [B, N, D]."""
    query, key, value = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(-2)


class ViTFeedForward(nn.Module):
    """Four times as wide, GELU, and back."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, N, D] -> [B, N, D]."""
        return self.narrow(F.gelu(self.widen(x)))


class ViTAttention(nn.Module):
    """ViTAttention of tokens to each other."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, N, D] -> [B, N, D]."""
        return self.out(attend(self.query(x), self.key(x), self.value(x), self.heads))


class ViTBlock(nn.Module):
    """ViTAttention and two layers, each behind a normalisation and with a skip connection around it."""

    def __init__(self, width: int, heads: int, eps: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps)
        self.attention = ViTAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps)
        self.feed_forward = ViTFeedForward(width)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, N, D] -> [B, N, D]."""
        x = x + self.attention(self.norm1(x))
        return x + self.feed_forward(self.norm2(x))


class DividedAttention(nn.Module):
    """ViTAttention in groups: of the patches of one image, or of those of one place over time.

    The token that stands before all patches is in every group, and itself attends to all.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, times: int, *, over_time: bool) -> Tensor:
        """x [B, 1 + times * places, D] -> the same shape."""
        query, key, value = self.qkv(x).chunk(3, dim=-1)
        first = attend(query[:, :1], key, value, self.heads)

        def groups(tokens: Tensor, with_first: bool) -> Tensor:
            """[B, 1 + times * places, D] -> [B, G, N, D], the first token before each group if wanted."""
            grouped = tokens[:, 1:].unflatten(1, (times, -1))
            grouped = grouped.transpose(1, 2) if over_time else grouped
            front = tokens[:, None, :1].expand(-1, grouped.shape[1], -1, -1)
            return torch.cat([front, grouped], dim=2) if with_first else grouped

        query, key, value = groups(query, False), groups(key, True), groups(value, True)
        rest = attend(query.flatten(0, 1), key.flatten(0, 1), value.flatten(0, 1), self.heads)
        rest = rest.unflatten(0, query.shape[:2])
        rest = rest.transpose(1, 2) if over_time else rest
        return self.out(torch.cat([first, rest.flatten(1, 2)], dim=1))


class DividedBlock(nn.Module):
    """ViTAttention over time, attention over space, two layers."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_time, self.norm_space, self.norm = (nn.LayerNorm(width, eps=1e-6) for _ in range(3))
        self.time = DividedAttention(width, heads)
        self.space = DividedAttention(width, heads)
        self.feed_forward = ViTFeedForward(width)

    def forward(self, x: Tensor, times: int) -> Tensor:
        """x [B, 1 + times * places, D] -> the same shape."""
        x = x + self.time(self.norm_time(x), times, over_time=True)
        x = x + self.space(self.norm_space(x), times, over_time=False)
        return x + self.feed_forward(self.norm(x))


class Summary(nn.TransformerEncoderLayer):
    """Many tokens as one: a token that is put before them, after a layer of PyTorch's own."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(
            width, heads, 4 * width, 0.0, nn.GELU(), layer_norm_eps=1e-6, batch_first=True, norm_first=True
        )
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))  # parameters keep their published last names

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """x [B, T, N, D] -> [B, T, D]."""
        tokens = x.flatten(0, 1)
        tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], dim=1)
        return super().forward(tokens)[:, 0].unflatten(0, x.shape[:2])


class MotionFormer(nn.Module):
    """Segments of a video -> tokens, one for every two images."""

    def __init__(self, config: SynchformerConfig) -> None:
        super().__init__()
        self.times = config.video_tokens
        size = (config.patch_frames, config.patch, config.patch)
        self.patches = nn.Conv3d(3, config.width, size, stride=size)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + config.places, config.width))
        self.temp_embed = nn.Parameter(torch.zeros(1, config.video_tokens, config.width))
        self.blocks = nn.ModuleList(DividedBlock(config.width, config.heads) for _ in range(config.video_depth))
        self.norm = nn.LayerNorm(config.width, eps=1e-6)
        self.summary = Summary(config.width, config.heads)

    def forward(self, images: Tensor) -> Tensor:
        """images [B, 3, F, H, W] in -1..1 -> [B, T, D]."""
        x = self.patches(images).flatten(3).permute(0, 2, 3, 1)  # [B, T, places, D]
        x = x + self.pos_embed[:, None, 1:] + self.temp_embed[:, :, None]
        first = (self.cls_token + self.pos_embed[:, :1]).expand(len(x), -1, -1)
        x = torch.cat([first, x.flatten(1, 2)], dim=1)
        for block in self.blocks:
            x = block(x, self.times)
        return self.summary(self.norm(x[:, 1:]).unflatten(1, (self.times, -1)))


class SpectrogramTransformer(nn.Module):
    """AST: segments of a spectrogram -> tokens, one for every column of patches, which overlap."""

    def __init__(self, config: SynchformerConfig) -> None:
        super().__init__()
        self.bands = config.bands
        self.patches = nn.Conv2d(1, config.width, config.patch, stride=config.patch_hop)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.distillation_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.position_embeddings = nn.Parameter(torch.zeros(1, 2 + config.bands * config.sound_tokens, config.width))
        self.blocks = nn.Sequential(*(ViTBlock(config.width, config.heads, 1e-12) for _ in range(config.sound_depth)))
        self.norm = nn.LayerNorm(config.width, eps=1e-12)
        self.summary = Summary(config.width, config.heads)

    def forward(self, mels: Tensor) -> Tensor:
        """mels [B, M, C] -> [B, T, D]."""
        x = self.patches(mels.unsqueeze(1)).flatten(2).mT
        front = torch.cat([self.cls_token, self.distillation_token], dim=1).expand(len(x), -1, -1)
        x = self.norm(self.blocks(torch.cat([front, x], dim=1) + self.position_embeddings))
        return self.summary(x[:, 2:].unflatten(1, (self.bands, -1)).transpose(1, 2))


class Places(nn.Module):
    """A learned vector for each place in a row of tokens."""

    def __init__(self, positions: int, width: int) -> None:
        super().__init__()
        self.pos_emb = nn.Parameter(torch.zeros(1, positions, width))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, N, D] -> [B, N, D]."""
        return x + self.pos_emb


class OffsetClassifier(nn.Module):
    """Tokens of video and sound -> logits of the offsets between them."""

    def __init__(self, config: SynchformerConfig) -> None:
        super().__init__()
        self.norm_video, self.norm_sound, self.norm_out = (nn.LayerNorm(config.width) for _ in range(3))
        self.OFF_tok = nn.Parameter(torch.zeros(1, 1, config.width))  # before the video; the answer is read from it
        self.MOD_tok = nn.Parameter(torch.zeros(1, 1, config.width))  # between video and sound
        self.places = Places(config.positions, config.width)
        depth, heads = config.comparing_depth, config.comparing_heads
        self.blocks = nn.Sequential(*(ViTBlock(config.width, heads, 1e-5) for _ in range(depth)))
        self.classify = nn.Linear(config.width, config.classes)

    def forward(self, video: Tensor, sound: Tensor) -> Tensor:
        """video [B, N, D], sound [B, M, D] -> [B, classes]."""
        off, between = (token.expand(len(video), -1, -1) for token in (self.OFF_tok, self.MOD_tok))
        x = self.places(torch.cat([off, self.norm_video(video), between, self.norm_sound(sound)], dim=1))
        return self.classify(self.norm_out(self.blocks(x)[:, 0]))


class Synchformer(nn.Module):
    """Segments of a video and of its sound -> logits of the offset between them."""

    def __init__(self, config: SynchformerConfig) -> None:
        super().__init__()
        self.config = config
        self.video = MotionFormer(config)
        self.sound = SpectrogramTransformer(config)
        self.project_video = nn.Linear(config.width, config.width)
        self.project_sound = nn.Linear(config.width, config.width)
        self.classifier = OffsetClassifier(config)

    def encode_video(self, images: Tensor) -> Tensor:
        """Segments of images [N, F, 3, H, W] in -1..1 -> [N, 8, D]."""
        return self.video(images.transpose(1, 2))

    def encode_sound(self, mels: Tensor) -> Tensor:
        """Segments of scaled log-mels [N, M, C] -> [N, 6, D]."""
        return self.sound(mels)

    def compare(self, video: Tensor, sound: Tensor) -> Tensor:
        """Logits [B, classes] of encoded video [B, S, 8, D] and sound [B, S, 6, D] in `segments` segments.

        Raises:
            ValueError: if there are more or fewer segments: a place is learned for each.
        """
        wanted = self.config.segments
        if video.shape[1] != wanted or sound.shape[1] != wanted:
            raise ValueError(
                f"{video.shape[1]} segments of video and {sound.shape[1]} of sound, expected {wanted} of both"
            )
        return self.classifier(self.project_video(video).flatten(1, 2), self.project_sound(sound).flatten(1, 2))

"""A small vocoder that predicts a short-time spectrum per mel column and inverts it.

After Vocos (Siuzdak, ICLR 2024, arXiv 2306.00814): ConvNeXt blocks at the mel rate and an inverse-STFT head. It has no
upsampling layers, which makes it many times cheaper than BigVGAN of the same quality class on a CPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FLOOR = 1e-5  # the smallest magnitude that the shortcut makes; that of the mel front end


@dataclass(frozen=True)
class VocosConfig:
    """Sizes of the inverse-STFT vocoder."""

    bins: int = 80  # mel bins
    width: int = 512
    hidden: int = 1536  # inner width of a block
    blocks: int = 8
    kernel: int = 7  # mel columns seen by each block
    n_fft: int = 1024  # length of the synthesis window, samples
    hop: int = 256  # samples per mel column
    shortcut: bool = False  # magnitudes are corrections of what a linear layer makes of the mel; not in Vocos


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution over time, then a two-layer network on channels, scaled and added to the input."""

    def __init__(self, config: VocosConfig) -> None:
        super().__init__()
        width = config.width
        self.depthwise = nn.Conv1d(width, width, config.kernel, padding=config.kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.expand = nn.Linear(width, config.hidden)
        self.contract = nn.Linear(config.hidden, width)
        self.scale = nn.Parameter(torch.full((width,), 1 / config.blocks))

    def forward(self, x: Tensor) -> Tensor:  # [B, W, T]
        y = self.norm(self.depthwise(x).transpose(1, 2))
        y = self.contract(F.gelu(self.expand(y)))
        return x + (self.scale * y).transpose(1, 2)


class Vocos(nn.Module):
    """Log-mel spectrogram to wave.

    The synthesis frames are laid so that column i is centred on sample (i + 1/2) hop, as in the mel front end.
    """

    def __init__(self, config: VocosConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Conv1d(config.bins, config.width, 7, padding=3)
        self.norm_in = nn.LayerNorm(config.width, eps=1e-6)
        self.blocks = nn.ModuleList(ConvNeXtBlock(config) for _ in range(config.blocks))
        self.norm_out = nn.LayerNorm(config.width, eps=1e-6)
        self.head = nn.Linear(config.width, config.n_fft + 2)
        self.window: Tensor
        # On the CPU also where parameters are on the meta device: nobody fills what is not saved.
        self.register_buffer("window", torch.hann_window(config.n_fft, device="cpu"), persistent=False)
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if config.shortcut:
            self.spread = nn.Linear(config.bins, config.n_fft // 2 + 1, bias=False)

    @property
    def context(self) -> int:
        """Mel columns on each side that can change a sample."""
        overlap = -(-self.config.n_fft // self.config.hop) // 2
        return 3 + self.config.blocks * (self.config.kernel // 2) + overlap

    def forward(self, mel: Tensor) -> Tensor:
        """mel [B, M, T] (log10) -> wave [B, T * hop] in about -1..1."""
        x = self.norm_in(self.embed(mel).transpose(1, 2)).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        magnitude, phase = self.head(self.norm_out(x.transpose(1, 2))).transpose(1, 2).float().chunk(2, dim=1)
        magnitude = torch.exp(magnitude.clamp(max=7.0))  # a larger value could only be a burst
        if self.config.shortcut:
            magnitude = magnitude * self.spread(10.0**mel.mT).mT.clamp(min=FLOOR)
        return overlap_add(torch.polar(magnitude, phase), self.window, self.config.hop)


def overlap_add(spectrum: Tensor, window: Tensor, hop: int) -> Tensor:
    """The wave [B, T * hop] whose spectrum in the mel front end is nearest to [B, n_fft / 2 + 1, T], complex.

    torch.istft cannot serve: it wants centred frames or a window without zeros at the ends, while the front end pads by
    (n_fft - hop) / 2, which puts the first frame half a hop, not a whole window, before the sound.

    Args:
        window: [n_fft], of the front end.
    """
    n_fft, columns = len(window), spectrum.shape[-1]
    parts = -(-n_fft // hop)  # hops that a frame covers
    beyond = (0, parts * hop - n_fft)
    frames = F.pad(torch.fft.irfft(spectrum.mT, n_fft) * window, beyond).unflatten(-1, (parts, hop))
    squares = F.pad(window.square(), beyond).view(parts, hop)
    wave, envelope = (frames.new_zeros(size, columns + parts - 1, hop) for size in (len(frames), 1))
    for part in range(parts):
        wave[:, part : part + columns] += frames[:, :, part]
        envelope[:, part : part + columns] += squares[part]
    trim = (n_fft - hop) // 2
    return (wave / envelope.clamp(min=1e-3)).flatten(1)[:, trim : trim + columns * hop]

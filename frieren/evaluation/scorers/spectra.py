"""Spectrograms as published reference models take them, all of waves at 16 kHz.

vggish_patches     VGGish, for FAD
picture_mel        Diff-Foley's alignment classifier, for the alignment accuracy
synchformer_mel    Synchformer, for DeSync
imagebind_fbank    ImageBind, for the IB score

PANNs has its front end in its weights (`nets.scorers.panns`).
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from frieren.spectrogram import MelConfig, mel_filters

RATE = 16_000  # samples per second of every wave here
FRAME, HOP = 400, 160  # samples in a frame and between two, but for `picture_mel`
PATCH = 96  # columns in a patch of VGGish: 0.96 s
SEGMENT, SEGMENT_HOP = 10_240, 5_120  # samples of a segment of Synchformer and between two
PICTURE = MelConfig(bins=128, fmin=125.0, fmax=7600.0)
PICTURE_SAMPLES = 131_200  # 8.2 s, which are used
FBANK_FLOOR = 1.1920929e-07  # the smallest mel power: float32's epsilon, as in Kaldi
Padding = Literal["reflect", "constant"]


def htk_filters(bins: int, n_fft: int, fmin: float, fmax: float, *, straight_in: Literal["mel", "hertz"]) -> Tensor:
    """Triangles between points that are equally far apart on HTK's mel scale, each of height 1. [M, n_fft / 2 + 1]

    Args:
        straight_in: the scale on which the sides of a triangle are straight lines.
    """

    def to_mel(hertz: Tensor) -> Tensor:
        return 1127 * torch.log1p(hertz / 700)

    low, high = to_mel(torch.tensor([fmin, fmax], dtype=torch.float64)).tolist()
    edges = torch.linspace(low, high, bins + 2, dtype=torch.float64)
    bands = torch.linspace(0, RATE / 2, n_fft // 2 + 1, dtype=torch.float64)
    if straight_in == "mel":
        bands = to_mel(bands)
    else:
        edges = 700 * torch.expm1(edges / 1127)
    rising = (bands - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bands) / (edges[2:] - edges[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp(min=0)


def frames(wave: Tensor) -> Tensor:
    """The wave [S] in frames [T, 400] of 25 ms that begin 10 ms apart; what fills none is left out."""
    return wave.unfold(-1, FRAME, HOP)


def vggish_patches(wave: Tensor) -> Tensor:
    """wave [S] in -1..1 -> natural log-mels [N, 96, 64], one patch per 0.96 s; what fills none is left out.

    The mean of the whole wave is subtracted first.

    Raises:
        ValueError: if the wave fills no patch.
    """
    shortest = FRAME + (PATCH - 1) * HOP
    if wave.shape[-1] < shortest:
        raise ValueError(f"a wave of {wave.shape[-1]} samples fills no patch; pad it to {shortest} or more")
    window = torch.hann_window(FRAME, dtype=torch.float64)
    centred = (wave - wave.mean()).double()
    magnitude = torch.fft.rfft(frames(centred) * window, n=512).abs()
    mel = magnitude @ htk_filters(64, 512, 125, 7500, straight_in="mel").mT
    columns = torch.log(mel + 0.01)
    whole = len(columns) // PATCH
    return columns[: whole * PATCH].unflatten(0, (whole, PATCH)).float()


def picture_mel(wave: Tensor, *, padding: Padding = "reflect") -> Tensor:
    """The first 8.2 s of a wave [S] -> [128, 513] in 0..1; a shorter wave is followed by silence, which gives 0.

    Args:
        padding: what stands beyond the ends: the wave mirrored, as where the classifier was trained, or zeros, as with
            newer versions of the library that was used there. The first and last two columns differ.
    """
    wave = F.pad(wave[:PICTURE_SAMPLES], (0, max(0, PICTURE_SAMPLES - len(wave))))[:-1]  # the last is dropped there
    window = torch.hann_window(PICTURE.n_fft)
    spectrum = torch.stft(wave, PICTURE.n_fft, PICTURE.hop, window=window, pad_mode=padding, return_complex=True)
    mel = mel_filters(PICTURE) @ spectrum.abs()
    decibels = 20 * torch.log10(mel.clamp(min=1e-5)) - 20
    return ((decibels + 100) / 100).clamp(0, 1)


def synchformer_mel(wave: Tensor) -> Tensor:
    """wave [S] in -1..1 -> scaled natural log-mels [N, 128, 66] of segments of 0.64 s that begin 0.32 s apart."""
    segments = wave.unfold(-1, SEGMENT, SEGMENT_HOP)
    window = torch.hann_window(FRAME)
    spectrum = torch.stft(segments, 1024, HOP, FRAME, window, pad_mode="reflect", return_complex=True)
    filters = htk_filters(128, 1024, 0, RATE / 2, straight_in="hertz").float()
    mel = torch.log(filters @ spectrum.abs().square() + 1e-6)
    return (F.pad(mel, (0, 1)) + 4.2677393) / (2 * 4.5689974)  # the column that is added is 0 before the scaling


def imagebind_fbank(wave: Tensor) -> Tensor:
    """A clip [32000] of 2 s -> scaled natural log-mels [128, 204], as Kaldi computes them, then six columns of 0."""
    x = frames(wave - wave.mean())
    x = x - x.mean(dim=-1, keepdim=True)
    x = x - 0.97 * torch.cat([x[:, :1], x[:, :-1]], dim=-1)
    power = torch.fft.rfft(x * torch.hann_window(FRAME, periodic=False), n=512).abs().square()
    mel = power @ htk_filters(128, 512, 20, RATE / 2, straight_in="mel").mT.float()
    columns = torch.log(mel.clamp(min=FBANK_FLOOR)).mT
    return (F.pad(columns, (0, 204 - columns.shape[-1])) + 4.268) / 9.138

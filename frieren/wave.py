"""Mel -> wave: the vocoders, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

from frieren.nets.vocos import overlap_add
from frieren.spectrogram import MelConfig, mel_filters, stft

CHUNK = 512  # mel columns vocoded together: 8.2 s
# Multiplicative updates of magnitudes towards the mel, in every iteration. For `mini` and the demo clip six take the
# mel's error from 17 % to 0.6 %; with twelve the sound ends no nearer (0.0101 in log10; with six 0.0102, one 0.0108).
MEL_UPDATES = 6
MOMENTUM = 0.99  # of Griffin-Lim's phases: the best of Perraudin et al. (2013), and librosa's default
EPS = 1e-9  # smallest divisor
BAND = 16  # mel bins that are multiplied together; far from these their filters are zero


class Vocoder(Protocol):
    """Turns mel [B, M, T] into wave [B, T * hop]; a sample depends on at most `context` columns on each side.

    None: on all of them, so the mel must stay in one piece.
    """

    context: int | None

    def __call__(self, mel: Tensor) -> Tensor: ...


@torch.inference_mode()
def vocode(
    vocoder: Vocoder, mel: Tensor, hop: int, on_chunk: Callable[[int, int], None] = lambda done, total: None
) -> Tensor:
    """mel [B, M, T] (log10) -> wave [B, T * hop] in -1..1, the same as in one piece but in bounded memory.

    A wave with higher peaks becomes quieter as a whole; none is clipped.

    Args:
        on_chunk: called with (columns done, columns) after each chunk.
    """
    wave = torch.cat(list(stream_wave(vocoder, [mel], mel.shape[-1], hop, on_chunk=on_chunk)), dim=-1)
    return wave / wave.abs().amax(dim=-1, keepdim=True).clamp(min=1)


def first_column(vocoder: Vocoder, chunk: int) -> int:
    """The first mel column that chunk number `chunk` of a wave depends on."""
    return max(0, chunk * CHUNK - (vocoder.context or 0))


@torch.inference_mode()
def stream_wave(
    vocoder: Vocoder,
    mel: Iterable[Tensor],
    columns: int,
    hop: int,
    *,
    chunk: int = 0,
    on_chunk: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Tensor]:
    """Blocks of mel [B, M, T'] -> the wave in chunks [B, S'] of CHUNK columns, before its peaks are looked at.

    A vocoder without bounds sees all columns together, and gives one chunk.

    Args:
        mel: from column `first_column(vocoder, chunk)` on.
        columns: of the whole mel.
        chunk: number of the first chunk that is wanted.
        on_chunk: called with (columns done, columns) after each.
    """
    context, blocks = vocoder.context or 0, iter(mel)
    size = CHUNK if context else columns
    held, offset = torch.empty(0), first_column(vocoder, chunk)  # mel from column `offset` on
    for start in range(chunk * size, columns, size):
        first, last, end = max(0, start - context), min(columns, start + size + context), min(start + size, columns)
        parts = [held[..., first - offset :]] if held.numel() else []
        offset = first
        while sum(part.shape[-1] for part in parts) < last - first:
            parts.append(next(blocks))
        held = parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)
        wave = vocoder(held[..., : last - first])
        yield wave[:, (start - first) * hop : (end - first) * hop]
        on_chunk(end, columns)


def reached(filters: Tensor) -> slice:
    """The bins from the first to the last where one of these filters [n, bins] is not zero."""
    bins = filters.any(dim=0).nonzero().flatten().tolist() or [0]
    return slice(bins[0], bins[-1] + 1)


class GriffinLimRefinement(nn.Module):
    """A vocoder whose wave is brought closer to its mel: magnitudes to the mel, phases to the magnitudes, in turns.

    A network draws the fine structure of a spectrum, but keeps neither quite to the mel nor to what a wave can have.
    Every iteration is one of Griffin and Lim's algorithm with momentum (Perraudin et al. 2013), begun from the
    network's phases, towards the magnitudes that the wave has by now, brought to the mel: a few multiplicative updates
    (Lee and Seung 2000) find the ones near by that have it. So the fine structure gives way until a wave can have it.
    """

    def __init__(self, vocoder: Vocoder, config: MelConfig, iterations: int) -> None:
        super().__init__()
        self.vocoder, self.config, self.iterations = vocoder, config, iterations
        self.filters: Tensor
        self.window: Tensor
        self.register_buffer("filters", mel_filters(config).clone(), persistent=False)
        self.register_buffer("window", torch.hann_window(config.n_fft), persistent=False)
        bands = [slice(first, first + BAND) for first in range(0, config.bins, BAND)]
        self.bands = [(mels, reached(self.filters[mels])) for mels in bands]

    @property
    def context(self) -> int | None:
        """Mel columns on each side that can change a sample: every spectrum of a wave reaches a window further."""
        reach = self.config.n_fft // self.config.hop * (self.iterations + 1)
        return None if self.vocoder.context is None else self.vocoder.context + reach

    def forward(self, mel: Tensor) -> Tensor:
        """mel [B, M, T] (log10) -> wave [B, T * hop]. A wave of a window or less is the vocoder's."""
        wave = self.vocoder(mel).float()
        if wave.shape[-1] <= self.config.n_fft:
            return wave
        spectrum, linear = stft(wave, self.config), 10.0 ** mel.float()
        before = spectrum
        for _ in range(self.iterations):
            magnitudes = self.fitted(spectrum.abs(), linear)
            ahead, before = torch.lerp(before, spectrum, 1 + MOMENTUM), spectrum
            ahead.mul_(magnitudes / ahead.abs().clamp_(min=EPS))
            wave = overlap_add(ahead, self.window, self.config.hop)
            spectrum = stft(wave, self.config)
        return wave

    def fitted(self, magnitudes: Tensor, mel: Tensor) -> Tensor:
        """Magnitudes [B, n_fft / 2 + 1, T], changed by as little as gives them the (linear) mel [B, M, T]."""
        asked, columns = mel.mT.flatten(0, 1) @ self.filters, magnitudes.shape[-1]
        found = magnitudes.mT.flatten(0, 1).clamp(min=EPS)  # [B T, bins]; what is zero stays zero
        told = torch.empty_like(found)
        for _ in range(MEL_UPDATES):
            told.zero_()
            for mels, bins in self.bands:
                filters = self.filters[mels, bins]
                told[:, bins].addmm_(found[:, bins] @ filters.T, filters)
            found.mul_(asked).div_(told.clamp_(min=EPS))
        return found.unflatten(0, (-1, columns)).mT


class GriffinLim(nn.Module):
    """A vocoder without learning: the spectrum of least squares, then phases by Griffin and Lim (librosa).

    Slower and rougher than a trained vocoder; of use to tell the vocoder's share in a sound. Needs the extra
    `griffin-lim`.
    """

    context: int | None = None  # phases are settled over the whole sound

    def __init__(self, config: MelConfig, iterations: int = 60) -> None:
        super().__init__()
        self.config, self.iterations = config, iterations

    def forward(self, mel: Tensor) -> Tensor:
        """mel [B, M, T] -> wave [B, T * hop]."""
        return torch.stack([self.invert(item) for item in mel]).to(mel)

    def invert(self, mel: Tensor) -> Tensor:
        """One item [M, T] -> [T * hop]."""
        import librosa

        config, magnitudes = self.config, 10 ** mel.double().cpu().numpy()
        spectrum = librosa.util.nnls(mel_filters(config).double().numpy(), magnitudes)
        # The front end's frames are half a hop off librosa's centred ones: n_fft / 2 - (n_fft - hop) / 2 samples.
        wave = librosa.griffinlim(
            spectrum, n_iter=self.iterations, hop_length=config.hop, n_fft=config.n_fft, center=False, random_state=0
        )
        trim, length = (config.n_fft - config.hop) // 2, mel.shape[-1] * config.hop
        return torch.from_numpy(wave[trim : trim + length].copy())

"""Vocoders: chunks cannot be heard, the inverse STFT inverts, Griffin-Lim gives back a tone."""

from __future__ import annotations

import math

import pytest
import torch

from frieren.nets.starts import start_from_filters
from frieren.nets.vocos import Vocos, VocosConfig, overlap_add
from frieren.spectrogram import MelConfig, log_mel, mel_filters, stft
from frieren.wave import CHUNK, MEL_UPDATES, GriffinLim, GriffinLimRefinement, vocode


@pytest.fixture
def vocoder():
    torch.manual_seed(0)
    return Vocos(VocosConfig(width=16, hidden=32, blocks=2)).eval()


def unclipped(wave: torch.Tensor) -> torch.Tensor:
    """Waves [B, S], those that go beyond 1 brought down to it as a whole."""
    return wave / torch.stack([max(one.abs().max(), torch.ones(())) for one in wave])[:, None]


@pytest.mark.parametrize("columns", [1, 4, CHUNK, CHUNK + 1, 2 * CHUNK + 40])
def test_chunks_give_the_wave_of_one_piece(vocoder, columns):
    mel = torch.randn(1, 80, columns)
    wave = vocode(vocoder, mel, 256)
    assert wave.shape == (1, columns * 256)
    torch.testing.assert_close(wave, unclipped(vocoder(mel)), atol=1e-5, rtol=1e-5)


def test_a_wave_that_is_too_loud_is_not_clipped():
    class Sine:
        context = 0

        def __call__(self, mel):
            return mel.amax(1).repeat_interleave(256, -1) * torch.sin(torch.arange(mel.shape[-1] * 256) / 7)

    wave = vocode(Sine(), torch.tensor([4.0, 0.5, 0.0])[:, None, None].expand(3, 80, 50), 256)
    sine = torch.sin(torch.arange(50 * 256) / 7)
    torch.testing.assert_close(wave, torch.stack([sine / sine.abs().max(), 0.5 * sine, 0 * sine]))


@pytest.mark.parametrize(("n_fft", "hop", "columns"), [(16, 4, 9), (16, 4, 1), (20, 6, 5), (12, 12, 3)])
def test_overlap_add_is_the_sum_of_windowed_frames_over_that_of_squared_windows(n_fft, hop, columns):
    spectrum = torch.randn(3, n_fft // 2 + 1, columns, dtype=torch.complex64)
    window, length = torch.hann_window(n_fft, periodic=False) + 0.1, (columns - 1) * hop + n_fft
    wave, envelope = torch.zeros(3, length), torch.zeros(length)
    for column in range(columns):
        at = slice(column * hop, column * hop + n_fft)
        wave[:, at] += torch.fft.irfft(spectrum[:, :, column], n_fft) * window
        envelope[at] += window**2
    trim = (n_fft - hop) // 2
    expected = (wave / envelope)[:, trim : trim + columns * hop]
    torch.testing.assert_close(overlap_add(spectrum, window, hop), expected)


def test_overlap_add_inverts_the_front_ends_spectrum():
    """The STFT of the mel front end, given back to the overlap-add, is the wave again."""
    wave = torch.randn(1, 256 * 40)
    padded = torch.nn.functional.pad(wave[:, None], (384, 384), mode="reflect")[:, 0]
    spectrum = torch.stft(padded, 1024, 256, window=torch.hann_window(1024), center=False, return_complex=True)
    torch.testing.assert_close(stft(wave, MelConfig()), spectrum)
    again = overlap_add(spectrum, torch.hann_window(1024), 256)
    torch.testing.assert_close(again[:, 512:-512], wave[:, 512:-512], atol=1e-5, rtol=1e-4)


class Blurred(torch.nn.Module):
    """A poor vocoder: it knows the wave, and gives it back too soft, with noise."""

    context = 0

    def __init__(self, wave):
        super().__init__()
        torch.manual_seed(1)
        self.wave = 0.7 * wave + 0.02 * torch.randn(len(wave))

    def forward(self, mel):
        return self.wave[None, : mel.shape[-1] * 256]


@pytest.fixture
def knock():
    """Two seconds: silence, then a tone that dies away, [S]."""
    time = torch.arange(256 * 125) / 16_000
    return torch.where(time < 0.5, 0.0, 0.5 * torch.exp(-4 * (time - 0.5)) * torch.sin(2 * math.pi * 440 * time))


@pytest.mark.parametrize("iterations", [0, 8])
def test_refinement_brings_a_wave_closer_to_its_mel(knock, iterations):
    mel = log_mel(knock, MelConfig())
    refinement = GriffinLimRefinement(Blurred(knock), MelConfig(), iterations)

    def error(wave):
        return (log_mel(wave[0], MelConfig()) - mel).abs().mean().item()

    poor, refined = error(refinement.vocoder(mel[None])), error(refinement(mel[None]))
    assert refined == pytest.approx(poor) if iterations == 0 else refined < 0.2 * poor
    assert (
        refinement(mel[None])[0, 1000:7400].abs().max() < 0.01 or iterations == 0
    )  # no noise is left before the knock


def test_more_iterations_of_the_refinement_come_closer_still():
    """As the magnitudes are brought to the mel in every iteration; brought to it once, the error stays where it was."""
    torch.manual_seed(4)
    swelling = 1 + torch.sin(2 * math.pi * 3 * torch.arange(256 * 125) / 16_000)
    mel = log_mel(0.1 * torch.randn(256 * 125) * swelling, MelConfig())
    vocoder = Blurred(0.1 * torch.randn(256 * 125))
    few, many = (
        (log_mel(GriffinLimRefinement(vocoder, MelConfig(), iterations)(mel[None])[0], MelConfig()) - mel).abs().mean()
        for iterations in (8, 32)
    )
    assert many < 0.5 * few < 0.02


def test_refinement_keeps_the_phases_that_it_is_given(knock):
    """Where the vocoder's phases are right, so is the refined wave, whatever its magnitudes were."""
    refined = GriffinLimRefinement(Blurred(knock), MelConfig(), 8)(log_mel(knock, MelConfig())[None])[0]
    assert torch.nn.functional.cosine_similarity(refined, knock, dim=0) > 0.97
    assert (refined - knock).square().mean() < (0.7 * knock - knock).square().mean()


@pytest.mark.parametrize("iterations", [1, 3])
def test_a_column_reaches_as_far_as_the_context_says(iterations):
    """A change of one column of the mel is heard, however softly, nearly as far away as the context, and no further."""
    torch.manual_seed(3)
    refinement = GriffinLimRefinement(Blurred(torch.randn(256 * 160)), MelConfig(), iterations)
    mel = torch.randn(1, 80, 160) - 2
    other = mel.clone()
    other[..., 80] += 1
    changed = (refinement(mel) != refinement(other))[0].unflatten(0, (-1, 256)).any(1)
    reach = (changed.nonzero()[:, 0] - 80).abs().max()
    assert refinement.context - 8 <= reach <= refinement.context


def test_refinement_leaves_no_magnitude_that_the_mel_does_not_ask_for(knock):
    """Non-negative least squares of a mel that has an exact answer: the multiplicative updates find one."""
    refinement = GriffinLimRefinement(Blurred(knock), MelConfig(), 4)
    magnitudes = stft(knock[None], MelConfig()).abs()
    mel = mel_filters(MelConfig()) @ magnitudes
    fitted = 2 * magnitudes + 0.1
    for _ in range(5):
        fitted = refinement.fitted(fitted, mel)
    torch.testing.assert_close(mel_filters(MelConfig()) @ fitted, mel, atol=2e-3, rtol=0.1)
    kept = refinement.fitted(magnitudes, mel)[:, 1:-1]  # 0 and 8000 Hz are in no band
    torch.testing.assert_close(kept, magnitudes[:, 1:-1], atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize("config", [MelConfig(), MelConfig(bins=7, fmin=500.0), MelConfig(bins=33, fmax=3000.0)])
def test_bands_of_filters_are_all_filters(vocoder, config):
    """Lee and Seung's updates with whole matrices give the same as those that pass over the zeros."""
    generator = torch.Generator().manual_seed(0)
    magnitudes, mel = torch.rand(3, 513, 5, generator=generator), torch.rand(3, config.bins, 5, generator=generator)
    filters, expected = mel_filters(config), magnitudes
    for _ in range(MEL_UPDATES):
        expected = expected * (filters.T @ mel) / (filters.T @ (filters @ expected)).clamp(min=1e-9)
    found = GriffinLimRefinement(vocoder, config, 1).fitted(magnitudes, mel)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("columns", [1, 4, 5, CHUNK + 40])
def test_a_refined_wave_has_its_length_and_knows_no_chunks(vocoder, columns):
    refinement = GriffinLimRefinement(vocoder, MelConfig(), 3).eval()
    torch.manual_seed(2)
    mel = torch.randn(1, 80, columns) - 2
    wave = vocode(refinement, mel, 256)
    assert wave.shape == (1, columns * 256)
    with torch.inference_mode():
        torch.testing.assert_close(wave, unclipped(refinement(mel)), atol=1e-4, rtol=1e-3)


def test_griffin_lim_gives_back_a_tone():
    pytest.importorskip("librosa")
    time = torch.arange(256 * 80) / 16_000
    wave = 0.5 * torch.sin(2 * math.pi * 440 * time)
    mel = log_mel(wave, MelConfig())
    again = GriffinLim(MelConfig(), iterations=16)(mel[None])[0]
    assert again.shape == wave.shape
    spectrum = torch.fft.rfft(again * torch.hann_window(len(again))).abs()
    assert spectrum.argmax().item() * 16_000 / len(again) == pytest.approx(440, abs=20)  # a mel bin is 37 Hz wide there
    assert again.square().mean().sqrt().item() == pytest.approx(0.5 / math.sqrt(2), rel=0.25)


def test_griffin_lim_keeps_the_sound_in_one_piece():
    """Its phases are settled over the whole sound: chunks would break a tone where they meet."""
    seen = []
    vocoder = GriffinLim(MelConfig())
    vocoder.invert = lambda mel: seen.append(mel.shape[-1]) or torch.zeros(mel.shape[-1] * 256)
    assert vocode(vocoder, torch.zeros(1, 80, 3 * CHUNK), 256).shape == (1, 3 * CHUNK * 256)
    assert seen == [3 * CHUNK]


def test_a_vocoder_that_starts_from_the_mel_has_its_spectrum() -> None:
    """Before any training: the mel of its magnitudes is the mel that it was given, each frame a pulse in its middle."""
    mel_config = MelConfig()
    vocoder = Vocos(VocosConfig(width=16, hidden=32, blocks=2, shortcut=True)).eval()
    start_from_filters(vocoder, mel_filters(mel_config))
    mel = (0.5 * torch.sin(torch.arange(80) / 9) - 1).view(1, 80, 1).expand(1, 80, 5)
    spread = vocoder.spread(10.0**mel.mT).mT.clamp(min=1e-5)
    again = torch.log10((mel_filters(mel_config) @ spread).clamp(min=1e-5))
    torch.testing.assert_close(again, mel, atol=0.02, rtol=0)
    magnitude, phase = vocoder.head(torch.zeros(1, 16)).chunk(2, dim=-1)
    assert magnitude.abs().max() == 0
    pulse = torch.fft.irfft(torch.polar(torch.ones_like(phase), phase), 1024)[0]
    assert pulse.argmax() == 512

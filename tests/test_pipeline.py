"""The five stages together, on `tiny`: the short way equals the long way, lengths are exact, seeds mean something."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import soundfile
import torch
from clips import video

import frieren
from frieren.wave import GriffinLim, GriffinLimRefinement
from frieren.weights import save_model_config, save_part


@pytest.fixture(scope="module")
def model():
    return frieren.load("tiny", device="cpu")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    video(path, [index / 30 for index in range(36)])
    return path


def test_generate_equals_the_stages_one_by_one(model, clip):
    sound = model.generate(clip, seed=3)
    frames = frieren.read_frames(clip, model.clock, model.image_size)
    features = model.encode(frames)
    latent = model.sample(features, times=frames.times, seconds=frames.seconds, seed=3)
    wave = model.vocode(model.decode(latent))
    assert torch.equal(sound.wave, wave[: len(sound.wave)])
    assert len(sound.wave) == round(frames.seconds * 16_000) <= len(wave)


def test_same_seed_same_samples_other_seed_other_samples(model, clip):
    first, again, other = (model.generate(clip, seed=seed).wave for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    takes = list(model.takes(clip, [5, 6]))
    assert torch.equal(takes[0].wave, first) and torch.equal(takes[1].wave, other)


@pytest.mark.parametrize("seconds", [0.3, 5.0, 9.7])
def test_any_length_comes_out_exact(model, tmp_path, seconds):
    path = tmp_path / "clip.mp4"
    video(path, [index / 10 for index in range(round(10 * seconds))])
    sound = model.generate(path, steps=1)
    frames = frieren.read_frames(path, model.clock, model.image_size)
    assert len(sound.wave) == round(frames.seconds * 16_000)
    assert sound.seconds == pytest.approx(seconds, abs=0.051)
    assert torch.isfinite(sound.wave).all() and sound.wave.abs().max() <= 1


def test_a_batch_is_its_items(model):
    features = torch.randn(2, 200, 16)
    both = model.sample(features, seed=7, steps=2)
    for item, seed in enumerate((7, 8)):
        alone = model.sample(features[item], seed=seed, steps=2)
        torch.testing.assert_close(both[item], alone, atol=1e-5, rtol=1e-4)
    mel = model.decode(both)
    torch.testing.assert_close(mel[1], model.decode(both[1]), atol=1e-5, rtol=1e-4)
    assert model.vocode(mel).shape == (2, mel.shape[-1] * 256)


@pytest.mark.parametrize(("frames", "columns"), [(128, 160), (10, 13)])
def test_noise_replaces_the_seed(model, frames, columns):
    features = torch.randn(frames, 16)
    noise = frieren.latent.draw_noise(20, max(columns, model.clock.window), 11)
    given, drawn = model.sample(features, noise=noise, steps=1), model.sample(features, seed=11, steps=1)
    assert given.shape == drawn.shape == (20, columns)
    assert torch.equal(given, drawn)
    assert not torch.equal(given, model.sample(features, noise=noise.flip(1), steps=1))
    assert torch.equal(model.sample(features, steps=1), model.sample(features, seed=0, steps=1))
    with pytest.raises(ValueError, match=r"noise must be \(1, 20, 160\), got \(1, 20, 159\)"):
        model.sample(features, noise=noise[:, 1:])
    with pytest.raises(ValueError, match="one of them"):
        model.sample(features, noise=noise, seed=0)


def test_noise_of_a_batch(model):
    features, noise = torch.randn(2, 10, 16), torch.randn(2, 20, 160)
    both = model.sample(features, noise=noise, steps=1)
    for item in range(2):
        alone = model.sample(features[item], noise=noise[item], steps=1)
        torch.testing.assert_close(both[item], alone, atol=1e-5, rtol=1e-4)


def test_a_short_latent_is_decoded_as_if_it_went_on(model):
    """The decoder's normalisation looks at all of its input, so a short latent is prolonged, not decoded alone."""
    latent = torch.randn(20, 10)
    prolonged = torch.cat([latent, latent[:, -1:].expand(-1, 150)], dim=1)
    torch.testing.assert_close(model.decode(latent), model.decode(prolonged)[:, :20])


def test_bad_options_are_not_replaced_in_silence(model):
    with pytest.raises(ValueError, match="steps"):
        model.sample(torch.randn(10, 16), steps=0)
    with pytest.raises(frieren.errors.ConfigError, match="solver"):
        model.sample(torch.randn(10, 16), solver="")


def test_progress_of_every_stage_ends_at_its_total(model, clip):
    seen = {}
    model.generate(
        clip, steps=2, on_progress=lambda stage, done, total: seen.setdefault(stage, []).append((done, total))
    )
    assert list(seen) == ["encode", "sample", "decode", "vocode"]
    assert all(calls[-1][0] == calls[-1][1] for calls in seen.values())


def test_on_step_counts_to_the_end(model):
    seen = []
    model.sample(torch.randn(50, 16), steps=5, on_step=lambda done, steps: seen.append((done, steps)))
    assert seen == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
    seen.clear()
    model.sample(torch.randn(50, 16), steps=5, solver="dopri5", on_step=lambda done, steps: seen.append((done, steps)))
    assert seen[-1] == (5, 5)


def test_encode_mel_and_decode_are_a_pair(model):
    mel = torch.randn(80, 64)
    mean, log_variance = model.encode_mel(mel)
    assert mean.shape == log_variance.shape == (20, 32)
    assert model.decode(mean).shape == mel.shape


def test_saved_wave_is_exact_to_the_sample(model, clip, tmp_path):
    sound = model.generate(clip)
    path = sound.save(tmp_path / "sound.wav", loudness=None)
    written, rate = soundfile.read(path, dtype="float32")
    assert rate == 16_000
    np.testing.assert_allclose(written, sound.wave.numpy(), atol=1 / 32768)


def test_a_sound_without_video_cannot_become_one(model, tmp_path):
    with pytest.raises(frieren.OutputError, match="no video"):
        frieren.Sound(torch.zeros(100), 16_000).save(tmp_path / "x.mp4")


def test_griffin_lim_takes_the_vocoders_place(clip):
    model = frieren.load("tiny", vocoder="griffin-lim")
    assert isinstance(model.vocoder, GriffinLim)
    assert model.generate(clip, steps=1).record["options"]["vocoder"] == "griffin-lim"


def test_a_model_that_asks_for_it_refines_its_waves(model, tmp_path):
    folder = tmp_path / "refined"
    for name, part in model.parts.items():
        save_part(folder / name, part, part.config)
    save_model_config(folder, dataclasses.replace(model.config, griffin_lim_iterations=3))
    refined = frieren.load(folder)
    assert isinstance(refined.vocoder, GriffinLimRefinement) and refined.vocoder.iterations == 3
    mel = torch.randn(80, 40) - 2
    wave = GriffinLimRefinement(model.vocoder, model.config.mel, 3)(mel[None])[0]
    assert torch.equal(refined.vocode(mel), wave / wave.abs().max().clamp(min=1))
    assert not torch.equal(refined.vocode(mel), model.vocode(mel))
    assert isinstance(frieren.load(folder, vocoder="griffin-lim").vocoder, GriffinLim)
    with pytest.raises(ValueError, match="griffin_lim_iterations must .* got -1"):
        dataclasses.replace(model.config, griffin_lim_iterations=-1)


def test_a_models_own_guidance_rescale_is_sampled_with_and_recorded(model, clip, tmp_path):
    folder = tmp_path / "rescaled"
    for name, part in model.parts.items():
        save_part(folder / name, part, part.config)
    save_model_config(folder, dataclasses.replace(model.config, guidance_rescale=2.0))
    kept = frieren.load(folder)
    features = torch.randn(50, model.field.config.features)
    plain, made = (one.sample(features, steps=1) for one in (model, kept))
    assert not torch.allclose(plain, made)
    for guidance in (1.0, 2.0):
        plain, made = (one.sample(features, guidance=guidance) for one in (model, kept))
        assert torch.equal(plain, made), "guidance up to the smaller one is as it was"
    assert kept.generate(clip, steps=1).record["options"]["sampling"]["guidance_rescale"] == "as guided by 2"
    assert "guidance_rescale" not in model.generate(clip, steps=1).record["options"]["sampling"]
    with pytest.raises(ValueError, match="guidance_rescale must .* got -1"):
        dataclasses.replace(model.config, guidance_rescale=-1)


def test_unknown_names_list_what_is_possible(tmp_path):
    with pytest.raises(frieren.WeightsError, match="tiny"):
        frieren.load("no-such-model")
    with pytest.raises(ValueError, match="bfloat16"):
        frieren.load("tiny", precision="float8")
    with pytest.raises(ValueError, match="griffin-lim"):
        frieren.load("tiny", vocoder="lpc")


def test_frames_of_the_default_size_are_made_to_fit(model, clip):
    frames = frieren.read_frames(clip, model.clock)
    assert frames.images.shape[1:] == (3, 224, 224)
    exact = model.encode(frieren.read_frames(clip, model.clock, model.image_size))
    assert torch.nn.functional.cosine_similarity(model.encode(frames), exact).min() > 0.9

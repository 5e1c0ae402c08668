"""What each part learns: every loss against an independent computation in numpy, from the networks' own outputs."""

from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from torch import nn

from frieren.nets.bigvgan import BigVGAN, BigVGANConfig
from frieren.nets.discriminators import PatchConfig, PatchDiscriminator
from frieren.nets.field import FieldConfig
from frieren.nets.motion import MotionConfig
from frieren.nets.scorers.alignment import AlignmentClassifier, AlignmentConfig, at_frames
from frieren.nets.scorers.sound_classifier import SoundClassifierConfig
from frieren.nets.scorers.tagger import Tagger, TaggerConfig
from frieren.spectrogram import MelConfig, log_mel
from frieren.training.board import open_board
from frieren.training.crops import TooShortError
from frieren.training.data import Label, TrainingData
from frieren.training.learner import adamw, rate
from frieren.training.recipe import PARTS, RecipeError, read_recipe
from frieren.training.stages import TASKS
from frieren.training.tasks import alignment, autoencoder, contrast, encoder, tagger
from frieren.training.tasks.adversary import adaptive_weight, discriminator_loss, r1_penalty
from frieren.weights import load_part
from frieren.world import GALLERY

RECIPES = Path(__file__).parents[1] / "recipes"
SMALL = {
    "autoencoder": ["network.width=8", "loss.columns=32", "loss.disc_start=0"],
    "vocoder": ["loss.columns=8", "loss.disc_start=0"],
    "encoder": ["loss.frames=16"],
    "cavp": ["loss.frames=32", "optim.batch=3", "loss.crops=2"],
    "alignment": ["network.frames=48", "optim.batch=6"],
    "tagger": ["loss.columns=128"],
    "classifier": ["loss.columns=128"],
}


def numbers(*tensors):
    return [tensor.detach().double().numpy() for tensor in tensors]


def log_softmax(logits, axis):
    return logits - np.log(np.exp(logits).sum(axis, keepdims=True))


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """Clips with the labels of FoleyWorld's first ones, and noise for pictures and sounds."""
    return TrainingData(*datasets.noisy_world(tmp_path_factory.mktemp("noise"), 48, 4), [])


def task_of(part, noise, changes=(), folder="tiny"):
    """A part's task at toy size, with always the same parameters."""
    torch.manual_seed(0)
    recipe = read_recipe(RECIPES / folder / f"{part}.toml", [*SMALL[part], *changes])
    return TASKS[part](recipe, noise)


# --- all tasks


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*/*.toml")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_recipe_can_be_read(path):
    if path.stem != "model":
        assert read_recipe(path).part in PARTS


def test_every_part_has_a_task():
    """The stages of the vector field share one, which also needs finished parts; two take no clips."""
    assert TASKS.keys() <= PARTS.keys()
    assert {PARTS[part][0] for part in PARTS.keys() - TASKS.keys()} == {
        FieldConfig,
        MotionConfig,
        SoundClassifierConfig,
    }


@pytest.mark.parametrize("part", TASKS)
def test_an_overfitted_batch_has_a_falling_loss(part, noise):
    task = task_of(part, noise)
    for name, trainable in task.trainables.items():
        optimiser = torch.optim.Adam(trainable.network.parameters(), 1e-3)
        torch.manual_seed(1)
        batch, totals = task.batch(0), []
        for _ in range(8):
            torch.manual_seed(2)
            losses = trainable.losses(batch, 0)
            totals.append(losses["total"].item())
            optimiser.zero_grad()
            losses["total"].backward()
            optimiser.step()
        assert np.isfinite(totals).all() and totals[-1] < totals[0], name


@pytest.mark.parametrize("part", TASKS)
def test_a_batch_is_a_function_of_the_seed(part, noise):
    task, batches = task_of(part, noise), []
    for _ in range(2):
        torch.manual_seed(3)
        batch = task.batch(0)
        batches.append(batch.values() if isinstance(batch, dict) else (batch,) if torch.is_tensor(batch) else batch)
    assert all(torch.equal(a, b) for a, b in zip(*batches, strict=True))


@pytest.mark.parametrize("part", TASKS)
def test_a_finished_part_loads(part, noise, tmp_path):
    task = task_of(part, noise)
    task.finish(task.network, tmp_path)
    loaded = load_part(tmp_path)
    assert type(loaded) is type(task.part)
    for key, value in task.part.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key
    # No config but the autoencoder's scale and a tagger's classes are known only in the end.
    assert dataclasses.replace(loaded.config, **unknown(part, loaded)) == task.recipe.network


def unknown(part, network):
    return {"autoencoder": {"scale": 0.18215}, "tagger": {"classes": ()}, "classifier": {"classes": ()}}.get(part, {})


@pytest.mark.parametrize("part", TASKS)
def test_validation_reports_numbers_and_leaves_no_trace(part, noise):
    task = task_of(part, noise)
    state = torch.get_rng_state()
    scores = task.validate(task.network)
    assert scores and all(np.isfinite(score) for score in scores.values())
    assert torch.equal(state, torch.get_rng_state()) and task.network.training
    assert task.validate(task.network) == scores


# --- adversaries


def test_discriminator_loss_is_least_squares():
    real, fake = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    r, f = numbers(real, fake)
    assert discriminator_loss(real, fake).item() == pytest.approx(((r - 1) ** 2).mean() + (f**2).mean())


def test_r1_penalty_of_a_known_gradient():
    """logits = w x^2, so the gradient is 2 w x."""
    x, w = torch.randn(3, 5, requires_grad=True), torch.randn(5, requires_grad=True)
    penalty = r1_penalty((w * x.square()).sum(1), x)
    X, W = numbers(x, w)
    assert penalty.item() == pytest.approx(((2 * W * X) ** 2).mean(), rel=1e-5)
    penalty.backward()  # the discriminator learns from it: d/dw of mean(4 w^2 x^2)
    np.testing.assert_allclose(w.grad.numpy(), (8 * W * X**2).sum(0) / X.size, rtol=1e-5)


def test_adaptive_weight_is_the_ratio_of_gradient_norms():
    w = torch.randn(7, requires_grad=True)
    a, b = torch.randn(7), torch.randn(7)
    weight = adaptive_weight((a * w).sum(), (b * w).sum(), w)
    expected = np.linalg.norm(a.numpy()) / (np.linalg.norm(b.numpy()) + 1e-4)
    assert weight.item() == pytest.approx(expected, rel=1e-5) and not weight.requires_grad
    assert adaptive_weight((a * w).sum(), (0 * w).sum(), w) == 1e4


def test_patch_discriminator_is_the_published_one():
    discriminator = PatchDiscriminator(PatchConfig())
    convolutions = [16 * a * b for a, b in ((1, 64), (64, 128), (128, 256), (256, 512), (512, 1))]
    assert sum(p.numel() for p in discriminator.parameters()) == sum(convolutions) + 64 + 1 + 2 * (128 + 256 + 512)
    assert discriminator(torch.randn(2, 80, 624)).shape == (
        2,
        1,
        8,
        76,
    )  # three halvings, then two kernels of 4 with 1 padded
    assert discriminator(torch.randn(2, 24, 24)).shape == (2, 1, 1, 1)
    with pytest.raises(ValueError, match="at least 24"):
        discriminator(torch.randn(2, 80, 23))


# --- encoder


def test_the_encoder_is_asked_for_the_loudest_spectrum_of_the_whole_clip(noise):
    task = task_of("encoder", noise, ["loss.frames=16", "loss.what=3.0"])
    images, target, what = task.crop(task.train, 0, 4)
    mel = task.train.mel(0)
    torch.testing.assert_close(what[:, 0], (mel.amax(1) + 3) / 1.5)
    task.network.eval()
    losses = task.losses({"images": images[None], "target": target[None], "what": what[None]}, 0)
    parts = {"level": 1.0, "onset": task.recipe.loss.onset, "what": 3.0}
    assert losses["total"].item() == pytest.approx(sum(parts[name] * losses[name].item() for name in parts), rel=1e-5)
    assert losses["what"] > 0


def test_a_clip_keeps_its_random_look_in_all_frames():
    """Each clip comes back as one mirror image or not, one order of channels, and one straight line per channel."""
    torch.manual_seed(0)
    images = 0.4 + 0.2 * torch.rand(40, 3, 3, 5, 6)
    looks = []
    for before, after in zip(images, encoder.colour(images), strict=True):
        fits = {}
        for mirrored in (False, True):
            for order in itertools.permutations(range(3)):
                seen = (before.flip(-1) if mirrored else before)[:, list(order)].transpose(0, 1).flatten(1)
                fits[mirrored, order] = min(
                    np.corrcoef(a, b)[0, 1]
                    for a, b in zip(*numbers(seen, after.transpose(0, 1).flatten(1)), strict=True)
                )
        look = max(fits, key=fits.get)
        assert fits[look] > 1 - 1e-5
        looks.append(look)
    mirrored, orders = zip(*looks, strict=True)
    assert 10 < sum(mirrored) < 30 and 3 < sum(order != (0, 1, 2) for order in orders) < 20
    assert 0 <= encoder.colour(torch.rand(8, 1, 3, 4, 4)).min() and encoder.colour(torch.ones(8, 1, 3, 4, 4)).max() <= 1


def test_a_clip_is_framed_as_a_whole():
    """Pixels that say where they are come back as a turned, scaled and shifted map, one for all frames of a clip."""
    torch.manual_seed(0)
    places = torch.linspace(-1, 1, 33).mul(32 / 33)  # centres of the pixels
    there = torch.stack([places.expand(33, 33), places[:, None].expand(33, 33), torch.ones(33, 33)])
    images = there.repeat(60, 2, 1, 1, 1)
    moved = encoder.framed(images)
    assert torch.equal(moved[:, 0], moved[:, 1])
    kept = (moved == images).flatten(1).all(1)
    assert 20 < kept.sum() < 40
    inner = slice(12, 21)  # far from the edges, where pixels are mirrored
    known = there[:, inner, inner].flatten(1).T.numpy()
    scales, angles = [], []
    for clip in moved[~kept]:
        found, error, *_ = np.linalg.lstsq(known, clip[0, :2, inner, inner].flatten(1).T.numpy(), rcond=None)
        assert error.max() < 1e-8
        (a, b), (c, d), aside = found
        assert (a, b) == pytest.approx((d, -c), abs=1e-5) and np.abs(aside).max() <= 0.2
        scales.append(np.hypot(a, b))
        angles.append(np.arctan2(b, a))
    assert 0.8 <= min(scales) < 0.9 and 1.1 < max(scales) <= 1.2
    assert -0.15 <= min(angles) < -0.1 and 0.1 < max(angles) <= 0.15


def test_the_encoder_classifies_the_kinds_where_clips_have_labels(noise, monkeypatch):
    looks = []
    for look in ("colour", "framed"):
        monkeypatch.setattr(encoder, look, lambda images, look=look: looks.append(look) or images)
    plain, task = (task_of("encoder", noise, [f"loss.kind={weight}", "loss.settle=0"]) for weight in (0.0, 2.0))
    torch.manual_seed(0)
    batch = task.batch(0)
    assert "kinds" not in plain.batch(0) and "kind_top1" not in plain.validate(plain.network)
    classes = tagger.classes_of(task.train.labels())
    targets = [{name for name, p in zip(classes, row.tolist(), strict=True) if p} for row in batch["kinds"]]
    assert {frozenset(kinds) for kinds in targets} <= {frozenset(x.kinds or ("silence",)) for x in task.train.labels()}
    task.network.eval()
    predicted, losses = task.network(batch["images"].float() / 255)[2], task.losses(batch, 0)
    assert looks == ["framed", "colour"]
    logits, wanted = numbers(predicted, batch["kinds"])
    assert losses["kind"].item() == pytest.approx(-(wanted * log_softmax(logits, 1)).sum(1).mean(), rel=1e-5)
    without = plain.losses(batch, 0)
    rest = losses["level"] + task.recipe.loss.onset * losses["onset"] + task.recipe.loss.what * losses["what"]
    assert losses["total"].item() == pytest.approx((rest + 2 * losses["kind"]).item(), rel=1e-5)
    assert "kind" not in without


def test_the_encoder_counts_the_kinds_that_it_finds(noise):
    task = task_of("encoder", noise, ["loss.kind=1.0"])
    task.valid, task.kinds["valid"] = task.train, task.kinds["train"]  # more of them
    kinds = task.kinds["valid"]
    single = kinds.amax(1) == 1
    with torch.no_grad():
        task.network.kind.weight.zero_()
        task.network.kind.bias.copy_(kinds[single][0])
    right = (kinds[single].argmax(1) == kinds[single][0].argmax()).double().mean().item()
    assert 0 < right < 1 and task.validate(task.network)["kind_top1"] == pytest.approx(right)


def test_explained_variance_is_of_each_channel_around_its_own_mean():
    wanted = torch.tensor([[[1.0, 3.0], [10.0, 14.0]]])
    assert encoder.r_squared(wanted, wanted) == 1
    assert encoder.r_squared(wanted.mean(2, keepdim=True).expand_as(wanted), wanted) == pytest.approx(0)


# --- autoencoder


def test_a_tone_that_is_smeared_costs_more_than_hiss_that_is_wrong():
    real = torch.full((2, 80, 16), -3.0)
    real[:, 30] = 0.5
    smeared, hissing = real.clone(), real.clone()
    smeared[:, 29:32] = 0.5 - math.log10(3)
    hissing[real < 0] += 0.3
    assert autoencoder.peak_error(real, real) == 0
    assert (smeared - real).abs().mean() < 0.5 * (hissing - real).abs().mean()
    assert autoencoder.peak_error(smeared, real) > 2 * autoencoder.peak_error(hissing, real)
    alone = torch.full((1, 1, 4), 2.0)  # a magnitude of 100 predicted as 1: the roots are 10 and 1
    assert autoencoder.peak_error(torch.zeros(1, 1, 4), alone).item() == pytest.approx(0.9)


def test_autoencoder_losses(noise):
    """Sums over an item, as published, divided by the item's elements."""
    task = task_of("autoencoder", noise, ["loss.kl=0.01", "loss.adversarial=0.7"])
    batch = task.batch(0)
    torch.manual_seed(5)
    real, fake, kl = task.reconstruct(batch)
    logits = task.discriminator(fake)
    last = task.network.decoder.conv_out.weight
    l1_sum = (fake - real).abs().sum() / len(real)
    (ours,), (theirs,) = (torch.autograd.grad(loss, last, retain_graph=True) for loss in (l1_sum, -logits.mean()))
    ours, theirs, R, X, J = numbers(ours, theirs, real, fake, logits)
    weight = min(1e4, np.sqrt((ours**2).sum()) / (np.sqrt((theirs**2).sum()) + 1e-4))
    mean, log_variance = numbers(*task.network.encode(batch))
    divergence = (0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance)).mean()
    elements = R[0].size
    total = np.abs(X - R).mean() + 0.01 * divergence + 0.7 * weight * -J.mean() / elements
    torch.manual_seed(5)
    losses = task.losses(batch, 0)
    assert losses["total"].item() == pytest.approx(total, rel=1e-4)
    assert losses["weight"].item() == pytest.approx(weight, rel=1e-4)
    assert kl.item() == pytest.approx(divergence, rel=1e-5)


def test_autoencoder_discriminator_losses(noise):
    task = task_of("autoencoder", noise, ["loss.r1=2.0"])
    batch = task.batch(0)
    torch.manual_seed(5)
    with torch.no_grad():
        real, fake, _ = task.reconstruct(batch)
    real.requires_grad_(True)
    logits = task.discriminator(real)
    (gradient,) = torch.autograd.grad(logits.sum(), real)
    r, f, g = numbers(logits, task.discriminator(fake), gradient)
    torch.manual_seed(5)
    total = task.discriminator_losses(batch, 0)["total"].item()
    assert total == pytest.approx(((r - 1) ** 2).mean() + (f**2).mean() + 2 * (g**2).mean(), rel=1e-4)


def test_the_discriminator_starts_later_and_is_not_changed_by_the_autoencoder(noise):
    task = task_of("autoencoder", noise, ["loss.disc_start=5"])
    batch = task.batch(0)
    assert task.discriminator_losses(batch, 4) is None and "adversarial" not in task.losses(batch, 4)
    task.losses(batch, 5)["total"].backward()
    assert all(parameter.grad is None for parameter in task.discriminator.parameters())
    assert task.discriminator_losses(batch, 5)["total"].requires_grad
    assert "discriminator" not in task_of("autoencoder", noise, ["loss.disc_start=1000"]).trainables


# --- vocoders


@pytest.mark.parametrize("kind", ["Vocos", "BigVGAN"])
def test_vocoder_losses(noise, kind):
    sizes = {"Vocos": [], "BigVGAN": ["kind=BigVGAN", "network={width=64,resblock_kernels=[3],dilations=[1]}"]}
    task = task_of("vocoder", noise, [*sizes[kind], "loss.spectrum=0", "loss.mel=3", "loss.feature=5"])
    assert type(task.network).__name__ == kind
    batch = task.batch(0)
    fake = task.vocode(batch)
    mels = [log_mel(wave, MelConfig()) for wave in (fake, batch["real"])]
    maps = [[numbers(*layers) for layers in task.discriminators(wave)] for wave in (fake, batch["real"])]
    ours, theirs = numbers(*mels)
    total, discriminators = 3 * np.abs(ours - theirs).mean(), 0.0
    for fakes, reals in zip(*maps, strict=True):
        total += ((1 - fakes[-1]) ** 2).mean()
        total += sum(5 * np.abs(a - b).mean() for a, b in zip(fakes, reals, strict=True))
        discriminators += ((1 - reals[-1]) ** 2).mean() + (fakes[-1] ** 2).mean()
    assert task.losses(batch, 0)["total"].item() == pytest.approx(total, rel=1e-4)
    assert task.discriminator_losses(batch, 0)["total"].item() == pytest.approx(discriminators, rel=1e-4)


def test_only_vocoders_have_kinds(noise):
    assert isinstance(task_of("vocoder", noise, ["kind=BigVGAN", "network={width=64}"]).network, BigVGAN)
    with pytest.raises(RecipeError, match="expected one of Vocos, BigVGAN"):
        read_recipe(RECIPES / "tiny" / "vocoder.toml", ["kind=HiFiGAN"])
    with pytest.raises(RecipeError, match="one network only"):
        read_recipe(RECIPES / "tiny" / "tagger.toml", ["kind=BigVGAN"])


def test_the_rate_of_the_published_vocoder_decays():
    """By a factor of 0.9999996 per step from 1e-4, as in all of BigVGAN's configs, without warm-up."""
    recipe = read_recipe(RECIPES / "published" / "vocoder.toml")
    assert rate(recipe.optim, 0) == 1e-4 and rate(recipe.optim, 999_999) == pytest.approx(6.7e-5, rel=1e-3)
    # mel loss 45 on natural logarithms
    assert recipe.loss.mel == pytest.approx(45 * np.log(10), rel=1e-3)
    assert recipe.network == BigVGANConfig()


# --- contrast


def test_info_nce():
    """A loop over queries, in both directions."""
    seen, heard = (nn.functional.normalize(torch.randn(2, 4, 3), dim=-1) for _ in range(2))
    S, H = numbers(seen, heard)
    losses = []
    for group in range(2):
        for own in range(4):
            for query, others in ((S[group, own], H[group]), (H[group, own], S[group])):
                similar = np.exp(7 * others @ query)
                losses.append(-np.log(similar[own] / similar.sum()))
    assert contrast.info_nce(seen, heard, torch.tensor(7.0)).item() == pytest.approx(np.mean(losses), rel=1e-5)


def test_contrast_is_between_clips_and_between_parts_of_a_clip(noise):
    task = task_of("cavp", noise, ["loss.temporal=0.5"])
    images, mels = task.batch(0)
    assert images.shape == (3, 2, 32, 3, 16, 16) and mels.shape == (3, 2, 80, 80)
    losses = task.losses((images, mels), 0)
    seen = task.network.video.project_frames(images.flatten(0, 1))
    heard = task.network.audio.project_columns(mels.flatten(0, 1))
    pooled = []
    for vectors in numbers(seen, heard):
        largest = vectors.max(axis=1)
        pooled.append((largest / np.linalg.norm(largest, axis=-1, keepdims=True)).reshape(3, 2, -1))
    scale = np.exp(task.network.logit_scale.item())

    def nce(a, b):
        logits = scale * a @ b.T
        both = log_softmax(logits, 0) + log_softmax(logits, 1)
        return -np.diag(both).mean() / 2

    semantic = nce(*(vectors.reshape(6, -1) for vectors in pooled))  # the other crop of a clip is a negative too
    temporal = np.mean([nce(pooled[0][clip], pooled[1][clip]) for clip in range(3)])
    assert losses["semantic"].item() == pytest.approx(semantic, rel=1e-3)
    assert losses["temporal"].item() == pytest.approx(temporal, rel=1e-3)
    assert losses["total"].item() == pytest.approx(semantic + 0.5 * temporal, rel=1e-3)


def test_the_published_contrast_is_optimised_as_diff_foley_does():
    """Its scheduler's formula, and weight decay of matrices and kernels alone."""
    optim = read_recipe(RECIPES / "published" / "cavp.toml").optim
    assert rate(optim, 99) == pytest.approx(4e-4)
    for step in (200, 100_000, 355_000, 600_000, 709_999):
        theirs = 8e-4 * (1 + math.cos(math.pi * (step - 200) / (710_000 - 200))) / 2
        assert rate(optim, step) == pytest.approx(theirs, abs=8e-4 * 5e-4)
    network = nn.Sequential(nn.Conv3d(3, 4, 2), nn.BatchNorm3d(4), nn.Linear(4, 2))
    decayed, kept = adamw(network, optim).param_groups
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.2, 0)
    assert {id(p) for p in decayed["params"]} == {id(network[0].weight), id(network[2].weight)}
    assert {id(p) for p in kept["params"]} == {id(p) for p in network.parameters() if p.ndim == 1}
    everything = adamw(network, dataclasses.replace(optim, decay_vectors=True)).param_groups
    assert [len(group["params"]) for group in everything] == [6] and everything[0]["weight_decay"] == 0.2


def test_crops_are_apart():
    starts = np.array([contrast.scattered(3, 40, 8) for _ in range(300)])
    assert np.diff(starts).min() == 8 and starts.min() == 0 and starts.max() == 40


def test_cavp_leaves_an_encoder(noise, tmp_path):
    task = task_of("cavp", noise)
    task.finish(task.network, tmp_path)
    tower, images = load_part(tmp_path / "encoder"), torch.rand(1, 4, 3, 16, 16)
    assert torch.equal(tower(images), task.network.video.eval()(images))


def test_contrast_says_what_does_not_fit(noise):
    with pytest.raises(TooShortError, match="no clip has 216 frames, the longest has 200; lower loss.frames"):
        task_of("cavp", noise, ["loss.frames=200", "loss.crops=3"])
    with pytest.raises(RecipeError, match="make them equal"):
        task_of("cavp", noise, ["loss.mel={bins=64}"])


# --- alignment


def test_alignment_losses(noise):
    task = task_of("alignment", noise, ["loss.lag=0.3"])
    batch = task.batch(0)
    batch["mismatched"][2] = 2  # the third clip has no partner
    logits, similar = task.logits(task.network, batch)
    matched, shifted, mismatched = numbers(*logits.values())
    timed, others = batch["timed"].numpy() > 0, np.arange(6) != 2
    assert matched.shape == (6,) and shifted.shape == (6, 3) and mismatched.shape == (6, 4)
    profile = numbers(similar)[0].mean(axis=(1, 2))
    lag = -log_softmax(profile, -1)[timed, 6].mean()

    def entropy(values, together):
        probability = 1 / (1 + np.exp(-values))
        return -np.log(probability if together else 1 - probability).mean()

    total = entropy(matched, True) / 2 + entropy(shifted[timed], False) / 4 + entropy(mismatched[others], False) / 4
    assert task.losses(batch, 0)["total"].item() == pytest.approx(total + 0.3 * lag, rel=1e-4)
    assert not alignment.pair_loss(torch.ones(2), True, torch.zeros(2))


def test_similarities_are_products_at_lags():
    network = AlignmentClassifier(AlignmentConfig(widths=(8,), embed=6, heads=2, lags=2, hidden=8))
    seen, heard = torch.randn(1, 5, 6), torch.randn(1, 5, 6)
    similar, (S, H) = numbers(network.similarities(seen, heard))[0][0], numbers(seen[0], heard[0])
    for frame in range(5):
        for head, part in enumerate((slice(0, 3), slice(3, 6))):
            for lag in range(-2, 3):
                a, b = S[frame, part], H[frame + lag, part] if 0 <= frame + lag < 5 else np.zeros(3)
                assert similar[frame, head, lag + 2] == pytest.approx(a @ b / 3**0.5, abs=1e-5)


def test_sound_is_heard_at_the_times_of_the_frames():
    """A ramp over the columns' centres has, at a frame, the frame's time."""
    config = AlignmentConfig()
    centres = (torch.arange(100) + 0.5) / config.mel_rate
    times = torch.arange(39) / config.fps
    told = at_frames(centres.view(1, 1, -1), 39, config)[0, 0]
    torch.testing.assert_close(told[1:], times[1:])
    assert told[0] == centres[0]  # nothing is heard before the first column


def test_mismatched_sounds_are_surely_mismatched():
    labels = [label for _ in range(3) for label in noise_labels()]
    chosen = list(range(len(labels)))
    chosen[-1] = 0  # the same clip twice
    labels[-1] = labels[0]
    seen = set()
    for _ in range(50):
        partners = alignment.mismatched_partners(chosen, labels, 0.5, 2)
        for here, there in ((here, there) for here, both in enumerate(partners) for there in both):
            ours, theirs = labels[here], labels[there]
            assert chosen[here] != chosen[there]
            same = alignment.class_of(ours) == alignment.class_of(theirs)
            assert (ours.timed and theirs.timed) if same else not set(ours.kinds) & set(theirs.kinds)
            seen.add(same)
        assert {len(both) for both in partners} == {2}
    assert seen == {True, False}
    alone = alignment.mismatched_partners([7, 7], [labels[0], labels[0]], 0.5, 1)
    assert alone == [[0], [1]]  # nothing mismatched: themselves


def noise_labels():
    return [Label(("ball",), True), Label(("rain",), False), Label((), False), Label(("rain", "ball"), True)]


def test_batches_hold_couples_of_one_kind(noise):
    labels = noise.train.labels()
    chosen = alignment.same_class_pairs(labels, alignment.by_class(labels), 12)
    kinds = [alignment.class_of(labels[index]) for index in chosen]
    assert len(chosen) == 12 and kinds[::2] == kinds[1::2]


def test_every_window_is_cut_from_its_own_start():
    x = torch.arange(20.0).view(2, 10, 1)
    network = AlignmentClassifier(AlignmentConfig(widths=(8,), embed=4, frames=3))
    assert network.cut(x, torch.tensor([0, 6])).squeeze(-1).tolist() == [[0, 1, 2], [16, 17, 18]]


def test_shifts_are_long_enough():
    starts = {alignment.shifted_start(20, 40, 13) for _ in range(200)}
    assert starts == {*range(8), *range(33, 41)}


def test_windows_show_and_sound_the_same_seconds(noise):
    task = task_of("alignment", noise, ["network.segment=148"])
    labels, (first, second) = noise.train.labels(), (task.segment, task.recipe.network.frames)
    assert (first, second) == (148, 48)
    batch = task.windows(noise.train, labels, [3, 4])
    places = (noise.train.picture(3, start, first) for start in range(noise.train.frames[3] - first + 1))
    (start,) = [place for place, images in enumerate(places) if torch.equal(images, batch["images"][0])]
    assert torch.equal(batch["mel"][0], noise.train.mel(3, round(2.5 * start), 370))
    assert (batch["moved"] - batch["start"][:, None]).abs().min() >= task.shift
    assert batch["moved"].max() <= first - second >= batch["elsewhere"].max()
    with pytest.raises(TooShortError, match="no clip has 206 frames, the longest has 200; lower network.frames"):
        task_of("alignment", noise, ["network.frames=180"])
    with pytest.raises(RecipeError, match="network.segment is 70, a window and a shift either way take 74"):
        task_of("alignment", noise, ["network.segment=70"])
    with pytest.raises(RecipeError, match="network.fps is 4"):
        task_of("alignment", noise, ["network.fps=4.0"])


# --- tagger


def test_tagger_loss(noise):
    task = task_of("tagger", noise)
    mels, wanted = task.batch(0)
    logits, targets = numbers(task.network(mels), wanted)
    assert mels.shape == (4, 80, 128) and mels.min() >= -5
    expected = -(targets * log_softmax(logits, -1)).sum(-1).mean()
    assert task.losses((mels, wanted), 0)["total"].item() == pytest.approx(expected, rel=1e-4)


def test_kinds_that_sound_share_the_probability():
    classes = ("ball", "rain", "silence")
    for kinds, wanted in (((), [0, 0, 1]), (("rain",), [0, 1, 0]), (("rain", "ball"), [0.5, 0.5, 0])):
        assert tagger.class_probabilities(Label(kinds, False), classes).tolist() == wanted


def test_tagger_takes_any_length_and_names_the_shortest():
    network = Tagger(TaggerConfig(classes=("a", "b", "c"), widths=(4, 4, 4))).eval()
    assert network(torch.randn(2, 80, 101)).shape == (2, 3) and network.embed(torch.randn(2, 80, 8)).shape == (2, 128)
    with pytest.raises(ValueError, match="at least 8"):
        network(torch.randn(2, 80, 7))


def test_classes_are_those_of_the_labels(tmp_path):
    """FoleyWorld's kinds while the labels know no others; what cannot be told apart is an error."""
    world_classes = tagger.classes_of(noise_labels())
    assert "rain" in world_classes and len(world_classes) == len(GALLERY) + 1 and world_classes[-1] == "silence"
    assert tagger.classes_of([Label(("dog",), True), Label(("bell",), True)]) == ("bell", "dog")
    for labels, message in (
        (("dog", ""), "label is ''"),
        (("dog", "bell"), "label is 'cat', expected one of bell, dog"),
    ):
        items = [datasets.Item("train", 8.0, label) for label in labels] + [datasets.Item("valid", 8.0, "cat")]
        folder = datasets.write(tmp_path / f"two{labels[1]}", items)
        clips = (datasets.open_clips(folder, split, datasets.CLOCK) for split in ("train", "valid"))
        with pytest.raises(RecipeError, match=message):
            task_of("tagger", TrainingData(*clips, []))


# --- previews


@pytest.mark.parametrize(("part", "other"), [("autoencoder", "reconstructed"), ("vocoder", "vocoded")])
def test_a_board_shows_clips_and_what_comes_back(part, other, noise, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    task = task_of(part, noise)
    shown = task.preview(task.network)
    assert list(shown) == [f"clip{index}/{what}" for index in range(2) for what in ("true", other)]
    true = task.valid.wave(1) if part == "vocoder" else task.valid.mel(1)
    assert torch.equal(shown["clip1/true"], true) and shown[f"clip1/{other}"].shape == true.shape
    board = open_board(dataclasses.replace(task.recipe, board="tensorboard"), tmp_path)
    board.previews(shown, 5)
    board.close()
    events = EventAccumulator(str(tmp_path / "board"))
    events.Reload()
    kind = "audio" if part == "vocoder" else "images"
    assert sorted(events.Tags()[kind]) == sorted(shown)


# --- easy clips


def test_easy_clips_are_those_of_the_lowest_levels(noise, tmp_path):
    assert encoder.easy_clips(noise.train) == [index for index in range(48) if index % 4 < 2]
    folder = datasets.write(tmp_path, [datasets.Item("train", 8.0)])
    with pytest.raises(RecipeError, match="loss.easy: no clip of"):
        encoder.easy_clips(datasets.open_clips(folder, "train", datasets.CLOCK))

"""The perceptual loss against its formula by hand, and an autoencoder whose decoder alone learns by it."""

from __future__ import annotations

import datasets
import numpy as np
import pytest
import torch
from test_tasks import RECIPES

from frieren.errors import WeightsError
from frieren.nets.efficientnet import EfficientNet, EfficientNetConfig
from frieren.nets.scorers.sound_classifier import SoundClassifier, SoundClassifierConfig
from frieren.nets.scorers.tagger import Tagger, TaggerConfig
from frieren.training.data import TrainingData
from frieren.training.recipe import RecipeError, read_recipe
from frieren.training.tasks.autoencoder import AutoencoderTask
from frieren.training.tasks.perceptual import PerceptualLoss
from frieren.weights import load_part, save_part

PICTURE = EfficientNetConfig(stem=4, stages=((3, 1, 1, 8, 1), (3, 2, 2, 8, 2)), head=12)
CONFIG = SoundClassifierConfig(("dog", "bell", "rain"), bins=80, hop=256, columns=32, picture=PICTURE)
PART = "autoencoder"


@pytest.fixture(scope="module")
def classifier():
    torch.manual_seed(0)
    network = SoundClassifier(CONFIG)
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight)
    return network.eval()


def test_maps_are_those_of_the_stages_and_the_head():
    torch.manual_seed(1)
    network, images = EfficientNet(PICTURE).eval(), torch.rand(2, 3, 16, 20)
    first, second, head = network.maps(images)
    x = torch.nn.functional.relu6(network.stem((images * 255 - 127) / 128))
    assert torch.equal(first, network.blocks[0](x))
    assert torch.equal(second, network.blocks[2](network.blocks[1](first)))
    assert torch.equal(network.embed(images), head.mean((2, 3)))


def test_the_loss_by_hand(classifier):
    torch.manual_seed(2)
    real = torch.rand(3, 80, 32) * 4 - torch.tensor([4.0, 5.0, 6.0]).view(3, 1, 1)  # each with its own loudest
    fake = (real + 0.3 * torch.randn_like(real)).requires_grad_()
    distance, divergence = PerceptualLoss(classifier)(fake, real)
    loudest = real.amax((1, 2), keepdim=True)
    theirs, ours = ([each.detach().numpy() for each in classifier.maps(mel, loudest)] for mel in (real, fake))
    wanted = [((a - b) ** 2).mean() / (b**2).mean() for a, b in zip(ours[1:], theirs[1:], strict=True)]
    assert distance.item() == pytest.approx(np.mean(wanted), rel=1e-3)
    p, q = (
        torch.softmax(classifier.classify(torch.from_numpy(maps[-1]).mean((2, 3))), -1).detach().numpy()
        for maps in (theirs, ours)
    )
    assert divergence.item() == pytest.approx((p * np.log(p / q)).sum(1).mean(), rel=1e-3)
    (distance + divergence).backward()
    assert fake.grad is not None and fake.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in classifier.parameters())


def test_a_mel_is_no_distance_from_itself_and_level_counts(classifier):
    loss, mel = PerceptualLoss(classifier), torch.rand(2, 80, 32) * 4 - 4
    assert [each.item() for each in loss(mel, mel)] == pytest.approx([0, 0], abs=1e-6)
    assert loss(mel - 1, mel)[0] > 0.01


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    return TrainingData(*datasets.noisy_world(tmp_path_factory.mktemp("noise"), 12, 2), [])


def task_of(noise, *changes):
    changes = ["network.width=8", "loss.columns=32", *changes]
    return AutoencoderTask(read_recipe(RECIPES / "tiny" / f"{PART}.toml", changes), noise)


def test_a_decoder_learns_by_it_and_latents_stay(noise, classifier, tmp_path):
    save_part(tmp_path, classifier, CONFIG)
    wanted = ["loss.perceptual=2.0", "loss.divergence=0.5", f"loss.classifier={tmp_path}", "loss.disc_start=1000"]
    task = task_of(noise, *wanted, "loss.decoder_only=true", "network.shortcut=true")
    losses = task.losses(task.batch(0), 0)
    parts = {name: value.item() for name, value in losses.items()}
    loss = task.recipe.loss
    by_hand = parts["l1"] + loss.kl * parts["kl"] + loss.peaks * parts.get("peaks", 0)
    by_hand += 2.0 * parts["perceptual"] + 0.5 * parts["divergence"]
    assert parts["total"] == pytest.approx(by_hand, rel=1e-5) and parts["perceptual"] > 0
    losses["total"].backward()
    learnt = {name.split(".")[0] for name, one in task.network.named_parameters() if one.grad is not None}
    assert learnt == {"decoder", "from_latent", "synthesis"}


@pytest.mark.parametrize(("decoder_only", "kept"), [("true", True), ("false", False)])
def test_latents_that_stay_keep_their_scale(noise, tmp_path, decoder_only, kept):
    """The field works on scaled latents: another scale would be another sound."""
    task = task_of(noise, f"loss.decoder_only={decoder_only}", "network.scale=0.7", "loss.disc_start=1000")
    task.finish(task.network, tmp_path)
    assert (load_part(tmp_path).config.scale == 0.7) == kept


def test_what_is_no_classifier_of_these_mels_is_refused(noise, tmp_path):
    with pytest.raises(RecipeError, match=r"needs loss\.classifier"):
        task_of(noise, "loss.perceptual=1.0")
    tagger = TaggerConfig(("dog",))
    save_part(tmp_path / "tagger", Tagger(tagger), tagger)
    with pytest.raises(RecipeError, match="expected a SoundClassifier, found a Tagger"):
        task_of(noise, "loss.divergence=1.0", f"loss.classifier={tmp_path / 'tagger'}")
    with pytest.raises((RecipeError, WeightsError), match="not trained yet"):
        task_of(noise, "loss.perceptual=1.0", f"loss.classifier={tmp_path / 'none'}")

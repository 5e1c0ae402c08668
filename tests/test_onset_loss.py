"""The onset loss: against librosa's onset strength, knocks at known instants, and in the field's losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from frieren.categories import categories
from frieren.conditioning import STRIKE, feature_size, strikes_of
from frieren.dataset.shards import Shards
from frieren.training.loss_settings import FieldLoss
from frieren.training.recipe import Optim, Recipe, Shared
from frieren.training.tasks.field import ENDS, FieldTask
from frieren.training.tasks.flow_losses import BLUR, DEPTH, onset_loss, onset_strength
from frieren.weights import load_part
from tests.test_classification import CLOCK, FIELD, data, parts  # noqa: F401


def knocks(*columns: int, size: int = 100, level: float = 0.0) -> Tensor:
    """A log10 mel [1, 16, T] of knocks that begin at these columns and ring off by 0.3 a column, over a floor of -5."""
    mel = torch.full((1, 16, size), -5.0)
    for column in columns:
        ringing = level - 0.3 * torch.arange(size - column)
        mel[:, :, column:] = torch.maximum(mel[:, :, column:], ringing)
    return mel


def test_strength_is_librosas_blurred():
    librosa = pytest.importorskip("librosa")
    mel = 2 * torch.randn(1, 16, 60, generator=torch.Generator().manual_seed(0)) - 1
    power = librosa.power_to_db(10 ** (2 * mel[0].double().numpy()), ref=np.max, top_db=20 * DEPTH)
    theirs = librosa.onset.onset_strength(S=power, center=False)[1:] / 20
    wanted = np.convolve(theirs, BLUR, mode="same")
    torch.testing.assert_close(onset_strength(mel)[0].double(), torch.from_numpy(wanted).double(), rtol=1e-4, atol=1e-5)


def test_what_is_80_decibels_below_the_loudest_is_not_heard():
    loud, faint = knocks(10, 60), knocks(10)
    faint[:, :, 60:] = torch.maximum(faint[:, :, 60:], knocks(60, level=-DEPTH)[:, :, 60:])
    assert onset_strength(loud)[0, 59] > 1
    assert onset_strength(faint)[0, 58:62].max() == 0


def test_the_loss_grows_with_the_distance_and_not_with_the_level():
    real, counted = knocks(20, 50, 80), torch.tensor([True])
    at = [onset_loss(knocks(20 + lag, 50 + lag, 80 + lag), real, counted).item() for lag in range(5)]
    assert at[0] == pytest.approx(0, abs=1e-6)
    assert at[1] == pytest.approx(1 - 2 / 3)  # (1, 2, 1) and itself a column later
    assert at[2] == pytest.approx(1 - 1 / 6) and at[3] == at[4] == pytest.approx(1)
    assert onset_loss(real - 0.7, real, counted).item() == pytest.approx(0, abs=1e-6)


def test_missed_and_further_onsets_cost():
    real, counted = knocks(20, 50, 80), torch.tensor([True])
    assert onset_loss(knocks(20, 50), real, counted).item() == pytest.approx(1 - (2 / 3) ** 0.5, abs=1e-3)
    assert onset_loss(knocks(20, 35, 50, 65, 80), real, counted).item() > 0.1


def test_only_what_counts_is_averaged():
    mel, real = torch.cat([knocks(20), knocks(30), knocks(40)]), torch.cat([knocks(20), knocks(31), knocks(60)])
    one = onset_loss(mel[1:2], real[1:2], torch.tensor([True]))
    assert onset_loss(mel, real, torch.tensor([False, True, False])) == one
    mel.requires_grad_(True)
    none = onset_loss(mel, real, torch.zeros(3, dtype=torch.bool))
    assert none == 0 and not torch.autograd.grad(none, mel)[0].any()


def test_strikes_are_the_sheets():
    features = torch.zeros(2, 4, feature_size())
    features[0, 2, len(categories()) + STRIKE] = 0.75
    features[1, :, : len(categories())] = 1
    assert strikes_of(features).tolist() == [[0, 0, 0.75, 0], [0, 0, 0, 0]]


def onsets_only(data, parts, **settings) -> FieldTask:  # noqa: F811
    """A field's task with the onset loss and no classifier."""
    shared = Shared(clock=CLOCK, guidance=1.5)
    recipe = Recipe("field", network=FIELD, loss=FieldLoss(**settings), optim=Optim(batch=12), shared=shared)
    network, autoencoder = load_part(parts / "field"), load_part(parts / "autoencoder")
    return FieldTask(recipe, network.requires_grad_(True), Shards(data, "train"), Shards(data, "valid"), autoencoder)


def test_a_field_learns_it_alone(data, parts, monkeypatch):  # noqa: F811
    monkeypatch.setitem(ENDS, "field", (1, [0]))
    task = onsets_only(data, parts, onset_weight=3.0, drop=0.5, end_start=2)
    batch = task.with_ends(task.batch(0))
    monkeypatch.setattr(task, "with_ends", lambda _: batch)
    assert task.losses(batch, 1).keys() == {"total"}
    losses = task.losses(batch, 2)
    torch.testing.assert_close(losses["total"], losses["flow"] + 3 * losses["onsets"])
    kept = batch["features"].flatten(1).any(1)
    assert kept.any() and not kept.all()
    made, true = (
        onset_strength(task.decode(latent))[kept] for latent in (task.end(task.network, batch, "field"), batch["x1"])
    )
    wanted = (1 - (made * true).sum(1) / (made.norm(dim=1) * true.norm(dim=1))).mean()
    torch.testing.assert_close(losses["onsets"], wanted)
    losses["onsets"].backward()
    assert task.network.output.weight.grad.abs().max() > 0
    assert all(one.grad is None for one in task.autoencoder.parameters())


def test_validation_has_it(data, parts):  # noqa: F811
    assert onsets_only(data, parts, onset_weight=1.0).validate(load_part(parts / "field")).keys() == {
        "loss", "mismatched", "onsets",
    }  # fmt: skip

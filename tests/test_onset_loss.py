"""The onset loss: against librosa's onset strength, knocks at known instants, and in the field's losses."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from frieren.categories import categories
from frieren.conditioning import STRIKE, feature_size, sounds_on, strikes_of
from frieren.dataset.shards import Shards
from frieren.training.loss_settings import FieldLoss
from frieren.training.recipe import Optim, Recipe, RecipeError, Shared
from frieren.training.tasks import field
from frieren.training.tasks.field import ENDS, FieldTask, raise_if_unfit
from frieren.training.tasks.flow_losses import BLUR, DEPTH, NEAR, onset_loss, onset_strength, stray_onset_loss
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


def strikes_at(*columns: int, size: int = 50) -> Tensor:
    """The part of a sheet's features [1, L] that says what strikes, for knocks at columns of twice as many."""
    strikes = torch.zeros(1, size)
    strikes[:, [column // 2 for column in columns]] = 0.6
    return strikes


def test_what_rises_where_nothing_strikes_is_stray():
    counted = torch.tensor([True])
    assert stray_onset_loss(knocks(20, 50, 80), strikes_at(20, 50, 80), counted) == 0
    assert stray_onset_loss(knocks(20, 50, 80), strikes_at(20, 50), counted) == pytest.approx(1 / 3, abs=0.05)
    assert stray_onset_loss(knocks(20, 50, 80), strikes_at(65), counted) == pytest.approx(1, abs=1e-3)
    lags = [stray_onset_loss(knocks(20 + lag), strikes_at(20), counted).item() for lag in range(NEAR + 4)]
    assert lags[: NEAR + 1] == [0] * (NEAR + 1) and lags[-1] == pytest.approx(1, abs=1e-3)


def test_a_rise_below_a_tenth_of_the_largest_is_not_stray():
    mel = knocks(20)
    mel[:, :, 60:62] = mel[:, :, 60:62].clamp(min=-4 + 0.2)  # over what is audible
    assert 0 < onset_strength(mel)[0, 59] < 0.1 * onset_strength(mel).max()
    assert stray_onset_loss(mel, strikes_at(20), torch.tensor([True])) == 0


def test_stray_is_only_what_counts_and_silence_is_none():
    mel, strikes = torch.cat([knocks(20, 60), knocks(20, 60)]), torch.cat([strikes_at(20), strikes_at(20, 60)])
    assert stray_onset_loss(mel, strikes, torch.tensor([False, True])) == 0
    assert stray_onset_loss(mel, strikes, torch.tensor([True, False])) > 0.3
    assert stray_onset_loss(torch.full((1, 16, 100), -5.0), strikes_at(), torch.tensor([True])) == 0


def test_what_sounds_on_is_the_tables():
    features = torch.zeros(3, 4, feature_size())
    names = [category.name for category in categories()]
    features[1, 2, names.index("rain_storm")] = 0.1
    features[2, :, names.index("hammer")] = 1
    assert sounds_on(features).tolist() == [False, True, False]


def onsets_only(data, parts, **settings) -> FieldTask:  # noqa: F811
    """A field's task with the onset loss and no classifier."""
    shared = Shared(clock=CLOCK, guidance=1.5, condition="cues" if "stray_weight" in settings else "frames")
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


def test_a_field_learns_not_to_stray_where_something_strikes_alone(data, parts, monkeypatch):  # noqa: F811
    monkeypatch.setitem(ENDS, "field", (1, [0]))
    task = onsets_only(data, parts, stray_weight=2.0)
    batch = task.with_ends(task.batch(0))
    strikes, lasting = torch.zeros(12, CLOCK.window), torch.zeros(12, dtype=torch.bool)
    strikes[:2, 3], lasting[1] = 1, True
    monkeypatch.setattr(task, "with_ends", lambda _: batch)
    monkeypatch.setattr(field, "strikes_of", lambda _: strikes)
    monkeypatch.setattr(field, "sounds_on", lambda _: lasting)
    losses = task.losses(batch, 0)
    torch.testing.assert_close(losses["total"], losses["flow"] + 2 * losses["stray"])
    mel = task.decode(task.end(task.network, batch, "field"))
    first = torch.arange(12) == 0
    torch.testing.assert_close(losses["stray"], stray_onset_loss(mel, strikes, first))
    assert losses["stray"] > 0
    losses["stray"].backward()
    assert task.network.output.weight.grad.abs().max() > 0


def test_strikes_of_frames_are_not_known(data, parts):  # noqa: F811
    task = onsets_only(data, parts, stray_weight=1.0)
    recipe = dataclasses.replace(task.recipe, shared=Shared(clock=CLOCK, condition="frames"))
    with pytest.raises(RecipeError, match="stray_weight: only cue sheets"):
        raise_if_unfit(recipe)


def test_validation_has_it(data, parts):  # noqa: F811
    assert onsets_only(data, parts, onset_weight=1.0).validate(load_part(parts / "field")).keys() == {
        "loss", "mismatched", "onsets",
    }  # fmt: skip

"""The classification loss: its value at every stage against a formula, its targets, and what stays frozen."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from frieren.categories import categories
from frieren.clock import Clock
from frieren.dataset.packing import ShardWriter, merge
from frieren.dataset.pairs import Pairing, make_pairs
from frieren.dataset.shards import Shards
from frieren.nets.autoencoder import AutoencoderConfig, MelAutoencoder
from frieren.nets.field import FieldConfig, VectorField
from frieren.nets.scorers.sound_classifier import SoundClassifier, SoundClassifierConfig
from frieren.nets.scorers.tagger import Tagger, TaggerConfig
from frieren.spectrogram import MelConfig
from frieren.training import stages
from frieren.training.data import label_of
from frieren.training.loss_settings import FieldLoss, PairsLoss
from frieren.training.recipe import Optim, Recipe, RecipeError, Shared
from frieren.training.tasks import classification
from frieren.training.tasks.classification import IGNORE_INDEX
from frieren.training.tasks.field import ENDS, STEPS, VALIDATED, FieldTask
from frieren.weights import load_part, save_part

CLOCK = Clock(fps=4.0, window=64, overlap=0)  # 8 features, 2.048 s
FIELD = FieldConfig(
    features=6, context=8, width=32, depth=1, heads=2, ffn_mult=1, ffn_kernel=3, latent=4, positions=65, time_steps=None
)
AUTOENCODER = AutoencoderConfig(
    width=8, multipliers=(1, 2), blocks=1, groups=8, attention=False, latent=4, bins=16, scale=0.5
)
TAGGER = TaggerConfig(("bell", "drum", "rain", "silence"), bins=16, widths=(4, 8), embed=8)
KINDS = (["bell"], ["rain"], ["bell", "drum"], [], ["horse"], ["drum"])


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Two splits of six clips of noise, with the scripts of a world; clips of `train` are clip0 to clip5."""
    folder, generator = tmp_path_factory.mktemp("data"), torch.Generator().manual_seed(0)
    for number, split in enumerate(("train", "valid")):
        writer = ShardWriter(folder, number)
        for row, kinds in enumerate(KINDS):
            features = torch.randn(24, 6, generator=generator)
            mel = torch.randn(376, 16, generator=generator)
            meta = {"kinds": kinds, "events": [], "activities": []}
            label = kinds[0] if kinds else "silence"
            name = f"clip{row}" if split == "train" else f"valid{row}"
            writer.add(name, {"features": features, "mel": mel}, label=label, split=split, meta=meta)
        writer.write()
    merge(folder)
    return folder


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> Path:
    """A field, an autoencoder and a tagger with random weights."""
    folder = tmp_path_factory.mktemp("parts")
    torch.manual_seed(0)
    field = VectorField(FIELD)
    nn.init.normal_(field.blocks[0].conv_out.weight, std=0.1)
    for layer in (field.embed_time.hidden, field.embed_time.out):
        nn.init.normal_(layer.weight)  # the time is to matter
    tagger = Tagger(TAGGER)
    with torch.no_grad():
        tagger.classify.weight.mul_(300)  # a tagger whose output depends on its input
    for name, network in (("field", field), ("autoencoder", MelAutoencoder(AUTOENCODER)), ("classifier", tagger)):
        save_part(folder / name, network, network.config)
    return folder


def stage(part: str, data: Path, parts: Path, folder: Path, **loss) -> FieldTask:
    """A stage's task with the classification loss."""
    how = FieldLoss(class_weight=0.5, **loss) if part == "field" else PairsLoss(class_weight=0.5, guidance=2.0, **loss)
    recipe = Recipe(part, network=FIELD, loss=how, optim=Optim(batch=12), shared=Shared(clock=CLOCK, guidance=1.5))
    if part != "field":
        pairing = Pairing(data, parts / "field", parts / "autoencoder", CLOCK, steps=2, guidance=2.0, draws=2)
        make_pairs(pairing, folder, ("train", "valid"), workers=0)
        data = folder
    network, autoencoder, tagger = (load_part(parts / name) for name in ("field", "autoencoder", "classifier"))
    network.requires_grad_(True)
    tagger.requires_grad_(True).train()
    return FieldTask(recipe, network, Shards(data, "train"), Shards(data, "valid"), autoencoder, [tagger])


@pytest.mark.parametrize(("part", "steps", "stop"), [("field", 4, 3), ("reflow", 3, 1), ("distillation", 1, 0)])
@pytest.mark.parametrize("gamma", [0.0, 3.0])
def test_the_loss_is_that_of_the_end_of_the_guided_flow(part, steps, stop, gamma, data, parts, tmp_path, monkeypatch):
    monkeypatch.setattr(classification, "GAIN", 0.0)
    monkeypatch.setitem(ENDS, part, (steps, [stop]))
    task = stage(part, data, parts, tmp_path, drop=0.0, **({} if part == "field" else {"sampling_guidance": gamma}))
    batch = task.with_ends(task.batch(0))

    def velocity(x: Tensor, t: float) -> Tensor:
        given, null = (
            task.network(x, torch.full((len(x),), t), task.network.condition(features, torch.arange(CLOCK.window)))
            for features in (batch["features"], torch.zeros_like(batch["features"]))
        )
        learnt = null + (1.5 if part == "field" else 2.0) * (given - null)
        if not gamma or part == "field":
            return learnt
        stronger = null + gamma * (given - null)
        return stronger * (learnt.std((1, 2)) / stronger.std((1, 2)))[:, None, None]

    x = batch["x0"]
    for step in range(stop):
        x = (x + velocity(x, step / steps) / steps).detach()  # the way there does not learn
    end = x + (1 - stop / steps) * velocity(x, stop / steps)
    probabilities = task.classify.taggers[0](task.autoencoder.decode(end / AUTOENCODER.scale).clamp(min=-5)).softmax(-1)
    counted = [(row, kind) for row, kind in enumerate(batch["class"].tolist()) if kind >= 0]
    wanted = -sum(probabilities[row, kind].log() for row, kind in counted) / len(counted)
    assert len(counted) >= 3
    given = task.end_losses(task.network, batch, part)["classification"]
    torch.testing.assert_close(given, wanted, rtol=1e-4, atol=1e-5)
    slopes = [torch.autograd.grad(loss, task.network.output.weight)[0] for loss in (given, wanted)]
    torch.testing.assert_close(*slopes, rtol=1e-3, atol=1e-4)
    monkeypatch.setattr(task, "with_ends", lambda _: batch)
    losses = task.losses(batch, 0)
    torch.testing.assert_close(losses["flow"], task.loss(task.network, batch, part))
    torch.testing.assert_close(losses["classification"], wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(losses["total"], losses["flow"] + 0.5 * losses["classification"])


def test_later_stages_are_classified_at_all_their_steps():
    for part, steps in STEPS.items():
        assert ENDS[part] == (steps, range(steps))


def test_clips_of_one_known_kind_have_a_class(data, parts, tmp_path):
    field = stage("field", data, parts, tmp_path, drop=0.0)
    assert field.classes == {
        f"{split}{row}": kind for split in ("clip", "valid") for row, kind in ((0, 0), (1, 2), (5, 1))
    }
    batch = field.batch(0)
    assert batch["class"].tolist() == [field.classes.get(name, IGNORE_INDEX) for name in batch["ids"]]
    assert (batch["class"] >= 0).any() and (batch["class"] < 0).any()
    pairs = stage("reflow", data, parts, tmp_path)
    assert pairs.classes == field.classes | {f"{name}#1": kind for name, kind in field.classes.items()}


def test_without_features_there_is_no_class(data, parts, tmp_path):
    batch = stage("field", data, parts, tmp_path, drop=0.5).batch(0)
    dropped, known = ~batch["features"].flatten(1).any(1), batch["class"] != IGNORE_INDEX
    single = torch.tensor([name in ("clip0", "clip1", "clip5") for name in batch["ids"]])
    assert (dropped & single).any() and (~dropped & single).any()
    assert torch.equal(known, single & ~dropped)


def test_ignored_items_do_not_count(data, parts, tmp_path):
    loss_of = stage("field", data, parts, tmp_path).classify
    mel = torch.randn(3, 16, 128, requires_grad=True)
    torch.manual_seed(0)
    one = loss_of(mel, torch.tensor([IGNORE_INDEX, 2, IGNORE_INDEX]))
    (gradient,) = torch.autograd.grad(one, mel)
    assert gradient[1].abs().max() > 0 and not gradient[[0, 2]].any()
    ignored = loss_of(mel, torch.full((3,), IGNORE_INDEX))
    assert ignored == 0 and not torch.autograd.grad(ignored, mel)[0].any()


def test_the_level_changes_at_random(data, parts, tmp_path, monkeypatch):
    loss_of = stage("field", data, parts, tmp_path).classify
    mel, wanted = torch.randn(2, 16, 128), torch.tensor([0, 2])
    first, second = (loss_of(mel, wanted).item() for _ in range(2))
    assert first != second
    monkeypatch.setattr(classification, "GAIN", 0.0)
    assert loss_of(mel, wanted) == loss_of(mel, wanted)


def test_the_losses_of_several_classifiers_are_averaged(parts, monkeypatch):
    monkeypatch.setattr(classification, "GAIN", 0.0)
    first, second = load_part(parts / "classifier"), Tagger(TAGGER)
    mel, wanted = torch.randn(3, 16, 128), torch.tensor([0, IGNORE_INDEX, 2])
    one, other, both = (
        classification.ClassificationLoss(each)(mel, wanted) for each in ([first], [second], [first, second])
    )
    torch.testing.assert_close(both, (one + other) / 2)
    with pytest.raises(RecipeError, match="different classes"):
        classification.ClassificationLoss([first, Tagger(TaggerConfig(("cow", "sheep"), bins=16))])


def test_a_classifier_of_recordings_hears_the_ends_changed_as_recordings_were():
    """Every time otherwise, in more than the level, and the loss still tells the field what to change."""
    config = SoundClassifierConfig(("dog", "cat"), bins=16, hop=256)
    loss_of = classification.ClassificationLoss([SoundClassifier(config)])
    mel = torch.randn(2, 16, 160, requires_grad=True)
    torch.manual_seed(0)
    heard = [classification._heard(mel, loss_of.taggers[0]) for _ in range(2)]
    assert all(each.shape == mel.shape for each in heard)
    assert (heard[0] - heard[1]).std() > 0.1  # a change of level alone would have none
    loss_of(mel, torch.tensor([0, 1])).backward()
    assert mel.grad.flatten(1).norm(dim=1).min() > 0


def test_silence_stays_silence(data, parts, tmp_path, monkeypatch):
    loss_of = stage("field", data, parts, tmp_path).classify
    monkeypatch.setattr(classification, "GAIN", 0.0)

    def loss(level: float) -> float:
        return loss_of(torch.full((1, 16, 128), level), torch.tensor([2])).item()

    assert loss(-8.0) == loss(-5.0) != loss(-4.0)


def test_only_the_field_learns(data, parts, tmp_path):
    task = stage("distillation", data, parts, tmp_path)
    task.losses(task.batch(0), 0)["classification"].backward()
    assert task.network.output.weight.grad.abs().max() > 0
    for network in (*task.classify.taggers, task.autoencoder):
        assert not network.training and all(parameter.grad is None for parameter in network.parameters())


def test_validation_has_the_loss_as_well(data, parts, tmp_path, monkeypatch):
    monkeypatch.setattr(classification, "GAIN", 0.0)
    monkeypatch.setitem(ENDS, "reflow", (5, [2]))
    task = stage("reflow", data, parts, tmp_path)
    scores = task.validate(task.network)
    assert scores.keys() == {"loss", "mismatched", "one_step", "classification"}
    windows = task.with_ends(task.fixed_windows(VALIDATED))
    assert len(windows["class"]) == 2 * len(KINDS)
    assert scores["classification"] == pytest.approx(
        task.end_losses(task.network, windows, "reflow")["classification"].item(), rel=1e-4
    )


def test_unknown_labels_are_an_error(data, parts, tmp_path):
    strange = load_part(parts / "classifier")
    strange.config = TaggerConfig(("cow", "sheep", "pig", "hen"), bins=16)
    network, autoencoder = load_part(parts / "field"), load_part(parts / "autoencoder")
    recipe = Recipe("field", network=FIELD, loss=FieldLoss(class_weight=0.5), shared=Shared(clock=CLOCK))
    with pytest.raises(RecipeError, match="no label is a class of the classifier"):
        FieldTask(recipe, network, Shards(data, "train"), Shards(data, "valid"), autoencoder, [strange])


def test_it_begins_at_a_step(data, parts, tmp_path):
    task = stage("field", data, parts, tmp_path, end_start=3)
    batch = task.batch(0)
    assert task.losses(batch, 2).keys() == {"total"} and "classification" in task.losses(batch, 3)


@pytest.mark.parametrize("part", ["field", "reflow", "distillation"])
def test_the_field_learns_by_it(part, data, parts, tmp_path):
    task = stage(part, data, parts, tmp_path)
    task.end_losses(task.network, task.with_ends(task.batch(0)), part)["classification"].backward()
    norms = {name: one.grad.norm().item() for name, one in task.network.named_parameters() if one.grad is not None}
    assert norms["blocks.0.conv_out.weight"] > 0 and norms["embed_features.input.weight"] > 0


def test_a_class_that_the_sheet_does_not_name_is_not_asked_for():
    """Cue features name a class for three quarters, half or none of a window; the fourth has no class."""
    names = [category.name for category in categories()]
    loss = classification.ClassificationLoss([Tagger(TaggerConfig(("violin", "dog", "tap")))])
    features = torch.zeros(4, 8, len(names) + 5)
    features[0, :6, names.index("dog")] = 0.3
    features[1, 4:, names.index("violin")] = 0.9
    features[1, :, names.index("dog")] = 0.1
    features[2, :, names.index("dog")] = 1.0
    features[3, :, -5:] = 1.0
    assert loss.shown(features, torch.tensor([1, 0, 2, IGNORE_INDEX])).tolist() == [1, -1, -1, -1]


def test_all_that_a_mixture_is_made_of_is_its_label():
    assert label_of("dog", {"categories": ["dog", "rain_storm"]}).kinds == ("dog", "rain_storm")
    assert label_of("dog", {"categories": ["dog"]}).kinds == ("dog",)


def test_a_classifier_of_other_mels_is_refused(parts, tmp_path):
    """A tagger has the model's hop; a classifier of recordings has one of its own."""
    assert classification.load_classifier(parts / "classifier", MelConfig(bins=16)).config == TAGGER
    with pytest.raises(RecipeError, match="16 bins and hop 256, but the model's have 80"):
        classification.load_classifier(parts / "classifier", MelConfig())
    with pytest.raises(RecipeError, match="found a MelAutoencoder"):
        classification.load_classifier(parts / "autoencoder", MelConfig())
    config = SoundClassifierConfig(("dog",), bins=16, hop=512)
    save_part(tmp_path, SoundClassifier(config), config)
    with pytest.raises(RecipeError, match="hop 512, but the model's have 16 and 256"):
        classification.load_classifier(tmp_path, MelConfig(bins=16))


def test_a_recipe_says_which_tagger_classifies(data, parts, tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "dataset", lambda *_: data)

    def task(**loss) -> FieldTask:
        shared = Shared(clock=CLOCK, mel=MelConfig(bins=16), data=str(data), frozen=str(parts))
        recipe = Recipe("field", network=FIELD, loss=FieldLoss(**loss), shared=shared)
        return stages.field_task(recipe, tmp_path, lambda *_: None)

    assert task(classifier=str(parts / "classifier")).classify is None
    assert task(class_weight=1.0, classifier=str(parts / "classifier")).classify.taggers[0].config == TAGGER
    folder = str(parts / "classifier")
    both = task(class_weight=1.0, classifier=folder, further_classifiers=(folder,))
    assert [each.config for each in both.classify.taggers] == [TAGGER, TAGGER]
    with pytest.raises(RecipeError, match="train the classifier first"):
        task(class_weight=1.0)
    (tmp_path / "classifier").symlink_to(parts / "classifier")
    assert task(class_weight=1.0).classify.taggers[0].config == TAGGER

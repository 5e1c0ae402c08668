"""Tasks of the parts: which one a recipe means, and with which data, frozen parts and start it is set up.

cavp, encoder, autoencoder, ...   clips and recordings
motion                            films that it draws itself
recordings                        recordings alone
field                             features and mels, from nothing or from `init`
reflow                            pairs that the field made, from the field
distillation                      the same pairs, from the reflowed field (paper section 6)
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from frieren.dataset.pairs import Pairing, make_pairs
from frieren.dataset.scatter import OnDone
from frieren.dataset.shards import INDEX, Shards
from frieren.nets.autoencoder import MelAutoencoder
from frieren.nets.field import FieldConfig, VectorField
from frieren.nets.rivals.codes import CodeTransformer, CodeTransformerConfig
from frieren.nets.rivals.diff_foley import DiffFoley, DiffFoleyConfig
from frieren.nets.rivals.im2wav import Im2Wav, Im2WavConfig
from frieren.training import machines
from frieren.training.data import TrainingData, dataset, fields_of, open_data, raise_if_incomplete
from frieren.training.loop import Report, TrainingTask
from frieren.training.loss_settings import FieldLoss, PairsLoss
from frieren.training.recipe import STAGE_BEFORE, STAGES, AnyRecipe, Recipe, RecipeError, trained
from frieren.training.tasks.alignment import AlignmentTask
from frieren.training.tasks.autoencoder import AutoencoderTask
from frieren.training.tasks.classification import load_classifier
from frieren.training.tasks.contrast import ContrastTask
from frieren.training.tasks.encoder import EncoderTask
from frieren.training.tasks.field import FieldNetwork, FieldTask
from frieren.training.tasks.motion import MotionTask
from frieren.training.tasks.recordings import RecordingsTask
from frieren.training.tasks.tagger import TaggerTask
from frieren.training.tasks.vocoder import VocoderTask
from frieren.weights import check, load_network, read_parameters

Announce = Callable[[str], Report]  # a heading -> where its progress goes


class ClipTask(Protocol):
    """The class of a task that learns from clips and recordings alone; it reads `fields`."""

    @property
    def fields(self) -> tuple[str, ...]: ...

    def __call__(self, recipe: AnyRecipe, data: TrainingData) -> TrainingTask[Any]: ...


TASKS: dict[str, ClipTask] = {
    "cavp": ContrastTask,
    "encoder": EncoderTask,
    "autoencoder": AutoencoderTask,
    "vocoder": VocoderTask,
    "classifier": TaggerTask,
    "alignment": AlignmentTask,
    "tagger": TaggerTask,
}


def make_task(recipe: AnyRecipe, out: Path, audio: Path | None, announce: Announce) -> TrainingTask[Any]:
    """The part's task with its data, made now if need be.

    Args:
        recipe: the run, resolved.
        out: folder of the run, in which parts are found that the field builds on.
        audio: folder of recordings, for `recordings` and for the parts that learn from clips.
        announce: called with the heading of the data's progress.
    """
    torch.manual_seed(recipe.seed)  # initial parameters
    report = announce(f"{recipe.part} data")

    def on_done(done: int, total: int) -> None:
        report(done, total, {})

    task: TrainingTask[Any]
    if recipe.part in STAGES:
        task = field_task(recipe, out, on_done)
    elif recipe.part == "motion":
        task = MotionTask(recipe, out / "films")
    elif recipe.part == "recordings":
        task = RecordingsTask(recipe, audio)
    else:
        kind = TASKS[recipe.part]
        task = kind(recipe, open_data(recipe, dataset(recipe, out, kind.fields, on_done), audio))
    if recipe.init:
        load_init(task.part, recipe.init)
    return task


def field_task(recipe: Recipe[Any, FieldLoss], out: Path, on_done: OnDone) -> FieldTask:
    """The task of a stage of the field, with its features and pairs made now if need be."""
    latents = recipe.shared.data and "mean" in fields_of(Path(recipe.shared.data))
    data = dataset(recipe, out, ("features", *(("mean", "log_variance") if latents else ("mel",))), on_done)
    folder, loss = trained(recipe.frozen_folder(out, "autoencoder")), recipe.loss
    if isinstance(loss, PairsLoss):
        data = pairs_of(recipe, loss, out, data, folder, on_done)
    train, valid = (Shards(data, split) for split in recipe.splits)
    folders = (Path(loss.classifier or out / "classifier"), *map(Path, loss.further_classifiers))
    taggers = [load_classifier(folder, recipe.shared.mel) for folder in folders] if loss.class_weight else []
    autoencoder = load_network(folder, MelAutoencoder)
    return FieldTask(recipe, field_network(recipe.network), train, valid, autoencoder, taggers)


def field_network(config: FieldConfig | CodeTransformerConfig | DiffFoleyConfig | Im2WavConfig) -> FieldNetwork:
    """The network of a config, in the place of the field."""
    if isinstance(config, CodeTransformerConfig):
        return CodeTransformer(config)
    if isinstance(config, Im2WavConfig):
        return Im2Wav(config)
    return DiffFoley(config) if isinstance(config, DiffFoleyConfig) else VectorField(config)


def pairs_of(recipe: AnyRecipe, loss: PairsLoss, out: Path, data: Path, autoencoder: Path, on_done: OnDone) -> Path:
    """Folder of a stage's pairs: those that the recipe names, or those below `out`, of the field before the reflow.

    Distillation takes those of the reflow (paper, section 3).
    """
    shared, folder = recipe.shared, out / "pairs"
    if shared.pairs:
        return Path(shared.pairs)
    if recipe.part == "distillation" and not (out / "field").exists() and (folder / INDEX).exists():
        return folder  # the reflow began with a field from elsewhere
    field = trained(Path(recipe.init) if recipe.part == "reflow" else out / STAGE_BEFORE["reflow"])
    if machines.rank() == 0:
        pairing = Pairing(
            data,
            field,
            autoencoder,
            shared.clock,
            steps=loss.steps,
            guidance=loss.guidance,
            reencode=loss.reencode,
            draws=loss.draws,
            seed=recipe.seed,
            precision=recipe.machines.precision,
        )
        raise_if_incomplete(folder, make_pairs(pairing, folder, recipe.splits, on_done=on_done))
    return folder


def load_init(part: nn.Module, init: str) -> None:
    """Loads the parameters that a recipe starts from.

    Raises:
        RecipeError: if there is no such file.
        WeightsError: if its parameters are not the part's.
    """
    path = Path(init) / "model.safetensors" if Path(init).is_dir() else Path(init)
    if not path.exists():
        raise RecipeError(f"init: {init} is neither the folder of a part nor a safetensors file")
    state = read_parameters(path)
    check(path, part.state_dict(), state)
    part.load_state_dict(state)

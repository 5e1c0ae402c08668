"""Runs recipes: one part, or all parts of a model in order, and puts the parts into a model folder."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file

from frieren.training.autoencoder import AutoencoderTask
from frieren.training.data import Clips, WaveCrops, clips, recordings
from frieren.training.encoder import EncoderTask
from frieren.training.field import FieldTask
from frieren.training.loop import Report, Task, log, train
from frieren.training.recipe import PARTS, Recipe, RecipeError, read_recipe
from frieren.training.vocoder import VocoderTask
from frieren.weights import ModelConfig, load_part, save_model_config, save_part, write_json

Announce = Callable[[str], Report]  # a heading -> where its progress goes


def train_all(path: Path, out: Path, changes: list[str], audio: Path | None, announce: Announce) -> Path | None:
    """Trains the recipe at `path`, or every part's recipe in the folder `path`, below `out`.

    A part that has finished is left as it is; one that has begun goes on from its checkpoint.

    Returns:
        The model folder, once all parts are there; else None.
    """
    paths = [path] if path.suffix == ".toml" else [path / f"{part}.toml" for part in PARTS]
    for each in paths:
        recipe = read_recipe(each, changes)
        folder = out / recipe.part
        if not (folder / "model.safetensors").exists():
            report = announce(f"{recipe.shared.name} {recipe.part}")
            note(folder, recipe, audio)
            train(make_task(recipe, out, audio, announce), recipe, folder, report)
    if all((out / part / "model.safetensors").exists() for part in PARTS):
        return assemble(read_recipe(paths[0], changes), out, out / "model")
    return None


def note(folder: Path, recipe: Recipe, audio: Path | None) -> None:
    """Writes the resolved recipe into the run folder; what a resumed run changes of it goes into the log.

    With recordings comes their ATTRIBUTION.md, which has to travel with whatever heard them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, new = folder / "recipe.json", json.loads(json.dumps(dataclasses.asdict(recipe)))
    if path.exists() and (old := json.loads(path.read_text())) != new:
        changed = {key: value for key, value in new.items() if old.get(key) != value}
        log(folder, {"step": None, "recipe": changed})
    write_json(path, new)
    if audio and (audio / "ATTRIBUTION.md").exists():
        shutil.copyfile(audio / "ATTRIBUTION.md", folder / "ATTRIBUTION.md")


def make_task(recipe: Recipe, out: Path, audio: Path | None, announce: Announce) -> Task:
    """The part's task with its data, rendered now if need be."""
    train_clips, valid_clips = (
        split_clips(recipe, split, count, out, announce)
        for split, count in (("train", recipe.shared.clips), ("valid", recipe.shared.valid))
    )
    torch.manual_seed(recipe.seed)  # initial parameters
    if recipe.part == "encoder":
        task: Task = EncoderTask(recipe, train_clips, valid_clips)
    elif recipe.part == "field":
        frozen = {part: finished(out / part) for part in ("encoder", "autoencoder")}
        task = FieldTask(recipe, train_clips, valid_clips, frozen["encoder"], frozen["autoencoder"], out / "data")
    else:
        recorded = recordings(audio, recipe.shared.clock.sample_rate) if audio else []
        kind = AutoencoderTask if recipe.part == "autoencoder" else VocoderTask
        task = kind(recipe, train_clips, valid_clips, WaveCrops(train_clips.waves, recorded))
    if recipe.init:
        next(reversed(task.players.values())).network.load_state_dict(load_file(recipe.init))
    return task


def split_clips(recipe: Recipe, split: str, count: int, out: Path, announce: Announce) -> Clips:
    """The rendered clips of one split, cached below `out`."""
    shared = recipe.shared
    report = announce(f"render {split}")
    return clips(out / "data", split, count, shared.clock, shared.mel, shared.image_size, lambda n, m: report(n, m, {}))


def finished(folder: Path) -> torch.nn.Module:
    """A part that this run builds on.

    Raises:
        RecipeError: if it has not been trained yet.
    """
    if not (folder / "model.safetensors").exists():
        raise RecipeError(f"{folder}: not trained yet; train the {folder.name} first, or the whole recipe folder")
    return load_part(folder)


def assemble(recipe: Recipe, out: Path, model: Path) -> Path:
    """Copies the parts as half precision into a model folder that `frieren.load` takes, with recipes and logs."""
    shared = recipe.shared
    (model / "training").mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        network = load_part(out / part)
        save_part(model / part, network, network.config, torch.float16)
        for source, suffix in (("recipe.json", ".json"), ("log.jsonl", ".jsonl")):
            shutil.copyfile(out / part / source, model / "training" / (part + suffix))
        if (out / part / "ATTRIBUTION.md").exists():
            shutil.copyfile(out / part / "ATTRIBUTION.md", model / "ATTRIBUTION.md")
    config = ModelConfig(
        shared.name, shared.description, shared.steps, shared.guidance, "euler", shared.clock, shared.mel
    )
    save_model_config(model, config)
    return model

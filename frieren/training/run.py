"""Runs recipes: one part, or all parts of a folder in order, and puts a model's parts into a model folder."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from frieren.files import write_json
from frieren.training import machines
from frieren.training.data import Data, dataset, open_clips, recordings
from frieren.training.loop import Report, Task, log, train
from frieren.training.recipe import PARTS, PairsLoss, Recipe, RecipeError, read_recipe
from frieren.training.stages import STAGES, begin, field_task, resolved, splits_of
from frieren.training.tasks.alignment import AlignmentTask
from frieren.training.tasks.autoencoder import AutoencoderTask
from frieren.training.tasks.contrast import ContrastTask
from frieren.training.tasks.encoder import EncoderTask
from frieren.training.tasks.field import STEPS
from frieren.training.tasks.tagger import TaggerTask
from frieren.training.tasks.vocoder import VocoderTask
from frieren.weights import PARTS as MODEL_PARTS
from frieren.weights import ModelConfig, load_part, save_model_config, save_part

# What learns from clips and recordings alone, by way of their `fields`; the stages of the field need finished parts.
TASKS: dict[str, type] = {
    "cavp": ContrastTask,
    "encoder": EncoderTask,
    "autoencoder": AutoencoderTask,
    "vocoder": VocoderTask,
    "ear": TaggerTask,
    "alignment": AlignmentTask,
    "tagger": TaggerTask,
}


@dataclass(frozen=True)
class Variant:
    """What a later stage of the field is called and how many steps it is made for."""

    suffix: str
    steps: int
    description: str


VARIANTS = {
    "reflow": Variant("reflow", STEPS["reflow"], "after reflow, for few steps"),
    "distillation": Variant("1step", STEPS["distillation"], "after reflow and distillation, for one step"),
}
Announce = Callable[[str], Report]  # a heading -> where its progress goes


def train_all(
    path: Path, out: Path, changes: list[str], audio: Path | None, announce: Announce, *, resume: bool = True
) -> Path | None:
    """Trains the recipe at `path`, or every part's recipe in the folder `path`, below `out`.

    A part that has finished is left as it is; one that has begun goes on from its checkpoint. With `resume` False all
    of them start over. Every process of a torchrun calls it, within `machines.connected`.

    Returns:
        The model folder, once all parts of a model are there; else None.

    Raises:
        RecipeError: if there is no recipe, or it cannot be read.
    """
    paths = [path] if path.suffix == ".toml" else recipe_paths(path)
    for each in paths:
        recipe = read_recipe(each, changes)
        folder = out / recipe.part
        if not resume or not (folder / "model.safetensors").exists():
            recipe = resolved(recipe, out)
            report = announce(f"{recipe.shared.name} {recipe.part}")
            with machines.first_alone():
                if machines.rank() == 0:
                    (folder / "model.safetensors").unlink(missing_ok=True)  # or the run would count as finished
                    note(folder, recipe, audio)
                task = make_task(recipe, out, audio, announce)
            train(task, recipe, folder, report, resume=resume)
    if not all((part_folder(out, part) / "model.safetensors").exists() for part in MODEL_PARTS):
        return None
    if machines.rank() == 0:
        assemble(read_recipe(paths[0], changes), out, out / "model")
    return out / "model"


def recipe_paths(folder: Path) -> list[Path]:
    """The recipes in a folder, in the order of training.

    Raises:
        RecipeError: if there is none.
    """
    paths = [folder / f"{part}.toml" for part in PARTS]
    found = [path for path in paths if path.exists()]
    if not found:
        raise RecipeError(f"{folder}: no recipe there; expected some of {', '.join(path.name for path in paths)}")
    return found


def part_folder(out: Path, part: str) -> Path:
    """Where a part lies in a run; CAVP's video tower serves as the encoder if none is trained on its own."""
    tower = out / "cavp" / "encoder"
    return tower if part == "encoder" and not (out / part).exists() and tower.exists() else out / part


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
    """The part's task with its data, made now if need be."""
    torch.manual_seed(recipe.seed)  # initial parameters
    if recipe.part in STAGES:
        frozen = {part: frozen_folder(recipe, out, part) for part in ("encoder", "autoencoder")}
        task: Task = field_task(recipe, out, frozen, announce(f"{recipe.part} data"))
    else:
        task = clip_task(recipe, out, audio, announce(f"{recipe.part} data"))
    if recipe.init:
        begin(task.network, recipe.init)
    return task


def frozen_folder(recipe: Recipe, out: Path, part: str) -> Path:
    """Where a part lies that the field builds on: in the model that the recipe names, or in this run."""
    return Path(recipe.shared.frozen) / part if recipe.shared.frozen else part_folder(out, part)


def clip_task(recipe: Recipe, out: Path, audio: Path | None, report: Report) -> Task:
    """The task of a part that learns from clips and, if `audio` names their folder, recordings."""
    shared, kind = recipe.shared, TASKS[recipe.part]
    folder = dataset(recipe, out, kind.fields, report)
    train_split, valid_split = splits_of(recipe)
    train_clips = open_clips(folder, train_split, shared.clock)
    valid_clips = open_clips(folder, valid_split, shared.clock, shared.valid)
    recorded = recordings(audio, shared.clock.sample_rate) if audio else []
    return kind(recipe, Data(train_clips, valid_clips, recorded))


def assemble(recipe: Recipe, out: Path, model: Path) -> Path:
    """Copies the parts as half precision into a model folder that `frieren.load` takes, with recipes and logs.

    Reflowed and distilled fields become models beside it, which share its other parts.
    """
    for part in MODEL_PARTS:
        network = load_part(part_folder(out, part))
        save_part(model / part, network, network.config, torch.float16)
    keep_records(out, model, [part for part in PARTS if part not in VARIANTS])
    shared = recipe.shared
    how = {name: getattr(shared, name) for name in ("steps", "guidance", "clock", "mel")}
    config = ModelConfig(shared.name, shared.description, griffin_lim_iterations=shared.polish, **how)
    save_model_config(model, config)
    for stage, variant in VARIANTS.items():
        if (out / stage / "model.safetensors").exists():
            network, folder = load_part(out / stage), model.with_name(f"{model.name}-{variant.suffix}")
            save_part(folder / "field", network, network.config, torch.float16)
            keep_records(out, folder, [stage])
            loss = PairsLoss(**json.loads((out / stage / "recipe.json").read_text())["loss"])
            guiding = dict(zip(("guidance", "guidance_rescale"), loss.guiding, strict=True))
            named = f"{shared.name}-{variant.suffix}"
            description = f"{shared.description}; {variant.description}"
            changed = {"name": named, "description": description, "steps": variant.steps, **guiding}
            save_model_config(folder, dataclasses.replace(config, **changed, base=model.name))
    return model


def keep_records(out: Path, model: Path, parts: Iterable[str]) -> None:
    """Copies recipes, logs and attributions of those parts that were trained."""
    (model / "training").mkdir(parents=True, exist_ok=True)
    for run in (out / part for part in parts if (out / part / "model.safetensors").exists()):
        for source, suffix in (("recipe.json", ".json"), ("log.jsonl", ".jsonl")):
            shutil.copyfile(run / source, model / "training" / (run.name + suffix))
        if (run / "ATTRIBUTION.md").exists():
            shutil.copyfile(run / "ATTRIBUTION.md", model / "ATTRIBUTION.md")

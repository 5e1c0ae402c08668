"""Runs recipes: one part, or all parts of a folder in order; the parts of a model become a model folder."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

from frieren.files import write_json
from frieren.training import machines
from frieren.training.assembly import assemble
from frieren.training.loop import log, train
from frieren.training.recipe import FORMER_PARTS, PARTS, AnyRecipe, RecipeError, read_recipe
from frieren.training.stages import Announce, make_task


def train_all(
    path: Path, out: Path, changes: list[str], audio: Path | None, announce: Announce, *, resume: bool = True
) -> Path | None:
    """Trains the recipe at `path`, or every part's recipe in the folder `path`, below `out`.

    A part that has finished is left as it is; one that has begun goes on from its checkpoint. With `resume` False all
    of them start over. Every process of a torchrun calls it, within `machines.connected`.

    Returns:
        The model folder, once all parts of a model are there; else None.

    Raises:
        RecipeError: if there is no recipe, or it cannot be read; if a part is there under a former name.
    """
    raise_if_former(out)
    paths = [path] if path.suffix == ".toml" else recipe_paths(path)
    for recipe_path in paths:
        recipe = read_recipe(recipe_path, changes)
        folder = out / recipe.part
        if not resume or not (folder / "model.safetensors").exists():
            recipe = recipe.resolved(out)
            report = announce(f"{recipe.shared.name} {recipe.part}")
            with machines.first_alone():
                if machines.rank() == 0:
                    (folder / "model.safetensors").unlink(missing_ok=True)  # or the run would count as finished
                    save_recipe(folder, recipe, audio)
                task = make_task(recipe, out, audio, announce)
            train(task, recipe, folder, report, resume=resume)
    first = read_recipe(paths[0], changes)
    if not all((folder / "model.safetensors").exists() for folder in first.model_parts(out).values()):
        return None
    if machines.rank() == 0:
        assemble(first, out, out / "model")
    return out / "model"


def raise_if_former(folder: Path) -> None:
    """Raises RecipeError if a recipe folder or a run folder has a part under a name of older versions."""
    for former, part in FORMER_PARTS.items():
        for path in (folder / f"{former}.toml", folder / former):
            if path.exists():
                raise RecipeError(f"{path}: the part {former!r} is called {part!r} now; rename it")


def recipe_paths(folder: Path) -> list[Path]:
    """The recipes in a folder, in the order of training.

    Raises:
        RecipeError: if there is none.
    """
    raise_if_former(folder)
    paths = [folder / f"{part}.toml" for part in PARTS]
    found = [path for path in paths if path.exists()]
    if not found:
        raise RecipeError(f"{folder}: no recipe there; expected some of {', '.join(path.name for path in paths)}")
    return found


def save_recipe(folder: Path, recipe: AnyRecipe, audio: Path | None) -> None:
    """Writes the resolved recipe into the run folder, and the changes of a resumed run into the log.

    With recordings comes their ATTRIBUTION.md, which has to travel with whatever was trained on them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, new = folder / "recipe.json", json.loads(json.dumps(dataclasses.asdict(recipe)))
    if path.exists() and (old := json.loads(path.read_text())) != new:
        changed = {key: value for key, value in new.items() if old.get(key) != value}
        log(folder, {"step": None, "recipe": changed})
    write_json(path, new)
    if audio and (audio / "ATTRIBUTION.md").exists():
        shutil.copyfile(audio / "ATTRIBUTION.md", folder / "ATTRIBUTION.md")

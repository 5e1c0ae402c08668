"""What each stage of the vector field is trained with: its start, its data set, its pairs (paper section 6).

field         features and mels, from nothing or from `init`
reflow        pairs that the field made, from the field
distillation  the same pairs, from the reflowed field
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import nn

from frieren.dataset.shards import INDEX, Shards
from frieren.nets.field import VectorField
from frieren.training import machines
from frieren.training.data import dataset, whole
from frieren.training.loop import Report
from frieren.training.pairs import Pairing, make_pairs
from frieren.training.recipe import Recipe, RecipeError
from frieren.training.tasks.field import FieldTask
from frieren.weights import check, load_part, read_parameters

BEFORE = {"reflow": "field", "distillation": "reflow"}  # the stage that a stage starts from
STAGES = ("field", *BEFORE)
SPLITS = ("train", "valid")


def resolved(recipe: Recipe, out: Path) -> Recipe:
    """The recipe with what follows from the stage before: where a later stage starts, and its sizes.

    Raises:
        RecipeError: if there is nothing to start from.
    """
    if recipe.part not in BEFORE:
        return recipe
    init = recipe.init or str(out / BEFORE[recipe.part])
    return replace(recipe, init=init, network=finished(Path(init)).config)


def finished(folder: Path) -> nn.Module:
    """A part that this run builds on.

    Raises:
        RecipeError: if it has not been trained yet.
    """
    if not (folder / "model.safetensors").exists():
        raise RecipeError(f"{folder}: not trained yet; train the {folder.name} first, or the whole recipe folder")
    return load_part(folder)


def begin(network: nn.Module, init: str) -> None:
    """Loads the parameters that a recipe starts from.

    Raises:
        RecipeError: if there is no such file.
        WeightsError: if its parameters are not the network's.
    """
    path = Path(init) / "model.safetensors" if Path(init).is_dir() else Path(init)
    if not path.exists():
        raise RecipeError(f"init: {init} is neither the folder of a part nor a safetensors file")
    state = read_parameters(path)
    check(path, network.state_dict(), state)
    network.load_state_dict(state)


def field_task(recipe: Recipe, out: Path, parts: dict[str, Path], report: Report) -> FieldTask:
    """The task of a stage, with its data made now if need be.

    Args:
        parts: folders of the encoder and the autoencoder, which do not learn here.
        report: told how many shards are made.
    """
    if not recipe.shared.data:
        finished(parts["encoder"])
    data = dataset(recipe, out, ("features", "mel"), report, parts["encoder"])
    if recipe.part in BEFORE:
        data = pairs_of(recipe, out, data, parts["autoencoder"], report)
    sets = [Shards(data, split) for split in splits_of(recipe)]
    ear = finished(Path(recipe.loss.ear or out / "ear")) if recipe.loss.named else None
    return FieldTask(recipe, VectorField(recipe.network), *sets, finished(parts["autoencoder"]), ear)


def pairs_of(recipe: Recipe, out: Path, data: Path, autoencoder: Path, report: Report) -> Path:
    """The pairs of a stage: those that the recipe names, or those below `out`, made by the field before the reflow.

    Distillation takes those of the reflow (paper, section 3).
    """
    shared, loss, folder = recipe.shared, recipe.loss, out / "pairs"
    if shared.pairs:
        return Path(shared.pairs)
    if recipe.part == "distillation" and not (out / "field").exists() and (folder / INDEX).exists():
        return folder  # the reflow began with a field from elsewhere
    field = Path(recipe.init) if recipe.part == "reflow" else out / BEFORE["reflow"]
    finished(field)
    if machines.rank() == 0:
        how = {name: getattr(loss, name) for name in ("steps", "guidance", "draws", "reencode")}
        how |= {"seed": recipe.seed, "precision": recipe.machines.precision}
        pairing = Pairing(data, field, autoencoder, shared.clock, **how)
        whole(
            folder, make_pairs(pairing, folder, splits_of(recipe), on_done=lambda done, total: report(done, total, {}))
        )
    return folder


def splits_of(recipe: Recipe) -> tuple[str, str]:
    """What to learn from and what to be judged on."""
    return recipe.shared.splits if recipe.shared.data else SPLITS

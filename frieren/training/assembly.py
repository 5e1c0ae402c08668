"""Assembly: the trained parts of a run become a model folder, its later stages variants beside it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from frieren.configs import from_table
from frieren.training.loss_settings import PairsLoss
from frieren.training.recipe import FORMER_VALUES, PARTS, RENAMED, AnyRecipe
from frieren.training.tasks.field import STEPS
from frieren.weights import ModelConfig, load_part, parts_of, save_model_config, save_part


@dataclass(frozen=True)
class Variant:
    """Name of a later stage of the field, and how many steps it is made for."""

    suffix: str
    steps: int
    description: str


VARIANTS = {
    "reflow": Variant("reflow", STEPS["reflow"], "after reflow, for few steps"),
    "distillation": Variant("1step", STEPS["distillation"], "after reflow and distillation, for one step"),
}


def assemble(recipe: AnyRecipe, out: Path, model: Path) -> Path:
    """Copies the parts as half precision into a model folder that `frieren.load` takes, with recipes and logs.

    Reflowed and distilled fields become models beside it, which share its other parts.
    """
    for part, place in recipe.model_parts(out).items():
        network = load_part(place)
        save_part(model / part, network, network.config, torch.float16)
    shared = recipe.shared
    if shared.frozen and (attribution := Path(shared.frozen) / "ATTRIBUTION.md").exists():
        shutil.copyfile(attribution, model / "ATTRIBUTION.md")
    keep_records(out, model, [part for part in PARTS if part not in VARIANTS])
    config = ModelConfig(
        shared.name,
        shared.description,
        steps=shared.steps,
        guidance=shared.guidance,
        solver=shared.solver,
        griffin_lim_iterations=shared.griffin_lim_iterations,
        clock=shared.clock,
        mel=shared.mel,
        condition=shared.condition,
        strike_delay=shared.strike_delay,
        parts=parts_of(shared.condition),
    )
    save_model_config(model, config)
    for stage, variant in VARIANTS.items():
        if (out / stage / "model.safetensors").exists():
            network, folder = load_part(out / stage), model.with_name(f"{model.name}-{variant.suffix}")
            save_part(folder / "field", network, network.config, torch.float16)
            keep_records(out, folder, [stage])
            guidance, rescale = pairs_loss(out / stage / "recipe.json").sampling
            variant_config = dataclasses.replace(
                config,
                name=f"{shared.name}-{variant.suffix}",
                description=f"{shared.description}; {variant.description}",
                steps=variant.steps,
                guidance=guidance,
                guidance_rescale=rescale,
                base=model.name,
            )
            save_model_config(folder, variant_config)
    return model


def pairs_loss(path: Path) -> PairsLoss:
    """The loss in a recipe.json, which an older version may have written."""
    table = json.loads(path.read_text())["loss"]
    return from_table(
        PairsLoss,
        {
            RENAMED.get(key, key): FORMER_VALUES.get(value, value) if isinstance(value, str) else value
            for key, value in table.items()
        },
    )


def keep_records(out: Path, model: Path, parts: Iterable[str]) -> None:
    """Copies recipes, logs and attributions of those parts that were trained."""
    (model / "training").mkdir(parents=True, exist_ok=True)
    for run in (out / part for part in parts if (out / part / "model.safetensors").exists()):
        for source, suffix in (("recipe.json", ".json"), ("log.jsonl", ".jsonl")):
            shutil.copyfile(run / source, model / "training" / (run.name + suffix))
        if (run / "ATTRIBUTION.md").exists():
            shutil.copyfile(run / "ATTRIBUTION.md", model / "ATTRIBUTION.md")

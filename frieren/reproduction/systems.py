"""The systems of the tables: the recipes that train each of them, and the model folder that comes of it.

A folder that is given by name is taken as it is; any other system is trained by the loop of `frieren train`, in a run
folder whose name holds a digest of its recipes and data, so that a run that was stopped goes on and none is stale.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from frieren.errors import FrierenError
from frieren.files import file_hash
from frieren.training.recipe import read_recipe
from frieren.training.run import train_all
from frieren.training.stages import Announce

DIGITS = 8  # of a digest, in the name of a folder
SHORT, TRAININGS = 10.0, 3  # minutes below which a system is trained as often, with other seeds
SIMPLE = ("encoder", "autoencoder", "vocoder", "classifier", "field")
REFLOW, DISTILLATION = "ablations/reflow.toml", "ablations/distillation.toml"
CHAIN = (*SIMPLE, "reflow", "distillation")


def files(folder: str, parts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the recipes of parts in a folder of recipes."""
    return tuple(f"{folder}/{part}.toml" for part in parts)


@dataclass(frozen=True)
class System:
    """A system and how it is trained.

    Attributes:
        title: its name in tables.
        recipes: below the folder of recipes, in the order of training; all of them in one run. Changes of its own, as
            by `--set`, may follow one after a space; `{run}` in them is the run's folder.
        changes: of all of the recipes.
        lent: the system whose other parts it is trained and assembled with, if it does not train them.
        model: which of the run's model folders it is.
        minutes: that its training takes on two cores, about.
        prepared: whether `--data` is what it learns from: not where it trains an encoder, whose features the data set
            would have to have.
        quick: recipes in place of its own with `--quick`; none: it is left out then.
    """

    title: str
    recipes: tuple[str, ...]
    changes: tuple[str, ...] = ()
    lent: str = ""
    model: str = "model"
    minutes: float = 0.0
    prepared: bool = True
    quick: tuple[str, ...] = ()


def stage(title: str, model: str) -> System:
    """Return one of the three models of `frieren train foleyworld`, which are made by one run."""
    return System(title, files("foleyworld", CHAIN), model=model, minutes=1500.0, quick=files("tiny", CHAIN))


def rival(title: str, name: str, minutes: float = 40.0) -> System:
    """Return a system of one budget with the others; the parts that it does not train are FoleyWorld's."""
    return System(title, (f"rivals/{name}/field.toml",), lent="foleyworld", minutes=minutes)


def variant(title: str, *changes: str, more: tuple[str, ...] = (), model: str = "model", minutes: float = 40) -> System:
    """Return Frieren of that budget with changes of its recipe, or stages after it."""
    return System(title, ("rivals/frieren/field.toml", *more), changes, "foleyworld", model, minutes)


def contrastive(rate: float) -> System:
    """Return Frieren with a contrastive encoder at `rate` Hz, whose features are laid out by time stamps."""
    recipes = (f"ablations/cavp.toml loss.frames={round(4 * rate)}", "rivals/frieren/field.toml")
    changes = (f"shared.clock.fps={rate}", "shared.data=")
    return System(f"contrastive, {rate:g} Hz", recipes, changes, "foleyworld", minutes=150.0, prepared=False)


SYSTEMS: dict[str, System] = {
    "foleyworld": stage("Frieren", "model"),
    "foleyworld-reflow": stage("Frieren + R", "model-reflow"),
    "foleyworld-1step": stage("Frieren + R + D", "model-1step"),
    "frieren": rival("Frieren", "frieren"),
    "ldm": rival("LDM", "ldm"),
    "meanflow": rival("MeanFlow", "meanflow"),
    "specvqgan": rival("SpecVQGAN", "specvqgan"),
    "diff-foley": rival("Diff-Foley, guided", "diff-foley"),
    "diff-foley-unguided": System(
        "Diff-Foley", ("rivals/diff-foley/field.toml network.alignment=0.0",), lent="foleyworld", minutes=40.0
    ),
    "im2wav": rival("Im2Wav", "im2wav"),
    "small": variant("small", "network.width=64", minutes=15),
    "large": variant("large", "network.width=256", minutes=120),
    "weighted": variant("weighted (paper)", "loss.weight=logit-normal", "loss.time=uniform"),
    "uniform": variant("uniform", "loss.weight=uniform", "loss.time=uniform"),
    "contrastive-4": contrastive(4.0),
    "contrastive-10": contrastive(10.0),
    "contrastive-20": contrastive(20.0),
    "repeated-4": System(
        "features repeated, 4 Hz",
        ("ablations/cavp.toml", "rivals/frieren/field.toml network.regulator=repeat"),
        ("shared.clock.fps=4.0", "shared.data="),
        "foleyworld",
        minutes=150.0,
        prepared=False,
    ),
    "crossed": variant("cross-attention to features", "network.conditioning=cross-attention"),
    "joined": variant("clips joined (authors' code)", "loss.join=0.5"),
    "same-reflow": variant("reflow of the guided field", more=(REFLOW,), model="model-reflow", minutes=90),
    "same-reflow-plain": variant(
        "reflow of the plain field", more=(f"{REFLOW} loss.guidance=1.0",), model="model-reflow", minutes=90
    ),
    "same-1step": variant("reflow, then distillation", more=(REFLOW, DISTILLATION), model="model-1step", minutes=110),
    "same-1step-alone": variant(
        "distillation alone", more=(f"{DISTILLATION} init={{run}}/field",), model="model-1step", minutes=90
    ),
}


class NotTrainedError(FrierenError):
    """A system has no model yet, and is not to be trained now.

    Attributes:
        command: that trains it; "" where there is no recipe.
        minutes: that this takes on two cores, about.
    """

    def __init__(self, name: str, command: str, minutes: float) -> None:
        how = f"{command} does it in about {minutes:g} minutes of two cores" if command else "it has no recipe here"
        super().__init__(f"{name}: not trained; {how}")
        self.command, self.minutes = command, minutes


class Workshop:
    """Where the model of every system is found, or made.

    Args:
        out: folder of the runs.
        recipes: the folder of recipes.
        announce: called with the heading of a training, returns where its progress goes.
        given: model folders by the system's name.
        data: prepared data set that replaces the recipes' own.
        train: False: a system without a model is an error.
        quick: take the systems' quick recipes.
    """

    def __init__(
        self,
        out: Path,
        recipes: Path,
        announce: Announce,
        *,
        given: Mapping[str, Path],
        data: Path | None = None,
        train: bool = True,
        quick: bool = False,
    ) -> None:
        if unknown := given.keys() - SYSTEMS.keys():
            raise FrierenError(f"{min(unknown)}: no such system; the tables have {', '.join(SYSTEMS)}")
        self.out, self.recipes, self.announce = out, recipes, announce
        self.given, self.data, self.train, self.quick = given, data, train, quick

    def model(self, name: str, seed: int = 0) -> Path:
        """Return the model folder of a system, trained now if need be.

        Args:
            seed: of its training; a folder that was given has the seed 0.

        Raises:
            NotTrainedError: it has no model, and is not to be trained.
            RecipeError: a recipe is missing or cannot be read.
        """
        if name in self.given and not seed:
            return self.given[name]
        system = SYSTEMS[name]
        recipes = [RecipeStage(self.recipes / file, own) for file, *own in map(str.split, self.recipes_of(system))]
        if not recipes or not all(stage.recipe.exists() for stage in recipes):
            raise NotTrainedError(name, "", 0.0)
        changes = self.changes(system, seed)
        run = self.out / "runs" / f"{recipes[-1].recipe.parent.name}-{self.digest(recipes, changes)}"
        if not (run / system.model / "config.json").exists():
            if not self.train:
                raise NotTrainedError(name, command(recipes, changes, run), system.minutes)
            for stage in recipes:
                train_all(stage.recipe, run, stage.changes(changes, run), None, self.announce)
        return run / system.model

    def recipes_of(self, system: System) -> tuple[str, ...]:
        """Return the recipes of a system, or its quick ones."""
        return system.quick if self.quick else system.recipes

    def models(self, name: str) -> list[Path]:
        """Return the models of a system: three trainings of other seeds where one is short, otherwise one.

        Raises:
            NotTrainedError, RecipeError: as `model`.
        """
        once = name in self.given or self.quick or SYSTEMS[name].minutes >= SHORT
        return [self.model(name, seed) for seed in range(1 if once else TRAININGS)]

    def changes(self, system: System, seed: int) -> list[str]:
        """Return what is changed in the recipes of a system."""
        lent = [f"shared.frozen={self.model(system.lent)}"] if system.lent and not self.quick else []
        data = [f"shared.data={self.data}"] if self.data and system.prepared and not self.quick else []
        return [*system.changes, *lent, *data, *([f"seed={seed}"] if seed else [])]

    def digest(self, recipes: Sequence[RecipeStage], changes: list[str]) -> str:
        """Return a digest of everything that a training depends on beside the code."""
        run = Path()  # where it lies does not matter
        body = {
            "recipes": [dataclasses.asdict(read_recipe(one.recipe, one.changes(changes, run))) for one in recipes],
            "data": file_hash(self.data / "dataset.json") if self.data else None,
        }
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:DIGITS]


@dataclass(frozen=True)
class RecipeStage:
    """A recipe of a run, with the changes of its own."""

    recipe: Path
    own: Sequence[str] = ()

    def changes(self, shared: Sequence[str], run: Path) -> list[str]:
        """Return all changes of the recipe: the run's, then its own."""
        return [*shared, *(one.format(run=run) for one in self.own)]


def command(recipes: Sequence[RecipeStage], changes: Sequence[str], run: Path) -> str:
    """Return what trains a run on the command line."""
    parts = []
    for stage in recipes:
        settings = "".join(f" --set {one}" for one in stage.changes(changes, run))
        parts.append(f"frieren train {stage.recipe} -o {run}{settings}")
    return " && ".join(dict.fromkeys(parts))

"""The systems of the tables: the recipes that train each of them, and the model folder that comes of it.

A folder that is given by name is taken as it is; any other system is trained by the loop of `frieren train`, in a run
folder whose name holds a digest of its recipes and data, so that a run that was stopped goes on and none is stale.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
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
CHAIN = (*SIMPLE, "reflow", "distillation")


def files(folder: str, parts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the recipes of parts in a folder of recipes."""
    return tuple(f"{folder}/{part}.toml" for part in parts)


@dataclass(frozen=True)
class System:
    """A system and how it is trained.

    Attributes:
        title: its name in tables.
        recipes: below the folder of recipes, in the order of training; all of them in one run.
        changes: of the recipes, as by `--set`.
        lent: the system whose other parts it is trained and assembled with, if it does not train them.
        model: which of the run's model folders it is.
        minutes: that its training takes on two cores, about.
        quick: recipes in place of its own with `--quick`; none: it is left out then.
    """

    title: str
    recipes: tuple[str, ...]
    changes: tuple[str, ...] = ()
    lent: str = ""
    model: str = "model"
    minutes: float = 0.0
    quick: tuple[str, ...] = ()


def stage(title: str, model: str) -> System:
    """Return one of the three models of `frieren train foleyworld`, which are made by one run."""
    return System(title, files("foleyworld", CHAIN), (), "", model, 1500.0, files("tiny", CHAIN))


def budgeted(title: str, *changes: str, minutes: float = 40.0, more: tuple[str, ...] = ()) -> System:
    """Return a field of the budget at which systems are compared, with changes; other parts are FoleyWorld's."""
    recipes = ("reproduction/field.toml", *more)
    return System(title, recipes, changes, "foleyworld", minutes=minutes)


def rival(title: str, name: str, minutes: float = 40.0) -> System:
    """Return a system that the paper compares with."""
    return System(title, (f"rivals/{name}.toml",), lent="foleyworld", minutes=minutes)


SYSTEMS: dict[str, System] = {
    "foleyworld": stage("Frieren", "model"),
    "foleyworld-reflow": stage("Frieren + R", "model-reflow"),
    "foleyworld-1step": stage("Frieren + R + D", "model-1step"),
    "frieren": rival("Frieren", "frieren"),
    "ldm": rival("LDM", "ldm"),
    "meanflow": rival("MeanFlow", "meanflow"),
    "specvqgan-rgb": rival("SpecVQGAN (RGB)", "specvqgan-rgb"),
    "specvqgan-flow": rival("SpecVQGAN (RGB + flow)", "specvqgan-flow"),
    "diff-foley": rival("Diff-Foley", "diff-foley"),
    "im2wav": rival("Im2Wav", "im2wav"),
}


class NotTrainedError(FrierenError):
    """A system has no model yet, and is not to be trained now.

    Attributes:
        command: that trains it.
        minutes: that this takes on two cores, about.
    """

    def __init__(self, name: str, command: str, minutes: float) -> None:
        super().__init__(f"{name}: not trained; {command} does it in about {minutes:g} minutes of two cores")
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
        recipes = system.quick if self.quick else system.recipes
        paths = [self.recipes / recipe for recipe in recipes]
        if not paths or not all(path.exists() for path in paths):
            raise NotTrainedError(name, f"frieren train {self.recipes}/{system.recipes[0]}", system.minutes)
        changes = self.changes(system, seed)
        run = self.out / "runs" / f"{name.partition('-')[0]}-{self.digest(paths, changes)}"
        model = run / system.model
        if not (model / "config.json").exists():
            if not self.train:
                command = f"frieren train {' '.join(map(str, paths))}" + "".join(f" --set {one}" for one in changes)
                raise NotTrainedError(name, command, system.minutes)
            for path in paths:
                train_all(path, run, changes, None, self.announce)
        return model

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
        data = [f"shared.data={self.data}"] if self.data and not self.quick else []
        return [*system.changes, *lent, *data, *([f"seed={seed}"] if seed else [])]

    def digest(self, paths: list[Path], changes: list[str]) -> str:
        """Return a digest of everything that a training depends on beside the code."""
        body = {
            "recipes": [dataclasses.asdict(read_recipe(path, changes)) for path in paths],
            "data": file_hash(self.data / "dataset.json") if self.data else None,
        }
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:DIGITS]

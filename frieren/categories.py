"""The table of categories: things that are seen and heard, by what names, and by which classes of photographs."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

from frieren.errors import ConfigError

TABLE = Path(__file__).parent / "assets" / "categories.csv"
CLASSES = 1000  # of ImageNet-1k, in the usual order
NEAREST = 3  # suggestions for an unknown name
Behaviour = Literal["impact", "sustained", "vocal", "tonal"]


@dataclass(frozen=True)
class Category:
    """One row of the table.

    Attributes:
        name: how files call it, such as "wood_chop".
        title: how tables and pictures call it, such as "Axe or wood hit".
        behaviour: how it sounds: by single hits, as long as it moves, by a voice, or by notes.
        aliases: other names that people use for it.
        recordings: labels of collections of recordings that mean it, such as "animals/dog" of ESC-50.
        classes: ImageNet class numbers, 0 to 999, -> their names. No class belongs to two categories.
    """

    name: str
    title: str
    behaviour: Behaviour
    aliases: tuple[str, ...]
    recordings: tuple[str, ...]
    classes: Mapping[int, str]


@cache
def categories() -> tuple[Category, ...]:
    """All categories in the table's order, which is also the order of their probabilities."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return tuple(_category(row) for row in csv.DictReader(file))


def _category(row: dict[str, str]) -> Category:
    """One row; a behaviour that is none is a mistake in our own file."""
    behaviour = next(kind for kind in get_args(Behaviour) if kind == row["behaviour"])
    numbered = (item.split(" ", 1) for item in _items(row["classes"]))
    classes = MappingProxyType({int(number): name for number, name in numbered})
    aliases, recordings = (tuple(_items(row[column])) for column in ("aliases", "recordings"))
    return Category(row["name"], row["title"], behaviour, aliases, recordings, classes)


def _items(cell: str) -> list[str]:
    """What semicolons separate."""
    return [item.strip() for item in cell.split(";") if item.strip()]


@cache
def recording_labels() -> Mapping[str, str]:
    """Labels of recordings -> names of their categories: each category's own name, and its `recordings`."""
    return MappingProxyType(
        {label: category.name for category in categories() for label in (category.name, *category.recordings)}
    )


def find(name: str) -> Category:
    """The category of this name, title, alias or class of photographs; case, plural s and underscores do not matter.

    Raises:
        ConfigError: nothing is called so; the message lists the nearest names.
    """
    names, wanted = _names(), _plain(name)
    for form in (wanted, wanted.removesuffix("s"), wanted.removesuffix("es")):
        if form in names:
            return names[form]
    near = difflib.get_close_matches(wanted, names, n=NEAREST, cutoff=0.5)
    near += [known for known in names if wanted and wanted in known.split() and known not in near][:NEAREST]
    hint = f"the nearest are {', '.join(near)}" if near else "docs/eyes.md lists what is known"
    raise ConfigError(f"no sound is called {name[:80]!r}; {hint}")


@cache
def _names() -> dict[str, Category]:
    """Every name -> its category: own names first, then aliases, then classes that only one category has."""
    table = categories()
    names = {_plain(category.name): category for category in table}
    for category in table:
        for alias in (category.title, *category.aliases):
            names.setdefault(_plain(alias), category)
    claimed: dict[str, set[str]] = {}
    for category in table:
        for label in category.classes.values():
            claimed.setdefault(_plain(label), set()).add(category.name)
    for category in table:
        for label in map(_plain, category.classes.values()):
            if len(claimed[label]) == 1:
                names.setdefault(label, category)
    return names


def _plain(name: str) -> str:
    """Lower case, single spaces."""
    return " ".join(name.casefold().replace("_", " ").split())

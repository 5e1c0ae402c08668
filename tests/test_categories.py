"""The table of categories: whole, unambiguous, and found by whatever people call things."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from typing import get_args

import pytest

from frieren.categories import CLASSES, Behaviour, categories, find, recording_labels
from frieren.errors import ConfigError


def test_the_table_is_sound() -> None:
    table = categories()
    assert len(table) == len({category.name for category in table}) > 60
    claims = Counter(number for category in table for number in category.classes)
    assert not [number for number, count in claims.items() if count > 1], "a class belongs to one category"
    assert set(claims) <= set(range(CLASSES))
    aliases = Counter(alias for category in table for alias in category.aliases)
    assert not [alias for alias, count in aliases.items() if count > 1], "an alias means one category"
    labels = Counter(label for category in table for label in (category.name, *category.recordings))
    assert not [label for label, count in labels.items() if count > 1], "a label of recordings means one category"
    assert {category.behaviour for category in table} == set(get_args(Behaviour))


@pytest.mark.parametrize("category", categories(), ids=lambda category: category.name)
def test_every_name_finds_its_own(category) -> None:
    for name in (category.name, category.name.upper(), category.title, *category.aliases):
        assert find(name) is category, name


@pytest.mark.parametrize(
    ("name", "category"),
    [("Dogs", "dog"), ("beagle", "dog"), ("wood chop", "wood_chop"), ("  Church  Bell ", "bell"), ("torches", "fire")],
)
def test_names_as_people_write_them(name: str, category: str) -> None:
    assert find(name).name == category


def test_an_unknown_name_lists_the_nearest() -> None:
    with pytest.raises(ConfigError, match="'hamer'; the nearest are hammer"):
        find("hamer")
    with pytest.raises(ConfigError, match="docs/eyes.md"):
        find("qqqqqqqqqq")
    with pytest.raises(ConfigError):
        find("")


def test_reading_it_costs_no_torch() -> None:
    code = "import frieren.cues, sys; print({'torch', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_labels_of_recordings() -> None:
    labels = recording_labels()
    assert labels["animals/hen"] == labels["animals/rooster"] == labels["chicken"] == "chicken"
    assert "human/burp" not in labels

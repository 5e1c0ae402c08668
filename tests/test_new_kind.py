"""A kind that is added as docs/foleyworld.md says: it is simulated, rendered and heard like the others."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from frieren.clock import Clock
from frieren.world import GALLERY, Kind, example
from frieren.world.kind import Task

PAGE = Path(__file__).parents[1] / "docs" / "foleyworld.md"


@pytest.fixture
def woodblock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kind]:
    section = PAGE.read_text().split("## Add a kind")[1].split("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    module = ModuleType("woodblock")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # where dataclasses look for it
    exec(code, module.__dict__)
    monkeypatch.setitem(GALLERY, module.WOODBLOCK.name, module.WOODBLOCK)
    yield module.WOODBLOCK


def test_an_added_kind_strikes_where_it_sounds(woodblock):
    clock = Clock(fps=25.0)
    clip = example(woodblock.name, 0, clock, 48)
    assert clip.kinds == ("woodblock",)
    assert len(clip.events) >= 2
    assert {event.material for event in clip.events} == {"wood"}
    assert all(event.visible for event in clip.events)
    first = round(clip.events[0].time * clip.sample_rate)
    before, after = clip.wave[first - 200 : first], clip.wave[first : first + 400]
    assert np.abs(after).max() > 20 * np.abs(before).max()


def test_an_added_kind_moves_and_is_the_same_every_time(woodblock):
    clip = example(woodblock.name, 0, Clock(fps=25.0), 48)
    change = np.abs(np.diff(clip.images.astype(int), axis=0)).sum((1, 2, 3))
    assert (change > 0).sum() > 20
    again = example(woodblock.name, 0, Clock(fps=25.0), 48)
    np.testing.assert_array_equal(clip.images, again.images)
    np.testing.assert_array_equal(clip.wave, again.wave)


def test_a_mute_one_makes_no_contact(woodblock):
    rng = np.random.default_rng(0)
    source = woodblock.simulate(Task(woodblock, 8.0, mute=True), rng, rng)
    assert source.events == ()
    assert source.activity is None

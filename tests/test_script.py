"""The script of a clip: when a shift of its sound is visible, and the way to JSON and back."""

from __future__ import annotations

import json

import numpy as np
import pytest

from frieren.world.matter import Finish
from frieren.world.script import Activity, Event, as_table, from_table, shift_is_visible


def event(time: float, visible: bool = True) -> Event:
    return Event("ball", "wood", time, 0.5, 0.25, 0.75, visible, 440.0)


def activity(low: float, visible: bool = True) -> Activity:
    return Activity("rain", "water", np.arange(3) / 50, np.array([low, 1.0, low]), np.full(3, 20.0), visible)


@pytest.mark.parametrize(
    ("events", "activities", "visible"),
    [
        ([event(1), event(2)], [], True),
        ([event(1), event(2, visible=False)], [], False),
        ([], [activity(0.45)], True),  # more than twice as loud at its loudest
        ([], [activity(0.55)], False),
        ([], [activity(0.45, visible=False)], False),
        ([], [], False),
    ],
)
def test_a_shift_shows_by_two_impacts_or_by_twice_the_level(events, activities, visible):
    assert shift_is_visible(events, activities) == visible


def test_a_script_comes_back_from_json():
    events, activities = [event(1 / 3), event(2.5)], [activity(0.2)]
    table = {"events": list(map(as_table, events)), "activities": list(map(as_table, activities))}
    back, (sustained,) = from_table(json.loads(json.dumps(table)))
    assert list(back) == events
    np.testing.assert_array_equal(sustained.loudness, activities[0].loudness)
    assert as_table(event(1 / 3), 4)["time"] == 0.3333


def test_a_finish_is_what_brushes_take():
    assert Finish(0.3, 0.02).gloss == {"shade": 0.3, "outline": 0.02}

"""Configurations from tables: what is right is built, what is wrong is named in one line."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import pytest

from frieren.configs import from_table
from frieren.errors import ConfigError


@dataclass(frozen=True)
class Inner:
    rate: float = 4.0
    count: int = 3

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count must be 1 or more, got {self.count}")


@dataclass(frozen=True)
class Outer:
    name: str
    sizes: tuple[int, ...] = (1, 2)
    pair: tuple[float, str] = (0.5, "a")
    nested: tuple[tuple[int, ...], ...] = ()
    mode: Literal["fast", "slow"] = "fast"
    limit: int | None = 10
    on: bool = False
    free: Any = None
    inner: Inner = field(default_factory=Inner)


FULL = {
    "name": "x",
    "sizes": [4, 5, 6],
    "pair": [1, "b"],
    "nested": [[1], [2, 3]],
    "mode": "slow",
    "limit": None,
    "on": True,
    "free": {"anything": [1, "goes"]},
    "inner": {"rate": 2, "count": 7},
}


def test_a_full_table():
    expected = Outer("x", (4, 5, 6), (1.0, "b"), ((1,), (2, 3)), "slow", None, True, {"anything": [1, "goes"]})
    assert from_table(Outer, FULL) == Outer(**{**vars(expected), "inner": Inner(2.0, 7)})
    built = from_table(Outer, FULL)
    assert type(built.inner.rate) is float and type(built.pair[0]) is float
    assert from_table(Outer, json.loads(json.dumps(asdict(built)))) == built


def test_defaults_and_toml():
    assert from_table(Outer, {"name": "x"}) == Outer("x")
    assert from_table(Outer, tomllib.loads("name = 'x'\n[inner]\ncount = 2")) == Outer("x", inner=Inner(count=2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nmae": "y"}, "unknown key 'nmae'; did you mean 'name'?"),
        (
            {"colour": 3},
            "unknown key 'colour'; expected one of name, sizes, pair, nested, mode, limit, on, free, inner",
        ),
        ({"inner": {"cuont": 3}}, "inner: unknown key 'cuont'; did you mean 'count'?"),
        ({"inner": {"rate": "3"}}, "inner.rate must be a number, got '3'"),
        ({"inner": {"count": True}}, "inner.count must be an integer, got True"),
        ({"inner": {"count": 3.0}}, "inner.count must be an integer, got 3.0"),
        ({"inner": {"rate": True}}, "inner.rate must be a number, got True"),
        ({"inner": {"count": 0}}, "inner: count must be 1 or more, got 0"),
        ({"inner": 3}, "inner must be a table of keys and values, got 3"),
        ({"inner": "rate"}, "inner must be a table of keys and values, got 'rate'"),
        ({"name": 3}, "name must be a string, got 3"),
        ({"on": 1}, "on must be true or false, got 1"),
        ({"mode": "medium"}, "mode must be one of fast, slow, got 'medium'"),
        ({"mode": ["fast"]}, "mode must be one of fast, slow, got ['fast']"),
        ({"limit": "none"}, "limit must be an integer, got 'none'"),
        ({"sizes": "12"}, "sizes must be a list, got '12'"),
        ({"sizes": [1, "2"]}, "sizes[1] must be an integer, got '2'"),
        ({"nested": [[1], [2, 2.5]]}, "nested[1][1] must be an integer, got 2.5"),
        ({"pair": [1]}, "pair must be a list of 2, got [1]"),
        ({"pair": [1, "b", 2]}, "pair must be a list of 2, got [1, 'b', 2]"),
    ],
)
def test_what_is_wrong_is_named(change, message):
    with pytest.raises(ConfigError) as caught:
        from_table(Outer, {**FULL, **change})
    assert str(caught.value) == message


def test_a_missing_key_is_named():
    with pytest.raises(ConfigError, match=r"^name is missing$"):
        from_table(Outer, {})


def test_no_table_at_all():
    with pytest.raises(ConfigError, match=r"^must be a table of keys and values, got \[1\]$"):
        from_table(Outer, [1])


def test_old_names_point_to_the_new_ones():
    renamed = {"number": "count", "speed": "rate"}
    with pytest.raises(ConfigError, match=r"^inner: unknown key 'number'; it is called 'count' now$"):
        from_table(Outer, {"name": "x", "inner": {"number": 2}}, renamed=renamed)
    with pytest.raises(ConfigError, match=r"^unknown key 'speed'; expected one of"):  # it never was one of these
        from_table(Outer, {"name": "x", "speed": 2}, renamed=renamed)
    assert from_table(Inner, {"count": 2}, renamed=renamed) == Inner(count=2)


@dataclass(frozen=True)
class Span:
    start: float = field(default=0.0, metadata={"key": "from"})
    count: int = 1

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count must be 1 or more, got {self.count}")


@dataclass(frozen=True)
class Spans:
    spans: tuple[Span, ...] = ()


def test_a_field_can_have_a_key_that_python_does_not_allow():
    assert from_table(Spans, {"spans": [{"from": 2}]}) == Spans((Span(2.0),))
    with pytest.raises(ConfigError, match=r"^spans\[0\]: unknown key 'start'"):
        from_table(Spans, {"spans": [{"start": 2}]})
    with pytest.raises(ConfigError, match=r"^spans\[0\]\.from must be a number"):
        from_table(Spans, {"spans": [{"from": "2"}]})


def test_an_item_that_is_refused_is_numbered():
    with pytest.raises(ConfigError, match=r"^spans\[1\]: count must be 1 or more, got 0$"):
        from_table(Spans, {"spans": [{}, {"count": 0}]})

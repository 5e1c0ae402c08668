"""Configurations: a table from JSON or TOML -> nested frozen dataclasses, by cattrs, strict and with helpful errors."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin

from cattrs import BaseValidationError, ClassValidationError, Converter
from cattrs.gen import make_dict_structure_fn, override

from frieren.errors import ConfigError

T = TypeVar("T")
NOUNS: dict[type, str] = {int: "an integer", float: "a number", str: "a string", bool: "true or false"}


class _UnfitError(ValueError):
    """A value that its key does not take; the message continues the key's name: " must be ...", "[2] must be ..."."""


class _ItemError(ValueError):
    """Something wrong in an item of a list; the cause says what."""

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.index = index


class _UnknownKeyError(ValueError):
    """A key that is none of a dataclass's `names`."""

    def __init__(self, key: str, names: list[str]) -> None:
        super().__init__(key)
        self.key, self.names = key, names


def key_of(field: dataclasses.Field[Any]) -> str:
    """How tables call a field: its name, or the `key` of its metadata where Python does not allow the word."""
    return str(field.metadata.get("key", field.name))


def from_table(kind: type[T], table: Mapping[str, Any], *, renamed: Mapping[str, str] | None = None) -> T:
    """Build a dataclass from a table; what the table leaves out takes the dataclass's default.

        from_table(Clock, {"fps": 25, "window": 160})

    A nested table becomes the dataclass of its field, a list the tuple, a whole number a float where one is asked for;
    nothing else is converted: "3" is no number and true no integer. A field whose metadata has a `key` is called so.

    Args:
        kind: a dataclass of int, float, str, bool, Literal, tuples, `X | None`, `Any` (any value) and such
            dataclasses, also generic ones with their parameters.
        table: its values by key, as `json.loads` or `tomllib.loads` gives them.
        renamed: what keys were called before -> what they are called now, at any depth. An old key is an error that
            names the new one: "unknown key 'fade'; it is called 'lr_gamma' now".

    Raises:
        ConfigError: for an unknown key (naming the nearest right one), a missing one, a value of the wrong type, or
            one that `__post_init__` refuses with a ValueError. The message is one line that begins with the key, such
            as "clock.fps must be a number, got '25'"; the caller puts the file's name in front of it:
            `except ConfigError as error: raise WeightsError(f"{path}: {error}") from error`.
    """
    try:
        return _CONVERTER.structure(table, kind)
    except (BaseValidationError, ValueError) as error:
        raise ConfigError(_explain(error, "", renamed or {})) from error


def _explain(error: BaseException, where: str, renamed: Mapping[str, str]) -> str:
    """The first thing that is wrong, in one line; `where` is the dotted key under which it was found."""
    if isinstance(error, ClassValidationError):
        noted, others = error.group_exceptions()
        if noted:
            inner, note = noted[0]
            key = next(key_of(field) for field in dataclasses.fields(_plain(error.cl)) if field.name == note.name)
            return _explain(inner, f"{where}.{key}" if where else key, renamed)
        return _explain(others[0], where, renamed)
    if isinstance(error, _ItemError) and error.__cause__:
        return _explain(error.__cause__, f"{where}[{error.index}]", renamed)
    if isinstance(error, _UnfitError):
        return f"{where}{error}".lstrip()
    message = str(error)
    if isinstance(error, _UnknownKeyError):
        near = difflib.get_close_matches(error.key, error.names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(error.names)}"
        if (now := renamed.get(error.key)) in error.names:
            hint = f"it is called {now!r} now"
        message = f"unknown key {error.key!r}; {hint}"
    return f"{where}: {message}" if where else message


def _scalar(value: Any, kind: type) -> Any:
    """A value of exactly this type; a whole number where a float is asked for."""
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise _UnfitError(f" must be {NOUNS[kind]}, got {value!r}")
    return value


def _literal(value: Any, kind: Any) -> Any:
    """One of the literal's values."""
    if value not in get_args(kind):
        raise _UnfitError(f" must be one of {', '.join(map(str, get_args(kind)))}, got {value!r}")
    return value


def _tuple(value: Any, kind: Any) -> tuple[Any, ...]:
    """A list whose items are of the tuple's types."""
    if not isinstance(value, list | tuple):
        raise _UnfitError(f" must be a list, got {value!r}")
    kinds = get_args(kind)
    if kinds[-1] is ...:
        kinds = kinds[:1] * len(value)
    if len(kinds) != len(value):
        raise _UnfitError(f" must be a list of {len(kinds)}, got {value!r}")
    items = []
    for index, (item, item_kind) in enumerate(zip(value, kinds, strict=True)):
        try:
            items.append(_CONVERTER.structure(item, item_kind))
        except (BaseValidationError, ValueError) as error:
            raise _ItemError(index) from error
    return tuple(items)


def _dataclass(kind: type[T], converter: Converter) -> Any:
    """What builds one dataclass: cattrs' function, after a look at the keys."""
    fields = dataclasses.fields(_plain(kind))
    names = [key_of(field) for field in fields]
    renames = {field.name: override(rename=key_of(field)) for field in fields if key_of(field) != field.name}
    build = make_dict_structure_fn(kind, converter, **renames)  # type: ignore[arg-type]
    missing = dataclasses.MISSING
    required = [key_of(field) for field in fields if field.default is missing and field.default_factory is missing]

    def structure(table: Any, _: Any) -> T:
        if not isinstance(table, Mapping):
            raise _UnfitError(f" must be a table of keys and values, got {table!r}")
        for key in table:
            if key not in names:
                raise _UnknownKeyError(key, names)
        for name in required:
            if name not in table:
                raise ValueError(f"{name} is missing")
        return build(table, kind)

    return structure


def _plain(kind: Any) -> Any:
    """The class itself of a generic dataclass whose parameters are given, such as `Recipe[FieldConfig, FieldLoss]`."""
    return get_origin(kind) or kind


def _is_dataclass(kind: Any) -> bool:
    return dataclasses.is_dataclass(_plain(kind))


def _is(origin: Any) -> Callable[[Any], bool]:
    """Whether a type is a Literal[...], a tuple[...]."""
    return lambda kind: get_origin(kind) is origin


def _converter() -> Converter:
    converter = Converter()
    for kind in NOUNS:
        converter.register_structure_hook(kind, _scalar)
    converter.register_structure_hook_func(_is(Literal), _literal)
    converter.register_structure_hook_func(_is(tuple), _tuple)
    converter.register_structure_hook_factory(_is_dataclass, _dataclass)
    return converter


_CONVERTER = _converter()


def differences(
    old: Mapping[str, Any], new: Mapping[str, Any], missing: str = "none"
) -> Iterator[tuple[str, Any, Any]]:
    """What differs between two nested tables: dotted names, old and new values, `missing` where one has none."""
    before, after = dict(flat(old)), dict(flat(new))
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield name, before.get(name, missing), after.get(name, missing)


def flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested tables as dotted names and values."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value

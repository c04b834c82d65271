"""Constructors: `[a, ?b]`, `{k: v, ?k: v}`, `Name{f: v, ?f: v}`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from engine.lang.cel.frame import Frame, Run
from engine.lang.cel.values import NONE, Optional, make_map, no_overload


def list_of(elements: Sequence[Run], marks: Sequence[bool]) -> Run:
    """A list; elements with a `?` mark are optional values and left out where they are none."""
    if not any(marks):
        return lambda frame: [element(frame) for element in elements]

    def made(frame: Frame) -> list[Any]:
        found = []
        for element, mark in zip(elements, marks, strict=True):
            value = element(frame)
            if not mark:
                found.append(value)
            elif _present(value):
                found.append(value.value)
        return found

    return made


def map_of(keys: Sequence[Run], values: Sequence[Run], marks: Sequence[bool]) -> Run:
    """A map; entries with a `?` mark are left out where their value is none."""

    def made(frame: Frame) -> Any:
        pairs = []
        for key, value, mark in zip(keys, values, marks, strict=True):
            name, found = key(frame), value(frame)
            if not mark:
                pairs.append((name, found))
            elif _present(found):
                pairs.append((name, found.value))
        return make_map(pairs)

    return made


def message_of(
    constructor: Callable[[str, dict[str, Any]], Any],
    name: str,
    fields: Sequence[str],
    values: Sequence[Run],
    marks: Sequence[bool],
) -> Run:
    """An object that `constructor(name, fields)` makes."""

    def made(frame: Frame) -> Any:
        found = {}
        for field, value, mark in zip(fields, values, marks, strict=True):
            item = value(frame)
            if not mark:
                found[field] = item
            elif _present(item):
                found[field] = item.value
        return constructor(name, found)

    return made


def _present(value: Any) -> bool:
    if value.__class__ is not Optional:
        raise no_overload("?_", value)
    return value is not NONE

"""Fields and indexes: `a.b.c`, `a[i]`, `a.?b`, `a[?i]`, `has(a.b)`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.lang.cel.errors import CelError
from engine.lang.cel.frame import READ, UNSET, Code, Frame, Run
from engine.lang.cel.values import MAPS, NONE, Optional, kind_of

_INDEX_CLASSES = frozenset({"int", "uint", "double"})


def root_variable(name: str, slot: int) -> Run:
    """Reads a root variable once per evaluation and keeps it in `slot`."""

    def root(frame: Frame) -> Any:
        value = frame[slot]
        if value is UNSET:
            value = frame[slot] = frame[READ](name)
        return value

    return root


def local_variable(slot: int) -> Run:
    """Reads a variable of a comprehension."""
    return lambda frame: frame[slot]


def chain(base: Code, names: Sequence[str]) -> Run:
    """`base.a.b.c` with plain dots. Dicts are indexed at once; whatever is no dict takes the long way through `select`."""
    run, slot = base.run, base.slot
    path = tuple(names)

    def walk(value: Any) -> Any:
        for name in path:
            value = select(value, name)
        return value

    if len(path) == 1:
        (first,) = path
        if slot:

            def local_one(frame: Frame) -> Any:
                try:
                    return frame[slot][first]
                except (KeyError, TypeError):
                    return walk(run(frame))

            return local_one

        def one(frame: Frame) -> Any:
            value = run(frame)
            try:
                return value[first]
            except (KeyError, TypeError):
                return walk(value)

        return one
    if len(path) == 2:
        first, second = path

        def two(frame: Frame) -> Any:
            value = run(frame)
            try:
                return value[first][second]
            except (KeyError, TypeError):
                return walk(value)

        return two

    def many(frame: Frame) -> Any:
        start = value = run(frame)
        try:
            for name in path:
                value = value[name]
        except (KeyError, TypeError):
            return walk(start)
        return value

    return many


def select(value: Any, name: str) -> Any:
    """`value.name`; on an optional value the result is optional too."""
    if value.__class__ in MAPS:
        try:
            return value[name]
        except KeyError:
            raise CelError(f"no such key: {name}") from None
    if value.__class__ is Optional:
        return NONE if value is NONE else select_optional(value.value, name, strict=True)
    raise _no_field(value, name)


def _no_field(value: Any, name: str) -> CelError:
    if value.__class__ is list:
        return CelError("unsupported index type 'string' in list")
    return CelError(f"no such key: {name}")


def select_optional(value: Any, name: Any, *, strict: bool = False) -> Optional:
    """`value.?name`: none where the key is absent. As in cel-go a value without fields has none either, unless `strict`;
    a list is an error."""
    if value.__class__ is Optional:
        return NONE if value is NONE else select_optional(value.value, name, strict=strict)
    if value.__class__ in MAPS:
        try:
            return Optional(value[name])
        except KeyError:
            return NONE
    if strict or value.__class__ is list:
        raise _no_field(value, name)
    return NONE


def has_field(operand: Run, name: str) -> Run:
    """`has(operand.name)`."""

    def has(frame: Frame) -> bool:
        value = operand(frame)
        if value.__class__ is dict:
            return name in value
        return select_optional(value, name) is not NONE

    return has


def index(value: Any, key: Any) -> Any:
    """`value[key]`; on an optional value the result is optional too."""
    cls = value.__class__
    if cls is list:
        place = _place(key)
        if 0 <= place < len(value):
            return value[place]
        raise CelError(f"index out of bounds: {place}")
    if cls in MAPS:
        try:
            return value[key]
        except (KeyError, TypeError):
            raise CelError(f"no such key: {_shown(key)}") from None
    if cls is Optional:
        return NONE if value is NONE else index_optional(value.value, key)
    raise CelError(f"no such key: {_shown(key)}")


def _place(key: Any) -> int:
    if kind_of(key) in _INDEX_CLASSES and key == key and abs(key) != float("inf") and int(key) == key:
        return int(key)
    raise CelError(f"unsupported index type '{kind_of(key)}' in list")


def _shown(key: Any) -> str:
    return key if isinstance(key, str) else str(key).lower() if isinstance(key, bool) else repr(key)


def index_optional(value: Any, key: Any) -> Optional:
    """`value[?key]`: none where the key is absent, the index out of bounds, or the value has no parts at all."""
    if value.__class__ is Optional:
        return NONE if value is NONE else index_optional(value.value, key)
    if value.__class__ is list:
        place = _place(key)
        return Optional(value[place]) if 0 <= place < len(value) else NONE
    if value.__class__ in MAPS:
        try:
            return Optional(value[key])
        except (KeyError, TypeError):
            return NONE
    return NONE

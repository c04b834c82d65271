"""Field access, the hot path: a run of field names is one loop over plain dicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.lang.errors import UnknownKey

Closure = Callable[[Any], Any]


def fields(names: list[str], rooted: bool, lenient: bool) -> Closure:
    """`a.b.c` from the current value. Null and other values without fields give null, never an error."""
    if rooted:
        first, *rest = names
        start = _from_root(first, lenient)
        return after(start, fields(rest, False, lenient)) if rest else start
    if len(names) == 1:
        (name,) = names

        def one(value: Any) -> Any:
            try:
                return value[name]
            except KeyError:
                raise UnknownKey(name) from None
            except TypeError:
                return None

        def one_or_none(value: Any) -> Any:
            return value.get(name) if value.__class__ is dict else None

        return one_or_none if lenient else one

    def walk(value: Any) -> Any:
        try:
            for name in names:
                value = value[name]
        except KeyError as error:
            raise UnknownKey(error.args[0]) from None
        except TypeError:
            return None
        return value

    def walk_or_none(value: Any) -> Any:
        try:
            for name in names:
                value = value[name]
        except (KeyError, TypeError):
            return None
        return value

    return walk_or_none if lenient else walk


def _from_root(name: str, lenient: bool) -> Closure:
    def start(root: Any) -> Any:
        return root.field(name)

    return forgiving(start) if lenient else start


def after(first: Closure, second: Closure) -> Closure:
    """`second` on the result of `first`."""
    return lambda value: second(first(value))


def forgiving(strict: Closure) -> Closure:
    """`strict` with null for an unknown field."""

    def lenient(value: Any) -> Any:
        try:
            return strict(value)
        except UnknownKey:
            return None

    return lenient

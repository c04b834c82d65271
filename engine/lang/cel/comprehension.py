"""The loops behind `all`, `exists`, `exists_one`, `map`, `filter` and their forms with two variables."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from engine.lang.cel.errors import CelError
from engine.lang.cel.frame import Frame, Run, charge
from engine.lang.cel.values import MAPS, Duration, Timestamp, UInt, kind_of, make_map, no_overload

Elements = Callable[[Frame], Iterable[Any]]
"""Sets the loop's variables for each element in turn, having charged for all of them."""


def over_one(target: Run, slot: int) -> Elements:
    """Elements of a list, or keys of a map, in `slot`."""

    def elements(frame: Frame) -> Iterable[Any]:
        items = target(frame)
        if items.__class__ is not list and items.__class__ not in MAPS:
            raise CelError(f"expression of type '{kind_of(items)}' cannot be range of a comprehension")
        charge(frame, len(items))
        for frame[slot] in items:
            yield None

    return elements


def over_two(target: Run, first: int, second: int) -> Elements:
    """Index and element of a list, or key and value of a map."""

    def elements(frame: Frame) -> Iterable[Any]:
        items = target(frame)
        if items.__class__ is not list and items.__class__ not in MAPS:
            raise CelError(f"expression of type '{kind_of(items)}' cannot be range of a comprehension")
        charge(frame, len(items))
        for frame[first], frame[second] in enumerate(items) if items.__class__ is list else items.items():
            yield None

    return elements


def quantify(target: Run, slot: int, body: Run, *, exists: bool) -> Run:
    """`all` or `exists` with one variable; an element that decides absorbs the errors of others."""
    name = "_||_" if exists else "_&&_"

    def quantified(frame: Frame) -> Any:
        items = target(frame)
        if items.__class__ is not list and items.__class__ not in MAPS:
            raise CelError(f"expression of type '{kind_of(items)}' cannot be range of a comprehension")
        charge(frame, len(items))
        error: CelError | None = None
        for frame[slot] in items:
            try:
                value = body(frame)
            except CelError as raised:
                error = error or raised
                continue
            if value is exists:
                return exists
            if value.__class__ is not bool:
                error = error or no_overload(name, value)
        if error is not None:
            raise error
        return not exists

    return quantified


def quantify_pairs(elements: Elements, body: Run, *, exists: bool) -> Run:
    """`all` or `exists` with two variables."""
    name = "_||_" if exists else "_&&_"

    def quantified(frame: Frame) -> Any:
        error: CelError | None = None
        for _ in elements(frame):
            try:
                value = body(frame)
            except CelError as raised:
                error = error or raised
                continue
            if value is exists:
                return exists
            if value.__class__ is not bool:
                error = error or no_overload(name, value)
        if error is not None:
            raise error
        return not exists

    return quantified


def exactly_one(elements: Elements, body: Run) -> Run:
    """`exists_one`: every element is looked at, no error is absorbed."""

    def counted(frame: Frame) -> bool:
        count = 0
        for _ in elements(frame):
            count += _truth(body(frame))
        return count == 1

    return counted


def collect(elements: Elements, condition: Run | None, result: Run) -> Run:
    """`map`, `filter` and `transformList`: `result` of the elements that meet `condition`."""

    def collected(frame: Frame) -> list[Any]:
        return [result(frame) for _ in elements(frame) if condition is None or _truth(condition(frame))]

    return collected


def collect_map(elements: Elements, condition: Run | None, key: Run, value: Run) -> Run:
    """`transformMap`: the same keys with other values."""

    def collected(frame: Frame) -> Any:
        kept = (None for _ in elements(frame) if condition is None or _truth(condition(frame)))
        return make_map([(key(frame), value(frame)) for _ in kept])

    return collected


def collect_entries(elements: Elements, condition: Run | None, entry: Run) -> Run:
    """`transformMapEntry`: one map made of the maps that each element gives."""

    def collected(frame: Frame) -> Any:
        pairs: list[tuple[Any, Any]] = []
        for _ in elements(frame):
            if condition is None or _truth(condition(frame)):
                found = entry(frame)
                if found.__class__ not in MAPS:
                    raise no_overload("transformMapEntry", found)
                pairs.extend(found.items())
        return make_map(pairs)

    return collected


def sort_by(elements: Elements, slot: int, key: Run) -> Run:
    """`sortBy`: the elements in the order of their keys, which must be of one ordered type."""

    def ordered(frame: Frame) -> list[Any]:
        return sorted_by_keys([(key(frame), frame[slot]) for _ in elements(frame)])

    return ordered


_SORTABLE = frozenset({bool, int, UInt, float, str, bytes, Timestamp, Duration})


def sorted_by_keys(pairs: list[tuple[Any, Any]]) -> list[Any]:
    """The second parts in the order of the first. Raises `CelError` for keys of different types or without an order."""
    classes = {key.__class__ for key, _ in pairs}
    if len(classes) > 1 or not classes <= _SORTABLE:
        raise CelError("list elements must have the same type and be comparable")
    return [value for _, value in sorted(pairs, key=lambda pair: pair[0])]


def _truth(value: Any) -> bool:
    if value.__class__ is not bool:
        raise no_overload("_?_:_", value)
    return bool(value)

"""Lists as sets: `sets.contains`, `sets.equivalent`, `sets.intersects`."""

from __future__ import annotations

from typing import Any

from engine.lang.cel.functions import Library, Overload
from engine.lang.cel.kinds import BOOL, LIST
from engine.lang.cel.operators import contains


def _covers(items: list[Any], wanted: list[Any]) -> bool:
    return all(contains(items, item) for item in wanted)


def _cost(left: list[Any], right: list[Any]) -> int:
    return len(left) * len(right)


LIBRARY = Library(
    "sets",
    functions={
        "sets.contains": (Overload((LIST, LIST), BOOL, _covers, _cost),),
        "sets.equivalent": (
            Overload((LIST, LIST), BOOL, lambda left, right: _covers(left, right) and _covers(right, left), _cost),
        ),
        "sets.intersects": (
            Overload((LIST, LIST), BOOL, lambda left, right: any(contains(left, item) for item in right), _cost),
        ),
    },
    members={},
)

"""What anchors do with the member they speak of: nodes over the map that holds it (spec 2.4).

A node is a closure `(value, where, seen) -> Mismatch | None`, see `engine.lang.pattern`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from engine.lang.go_format import type_name
from engine.lang.mismatch import CONDITION, GLOBAL, NEGATION, PREFIX, Mismatch, Path, Where

Seen = dict[str, bool]
Node = Callable[[Any, Where, Seen], Mismatch | None]

_MISSING = Mismatch(lambda _path: PREFIX[CONDITION] + "conditional anchor key doesn't exist in the resource", None, (), CONDITION)
_ONLY_LISTS = "Existence ^ () anchor can be used only on list/array type resource"


def condition(name: str, child: Node) -> Node:
    """`(name)`: where the member is missing or differs, the pattern does not concern the map."""

    def node(value: Any, where: Where, seen: Seen) -> Mismatch | None:
        if name not in value:
            return _MISSING
        bad = child(value[name], where, seen)
        return None if bad is None else bad.as_skip(CONDITION)

    return node


def global_(name: str, child: Node) -> Node:
    """`<(name)`: where the member differs, the pattern does not concern the object."""

    def node(value: Any, where: Where, seen: Seen) -> Mismatch | None:
        if name not in value:
            return None
        bad = child(value[name], where, seen)
        return None if bad is None else bad.as_skip(GLOBAL)

    return node


def equality(name: str, child: Node) -> Node:
    """`=(name)`: the member may be missing."""

    def node(value: Any, where: Where, seen: Seen) -> Mismatch | None:
        return child(value[name], where, seen) if name in value else None

    return node


def negation(name: str, below: Path) -> Node:
    """`X(name)`: the member must be missing; `below` is its path."""

    def node(value: Any, where: Where, seen: Seen) -> Mismatch | None:
        if name not in value:
            return None
        return Mismatch(lambda at: f"negation anchor matched in resource: {at} is not allowed", below, where, NEGATION)

    return node


def existence(name: str, wanted: Sequence[Node | None], below: Path, *, wrong: str) -> Node:
    """`^(name)`: for each of `wanted` the list has an element that satisfies it.

    None among `wanted` stands for what is no map; nothing satisfies it, for the reason `wrong`.
    """

    def node(value: Any, where: Where, seen: Seen) -> Mismatch | None:
        if name not in value:
            return None
        members = value[name]
        if members.__class__ is not list:
            kind = type_name(members)
            return Mismatch(lambda _path: f"invalid resource type {kind}: {_ONLY_LISTS}", below, where)
        for test in wanted:
            if test is None:
                return Mismatch(lambda _path: wrong, below, where)
            if all(test(member, (*where, index), seen) is not None for index, member in enumerate(members)):
                return Mismatch(lambda at: f"existence anchor validation failed at path {at}", below, where)
        return None

    return node

"""Patterns: a JSON document with anchors and operators, compiled to closures that walk an object (spec 2.4, 9.1, 9.8).

Every node is a closure `(value, where, seen) -> Mismatch | None`. Paths are known when compiling except for list indices and
wildcard keys of metadata: `where` holds those, and a path becomes text only when somebody reads it. `seen` notes, for each
condition and existence anchor met on the walk, whether the object ever had its key: a mismatch of values in an object that
lacks one is an error without a path, not a failure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.lang import guards
from engine.lang.anchors import Anchor, AnchorKind, parse_anchor
from engine.lang.go_format import plain, type_name
from engine.lang.guards import Node, Seen
from engine.lang.mismatch import GLOBAL, SKIPS, Mismatch, Path, Where, joined
from engine.lang.operators import compile_scalar
from engine.lang.tags import compile_expansion, has_wildcard_keys
from engine.lang.wildcard import has_wildcard

_EXPANSIONS = 64
"""How many key sets of labels or annotations one wildcard map keeps compiled."""

Pattern = Callable[[Any], Mismatch | None]


def compile_pattern(pattern: Any) -> Pattern:
    """A predicate with reasons: None when a value satisfies `pattern` (JSON without variables)."""
    root = _node(pattern, ())

    def match(value: Any) -> Mismatch | None:
        seen: Seen = {}
        bad = root(value, (), seen)
        if bad is None or not seen or bad.kind or all(seen.values()):
            return bad
        return bad.without_path()

    return match


def _node(pattern: Any, path: Path) -> Node:
    if isinstance(pattern, dict):
        return _map(pattern, path)
    if isinstance(pattern, list):
        return _list(pattern, path)
    return _scalar(pattern, path)


def _scalar(pattern: Any, path: Path) -> Node:
    test = compile_scalar(pattern)

    def scalar(value: Any, where: Where, seen: Seen) -> Mismatch | None:
        if value.__class__ is list:
            for member in value:
                if not test(member):
                    break
            else:
                return None
        elif test(value):
            return None
        return Mismatch(
            lambda at: f"resource value '{plain(value)}' does not match '{_shown(pattern)}' at path {at}", path, where
        )

    return scalar


def _shown(pattern: Any) -> str:
    """Numbers of a policy are float64."""
    return plain(float(pattern) if isinstance(pattern, int) and not isinstance(pattern, bool) else pattern)


def _other_structure(found: Any, path: Path, where: Where) -> Mismatch:
    kinds = f"Expected map[string]interface {{}}, found {type_name(found)}"
    return Mismatch(lambda at: f"pattern and resource have different structures. Path: {at}. {kinds}", path, where)


# Maps


def _map(pattern: dict[str, Any], path: Path) -> Node:
    """Anchors run first, by name; then plain members and global anchors: those with anchors inside, last name first, and the
    others by name. The order shows in which path or text is reported (oracle patterns.json)."""
    first: list[tuple[str, Anchor]] = []
    front: list[Node] = []
    back: list[Node] = []
    for key in sorted(pattern):
        anchor = parse_anchor(key)
        if anchor is not None and anchor.kind in _FIRST:
            first.append((key, anchor))
        elif anchor is not None and anchor.kind is AnchorKind.GLOBAL:
            front.append(guards.global_(anchor.name, _below(anchor.name, pattern[key], path)))
        else:
            (front if _has_anchors(pattern[key]) else back).append(_member(key, pattern[key], path))
    members = (*reversed(front), *back)
    if not first:
        return _plain_map(members, path)
    conditions = tuple((_guard(anchor, pattern[key], path), anchor.kind is AnchorKind.CONDITION) for key, anchor in first)
    noted = tuple((key, anchor.name) for key, anchor in first if anchor.kind in _NOTED)
    if not noted and not any(_has_anchors(pattern[key]) for key, _ in first):
        return _plain_map((*(guard for guard, _ in conditions), *members), path)
    return _guarded_map(conditions, members, noted, path)


_FIRST = (AnchorKind.CONDITION, AnchorKind.EXISTENCE, AnchorKind.EQUALITY, AnchorKind.NEGATION)
_NOTED = (AnchorKind.CONDITION, AnchorKind.EXISTENCE)


def _plain_map(members: tuple[Node, ...], path: Path) -> Node:
    def plain_map(value: Any, where: Where, seen: Seen) -> Mismatch | None:
        if value.__class__ is not dict:
            return _other_structure(value, path, where)
        for member in members:
            bad = member(value, where, seen)
            if bad is not None:
                return bad
        return None

    return plain_map


def _guarded_map(
    conditions: tuple[tuple[Node, bool], ...], members: tuple[Node, ...], noted: tuple[tuple[str, str], ...], path: Path
) -> Node:
    """A map with conditions of its own or below.

    An own condition that is not met ends the map, and so does a global anchor below; what anchors below skip ends it only if
    no other anchor of the map was satisfied.
    """

    def guarded_map(value: Any, where: Where, seen: Seen) -> Mismatch | None:
        if value.__class__ is not dict:
            return _other_structure(value, path, where)
        for key, name in noted:
            if not seen.get(key):
                seen[key] = name in value
        skips: list[Mismatch] = []
        applied = 0
        final = False
        for guard, direct in conditions:
            bad = guard(value, where, seen)
            if bad is None:
                applied += 1
            elif bad.kind & SKIPS:
                skips.append(bad)
                final = final or direct or bool(bad.kind & GLOBAL)
            elif not final:
                return bad
        if skips and (final or not applied):
            return joined(skips, path, where)
        for member in members:
            bad = member(value, where, seen)
            if bad is not None:
                return bad
        return None

    return guarded_map


def _has_anchors(pattern: Any) -> bool:
    if isinstance(pattern, dict):
        return any(
            ((anchor := parse_anchor(key)) is not None and anchor.kind is not AnchorKind.ADD) or _has_anchors(member)
            for key, member in pattern.items()
        )
    return isinstance(pattern, list) and any(map(_has_anchors, pattern))


def _member(key: str, pattern: Any, path: Path) -> Node:
    """A member without an anchor: must be there, or satisfy the pattern as null does."""
    if pattern == "*":

        def present(value: Any, where: Where, seen: Seen) -> Mismatch | None:
            if value.get(key) is not None:
                return None
            return Mismatch(lambda at: f"{at}/{key} not found", path, where)

        return present
    child = _below(key, pattern, path)
    return lambda value, where, seen: child(value.get(key), where, seen)


def _below(key: str, pattern: Any, path: Path) -> Node:
    if key in ("labels", "annotations") and path and path[-1] == "metadata" and has_wildcard_keys(pattern):
        return _wildcard_keys(pattern, (*path, key))
    return _node(pattern, (*path, key))


def _guard(anchor: Anchor, pattern: Any, path: Path) -> Node:
    name, below = anchor.name, (*path, anchor.name)
    if anchor.kind is AnchorKind.NEGATION:
        return guards.negation(name, below)
    if anchor.kind is AnchorKind.EXISTENCE:
        return _existence(name, pattern, below)
    guard = guards.condition if anchor.kind is AnchorKind.CONDITION else guards.equality
    return guard(name, _below(name, pattern, path))


def _existence(name: str, pattern: Any, below: Path) -> Node:
    """Variables can make anything of an existence anchor's list; what is no map satisfies nobody."""
    is_list = isinstance(pattern, list)
    members = pattern if is_list else [None]
    wanted = [_map(member, (*below, None)) if isinstance(member, dict) else None for member in members]
    return guards.existence(name, wanted, below, wrong=f"invalid pattern type {type_name(pattern)}: {_WRONG[is_list]}")


_WRONG = {
    False: "Pattern has to be of list to compare against resource",
    True: "Pattern has to be of type map to compare against items in resource",
}


# Lists


def _list(pattern: list[Any], path: Path) -> Node:
    if not pattern:
        return _of_list(lambda value, where, seen: Mismatch(lambda _path: "pattern Array empty", path, where), path)
    first = pattern[0]
    if isinstance(first, dict):
        return _of_list(_each(_node(first, (*path, None)), path), path)
    if isinstance(first, list):
        return _of_list(_by_index([_node(member, (*path, str(index))) for index, member in enumerate(pattern)], path), path)
    return _of_list(_scalar(first, path), path)


def _of_list(node: Node, path: Path) -> Node:
    def of_list(value: Any, where: Where, seen: Seen) -> Mismatch | None:
        if value.__class__ is list:
            return node(value, where, seen)
        return Mismatch(
            lambda at: f"validation rule failed at path {at}, resource does not satisfy the expected overlay pattern", path, where
        )

    return of_list


def _each(node: Node, path: Path) -> Node:
    """Every element satisfies the pattern; elements it does not concern are passed by, unless it concerns none."""

    def each(value: Any, where: Where, seen: Seen) -> Mismatch | None:
        skips: list[Mismatch] = []
        for index, member in enumerate(value):
            bad = node(member, (*where, index), seen)
            if bad is not None:
                if not bad.kind & SKIPS:
                    return bad
                skips.append(bad)
        return joined(skips, path, where) if skips and len(skips) == len(value) else None

    return each


def _by_index(nodes: list[Node], path: Path) -> Node:
    def by_index(value: Any, where: Where, seen: Seen) -> Mismatch | None:
        if len(value) < len(nodes):
            lengths = f"resource Array len is {len(value)} and pattern Array len is {len(nodes)}"
            return Mismatch(lambda _path: f"validate Array failed, array length mismatch, {lengths}", None, ())
        skips: list[Mismatch] = []
        for node, member in zip(nodes, value, strict=False):
            bad = node(member, where, seen)
            if bad is not None:
                if not bad.kind & SKIPS:
                    return bad
                skips.append(bad)
        return joined(skips, path, where) if len(skips) == len(nodes) else None

    return by_index


# Labels and annotations


def _wildcard_keys(pattern: dict[str, str], path: Path) -> Node:
    """A map whose keys hold wildcards, compiled for each set of actual keys they turn out to stand for."""
    literal = _map(pattern, path)
    # Literal keys come last: they win over a wildcard that stands for them (oracle patterns.json).
    pattern = dict(sorted(pattern.items(), key=lambda member: not has_wildcard(member[0])))
    expand = compile_expansion(pattern)
    compiled: dict[tuple[str, ...], Node] = {}

    def wildcard_keys(value: Any, where: Where, seen: Seen) -> Mismatch | None:
        if value.__class__ is not dict or not all(member.__class__ is str for member in value.values()):
            return literal(value, where, seen)
        actual = expand(value)
        node = compiled.get(actual)
        if node is None:
            if len(compiled) >= _EXPANSIONS:
                compiled.clear()
            node = compiled[actual] = _map(dict(zip(actual, pattern.values(), strict=True)), path)
        return node(value, where, seen)

    return wildcard_keys

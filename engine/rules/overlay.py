"""Anchors of a strategic merge: what remains of a patch for one object (spec 9.2; every quirk from oracle mutate.json).

`(key)` and `<(key)` are conditions, `+(key)` adds what is missing; other anchors mean nothing in a patch. A list of maps is
laid over the object's list: an element with anchors is copied, without them, for every element of the object that meets its
conditions and has a `name`, which the copy takes; the element itself is taken out afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final

from engine.document.strategic import wrong_kind
from engine.errors import EvaluationError
from engine.lang.anchors import Anchor, AnchorKind, parse_anchor
from engine.lang.pattern import Pattern, compile_pattern

Conditions = Mapping[int, Pattern]
"""Compiled conditions by the identity of their value."""

_ANCHORS = frozenset({AnchorKind.CONDITION, AnchorKind.GLOBAL, AnchorKind.ADD})
_ABSENT: Final = object()
_EMPTY: Final = object()


class _Met(Enum):
    """What a part of the patch found in the object: `NO` ends the branch, `NEVER` (a global anchor) the whole patch."""

    YES = 0
    NO = 1
    NEVER = 2


def overlay(patch: dict[str, Any], document: Any, conditions: Conditions) -> dict[str, Any] | None:
    """The patch without anchors for `document`; None where its conditions are not met. Neither is written to."""
    own: dict[str, Any] = _copied(patch)
    if _prepare(own, document, conditions) is not _Met.YES:
        return None
    return plain(own)


def plain(patch: dict[str, Any]) -> dict[str, Any]:
    """A patch without what anchors and emptiness take out: an empty map in a patch says nothing."""
    left = _cleaned(patch)
    return {} if left is _EMPTY else left


def has_anchors(value: Any) -> bool:
    """Is there an anchor at any depth?"""
    if isinstance(value, dict):
        return any(_anchor(key) is not None or has_anchors(member) for key, member in value.items())
    return isinstance(value, list) and any(map(has_anchors, value))


def compile_conditions(patch: Any) -> dict[int, Pattern]:
    """The conditions of a patch that stays the same."""
    found: dict[int, Pattern] = {}
    _each_condition(patch, lambda value: found.__setitem__(id(value), compile_pattern(_without_additions(value))))
    return found


def _each_condition(value: Any, see: Callable[[Any], None]) -> None:
    if isinstance(value, list):
        for member in value:
            _each_condition(member, see)
    if isinstance(value, dict):
        for key, member in value.items():
            anchor = _anchor(key)
            if anchor is None or anchor.kind is AnchorKind.ADD:
                _each_condition(member, see)
            else:
                see(member)


def _anchor(key: str) -> Anchor | None:
    if key[-1:] != ")":
        return None
    anchor = parse_anchor(key)
    return anchor if anchor is not None and anchor.kind in _ANCHORS else None


def _copied(value: Any) -> Any:
    """A copy to work on; the values of conditions are only looked at and stay the same objects."""
    if isinstance(value, dict):
        return {key: member if _is_condition(key) else _copied(member) for key, member in value.items()}
    return [_copied(member) for member in value] if isinstance(value, list) else value


def _is_condition(key: str) -> bool:
    anchor = _anchor(key)
    return anchor is not None and anchor.kind is not AnchorKind.ADD


def _prepare(patch: Any, found: Any, conditions: Conditions) -> _Met:
    """Resolves additions and copies elements in `patch`, as far as the conditions on `found` are met."""
    if isinstance(patch, dict):
        return _prepare_map(patch, found, conditions)
    if isinstance(patch, list) and patch and isinstance(patch[0], dict):
        return _prepare_list(patch, found, conditions)
    return _Met.YES


def _prepare_map(patch: dict[str, Any], found: Any, conditions: Conditions) -> _Met:
    members = found if isinstance(found, dict) else {}
    anchors = [(anchor, key) for key in patch if (anchor := _anchor(key)) is not None]
    for kind, unmet in ((AnchorKind.GLOBAL, _Met.NEVER), (AnchorKind.CONDITION, _Met.NO)):
        for anchor, key in anchors:
            if anchor.kind is kind and not _holds(patch[key], members, anchor.name, conditions):
                return unmet
    for anchor, key in anchors:
        if anchor.kind is AnchorKind.ADD and anchor.name not in members:
            patch[anchor.name] = _copied(patch[key])
    for key in [key for key in patch if _anchor(key) is None]:
        met = _prepare(patch[key], members.get(key, _ABSENT), conditions)
        if met is not _Met.YES:
            return met
    return _Met.YES


def _holds(value: Any, members: dict[str, Any], name: str, conditions: Conditions) -> bool:
    if name not in members:
        return False
    pattern = conditions.get(id(value)) or compile_pattern(_without_additions(value))
    return pattern(members[name]) is None


def _without_additions(value: Any) -> Any:
    """`+()` below a condition counts as met."""
    if isinstance(value, dict):
        kept = ((key, member, _anchor(key)) for key, member in value.items())
        return {key: _without_additions(member) for key, member, at in kept if at is None or at.kind is not AnchorKind.ADD}
    return [_without_additions(member) for member in value] if isinstance(value, list) else value


def _prepare_list(patch: list[Any], found: Any, conditions: Conditions) -> _Met:
    absent = found is _ABSENT or found is None
    if not absent and not isinstance(found, list):
        raise wrong_kind("SequenceNode", found)
    for element in list(patch):
        if not has_anchors(element):
            continue
        decisive = _has_global(element)
        passed = refused = False
        for member in [_ABSENT] if absent else found:
            met = _prepare(element, member, conditions)
            if met is _Met.NEVER:
                refused = True
            elif met is _Met.YES and decisive:
                passed = True
            elif met is _Met.YES:
                _append_named(patch, element, member)
        if refused and not passed:
            return _Met.NEVER
    return _Met.YES


def _append_named(patch: list[Any], element: dict[str, Any], member: Any) -> None:
    """Appends what `element` says of one element of the object, which only a name can tie together."""
    left = _cleaned(element)
    if left is not _EMPTY and isinstance(member, dict) and "name" in member:
        patch.append({**left, "name": member["name"]})


def _has_global(value: Any) -> bool:
    if isinstance(value, dict):
        anchors = [(_anchor(key), member) for key, member in value.items()]
        return any((anchor is not None and anchor.kind is AnchorKind.GLOBAL) or _has_global(member) for anchor, member in anchors)
    return isinstance(value, list) and any(map(_has_global, value))


def _cleaned(value: Any) -> Any:
    """The value without anchors and without maps that are or become empty; `_EMPTY` when nothing is left.

    A condition on a map or list stays as a plain member: the object's value is what it asks for, or less.
    """
    if isinstance(value, list):
        return _cleaned_list(value)
    if not isinstance(value, dict):
        return value
    kept: dict[str, Any] = {}
    asked: dict[str, Any] = {}
    for key, member in value.items():
        anchor = _anchor(key)
        if anchor is None:
            if (left := _cleaned(member)) is not _EMPTY:
                kept[key] = left
        elif anchor.kind is not AnchorKind.ADD and isinstance(member, (dict, list)) and (left := _cleaned(member)) is not _EMPTY:
            asked[anchor.name] = left
    kept.update(asked)
    return kept or _EMPTY


def _cleaned_list(value: list[Any]) -> Any:
    if not value:
        return value
    left = list(range(len(value)))
    parts = list(value)
    for index, element in enumerate(value):
        if has_anchors(element):
            _take_out(left, index)
            continue
        cleaned = _cleaned(element)
        if cleaned is _EMPTY:
            parts[index] = type(element)()
            _take_out(left, index)
        else:
            parts[index] = cleaned
    return [parts[index] for index in left] or _EMPTY


def _take_out(left: list[int], index: int) -> None:
    # Kyverno forgets that what it took out before has moved the rest: of two anchored elements the second one stays, anchors
    # and all, and one that matched goes; past the end it panics (oracle mutate.json, w931 and w750).
    if index >= len(left):
        raise EvaluationError(
            f"cannot take element {index} out of a list of the patch: too many elements with anchors, or empty, in one list"
        )
    del left[index]

"""The JSON Patch between two documents that share their untouched parts."""

from __future__ import annotations

from typing import Any

from engine.document.pointer import format_pointer
from engine.lang.equality import same

Operation = dict[str, Any]


def diff(before: Any, after: Any) -> list[Operation]:
    """A short JSON Patch (RFC 6902) that turns `before` into `after`: add, remove and replace operations only.

    Operations are in an order in which they apply; object keys in the documents' order.
    """
    operations: list[Operation] = []
    _diff(before, after, (), operations)
    return operations


def _diff(before: Any, after: Any, path: tuple[str | int, ...], operations: list[Operation]) -> None:
    if before is after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        _diff_objects(before, after, path, operations)
    elif isinstance(before, list) and isinstance(after, list):
        _diff_lists(before, after, path, operations)
    elif not same(before, after):
        operations.append({"op": "replace", "path": format_pointer(path), "value": after})


def _diff_objects(
    before: dict[str, Any], after: dict[str, Any], path: tuple[str | int, ...], operations: list[Operation]
) -> None:
    for key in before:
        if key not in after:
            operations.append({"op": "remove", "path": format_pointer((*path, key))})
    for key, value in after.items():
        if key in before:
            _diff(before[key], value, (*path, key), operations)
        else:
            operations.append({"op": "add", "path": format_pointer((*path, key)), "value": value})


def _diff_lists(before: list[Any], after: list[Any], path: tuple[str | int, ...], operations: list[Operation]) -> None:
    """Common ends are kept; what is left is compared pair by pair, then the rest is added or removed from its end."""
    start = 0
    while start < len(before) and start < len(after) and same(before[start], after[start]):
        start += 1
    end = 0
    while end < min(len(before), len(after)) - start and same(before[-1 - end], after[-1 - end]):
        end += 1
    old = before[start : len(before) - end]
    new = after[start : len(after) - end]
    paired = min(len(old), len(new))
    for index in range(paired):
        _diff(old[index], new[index], (*path, start + index), operations)
    for index in range(len(old) - 1, paired - 1, -1):
        operations.append({"op": "remove", "path": format_pointer((*path, start + index))})
    for index in range(paired, len(new)):
        operations.append({"op": "add", "path": format_pointer((*path, start + index)), "value": new[index]})

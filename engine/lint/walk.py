"""Where the parts of a policy document stand. The documents may be faulty: only maps and lists of the right shape are entered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def as_map(value: Any) -> Mapping[str, Any]:
    """The value where it is a map, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def as_list(value: Any) -> list[Any]:
    """The value where it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def maps_of(value: Any) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(index, member) of the maps in a list."""
    return ((index, member) for index, member in enumerate(as_list(value)) if isinstance(member, Mapping))


def blocks_of(clause: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(path, block) of a match or exclude clause: its own fields, and the blocks of its lists."""
    clause = as_map(clause)
    yield path, clause
    for key in ("any", "all"):
        yield from ((f"{path}.{key}[{index}]", block) for index, block in maps_of(clause.get(key)))


def rules_of(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(path, rule) of the rules of a ClusterPolicy or Policy; the spec of cleanup policies and exceptions counts as one."""
    spec = document.get("spec")
    if not isinstance(spec, Mapping):
        return
    rules = spec.get("rules")
    if isinstance(rules, list):
        for index, rule in enumerate(rules):
            if isinstance(rule, Mapping):
                yield f"spec.rules[{index}]", rule
    elif isinstance(spec.get("match"), Mapping):
        yield "spec", spec


def conditions_of(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """(path, conditions) of preconditions, deny conditions and conditions of exceptions, wherever they stand in a rule."""
    if isinstance(value, list):
        for index, member in enumerate(value):
            yield from conditions_of(member, f"{path}[{index}]")
        return
    if not isinstance(value, Mapping):
        return
    for key, member in value.items():
        here = f"{path}.{key}"
        if key in ("preconditions", "conditions") and _looks_like_conditions(member):
            yield here, member
        elif key not in ("pattern", "anyPattern", "patchStrategicMerge", "data"):
            yield from conditions_of(member, here)


def _looks_like_conditions(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(member, Mapping) and "operator" in member for member in value)
    return isinstance(value, Mapping) and ("any" in value or "all" in value)

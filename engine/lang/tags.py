"""Wildcard keys of a pattern's labels and annotations: each stands for an actual key of the object (spec 2.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from engine.lang.anchors import Anchor, parse_anchor
from engine.lang.wildcard import compile_wildcard, has_wildcard

Expansion = Callable[[Iterable[str]], tuple[str, ...]]


def has_wildcard_keys(pattern: Any) -> bool:
    """Does expansion concern `pattern`? Only maps of text take part in it."""
    return (
        isinstance(pattern, dict)
        and any(map(has_wildcard, pattern))
        and all(isinstance(member, str) for member in pattern.values())
    )


def compile_expansion(keys: Iterable[str]) -> Expansion:
    """From actual keys to what each of `keys` stands for, in their order; anchors are kept around it.

    A wildcard stands for the first actual key, in sorted order, that it matches, and for itself where there is none.
    """
    finders = [_finder(key) for key in keys]

    def expand(actual: Iterable[str]) -> tuple[str, ...]:
        # The object must not bring anchors of its own.
        names = sorted(name for name in actual if "(" not in name)
        return tuple(
            key if matches is None else _renamed(key, anchor, next(filter(matches, names), None))
            for key, matches, anchor in finders
        )

    return expand


def _finder(key: str) -> tuple[str, Callable[[str], bool] | None, Anchor | None]:
    anchor = parse_anchor(key)
    return key, compile_wildcard(anchor.name if anchor else key) if has_wildcard(key) else None, anchor


def _renamed(key: str, anchor: Anchor | None, name: str | None) -> str:
    if name is None:
        return key
    return name if anchor is None else str(Anchor(anchor.kind, name))

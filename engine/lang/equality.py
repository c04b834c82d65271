"""Equality of JSON values: true is not 1, and 1 is 1.0."""

from __future__ import annotations

from typing import Any


def same(a: Any, b: Any) -> bool:
    """Are two JSON values equal? Shared parts cost nothing: they are compared by identity first."""
    if a is b:
        return True
    if isinstance(a, dict):
        return isinstance(b, dict) and len(a) == len(b) and all(key in b and same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, bool) or isinstance(b, bool):
        return False
    return bool(a == b)

"""How large a JSON value is, without writing it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def longer(value: Any, limit: int) -> bool:
    """Is the JSON text of `value` longer than `limit` characters, about? Parts that occur twice count twice."""
    size = 0
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            size += len(part)
        elif isinstance(part, dict):
            size += sum(map(len, part))
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)
        size += 2
        if size > limit:
            return True
    return False


def deeper(value: Any, limit: int) -> bool:
    """Does `value` hold more than `limit` maps and lists inside each other?"""
    level = [value]
    for _ in range(limit):
        level = [
            part
            for holder in level
            for part in (holder.values() if isinstance(holder, Mapping) else holder)
            if isinstance(part, Mapping | list)
        ]
        if not level:
            return False
    return True

"""Anchors: keys in parentheses that say how a pattern's member is to be read (spec 2.4)."""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple


class AnchorKind(Enum):
    """The value is what stands before the parenthesis."""

    CONDITION = ""
    GLOBAL = "<"
    NEGATION = "X"
    ADD = "+"
    EQUALITY = "="
    EXISTENCE = "^"


class Anchor(NamedTuple):
    """`=(name)`: its kind and the key it speaks of."""

    kind: AnchorKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind.value}({self.name})"


_SYNTAX = re.compile(r"([+<=X^])?\((.+)\)")
_KINDS = {kind.value: kind for kind in AnchorKind}


def parse_anchor(key: str) -> Anchor | None:
    """The anchor that `key` writes, or None for a plain key."""
    found = _SYNTAX.fullmatch(key.strip())
    if found is None:
        return None
    name = found[2].strip()
    return Anchor(_KINDS[found[1] or ""], name) if name else None


def key_name(key: str) -> str:
    """The key itself, without an anchor around it."""
    anchor = parse_anchor(key)
    return anchor.name if anchor else key

"""Where documents speak of who asks: kinds that nobody asks for must not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

USER_FIELDS = ("roles", "clusterRoles", "subjects")


def user_fields(clause: Mapping[str, Any], path: str) -> Iterator[str]:
    """Paths of the criteria on users in a match or exclude clause that stands at `path`."""
    blocks = [(path, clause)]
    blocks += [(f"{path}.{key}[{index}]", block) for key in ("any", "all") for index, block in enumerate(clause.get(key) or [])]
    for where, block in blocks:
        for key in USER_FIELDS:
            if block.get(key):
                yield f"{where}.{key}"

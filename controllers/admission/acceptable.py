"""Webhooks as the API server takes them: names, and numbers of conditions. One it refuses would hold up all policies. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

Object = dict[str, Any]
MAX_NAME = 253
MAX_CONDITIONS = 64


def named_apart(webhooks: Iterable[Object]) -> Iterable[Object]:
    """With names that the API server takes: policies `a-b` and `a/b` would have one name, and a policy's own may fill it."""
    taken: set[str] = set()
    for webhook in webhooks:
        name = webhook["name"]
        if name in taken or len(name) > MAX_NAME:
            client = webhook["clientConfig"]
            path = client.get("url") or client["service"]["path"]
            name = f"{name[: MAX_NAME - 9].rstrip('-.')}-{hashlib.sha256(path.encode()).hexdigest()[:8]}"
        taken.add(name)
        yield {**webhook, "name": name}


def fitting(conditions: Iterable[Mapping[str, str]]) -> list[Object]:
    """As many and with such names as the API server takes; those of ConfigMap and policy do not know of each other."""
    named: dict[str, str] = {}
    for condition in conditions:
        name = condition["name"]
        named[name if name not in named else f"condition-{len(named)}.pyvern.io"] = condition["expression"]
    rows: list[Object] = [{"name": name, "expression": expression} for name, expression in named.items()]
    if len(rows) > MAX_CONDITIONS:
        rest = " && ".join(f"({row['expression']})" for row in rows[MAX_CONDITIONS - 1 :])
        rows[MAX_CONDITIONS - 1 :] = [{"name": "further-conditions.pyvern.io", "expression": rest}]
    return rows

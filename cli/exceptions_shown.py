"""PolicyExceptions for people and programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cli.exception_use import Listed
from cli.tables import aligned
from controllers.cluster import moments
from engine import yaml_text


def table(rows: Sequence[Listed]) -> str:
    """A row for each exception."""
    if not rows:
        return "no exceptions\n"
    header = ("NAMESPACE", "NAME", "POLICIES", "EXPIRES", "USED", "STATE")
    return aligned(header, [_cells(one) for one in rows])


def _cells(one: Listed) -> tuple[str, ...]:
    expires = "-" if one.expires is None else moments.show(one.expires)
    used = "?" if one.used is None else str(one.used)
    return one.namespace, one.name, ",".join(one.policies) or "-", expires, used, _state(one)


def _state(one: Listed) -> str:
    if one.invalid:
        return f"invalid: {one.invalid}"
    return "expired" if one.expired else "in force"


def documents(rows: Sequence[Listed]) -> dict[str, Any]:
    """The rows as JSON and YAML have them."""
    return {"items": [_item(one) for one in rows]}


def _item(one: Listed) -> dict[str, Any]:
    item: dict[str, Any] = {"namespace": one.namespace, "name": one.name, "state": _state(one).partition(":")[0]}
    if one.invalid:
        return {**item, "error": one.invalid}
    expires = None if one.expires is None else moments.show(one.expires)
    return {**item, "policies": list(one.policies), "expires": expires, "used": one.used, "objects": list(one.objects)}


WRITERS: Mapping[str, Callable[[Sequence[Listed]], str]] = {
    "table": table,
    "json": lambda rows: json.dumps(documents(rows), indent=2, ensure_ascii=False) + "\n",
    "yaml": lambda rows: yaml_text(documents(rows)),
}
"""Form -> the text in it."""

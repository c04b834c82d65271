"""What a cleanup would delete, for people and programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from cli.doomed import Answer, Doomed, shown
from cli.resources import name_of, namespace_of
from cli.tables import aligned
from controllers.cluster import moments
from engine import yaml_text

UNITS = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def table(answer: Answer) -> str:
    """A row for each object."""
    if not answer.items:
        return "nothing would be deleted\n"
    rows = [(shown(one.object), one.by, "yes" if one.now else "no", _when(one, answer), one.note) for one in answer.items]
    return aligned(("OBJECT", "BY", "NOW", "NEXT", "NOTE"), rows)


def _when(one: Doomed, answer: Answer) -> str:
    if one.next is None:
        return "-"
    if one.next <= answer.asked:
        return "now"
    return f"{moments.show(one.next)} (in {_span((one.next - answer.asked) // moments.SECOND)})"


def _span(seconds: int) -> str:
    """`3h25m`: the two largest units."""
    parts: list[str] = []
    for size, unit in UNITS:
        count, seconds = divmod(seconds, size)
        if count or parts or unit == "s":
            parts.append(f"{count}{unit}" if count or not parts else "")
        if len(parts) == 2:
            break
    return "".join(parts)


def document(answer: Answer) -> dict[str, Any]:
    """The answer as JSON and YAML have it."""
    return {
        "time": moments.show(answer.asked),
        "items": [_item(one) for one in answer.items],
        "problems": list(answer.problems),
    }


def _item(one: Doomed) -> dict[str, Any]:
    about = {"apiVersion": one.object["apiVersion"], "kind": one.object["kind"], "name": name_of(one.object)}
    if namespace_of(one.object):
        about["namespace"] = namespace_of(one.object)
    item = {"object": about, "by": one.by, "now": one.now, "next": None if one.next is None else moments.show(one.next)}
    return {**item, **{name: text for name, text in (("propagation", one.propagation), ("note", one.note)) if text}}


WRITERS: Mapping[str, Callable[[Answer], str]] = {
    "table": table,
    "json": lambda answer: json.dumps(document(answer), indent=2, ensure_ascii=False) + "\n",
    "yaml": lambda answer: yaml_text(document(answer)),
}
"""Form -> the text in it."""

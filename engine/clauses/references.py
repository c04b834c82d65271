"""References `$(./../sibling)`: a leaf that takes the value of another leaf of the same document (spec 2.4).

They name a place in the document itself, so they are resolved before anything is compiled. Kyverno's policy validation
resolves them against the rule and the evaluation against the pattern; only relative ones mean the same in both, all
others end as `got nil resolved variable` (spec 9.8).
"""

from __future__ import annotations

import re
from typing import Any

from engine.errors import InvalidPolicy
from engine.lang import go_json

_REFERENCE = re.compile(r"(?<!\\)\$\(([^ ]+)\)")
_OPERATORS = (">=", "<=", ">", "<", "!")
_MAX_STEPS = 16


def resolve_references(document: Any, *, path: str, at: str) -> Any:
    """The document with every reference replaced by what it points to and `\\$(` unescaped; the same object without any.

    Raises `InvalidPolicy` at `path` for a reference that points to nothing; `at` is the pointer the message starts from.
    """
    if not _mentions(document):
        return document
    return _resolved(document, document, [], path, at)


def _mentions(value: Any) -> bool:
    if isinstance(value, str):
        return "$(" in value
    if isinstance(value, dict):
        return any(_mentions(member) for member in value.values())
    return isinstance(value, list) and any(_mentions(member) for member in value)


def _resolved(value: Any, document: Any, steps: list[str], path: str, at: str) -> Any:
    if isinstance(value, dict):
        return {key: _resolved(member, document, [*steps, key], path, at) for key, member in value.items()}
    if isinstance(value, list):
        return [_resolved(member, document, [*steps, str(index)], path, at) for index, member in enumerate(value)]
    if not isinstance(value, str) or "$(" not in value:
        return value
    return _text(value, document, steps, path, at, _MAX_STEPS)


def _text(text: str, document: Any, steps: list[str], path: str, at: str, depth: int) -> Any:
    while (match := _REFERENCE.search(text)) is not None:
        operator, target = _split(match[1])
        found = _follow(document, steps, target) if depth else None
        if isinstance(found, str) and "$(" in found:
            found = _text(found, document, steps, path, at, depth - 1)
        if found is None:
            pointer = "/".join([at, *steps])
            raise InvalidPolicy(path, f"got nil resolved variable {match[0]} at path {pointer}: <nil>")
        if operator:
            found = operator + (found if isinstance(found, str) else go_json.dumps(found))
        if match[0] == text:
            return found
        text = text.replace(match[0], found if isinstance(found, str) else go_json.dumps(found), 1)
    return text.replace("\\$(", "$(")


def _split(reference: str) -> tuple[str, str]:
    for operator in _OPERATORS:
        if reference.startswith(operator):
            return operator, reference[len(operator) :]
    return "", reference


def _follow(document: Any, steps: list[str], target: str) -> Any:
    """The value at a relative path seen from the leaf at `steps` (`./../b`: the leaf's sibling b); None where there is none."""
    if not target.startswith("./"):
        return None
    place = list(steps)
    for step in target[2:].split("/"):
        if step == "..":
            if not place:
                return None
            place.pop()
        elif step not in ("", "."):
            place.append(step)
    value = document
    for step in place:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value

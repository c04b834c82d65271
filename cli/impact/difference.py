"""The difference of two objects as people read it: a unified diff of their YAML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import unified_diff
from typing import Any

from engine import Object, yaml_text

CONTEXT = 2
_BOOKKEEPING = frozenset({"managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink"})
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_SECRET = ("data", "stringData")


def difference(before: Object | None, after: Object | None) -> tuple[str, ...]:
    """Lines that begin with `@@`, ` `, `-` or `+`; empty where nothing shows. Values of Secrets are not shown.

    None stands for an object that is not there.
    """
    old, new = _shown(before), _shown(after)
    if (before or after or {}).get("kind") == "Secret":
        old, new = _masked(old, new)
    lines = unified_diff(_lines(old), _lines(new), lineterm="", n=CONTEXT)
    return tuple(line for line in lines if not line.startswith(("---", "+++")))


def _lines(document: Object | None) -> list[str]:
    return yaml_text(document).splitlines() if document is not None else []


def _shown(document: Object | None) -> Object | None:
    if document is None:
        return None
    metadata = {key: value for key, value in (document.get("metadata") or {}).items() if key not in _BOOKKEEPING}
    annotations = metadata.get("annotations")
    if isinstance(annotations, dict) and _LAST_APPLIED in annotations:
        metadata["annotations"] = {key: value for key, value in annotations.items() if key != _LAST_APPLIED}
    return {**document, "metadata": metadata}


def _masked(old: Object | None, new: Object | None) -> tuple[Object | None, Object | None]:
    """Both with their values hidden, so that a change still shows as one."""
    hidden_old, hidden_new = dict(old or {}), dict(new or {})
    for part in _SECRET:
        before, after = _values(old, part), _values(new, part)
        if before:
            hidden_old[part] = dict(_hidden(before, after, "(before)"))
        if after:
            hidden_new[part] = dict(_hidden(after, before, "(after)"))
    return (None if old is None else hidden_old), (None if new is None else hidden_new)


def _values(document: Object | None, part: str) -> Mapping[str, Any]:
    values = (document or {}).get(part)
    return values if isinstance(values, dict) else {}


def _hidden(values: Mapping[str, Any], others: Mapping[str, Any], word: str) -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        yield key, "***" if key not in others or others[key] == value else f"*** {word}"

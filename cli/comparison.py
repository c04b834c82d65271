"""Is an object what a test expects? (cli-format.md 6, "Object comparison")"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cli.resources import name_of, namespace_of
from engine import Object

MANAGED_BY = "app.kubernetes.io/managed-by"
GENERATE_LABELS = "generate.kyverno.io/"


def expected_among(expected: Iterable[Object], actual: Object) -> Object | None:
    """The expected document for an object: equal apiVersion, kind, namespace and name."""
    wanted = _key(actual)
    return next((document for document in expected if _key(document) == wanted), None)


def same(actual: Object, expected: Object) -> bool:
    """Equal after tidying both: numbers by value, empty maps, lists and nulls do not count."""
    return bool(tidied(actual) == tidied(expected))


def tidied(object_: Object) -> Any:
    """The object without labels of generation, marked as managed by Kyverno, without anything empty."""
    metadata = object_.get("metadata") or {}
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if not key.startswith(GENERATE_LABELS)}
    labels[MANAGED_BY] = "kyverno"
    return _pruned({**object_, "metadata": {**metadata, "labels": labels}})


def differences(actual: Any, expected: Any, path: str = "") -> list[str]:
    """One line for every place where two tidied values differ."""
    if isinstance(actual, dict) and isinstance(expected, dict):
        return [
            line
            for key in sorted({*actual, *expected})
            for line in differences(actual.get(key), expected.get(key), f"{path}.{key}" if path else key)
        ]
    if isinstance(actual, list) and isinstance(expected, list) and len(actual) == len(expected):
        pairs = enumerate(zip(actual, expected, strict=True))
        return [line for index, (one, other) in pairs for line in differences(one, other, f"{path}[{index}]")]
    return [] if actual == expected else [f"{path}: want `{expected}`, got `{actual}`"]


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        members = {key: _pruned(member) for key, member in value.items()}
        return {key: member for key, member in members.items() if member not in (None, {}, [])}
    if isinstance(value, list):
        items = [_pruned(member) for member in value]
        return [item for item in items if item not in (None, {}, [])]
    return value


def _key(object_: Object) -> tuple[Any, ...]:
    return object_.get("apiVersion"), object_.get("kind"), namespace_of(object_), name_of(object_)

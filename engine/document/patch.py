"""Applying JSON Patch (RFC 6902) without writing to the input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.document.pointer import parse_pointer
from engine.document.spine import (
    STRICT,
    Leniency,
    Misfit,
    Missing,
    NoContainer,
    Tokens,
    container,
    created,
    edited,
    get,
    inserted,
    put,
    without,
)
from engine.lang.equality import same


class PatchError(Exception):
    """An operation that cannot be applied; `index` is its place in the patch, `reason` says why in Kyverno's words."""

    def __init__(self, index: int, path: str, reason: str) -> None:
        super().__init__(f"[{index}] {path}: {reason}")
        self.index = index
        self.path = path
        self.reason = reason


def apply_patch(document: Any, patch: Sequence[Mapping[str, Any]], leniency: Leniency = STRICT) -> Any:
    """The document after all operations; shares every untouched part with the input. Raises PatchError."""
    for index, operation in enumerate(patch):
        name = operation.get("op")
        path = operation.get("path")
        if not isinstance(path, str):
            raise PatchError(index, "", f"`path` must be a string, got `{path}`")
        apply = OPERATIONS.get(name) if isinstance(name, str) else None
        if apply is None:
            raise PatchError(index, path, f"unknown operation `{name}`")
        try:
            document = apply(document, _tokens(path), operation, leniency)
        except Misfit as misfit:
            raise PatchError(index, path, str(misfit)) from None
    return document


def _tokens(pointer: str) -> tuple[str, ...]:
    if pointer and not pointer.startswith("/"):
        raise Misfit("a JSON pointer starts with /")
    return parse_pointer(pointer)


def _value(operation: Mapping[str, Any]) -> Any:
    if "value" not in operation:
        raise Misfit("`value` is missing")
    return operation["value"]


def _source(operation: Mapping[str, Any]) -> str:
    pointer = operation.get("from")
    if not isinstance(pointer, str):
        raise Misfit("`from` must be a string")
    return pointer


def _add(document: Any, tokens: Tokens, operation: Mapping[str, Any], leniency: Leniency) -> Any:
    value, path = _value(operation), operation["path"]
    if not tokens:
        return value
    try:
        if leniency.create_parents:
            return created(document, tokens, value, leniency)
        container(document, tokens, leniency)
        return edited(document, tokens, leniency, lambda holder, token: inserted(holder, token, value, leniency))
    except NoContainer:
        raise Misfit(f'add operation does not apply: doc is missing path: "{path}": missing value') from None
    except Misfit as misfit:
        raise Misfit(f"error in add for path: '{path}': {misfit}") from None


def _remove(document: Any, tokens: Tokens, operation: Mapping[str, Any], leniency: Leniency) -> Any:
    path = operation["path"]
    if not tokens:
        return None
    try:
        container(document, tokens, leniency)
        return edited(document, tokens, leniency, lambda holder, token: without(holder, token, leniency))
    except NoContainer:
        if leniency.missing_on_remove:
            return document
        raise Misfit(f'remove operation does not apply: doc is missing path: "{path}": missing value') from None
    except Misfit as misfit:
        if leniency.missing_on_remove and isinstance(misfit, Missing):
            return document
        raise Misfit(f"error in remove for path: '{path}': {misfit}") from None


def _replace(document: Any, tokens: Tokens, operation: Mapping[str, Any], leniency: Leniency) -> Any:
    value, path = _value(operation), operation["path"]
    if not tokens:
        return value
    try:
        get(container(document, tokens, leniency), tokens[-1], leniency)
    except NoContainer:
        raise Misfit(f"replace operation does not apply: doc is missing path: {path}: missing value") from None
    except Misfit:
        raise Misfit(f"replace operation does not apply: doc is missing key: {path}: missing value") from None
    return edited(document, tokens, leniency, lambda holder, token: put(holder, token, value, leniency))


def _move(document: Any, tokens: Tokens, operation: Mapping[str, Any], leniency: Leniency) -> Any:
    pointer, path = _source(operation), operation["path"]
    source = _tokens(pointer)
    if not source:
        raise Misfit("a value cannot be moved into itself")
    try:
        value = get(container(document, source, leniency), source[-1], leniency)
        document = edited(document, source, leniency, lambda holder, token: without(holder, token, leniency))
    except NoContainer:
        raise Misfit(f"move operation does not apply: doc is missing from path: {pointer}: missing value") from None
    except Misfit as misfit:
        raise Misfit(f"error in move for path: '{source[-1]}': {misfit}") from None
    missing = f"move operation does not apply: doc is missing destination path: {path}"
    moved = _placed(document, tokens, value, leniency, missing, "move")
    if len(source) < len(tokens) and source == tuple(tokens[: len(source)]):
        raise Misfit("a value cannot be moved into itself")
    return moved


def _copy(document: Any, tokens: Tokens, operation: Mapping[str, Any], leniency: Leniency) -> Any:
    pointer, path = _source(operation), operation["path"]
    source = _tokens(pointer)
    try:
        value = get(container(document, source, leniency), source[-1], leniency) if source else document
    except NoContainer:
        raise Misfit(f'copy operation does not apply: doc is missing from path: "{pointer}": missing value') from None
    except Misfit as misfit:
        raise Misfit(f"error in copy for from: '{pointer}': {misfit}") from None
    missing = f"copy operation does not apply: doc is missing destination path: {path}"
    return _placed(document, tokens, value, leniency, missing, "copy")


def _placed(document: Any, tokens: Tokens, value: Any, leniency: Leniency, missing: str, name: str) -> Any:
    if not tokens:
        return value
    try:
        container(document, tokens, leniency)
        return edited(document, tokens, leniency, lambda holder, token: inserted(holder, token, value, leniency))
    except NoContainer:
        raise Misfit(f"{missing}: missing value") from None
    except Misfit as misfit:
        raise Misfit(f"error in {name} for path: '{tokens[-1]}': {misfit}") from None


def _test(document: Any, tokens: Tokens, operation: Mapping[str, Any], leniency: Leniency) -> Any:
    value, path = _value(operation), operation["path"]
    try:
        holder = container(document, tokens, leniency) if tokens else {}
        found = get(holder, tokens[-1], leniency) if tokens else document
    except NoContainer:
        raise Misfit(f"test operation does not apply: is missing path: {path}: missing value") from None
    except Misfit as misfit:
        if isinstance(holder, list):
            raise Misfit(f"error in test for path: '{path}': {misfit}") from None
        if value is None and leniency.missing_is_null:
            return document
        raise Misfit(f"testing value {path} failed: test failed") from None
    if not same(found, value):
        raise Misfit(f"testing value {path} failed: test failed")
    return document


OPERATIONS: dict[str, Callable[[Any, Tokens, Mapping[str, Any], Leniency], Any]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}

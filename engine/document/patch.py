"""Applying JSON Patch (RFC 6902) without writing to the input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.document.equality import same
from engine.document.pointer import parse_pointer


class PatchError(Exception):
    """An operation that cannot be applied; `index` is its place in the patch, `reason` says why in Kyverno's words."""

    def __init__(self, index: int, path: str, reason: str) -> None:
        super().__init__(f"[{index}] {path}: {reason}")
        self.index = index
        self.path = path
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Leniency:
    """What an application forgives beyond the RFC."""

    negative_indices: bool = False
    missing_on_remove: bool = False
    create_parents: bool = False
    missing_is_null: bool = False
    """`test` finds null where nothing is."""


STRICT = Leniency()
KYVERNO = Leniency(negative_indices=True, missing_on_remove=True, create_parents=True, missing_is_null=True)
"""How mutate rules apply patches (spec 2.7)."""

Tokens = Sequence[str]
Edit = Callable[[Any, str], Any]
"""A container and a token -> the container after the edit."""

MAX_PADDING = 10_000
"""`add` fills a list with nulls up to the index it names: a bound on what a small patch may ask for."""


class _Misfit(Exception):
    """The text is the reason."""


class _Missing(_Misfit):
    """There is no such key, or no such index."""


class _NoParent(Exception):
    """A container on the way does not exist."""


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
        except _Misfit as misfit:
            raise PatchError(index, path, str(misfit)) from None
    return document


def _tokens(pointer: str) -> tuple[str, ...]:
    if pointer and not pointer.startswith("/"):
        raise _Misfit("a JSON pointer starts with /")
    return parse_pointer(pointer)


def _value(operation: Mapping[str, Any]) -> Any:
    if "value" not in operation:
        raise _Misfit("`value` is missing")
    return operation["value"]


def _source(operation: Mapping[str, Any]) -> str:
    pointer = operation.get("from")
    if not isinstance(pointer, str):
        raise _Misfit("`from` must be a string")
    return pointer


# Places


def _index(items: list[Any], token: str, leniency: Leniency, *, limit: int) -> int:
    negative = leniency.negative_indices and token[:1] == "-"
    digits = token[1:] if negative else token
    if not digits.isdecimal() or not digits.isascii() or (len(digits) > 1 and digits[0] == "0"):
        raise _Misfit(f'strconv.Atoi: parsing "{token}": invalid syntax')
    index = limit - int(digits) if negative else int(digits)
    if not 0 <= index < limit:
        raise _Missing(f"Unable to access invalid index: {token}: invalid index referenced")
    return index


def _get(container: Any, token: str, leniency: Leniency) -> Any:
    if isinstance(container, list):
        return container[_index(container, token, leniency, limit=len(container))]
    if token not in container:
        raise _Missing(f"unable to get nonexistent key: {token}: missing value")
    return container[token]


def _container(document: Any, tokens: Tokens, leniency: Leniency) -> Any:
    """The map or list that holds the last token's value; raises `_NoParent`."""
    for token in tokens[:-1]:
        try:
            document = _get(document, token, leniency) if isinstance(document, (dict, list)) else None
        except _Misfit:
            raise _NoParent from None
    if not isinstance(document, (dict, list)):
        raise _NoParent
    return document


def _edited(document: Any, tokens: Tokens, leniency: Leniency, edit: Edit) -> Any:
    """A copy of the spine down to the container of the last token, which `edit` replaces. The container exists."""
    token, rest = tokens[0], tokens[1:]
    if not rest:
        return edit(document, token)
    return _put(document, token, _edited(_get(document, token, leniency), rest, leniency, edit), leniency)


def _put(container: Any, token: str, value: Any, leniency: Leniency) -> Any:
    if isinstance(container, dict):
        return {**container, token: value}
    index = _index(container, token, leniency, limit=len(container))
    return [*container[:index], value, *container[index + 1 :]]


def _taken(container: Any, token: str, leniency: Leniency) -> Any:
    _get(container, token, leniency)
    if isinstance(container, dict):
        return {key: item for key, item in container.items() if key != token}
    index = _index(container, token, leniency, limit=len(container))
    return [*container[:index], *container[index + 1 :]]


def _inserted(container: Any, token: str, value: Any, leniency: Leniency) -> Any:
    if isinstance(container, dict):
        return {**container, token: value}
    if token == "-":
        return [*container, value]
    try:
        index = _index(container, token, leniency, limit=len(container) + 1)
    except _Missing:
        raise
    except _Misfit as misfit:
        raise _Misfit(f"value was not a proper array index: '{token}': {misfit}") from None
    return [*container[:index], value, *container[index:]]


def _created(document: Any, tokens: Tokens, value: Any, leniency: Leniency) -> Any:
    """`document` with `value` at `tokens`; containers on the way are made, lists filled up with nulls."""
    token, rest = tokens[0], tokens[1:]
    if not rest:
        return _inserted(document, token, value, leniency)
    if isinstance(document, list) and token.isdecimal() and int(token) >= len(document):
        document = _padded(document, int(token) + 1)
    below = None if isinstance(document, dict) and token not in document else _get(document, token, leniency)
    if below is None:
        below = _padded([], int(rest[0])) if rest[0].isdecimal() and len(rest) == 1 else [] if _is_index(rest[0]) else {}
    elif not isinstance(below, (dict, list)):
        raise _NoParent
    return _put(document, token, _created(below, rest, value, leniency), leniency)


def _is_index(token: str) -> bool:
    return token == "-" or token.isdecimal()


def _padded(items: list[Any], length: int) -> list[Any]:
    if length > MAX_PADDING:
        raise _Misfit(f"a list of {length} elements would be made, {MAX_PADDING} is the most")
    return [*items, *([None] * (length - len(items)))]


# Operations


def _add(document: Any, tokens: Tokens, operation: Mapping[str, Any], leniency: Leniency) -> Any:
    value, path = _value(operation), operation["path"]
    if not tokens:
        return value
    try:
        if leniency.create_parents:
            return _created(document, tokens, value, leniency)
        _container(document, tokens, leniency)
        return _edited(document, tokens, leniency, lambda holder, token: _inserted(holder, token, value, leniency))
    except _NoParent:
        raise _Misfit(f'add operation does not apply: doc is missing path: "{path}": missing value') from None
    except _Misfit as misfit:
        raise _Misfit(f"error in add for path: '{path}': {misfit}") from None


def _remove(document: Any, tokens: Tokens, operation: Mapping[str, Any], leniency: Leniency) -> Any:
    path = operation["path"]
    if not tokens:
        return None
    try:
        _container(document, tokens, leniency)
        return _edited(document, tokens, leniency, lambda holder, token: _taken(holder, token, leniency))
    except _NoParent:
        if leniency.missing_on_remove:
            return document
        raise _Misfit(f'remove operation does not apply: doc is missing path: "{path}": missing value') from None
    except _Misfit as misfit:
        if leniency.missing_on_remove and isinstance(misfit, _Missing):
            return document
        raise _Misfit(f"error in remove for path: '{path}': {misfit}") from None


def _replace(document: Any, tokens: Tokens, operation: Mapping[str, Any], leniency: Leniency) -> Any:
    value, path = _value(operation), operation["path"]
    if not tokens:
        return value
    try:
        _get(_container(document, tokens, leniency), tokens[-1], leniency)
    except _NoParent:
        raise _Misfit(f"replace operation does not apply: doc is missing path: {path}: missing value") from None
    except _Misfit:
        raise _Misfit(f"replace operation does not apply: doc is missing key: {path}: missing value") from None
    return _edited(document, tokens, leniency, lambda holder, token: _put(holder, token, value, leniency))


def _move(document: Any, tokens: Tokens, operation: Mapping[str, Any], leniency: Leniency) -> Any:
    pointer, path = _source(operation), operation["path"]
    source = _tokens(pointer)
    if not source:
        raise _Misfit("a value cannot be moved into itself")
    try:
        value = _get(_container(document, source, leniency), source[-1], leniency)
        document = _edited(document, source, leniency, lambda holder, token: _taken(holder, token, leniency))
    except _NoParent:
        raise _Misfit(f"move operation does not apply: doc is missing from path: {pointer}: missing value") from None
    except _Misfit as misfit:
        raise _Misfit(f"error in move for path: '{source[-1]}': {misfit}") from None
    missing = f"move operation does not apply: doc is missing destination path: {path}"
    moved = _placed(document, tokens, value, leniency, missing, "move")
    if len(source) < len(tokens) and source == tuple(tokens[: len(source)]):
        raise _Misfit("a value cannot be moved into itself")
    return moved


def _copy(document: Any, tokens: Tokens, operation: Mapping[str, Any], leniency: Leniency) -> Any:
    pointer, path = _source(operation), operation["path"]
    source = _tokens(pointer)
    try:
        value = _get(_container(document, source, leniency), source[-1], leniency) if source else document
    except _NoParent:
        raise _Misfit(f'copy operation does not apply: doc is missing from path: "{pointer}": missing value') from None
    except _Misfit as misfit:
        raise _Misfit(f"error in copy for from: '{pointer}': {misfit}") from None
    missing = f"copy operation does not apply: doc is missing destination path: {path}"
    return _placed(document, tokens, value, leniency, missing, "copy")


def _placed(document: Any, tokens: Tokens, value: Any, leniency: Leniency, missing: str, name: str) -> Any:
    if not tokens:
        return value
    try:
        _container(document, tokens, leniency)
        return _edited(document, tokens, leniency, lambda holder, token: _inserted(holder, token, value, leniency))
    except _NoParent:
        raise _Misfit(f"{missing}: missing value") from None
    except _Misfit as misfit:
        raise _Misfit(f"error in {name} for path: '{tokens[-1]}': {misfit}") from None


def _test(document: Any, tokens: Tokens, operation: Mapping[str, Any], leniency: Leniency) -> Any:
    value, path = _value(operation), operation["path"]
    try:
        holder = _container(document, tokens, leniency) if tokens else {}
        found = _get(holder, tokens[-1], leniency) if tokens else document
    except _NoParent:
        raise _Misfit(f"test operation does not apply: is missing path: {path}: missing value") from None
    except _Misfit as misfit:
        if isinstance(holder, list):
            raise _Misfit(f"error in test for path: '{path}': {misfit}") from None
        if value is None and leniency.missing_is_null:
            return document
        raise _Misfit(f"testing value {path} failed: test failed") from None
    if not same(found, value):
        raise _Misfit(f"testing value {path} failed: test failed")
    return document


OPERATIONS: dict[str, Callable[[Any, Tokens, Mapping[str, Any], Leniency], Any]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}

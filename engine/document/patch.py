"""Applying JSON Patch (RFC 6902) without writing to the input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.document.equality import same
from engine.document.pointer import parse_pointer


class PatchError(Exception):
    """An operation that cannot be applied; `index` is its place in the patch."""

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


STRICT = Leniency()
KYVERNO = Leniency(negative_indices=True, missing_on_remove=True, create_parents=True)
"""How mutate rules apply patches (spec 2.7)."""


class _Misfit(Exception):
    pass


class _Missing(_Misfit):
    pass


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


def _source(operation: Mapping[str, Any]) -> tuple[str, ...]:
    pointer = operation.get("from")
    if not isinstance(pointer, str):
        raise _Misfit("`from` must be a string")
    return _tokens(pointer)


def _index(items: list[Any], token: str, leniency: Leniency, *, limit: int) -> int:
    digits = token[1:] if leniency.negative_indices and token.startswith("-") else token
    if not digits.isdecimal() or not digits.isascii() or (len(digits) > 1 and digits[0] == "0"):
        raise _Misfit(f"`{token}` is no index of a list")
    index = int(digits) if digits is token else limit - int(digits)
    if not 0 <= index < limit:
        raise _Missing(f"index `{token}` is outside a list of {len(items)}")
    return index


def _at(document: Any, tokens: Sequence[str], leniency: Leniency) -> Any:
    for token in tokens:
        if isinstance(document, dict):
            if token not in document:
                raise _Missing(f"no key `{token}`")
            document = document[token]
        elif isinstance(document, list):
            document = document[_index(document, token, leniency, limit=len(document))]
        else:
            raise _Missing(f"`{token}` is below a value that is neither object nor list")
    return document


Edit = Callable[[Any, str], Any]


def _edit(document: Any, tokens: Sequence[str], leniency: Leniency, edit: Edit, *, create: bool = False) -> Any:
    """A copy of the spine down to the parent of the last token, which `edit(parent, token)` replaces."""
    token, rest = tokens[0], tokens[1:]
    if not rest:
        return edit(document, token)
    if isinstance(document, dict):
        child = document.get(token)
        if child is None:
            if not create:
                raise _Missing(f"no key `{token}`")
            child = [] if rest[0] in ("-", "0") else {}
        return {**document, token: _edit(child, rest, leniency, edit, create=create)}
    if isinstance(document, list):
        if (create and token == "-") or (create and token.isdecimal() and int(token) == len(document)):
            return [*document, _edit([] if rest[0] in ("-", "0") else {}, rest, leniency, edit, create=create)]
        index = _index(document, token, leniency, limit=len(document))
        return [
            *document[:index],
            _edit(document[index], rest, leniency, edit, create=create),
            *document[index + 1 :],
        ]
    raise _Missing(f"`{token}` is below a value that is neither object nor list")


def _add_at(document: Any, tokens: Sequence[str], value: Any, leniency: Leniency) -> Any:
    def edit(parent: Any, token: str) -> Any:
        if isinstance(parent, dict):
            return {**parent, token: value}
        if isinstance(parent, list):
            index = len(parent) if token == "-" else _index(parent, token, leniency, limit=len(parent) + 1)
            return [*parent[:index], value, *parent[index:]]
        raise _Missing("the parent is neither object nor list")

    return _edit(document, tokens, leniency, edit, create=leniency.create_parents) if tokens else value


def _remove_at(document: Any, tokens: Sequence[str], leniency: Leniency) -> Any:
    def edit(parent: Any, token: str) -> Any:
        if isinstance(parent, dict):
            if token not in parent:
                raise _Missing(f"no key `{token}`")
            return {key: item for key, item in parent.items() if key != token}
        if isinstance(parent, list):
            index = _index(parent, token, leniency, limit=len(parent))
            return [*parent[:index], *parent[index + 1 :]]
        raise _Missing("the parent is neither object nor list")

    return _edit(document, tokens, leniency, edit) if tokens else None


def _replace_at(document: Any, tokens: Sequence[str], value: Any, leniency: Leniency) -> Any:
    def edit(parent: Any, token: str) -> Any:
        _at(parent, [token], leniency)
        if isinstance(parent, dict):
            return {**parent, token: value}
        index = _index(parent, token, leniency, limit=len(parent))
        return [*parent[:index], value, *parent[index + 1 :]]

    return _edit(document, tokens, leniency, edit) if tokens else value


def _add(document: Any, tokens: Sequence[str], operation: Mapping[str, Any], leniency: Leniency) -> Any:
    return _add_at(document, tokens, _value(operation), leniency)


def _remove(document: Any, tokens: Sequence[str], operation: Mapping[str, Any], leniency: Leniency) -> Any:
    try:
        return _remove_at(document, tokens, leniency)
    except _Missing:
        if leniency.missing_on_remove:
            return document
        raise


def _replace(document: Any, tokens: Sequence[str], operation: Mapping[str, Any], leniency: Leniency) -> Any:
    return _replace_at(document, tokens, _value(operation), leniency)


def _move(document: Any, tokens: Sequence[str], operation: Mapping[str, Any], leniency: Leniency) -> Any:
    source = _source(operation)
    value = _at(document, source, leniency)
    if source == tuple(tokens):
        return document
    if source == tuple(tokens[: len(source)]):
        raise _Misfit("a value cannot be moved into itself")
    return _add_at(_remove_at(document, source, leniency), tokens, value, leniency)


def _copy(document: Any, tokens: Sequence[str], operation: Mapping[str, Any], leniency: Leniency) -> Any:
    return _add_at(document, tokens, _at(document, _source(operation), leniency), leniency)


def _test(document: Any, tokens: Sequence[str], operation: Mapping[str, Any], leniency: Leniency) -> Any:
    if not same(_at(document, tokens, leniency), _value(operation)):
        raise _Misfit("the value differs from the tested one")
    return document


OPERATIONS: dict[str, Callable[[Any, Sequence[str], Mapping[str, Any], Leniency], Any]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}

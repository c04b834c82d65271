"""Places in a document that a JSON Patch reads and edits: the way down to them, and the copy of that way after an edit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


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

_DIGITS = 18
MAX_PADDING = 10_000
"""`add` fills a list with nulls up to the index it names: a bound on what a small patch may ask for."""


class Misfit(Exception):
    """The text is the reason."""


class Missing(Misfit):
    """There is no such key, or no such index."""


class NoContainer(Exception):
    """A container on the way does not exist."""


def _index(items: list[Any], token: str, leniency: Leniency, *, limit: int) -> int:
    negative = leniency.negative_indices and token[:1] == "-"
    digits = token[1:] if negative else token
    number = None if len(digits) > 1 and digits[0] == "0" else _number(digits)
    if number is None:
        raise Misfit(f'strconv.Atoi: parsing "{token}": invalid syntax')
    index = limit - number if negative else number
    if not 0 <= index < limit:
        raise Missing(f"Unable to access invalid index: {token}: invalid index referenced")
    return index


def get(holder: Any, token: str, leniency: Leniency) -> Any:
    """The value that a map or list holds; raises `Missing`, and `Misfit` for what is no index of a list."""
    if isinstance(holder, list):
        return holder[_index(holder, token, leniency, limit=len(holder))]
    if token not in holder:
        raise Missing(f"unable to get nonexistent key: {token}: missing value")
    return holder[token]


def container(document: Any, tokens: Tokens, leniency: Leniency) -> Any:
    """The map or list that holds the last token's value; raises `NoContainer`."""
    for token in tokens[:-1]:
        try:
            document = get(document, token, leniency) if isinstance(document, (dict, list)) else None
        except Misfit:
            raise NoContainer from None
    if not isinstance(document, (dict, list)):
        raise NoContainer
    return document


def edited(document: Any, tokens: Tokens, leniency: Leniency, edit: Edit) -> Any:
    """A copy of the spine down to the container of the last token, which `edit` replaces. The container exists."""
    token, rest = tokens[0], tokens[1:]
    if not rest:
        return edit(document, token)
    return put(document, token, edited(get(document, token, leniency), rest, leniency, edit), leniency)


def put(holder: Any, token: str, value: Any, leniency: Leniency) -> Any:
    """The map or list with another value in the place of one it holds; a map may get a new key."""
    if isinstance(holder, dict):
        return {**holder, token: value}
    index = _index(holder, token, leniency, limit=len(holder))
    return [*holder[:index], value, *holder[index + 1 :]]


def without(holder: Any, token: str, leniency: Leniency) -> Any:
    """The map or list without the value; raises like `get`."""
    get(holder, token, leniency)
    if isinstance(holder, dict):
        return {key: item for key, item in holder.items() if key != token}
    index = _index(holder, token, leniency, limit=len(holder))
    return [*holder[:index], *holder[index + 1 :]]


def inserted(holder: Any, token: str, value: Any, leniency: Leniency) -> Any:
    """The map with the value, or the list with the value before what is there; `-` is a list's end."""
    if isinstance(holder, dict):
        return {**holder, token: value}
    if token == "-":
        return [*holder, value]
    try:
        index = _index(holder, token, leniency, limit=len(holder) + 1)
    except Missing:
        raise
    except Misfit as misfit:
        raise Misfit(f"value was not a proper array index: '{token}': {misfit}") from None
    return [*holder[:index], value, *holder[index:]]


def created(document: Any, tokens: Tokens, value: Any, leniency: Leniency) -> Any:
    """`document` with `value` at `tokens`; containers on the way are made, lists filled up with nulls."""
    token, rest = tokens[0], tokens[1:]
    if not rest:
        return inserted(document, token, value, leniency)
    index = _number(token)
    if isinstance(document, list) and index is not None and index >= len(document):
        document = _padded(document, index + 1)
    below = None if isinstance(document, dict) and token not in document else get(document, token, leniency)
    if below is None:
        below = _made_for(rest)
    elif not isinstance(below, (dict, list)):
        raise NoContainer
    return put(document, token, created(below, rest, value, leniency), leniency)


def _made_for(tokens: Tokens) -> Any:
    """A new container for a value at `tokens`: a list where the first of them is an index, long enough for the last."""
    index = _number(tokens[0])
    if index is None:
        return [] if tokens[0] == "-" else {}
    return _padded([], index) if len(tokens) == 1 else []


def _number(token: str) -> int | None:
    """The index that a token writes; None when it writes none."""
    return int(token) if len(token) <= _DIGITS and token.isascii() and token.isdecimal() else None


def _padded(items: list[Any], length: int) -> list[Any]:
    if length > MAX_PADDING:
        raise Misfit(f"a list of {length} elements would be made, {MAX_PADDING} is the most")
    return [*items, *([None] * (length - len(items)))]

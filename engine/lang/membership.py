"""AnyIn, AllIn, AnyNotIn, AllNotIn and the deprecated In, NotIn of conditions (spec 2.3, 9.8; oracle conditions.json).

Keys and values are compared as Go's `%v` text, with wildcards on either side. A value that is a string may stand for a list
(`["a","b"]` as JSON text, whose members are literal) or, outside In and NotIn, for a range (`10-20`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from engine.lang.errors import LanguageError
from engine.lang.go_format import plain
from engine.lang.operators import compile_scalar, range_of
from engine.lang.wildcard import compile_wildcard, has_wildcard, matches

Test = Callable[[Any], bool]
_Contains = Callable[[str], bool]
_Decide = Callable[[Iterable[str], _Contains], bool]


class OperatorError(LanguageError):
    """A key that an operator cannot take."""


def _family(decide: _Decide, *, negated: bool, counts_numbers: bool = False) -> Callable[[Any], Test]:
    def prepare(value: Any) -> Test:
        single, several = _contents(value, negated)
        if counts_numbers and isinstance(value, int | float) and not isinstance(value, bool):
            several = _one_of([plain(value)])

        def test(key: Any) -> bool:
            if isinstance(key, list):
                return several is not None and decide([plain(member) for member in key], several)
            if key is None or single is None or isinstance(key, dict):
                return False
            return decide((plain(key),), single)

        return test

    return prepare


def _contents(value: Any, negated: bool) -> tuple[_Contains | None, _Contains | None]:
    """What a single key and what the members of a list are looked for in; None: the condition is false whatever the key."""
    if isinstance(value, list):
        contains = _one_of([plain(member) for member in value])
        return contains, contains
    if not isinstance(value, str):
        return None, None
    span = range_of(value)
    if span is not None:
        inside, low, high = span
        if negated:
            outside = compile_scalar(f"{low}!-{high}" if inside else f"{low}-{high}")
            contains = lambda key: not outside(key)  # noqa: E731 - one of two forms of the same test
        else:
            contains = compile_scalar(value)
        return contains, contains
    alike = compile_wildcard(value)
    try:
        members = text_list(value)
    except OperatorError:
        # JSON, but no list of strings: nothing can be said of a key that is not alike.
        return (_anything if negated else alike), None
    if members is None:
        return alike, _one_of([value])
    exactly = frozenset(members)
    return lambda key: key in exactly or alike(key), exactly.__contains__


def _anything(key: str) -> bool:
    return True


def _one_of(texts: list[str]) -> _Contains:
    """Is a key among `texts`, with wildcards on either side?"""
    exactly = frozenset(texts)
    patterns = [compile_wildcard(text) for text in texts if has_wildcard(text)]

    def contains(key: str) -> bool:
        if key in exactly:
            return True
        if patterns and any(alike(key) for alike in patterns):
            return True
        return has_wildcard(key) and any(map(compile_wildcard(key), texts))

    return contains


def text_list(text: str) -> list[str] | None:
    """The strings of a JSON list; None: `text` is no JSON. Raises `OperatorError` where it is JSON of another kind."""
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    if value is None:
        return []
    if not isinstance(value, list) or not all(member is None or isinstance(member, str) for member in value):
        raise OperatorError(f"`{text}` is no list of strings")
    return [member or "" for member in value]


def _refuse(constant: str) -> None:
    raise ValueError(constant)


# In and NotIn


def _legacy(negated: bool) -> Callable[[Any], Test]:
    def prepare(value: Any) -> Test:
        def test(key: Any) -> bool:
            if key is None or isinstance(key, dict):
                return False
            if isinstance(key, list) and key == [value] and isinstance(value, str):
                return True  # for NotIn too (oracle conditions.json)
            found = _subset(key, value) if isinstance(key, list) else _member(plain(key), value)
            return found is not None and found is not negated

        return test

    return prepare


def _member(key: str, value: Any) -> bool | None:
    if isinstance(value, list):
        return _one_of([plain(member) for member in value])(key)
    if not isinstance(value, str):
        return None
    if matches(value, key):
        return True
    try:
        members = text_list(value)
    except OperatorError:
        return None
    return None if members is None else key in members


def _subset(keys: list[Any], value: Any) -> bool | None:
    for key in keys:
        if not isinstance(key, str):
            # Kyverno panics here (spec 9.8).
            raise OperatorError(f"In and NotIn take lists of strings only, not `{plain(key)}`")
    if isinstance(value, list):
        return {*keys} <= {plain(member) for member in value}
    if not isinstance(value, str):
        return None
    try:
        members = text_list(value)
    except OperatorError:
        return None
    return None if members is None else {*keys} <= {*members}


MEMBERSHIP: dict[str, Callable[[Any], Test]] = {
    "AnyIn": _family(lambda keys, contains: any(map(contains, keys)), negated=False),
    "AllIn": _family(lambda keys, contains: all(map(contains, keys)), negated=False),
    "AnyNotIn": _family(lambda keys, contains: not all(map(contains, keys)), negated=True, counts_numbers=True),
    "AllNotIn": _family(lambda keys, contains: not any(map(contains, keys)), negated=True),
    "In": _legacy(negated=False),
    "NotIn": _legacy(negated=True),
}

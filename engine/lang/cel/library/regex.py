"""Kubernetes' `find` and `findAll`."""

from __future__ import annotations

from typing import Any

from engine.lang.cel.functions import NOT_CONSTANT, Implementation, Library, Overload
from engine.lang.cel.kinds import INT, LIST, STRING
from engine.lang.cel.library.standard import regex_cost, regular_expression


def _find_in(pattern: Any, text: str) -> str:
    found = pattern.search(text)
    return found.group() if found is not None else ""


def _find_all_in(pattern: Any, text: str, limit: int = -1) -> list[str]:
    found: list[str] = []
    for match in pattern.finditer(text):
        if len(found) == limit:
            break
        found.append(match.group())
    return found


def _prepared(search: Any) -> Any:
    def prepare(_: Any, pattern: Any, *__: Any) -> Implementation | None:
        if pattern is NOT_CONSTANT or not isinstance(pattern, str):
            return None
        compiled = regular_expression(pattern)
        return lambda text, _, *rest: search(compiled, text, *rest)

    return prepare


def _overload(args: tuple[str, ...], result: str, search: Any) -> Overload:
    def call(text: str, pattern: str, *rest: int) -> Any:
        return search(regular_expression(pattern), text, *rest)

    return Overload(args, result, call, regex_cost, _prepared(search))


LIBRARY = Library(
    "kubernetes.regex",
    functions={},
    members={
        "find": (_overload((STRING, STRING), STRING, _find_in),),
        "findAll": (
            _overload((STRING, STRING), LIST, _find_all_in),
            _overload((STRING, STRING, INT), LIST, _find_all_in),
        ),
    },
)

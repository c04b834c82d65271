"""Every JMESPath expression of a policy: does it parse, do its functions exist?"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any

from engine.clauses.variable import VARIABLE, variables_in
from engine.lang.errors import ExpressionSyntaxError
from engine.lang.jmes import FUNCTIONS, compile_expression
from engine.lint.finding import Finding

_CALL = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\s*\(")
_BEGIN = re.compile(r"(?<!\\)\{\{")
_RAW = frozenset({"list", "jmesPath"})
"""Fields whose text is an expression without braces."""
_NESTED = "\x00"


def expression_findings(value: Any, path: str) -> Iterator[Finding]:
    """The faults of all expressions in a part of a policy that stands at `path`."""
    if isinstance(value, dict):
        for key, member in value.items():
            here = f"{path}.{key}"
            yield from _text_findings(key, here)
            if key in _RAW and isinstance(member, str) and "{{" not in member:
                yield from _faults(member, here, 0)
            else:
                yield from expression_findings(member, here)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from expression_findings(member, f"{path}[{index}]")
    elif isinstance(value, str):
        yield from _text_findings(value, path)


def _text_findings(text: str, path: str) -> Iterator[Finding]:
    if "{{" not in text:
        return
    start = 0
    for expression in variables_in(text):
        if _NESTED in expression or expression == "@":
            continue
        at = text.find(expression, start) if expression else 0
        yield from _faults(expression, path, max(at, 0))
        start = at + len(expression) if at >= 0 and VARIABLE.search(text) else 0
    rest, last = VARIABLE.sub(_blank, text), text
    while rest != last:
        rest, last = VARIABLE.sub(_blank, rest), rest
    begun = _BEGIN.search(rest)
    if begun is not None:
        yield Finding("unclosed", path, "`{{` begins no variable, it is taken as text", begun.start(), "`}}` is missing")


def _blank(variable: re.Match[str]) -> str:
    return " " * len(variable[0])


def _faults(expression: str, path: str, start: int) -> Iterator[Finding]:
    unknown = False
    for call in _CALL.finditer(_without_literals(expression)):
        name = call[1]
        if name not in FUNCTIONS:
            unknown = True
            near = difflib.get_close_matches(name, FUNCTIONS, 1)
            yield Finding("unknown-function", path, f"unknown function `{name}`", start + call.start(), _help(near))
    if unknown:
        return
    try:
        compile_expression(expression)
    except ExpressionSyntaxError as error:
        yield Finding("expression", path, f"`{expression}`: {error.reason}", start + (error.offset or 0))


def _without_literals(expression: str) -> str:
    """The expression with blanks for its strings, so that positions stay."""
    return _LITERAL.sub(lambda found: " " * len(found[0]), expression)


_LITERAL = re.compile(r"'(?:\\'|[^'])*'|`(?:\\`|[^`])*`|\"(?:\\.|[^\"\\])*\"", re.DOTALL)


def _help(near: list[str]) -> str:
    return f"did you mean `{near[0]}`?" if near else ""

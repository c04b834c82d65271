"""Regular expressions: RE2 syntax, linear time, through Google's library."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import re2

from engine.lang.errors import ExpressionError
from engine.lang.jmes.functions.signature import function
from engine.lang.jmes.functions.strings import text_of
from engine.lang.jmes.values import printable

MAX_MATCHES = 100_000
"""What one call replaces: each match takes microseconds, and a webhook answers nobody else meanwhile."""
_QUIET = re2.Options()
_QUIET.log_errors = False
_REFERENCE = re.compile(r"\$(?:(\$)|\{(\w+)\}|(\w+))")
_ANY_BYTE = re.compile(r"(?:[^\\]|\\[^QC]|\\Q(?:.*?\\E|.*$))*\\C", re.DOTALL)


def compile_regex(pattern: str) -> Any:
    """A compiled RE2 pattern; raises `ExpressionError` worded as Go's."""
    if _ANY_BYTE.match(pattern):  # the C++ library knows it, Go does not
        raise ExpressionError("error parsing regexp: invalid escape sequence: `\\C`")
    try:
        return re2.compile(pattern, _QUIET)
    except re2.error as error:
        text = str(error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else error)
        reason, _, fault = text.partition(": ")
        raise ExpressionError(f"error parsing regexp: {reason}: `{fault}`") from None
    except UnicodeEncodeError:
        raise ExpressionError("error parsing regexp: invalid UTF-8") from None


def _text(value: Any) -> str:
    text = text_of(value)
    return text if text.isascii() else str(printable(text))


def prepare_match(pattern: str) -> Callable[[Any], bool]:
    search = compile_regex(pattern).search
    return lambda value: search(_text(value)) is not None


def regex_match(pattern: str, value: Any) -> bool:
    return prepare_match(pattern)(value)


def _replaced(name: str, regex: Any, text: str, replacement: Callable[[Any], str]) -> str:
    parts: list[str] = []
    end = 0
    last_match = -1
    for count, found in enumerate(regex.finditer(text)):
        if count == MAX_MATCHES:
            raise ExpressionError(f"JMESPath function '{name}': more than {MAX_MATCHES} matches")
        if found.start() == found.end() == last_match:
            continue  # an empty match right behind a match is none in Go
        parts += (text[end : found.start()], replacement(found))
        end = last_match = found.end()
    parts.append(text[end:])
    return "".join(parts)


def _expander(template: str, regex: Any) -> Callable[[Any], str]:
    """`$1`, `${name}` and `$$` in a replacement; a group that does not exist is empty."""
    if "$" not in template:
        return lambda _found: template
    groups = regex.groupindex

    def group(name: str, found: Any) -> str:
        if name.isdecimal():
            return (found.group(int(name)) or "") if int(name) <= regex.groups else ""
        return (found.group(groups[name]) or "") if name in groups else ""

    def expand(found: Any) -> str:
        return _REFERENCE.sub(lambda ref: "$" if ref[1] else group(ref[2] or ref[3], found), template)

    return expand


def _compiled(function_name: str, pattern: str) -> Any:
    try:
        return compile_regex(pattern)
    except ExpressionError as error:
        raise ExpressionError(f"JMESPath function '{function_name}': {error}") from None


def prepare_replace(pattern: str) -> Callable[[Any, Any], str]:
    name = "regex_replace_all"
    regex = _compiled(name, pattern)
    return lambda value, replacement: _replaced(name, regex, _text(value), _expander(_text(replacement), regex))


def regex_replace_all(pattern: str, value: Any, replacement: Any) -> str:
    return prepare_replace(pattern)(value, replacement)


def prepare_replace_literal(pattern: str) -> Callable[[Any, Any], str]:
    name = "regex_replace_all_literal"
    regex = _compiled(name, pattern)

    def replace(value: Any, replacement: Any) -> str:
        literal = _text(replacement)
        return _replaced(name, regex, _text(value), lambda _found: literal)

    return replace


def regex_replace_all_literal(pattern: str, value: Any, replacement: Any) -> str:
    return prepare_replace_literal(pattern)(value, replacement)


REGEX = {
    "regex_match": function(
        "string, string|number -> boolean", regex_match, "does the regular expression match anywhere", prepare=prepare_match
    ),
    "regex_replace_all": function(
        "string, string|number, string|number -> string",
        regex_replace_all,
        "replaces what a regular expression matches; $1 and ${name} stand for groups",
        prepare=prepare_replace,
    ),
    "regex_replace_all_literal": function(
        "string, string|number, string|number -> string",
        regex_replace_all_literal,
        "replaces what a regular expression matches by a text as it is",
        prepare=prepare_replace_literal,
    ),
}

"""Text: case, replacing, trimming, paths, wildcards. Letters map one to one, as in Go (`ß` has no upper case)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from engine.lang import go_json, wildcard
from engine.lang.errors import ExpressionError
from engine.lang.jmes.functions.signature import function

_SLASHES = re.compile("/+")


def text_of(value: Any) -> str:
    """A string, or a number as the functions on text see it: `2.5`, `1000000000000000000000`, never with an exponent."""
    if value.__class__ is str:
        return str(value)
    text = go_json.number(value)
    return format(float(text), ".0f") if "e+" in text else format(float(value), ".340f").rstrip("0") if "e-" in text else text


def compare(left: str, right: str) -> int:
    return (left > right) - (left < right)


def to_upper(text: str) -> str:
    return text.upper() if text.isascii() else "".join(map(_upper, text))


def to_lower(text: str) -> str:
    return text.lower() if text.isascii() else "".join(map(_lower, text))


def _upper(char: str) -> str:
    for mapped in (char.upper(), char.title()):
        if len(mapped) == 1:
            return mapped
    return char


def _lower(char: str) -> str:
    return char.lower()[0]


def _folded(char: str) -> str:
    for mapped in (char.casefold(), char.lower()):
        if len(mapped) == 1:
            return mapped
    return char


def equal_fold(left: str, right: str) -> bool:
    if left.isascii() and right.isascii():
        return left.lower() == right.lower()
    return len(left) == len(right) and all(
        one == other or _folded(one) == _folded(other) for one, other in zip(left, right, strict=True)
    )


def replace(text: str, old: str, new: str, count: float) -> str:
    return text.replace(old, new, int(count))


def split(text: str, separator: str) -> list[str]:
    return text.split(separator) if separator else list(text)


def truncate(text: str, length: float) -> str:
    return text[: max(int(length), 0)]


def path_canonicalize(path: str) -> str:
    """The shortest path with the same meaning, without looking at any file system."""
    rooted = path.startswith("/")
    parts: list[str] = []
    for part in _SLASHES.split(path):
        if part in ("", "."):
            continue
        if part != ".." or (not rooted and (not parts or parts[-1] == "..")):
            parts.append(part)
        elif parts:
            parts.pop()
    return f"/{'/'.join(parts)}" if rooted else "/".join(parts) or "."


def pattern_match(pattern: str, value: Any) -> bool:
    return wildcard.matches(pattern, text_of(value))


def prepare_pattern_match(pattern: str) -> Callable[[Any], bool]:
    matches = wildcard.compile_wildcard(pattern)
    return lambda value: matches(text_of(value))


def to_boolean(text: str) -> bool:
    lowered = text.lower()
    if lowered not in ("true", "false"):
        raise ExpressionError(
            f"JMESPath function 'to_boolean': lowercase argument must be 'true' or 'false' (provided: '{text}')"
        )
    return lowered == "true"


STRINGS = {
    "compare": function("string, string -> number", compare, "-1, 0 or 1 as the first sorts before, with or after the second"),
    "equal_fold": function("string, string -> boolean", equal_fold, "equality that does not look at case"),
    "path_canonicalize": function("string -> string", path_canonicalize, "shortest equivalent of a path"),
    "pattern_match": function(
        "string, string|number -> boolean", pattern_match, "wildcard match with * and ?", prepare=prepare_pattern_match
    ),
    "replace": function("string, string, string, number -> string", replace, "replaces the first n occurrences; all if n < 0"),
    "replace_all": function("string, string, string -> string", str.replace, "replaces every occurrence"),
    "split": function("string, string -> array[string]", split, "splits at a separator; at every character if it is empty"),
    "to_boolean": function("string -> boolean", to_boolean, "true or false, in any case"),
    "to_lower": function("string -> string", to_lower, "lower case"),
    "to_upper": function("string -> string", to_upper, "upper case"),
    "trim": function("string, string -> string", str.strip, "without the given characters at both ends"),
    "trim_prefix": function("string, string -> string", str.removeprefix, "without a prefix"),
    "truncate": function("string, number -> string", truncate, "the first n characters"),
}

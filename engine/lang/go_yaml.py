"""YAML text of a mapping of strings as Go's sigs.k8s.io/yaml writes it: the denial text of an admission response.

The writer behind it is go-yaml v2: keys in natural order, two blanks of indent, each string plain, in single or double quotes
or as a literal block, as its content allows, and lines broken at the first blank past column 80. PyYAML folds elsewhere and is
far slower (design.md 5). Where the meaning comes from: spec 3.5 and the answers of the Go library recorded in
tests/golden/go_yaml. A folded line always reaches past column 80: the example in spec 9.3 does not, but denials that users
posted and the library itself do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cmp_to_key, lru_cache

from engine.lang.go_yaml_scalar import LINE_ENDS, block_style, double_quoted, is_string_when_plain, single_quoted_lines

Tree = Mapping[str, "str | Tree"]

WIDTH = 80
STEP = 2
NEWLINE = "\n"
LONGEST_SIMPLE_KEY = 128
"""Bytes; a longer key is written as `? key` with its value on a line of its own."""
SHORT = 600
"""Characters of a text that is remembered: the messages of the Pod Security policies are half as long."""

_UNUSUAL = re.compile("[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd]")
"""Line breaks, and what go-yaml takes for unprintable: tabs, controls, everything outside the basic plane."""
_LEADING = frozenset(""" #,[]{}&*!|>'"%@`?:-.""")
_INDICATOR = re.compile(r"""[ #,\[\]{}&*!|>'"%@`]|[?:-](?: |\Z)|---|\.\.\.""")
"""Beginnings that would be read as something else without quotes."""
_ORDINARY_KEY = re.compile(r"[a-z][a-z./-]{5,99}\Z").match
"""Names that need no quotes and sort by their characters; longer than every word that YAML reads as something else."""
_BREAKS = re.compile(f"[{LINE_ENDS}]")
_LINE = re.compile(f"[^{LINE_ENDS}]+")


def dump(tree: Tree) -> str:
    """The document for `tree`, whose values are strings or such mappings, with a line end after the last line."""
    if not tree:
        return "{}\n"
    out: list[str] = []
    _write_mapping(tree, 0, out)
    return "".join(out)


def natural_order(keys: Iterable[str]) -> list[str]:
    """`keys` in go-yaml's natural order: digits as numbers, other characters before letters."""
    return sorted(keys, key=cmp_to_key(_compare))


def _write_mapping(tree: Tree, indent: int, out: list[str]) -> None:
    margin = " " * indent
    lead = ""
    ordinary = all(map(_ORDINARY_KEY, tree))
    for key in sorted(tree) if ordinary else natural_order(tree):
        value = tree[key]
        if ordinary or is_simple_key(key):
            name = f"{lead}{key if ordinary else scalar_text(key, 0, 0, folds=False)}:"
            column = indent - len(lead) + len(name) + 1
            nested = f"\n{margin}  "
        else:
            written = scalar_text(key, indent + STEP, indent + STEP)
            name = f"{lead}? {written}{'' if written[-1] in LINE_ENDS else NEWLINE}{margin}:"
            column = indent + STEP
            nested = " "
        if isinstance(value, str):
            text = scalar_text(value, column, indent + STEP)
            out.append(f"{name} {text}" if text[-1] in LINE_ENDS else f"{name} {text}\n")
        elif value:
            out.append(name)
            out.append(nested)
            _write_mapping(value, indent + STEP, out)
        else:
            out.append(f"{name} {{}}\n")
        lead = margin


def is_simple_key(key: str) -> bool:
    return len(key.encode("utf-8", "surrogatepass")) <= LONGEST_SIMPLE_KEY and not _BREAKS.search(key)


def scalar_text(text: str, column: int, indent: int, *, folds: bool = True) -> str:
    """`text` from `column` on, its further lines at `indent`.

    Short texts are remembered, because denials repeat the same few messages: a twentieth of a denial's time
    (perf.engine_pod_security; docs/decisions/0007).
    """
    return (_remembered if len(text) <= SHORT else _scalar)(text, column, indent, folds)


def _scalar(text: str, column: int, indent: int, folds: bool) -> str:
    if not (text.isprintable() and text.isascii()) and _UNUSUAL.search(text):
        return _unusual(text, column, indent, folds=folds)
    if ": " not in text:
        if not is_string_when_plain(text):
            return double_quoted(text, column, indent, WIDTH if folds else None)
        if not (" #" in text or text[-1] in ": " or (text[0] in _LEADING and _INDICATOR.match(text))):
            return _folded(text, column, indent) if folds and column + len(text) > WIDTH else text
    body = text.replace("'", "''") if "'" in text else text
    return f"'{_folded(body, column + 1, indent)}'" if folds and column + len(body) > WIDTH else f"'{body}'"


# INVARIANT (memory): a message may repeat what users wrote, a megabyte of it; only short ones are kept, under 1 MB in all.
_remembered = lru_cache(maxsize=512)(_scalar)


def _folded(body: str, column: int, indent: int) -> str:
    """Breaks at the first single blank past the width, again and again. Blanks at either end and runs of blanks stay."""
    at = body.find(" ", max(WIDTH + 1 - column, 0))
    if at < 0:
        return body
    margin = "\n" + " " * indent
    room = WIDTH + 2 - indent
    lines = []
    start = 0
    last = len(body) - 1
    loose = "  " in body or body[0] == " " or body[last] == " "
    while at >= 0:
        if loose and not (0 < at < last and body[at - 1] != " " != body[at + 1]):
            at = body.find(" ", at + 1)
            continue
        lines.append(body[start:at])
        start = at + 1
        at = body.find(" ", at + room)
    lines.append(body[start:])
    return margin.join(lines)


def _unusual(text: str, column: int, indent: int, *, folds: bool) -> str:
    width = WIDTH if folds else None
    style = block_style(text)
    if style == "literal":
        return _literal(text, indent)
    if style == "single":
        return single_quoted_lines(text, column, indent, width)
    return double_quoted(text, column, indent, width)


def _literal(text: str, indent: int) -> str:
    """A literal block; it ends with the text's own line end, where it has one."""
    leading = str(STEP) if text[0] in f" {LINE_ENDS}" else ""
    chomping = "-" if text[-1] not in LINE_ENDS else "+" if len(text) == 1 or text[-2] in LINE_ENDS else ""
    margin = " " * indent
    return f"|{leading}{chomping}\n" + _LINE.sub(lambda line: margin + line[0], text)


def _compare(left: str, right: str) -> int:
    """Negative where `left` comes first."""
    for at, (a, b) in enumerate(zip(left, right, strict=False)):
        if a == b:
            continue
        if a.isalpha() and b.isalpha():
            return -1 if a < b else 1
        if a.isalpha() or b.isalpha():
            return -1 if b.isalpha() else 1
        return _compare_numbers(left, right, at)
    return len(left) - len(right)


def _compare_numbers(left: str, right: str, at: int) -> int:
    lead = "1" if "0" in (left[at], right[at]) and _digits_before(left, at).strip("0") else ""
    a, b = _digits_from(left, at), _digits_from(right, at)
    numbers = int(f"{lead}{a}" or "0"), int(f"{lead}{b}" or "0")
    if numbers[0] != numbers[1]:
        return -1 if numbers[0] < numbers[1] else 1
    if len(a) != len(b):
        return len(a) - len(b)
    return -1 if left[at] < right[at] else 1


def _digits_from(text: str, at: int) -> str:
    end = at
    while end < len(text) and "0" <= text[end] <= "9":
        end += 1
    return text[at:end]


def _digits_before(text: str, at: int) -> str:
    start = at
    while start and "0" <= text[start - 1] <= "9":
        start -= 1
    return text[start:at]

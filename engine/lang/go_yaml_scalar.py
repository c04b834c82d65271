"""The seldom cases of go_yaml: what a plain string would be read as, quotes with escapes, strings with odd line breaks."""

from __future__ import annotations

import re
from datetime import date
from typing import Literal

Style = Literal["literal", "single", "double"]

LINE_ENDS = "\n\r\x85\u2028\u2029"
_PRINTABLE = re.compile("[\n\x20-\x7e\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd]*\\Z")
_FIRST = frozenset("0123456789+-.")
_NAMED = frozenset(
    [
        *("", "~", "null", "Null", "NULL"),
        *("y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE"),
        *("n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE"),
        *(".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF"),
    ]
)
_INTEGER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[oO]?[0-7]*|0[bB][01]+|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_FRACTION = re.compile(r"\.[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+(?:_[0-9]+)*)?\Z")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?\Z")
_CLOCK = r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:[.,][0-9]+)?"
_TIMESTAMP = re.compile(
    rf"([0-9]{{4}})-([0-9]{{1,2}})-([0-9]{{1,2}})(?:[Tt]{_CLOCK}(?:Z|[+-]([0-9]{{2}}):([0-9]{{2}}))| +{_CLOCK})?\Z"
)
_LARGEST = 2**64
_ESCAPES = {
    "\0": "0",
    "\a": "a",
    "\b": "b",
    "\t": "t",
    "\n": "n",
    "\v": "v",
    "\f": "f",
    "\r": "r",
    "\x1b": "e",
    '"': '"',
    "\\": "\\",
    "\x85": "N",
    "\u2028": "L",
    "\u2029": "P",
}


def is_string_when_plain(text: str) -> bool:
    """Would a YAML 1.1 reader take the unquoted `text` for a string, not a number, boolean, null or date?"""
    if text in _NAMED:
        return False
    first = text[0]
    if first not in _FIRST:
        return True
    if first == ".":
        return not (_FRACTION.match(text) and _is_finite(text))
    return not (_is_number(text.replace("_", "")) or _is_timestamp(text) or _SEXAGESIMAL.match(text))


def _is_number(text: str) -> bool:
    if _INTEGER.match(text) and abs(_integer(text)) < _LARGEST:
        return True
    return bool(_FLOAT.match(text)) and _is_finite(text)


def _integer(text: str) -> int:
    digits = text.lstrip("+-").lower()
    if len(digits) > 1 and digits[0] == "0" and digits.isdigit():
        return int(digits, 8)
    return int(digits, 0)


def _is_finite(text: str) -> bool:
    return abs(float(text)) != float("inf")


def _is_timestamp(text: str) -> bool:
    match = _TIMESTAMP.match(text)
    if match is None:
        return False
    year, month, day, *clock = (int(part) if part else 0 for part in match.groups())
    hour, minute, second, zone_hour, zone_minute = (*(a or b for a, b in zip(clock[:3], clock[5:], strict=True)), *clock[3:5])
    if hour > 23 or minute > 59 or second > 59 or zone_hour > 24 or zone_minute > 59:
        return False
    try:
        date(year or 2000, month, day)  # Go knows the year 0, a leap year
    except ValueError:
        return False
    return True


def block_style(text: str) -> Style:
    """How a string with line breaks or unprintable characters is written."""
    if not _PRINTABLE.match(text):
        return "double"
    blank_before_break = any(f" {mark}" in text for mark in LINE_ENDS)
    if "\n" in text:
        return "double" if blank_before_break or text[-1] == " " else "literal"
    return "double" if blank_before_break or any(f"{mark} " in text for mark in LINE_ENDS) else "single"


def double_quoted(text: str, column: int, indent: int, width: int | None) -> str:
    """`text` in double quotes, broken at blanks past `width` (None: never)."""
    out = ['"']
    column += 1
    after_blank = False
    if text[0:1] == "\ufeff":  # go-yaml looks for the mark at the start of the text, whichever character it is at
        return f'"{"".join(_code(char) if char not in _ESCAPES else _escaped(char) for char in text)}"'
    last = len(text) - 1
    size = len(text.encode("utf-8", "surrogatepass")) - 1
    for at, char in enumerate(text):
        if char == " ":
            # INVARIANT (bytes): Go compares the position with the length in bytes, where a blank can only be last
            if width is not None and not after_blank and column > width and 0 < at < min(last, size):
                out.append(f"\n{' ' * indent}")
                column = indent
                if text[at + 1] == " ":
                    out.append("\\")
                    column += 1
            else:
                out.append(" ")
                column += 1
            after_blank = True
            continue
        after_blank = False
        written = _escaped(char)
        out.append(written)
        column += len(written)
    out.append('"')
    return "".join(out)


def _escaped(char: str) -> str:
    if char in _ESCAPES:
        return f"\\{_ESCAPES[char]}"
    return char if _PRINTABLE.match(char) else _code(char)


def _code(char: str) -> str:
    code = ord(char)
    if code <= 0xFF:
        return f"\\x{code:02X}"
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"


def single_quoted_lines(text: str, column: int, indent: int, width: int | None) -> str:
    """`text` in single quotes where it holds line breaks other than the line feed, which stay as they are."""
    out = ["'"]
    column += 1
    after_blank = after_break = False
    last = len(text) - 1
    for at, char in enumerate(text):
        if char == " ":
            breaks = width is not None and not after_blank and column > width and 0 < at < last and text[at + 1] != " "
            out.append(f"\n{' ' * indent}" if breaks else " ")
            column = indent if breaks else column + 1
            after_blank = True
        elif char in LINE_ENDS:
            out.append(char)
            column = 0
            after_break = True
        else:
            if after_break:
                out.append(" " * indent)
                column = indent
            out.append("''" if char == "'" else char)
            column += 2 if char == "'" else 1
            after_blank = after_break = False
    out.append("'")
    return "".join(out)

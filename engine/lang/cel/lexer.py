"""CEL text to tokens, with the values of literals."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from engine.lang.cel.values import INT_MAX, UINT_MAX, UInt
from engine.lang.errors import ExpressionSyntaxError

RESERVED = frozenset(
    {
        *("as", "break", "const", "continue", "else", "for", "function", "if", "import"),
        *("let", "loop", "package", "namespace", "return", "var", "void", "while"),
    }
)
KEYWORDS = frozenset({"in", "true", "false", "null"})

_TOKEN = re.compile(
    r"""
    (?P<blank>(?:[ \t\r\n\f]++|//[^\n]*+)++)
  | (?P<text>[rR][bB]?|[bB][rR]?)?(?P<quote>\"{3}|'{3}|"|')
  | (?P<ident>[_a-zA-Z][_a-zA-Z0-9]*)
  | (?P<float>[0-9]++\.[0-9]++(?:[eE][+-]?[0-9]+)?|[0-9]++[eE][+-]?[0-9]+|\.[0-9]++(?:[eE][+-]?[0-9]+)?)
  | (?P<int>0x[0-9a-fA-F]+|[0-9]+)(?P<unsigned>[uU])?
  | `(?P<escaped>[a-zA-Z0-9_.\-/ ]+)`
  | (?P<op>==|!=|<=|>=|&&|\|\||[\[\]{}().,\-!?:+*/%<>=])
    """,
    re.VERBOSE,
)
_RAW = {quote: re.compile(rf"(?s:(.*?)){quote}") for quote in ('"""', "'''")} | {
    quote: re.compile(rf"([^{quote}\r\n]*){quote}") for quote in ('"', "'")
}
_COOKED = {quote: re.compile(rf"(?s:((?:[^\\]|\\.)*?)){quote}") for quote in ('"""', "'''")} | {
    quote: re.compile(rf"((?:[^{quote}\\\r\n]|\\.)*){quote}") for quote in ('"', "'")
}
_ESCAPE = re.compile(
    r"""\\(?:(?P<short>[abfnrtv"'\\?`])|[xX](?P<hex>[0-9a-fA-F]{2})|(?P<octal>[0-3][0-7]{2})"""
    r"""|u(?P<four>[0-9a-fA-F]{4})|U(?P<eight>[0-9a-fA-F]{8})|(?P<bad>.|$))""",
    re.DOTALL,
)
_SHORT = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class Token(NamedTuple):
    """`kind` is `ident`, `field` (a name in backticks), `value` (a literal), `end`, or the operator itself."""

    kind: str
    value: Any
    at: int


def tokens(expression: str) -> list[Token]:
    """The tokens, closed by one of kind `end`. Raises `ExpressionSyntaxError`."""
    found: list[Token] = []
    position = 0
    while position < len(expression):
        match = _TOKEN.match(expression, position)
        if match is None:
            raise ExpressionSyntaxError(expression, f"unexpected character `{expression[position]}`", position)
        end = match.end()
        kind = match.lastgroup
        if kind == "quote":
            value, end = _string(expression, match)
            found.append(Token("value", value, position))
        elif kind == "ident":
            found.append(Token("ident", match["ident"], position))
        elif kind in ("int", "unsigned"):
            found.append(Token("value", _integer(expression, match), position))
        elif kind == "float":
            found.append(Token("value", float(match["float"]), position))
        elif kind == "escaped":
            found.append(Token("field", match["escaped"], position))
        elif kind == "op":
            found.append(Token(match["op"], match["op"], position))
        position = end
    found.append(Token("end", "", len(expression)))
    return found


def _integer(expression: str, match: re.Match[str]) -> int:
    text = match["int"]
    # -9223372036854775808 reaches the parser as a minus and one more than the largest int
    limit = UINT_MAX if match["unsigned"] else INT_MAX + 1
    value = int(text, 16) if text.startswith("0x") else int(text) if len(text) < 64 else limit + 1
    if value > limit:
        raise ExpressionSyntaxError(expression, f"invalid {'u' if match['unsigned'] else ''}int literal", match.start())
    return UInt(value) if match["unsigned"] else value


def _string(expression: str, match: re.Match[str]) -> tuple[str | bytes, int]:
    prefix = (match["text"] or "").lower()
    body = (_RAW if "r" in prefix else _COOKED)[match["quote"]].match(expression, match.end())
    if body is None:
        raise ExpressionSyntaxError(expression, "unterminated string literal", match.start())
    text = body[1]
    if "b" in prefix:
        octets = text.encode() if "r" in prefix else _unescaped_bytes(expression, text, match.end())
        return octets, body.end()
    if "r" in prefix or "\\" not in text:
        return text, body.end()
    return _ESCAPE.sub(lambda escape: _code_point(expression, escape, match.end()), text), body.end()


def _code_point(expression: str, escape: re.Match[str], start: int) -> str:
    if escape["short"]:
        return _SHORT.get(escape["short"], escape["short"])
    digits = escape["hex"] or escape["four"] or escape["eight"]
    code = int(digits, 16) if digits else int(escape["octal"], 8) if escape["octal"] else -1
    if code < 0 or code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise ExpressionSyntaxError(expression, f"invalid escape sequence `{escape[0]}`", start + escape.start())
    return chr(code)


def _unescaped_bytes(expression: str, text: str, start: int) -> bytes:
    parts: list[bytes] = []
    last = 0
    for escape in _ESCAPE.finditer(text):
        parts.append(text[last : escape.start()].encode())
        last = escape.end()
        if escape["hex"] or escape["octal"]:
            parts.append(bytes([int(escape["hex"], 16) if escape["hex"] else int(escape["octal"], 8)]))
        elif escape["short"]:
            parts.append(_code_point(expression, escape, start).encode())
        else:
            raise ExpressionSyntaxError(expression, f"invalid escape sequence `{escape[0]}`", start + escape.start())
    parts.append(text[last:].encode())
    return b"".join(parts)

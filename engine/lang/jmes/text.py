"""AST -> expression text: what a part of an expression looks like when it is shown by itself."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from engine.lang.jmes.syntax import Ast

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_COMPARATORS = {"eq": "==", "ne": "!=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_LOOSE = frozenset({"pipe", "or_expression", "and_expression", "comparator", "not_expression"})


def to_text(ast: Ast) -> str:
    """An expression that parses to `ast`."""
    return _WRITERS[ast["type"]](ast)


def _tight(ast: Ast) -> str:
    """The text as an operand: in parentheses where an operator could tear it apart."""
    text = to_text(ast)
    return f"({text})" if ast["type"] in _LOOSE else text


def _base(ast: Ast) -> str:
    """The text in front of a bracket: nothing for the value at hand."""
    return "" if ast["type"] == "identity" else _tight(ast)


def _after(ast: Ast) -> str:
    """What follows a projection."""
    if ast["type"] == "identity":
        return ""
    first = ast
    while first["type"] in _CHAINS:
        first = first["children"][0]
    return to_text(ast) if first["type"] == "identity" and not to_text(ast).startswith("*") else f".{to_text(ast)}"


_CHAINS = frozenset({"subexpression", "index_expression", "projection", "filter_projection", "flatten", "value_projection"})


def _name(text: str) -> str:
    return text if _IDENTIFIER.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _literal(ast: Ast) -> str:
    value = ast["value"]
    if isinstance(value, str) and not value.endswith("\\"):
        return "'" + value.replace("'", "\\'") + "'"
    return "`" + json.dumps(value, ensure_ascii=False).replace("`", "\\`") + "`"


def _index_expression(ast: Ast) -> str:
    left, *steps = ast["children"]
    return _base(left) + "".join(map(to_text, steps))


def _slice(ast: Ast) -> str:
    start, stop, step = ("" if part is None else str(part) for part in ast["children"])
    return f"[{start}:{stop}:{step}]" if step else f"[{start}:{stop}]"


def _projection(ast: Ast) -> str:
    left, right = ast["children"]
    sliced = left["type"] == "index_expression" and left["children"][-1]["type"] == "slice"
    star = "" if left["type"] == "flatten" or sliced else "[*]"
    return f"{_base(left)}{star}{_after(right)}"


def _value_projection(ast: Ast) -> str:
    left, right = ast["children"]
    before = _base(left)
    return f"{before}.*{_after(right)}" if before else f"*{_after(right)}"


def _filter_projection(ast: Ast) -> str:
    left, right, condition = ast["children"]
    return f"{_base(left)}[?{to_text(condition)}]{_after(right)}"


def _binary(symbol: str) -> Callable[[Ast], str]:
    return lambda ast: f" {symbol} ".join(map(_tight, ast["children"]))


def _function(ast: Ast) -> str:
    return f"{ast['value']}({', '.join(map(to_text, ast['children']))})"


def _multi_select_dict(ast: Ast) -> str:
    return "{" + ", ".join(f"{_name(pair['value'])}: {to_text(pair['children'][0])}" for pair in ast["children"]) + "}"


_WRITERS: dict[str, Callable[[Ast], str]] = {
    "and_expression": _binary("&&"),
    "comparator": lambda ast: f" {_COMPARATORS[ast['value']]} ".join(map(_tight, ast["children"])),
    "current": lambda ast: "@",
    "expref": lambda ast: f"&{_tight(ast['children'][0])}",
    "field": lambda ast: _name(ast["value"]),
    "filter_projection": _filter_projection,
    "flatten": lambda ast: f"{_base(ast['children'][0])}[]",
    "function_expression": _function,
    "identity": lambda ast: "@",
    "index": lambda ast: f"[{ast['value']}]",
    "index_expression": _index_expression,
    "literal": _literal,
    "multi_select_dict": _multi_select_dict,
    "multi_select_list": lambda ast: f"[{', '.join(map(to_text, ast['children']))}]",
    "not_expression": lambda ast: f"!{_tight(ast['children'][0])}",
    "or_expression": _binary("||"),
    "pipe": _binary("|"),
    "projection": _projection,
    "slice": _slice,
    "subexpression": lambda ast: ".".join(map(_tight, ast["children"])),
    "value_projection": _value_projection,
}

"""Object types in mutations: `Object.spec{...}` may only stand where the object has its spec, as the API server asks."""

from __future__ import annotations

from collections.abc import Iterator

from engine.lang.cel import Program, position
from engine.lang.cel.syntax import Conditional, ListLiteral, MapLiteral, Message, Node

ROOT = "Object"
PATCH = "JSONPatch"
OPERATION_FIELDS = ("op", "path", "from", "value")


def misplaced_type(program: Program) -> str:
    """What is wrong with the first type that stands in a wrong place, as `line:column: reason`; empty where all are right."""
    for node, expected in _typed(program.ast, ROOT):
        reason = _fault(node, expected)
        if reason:
            line, column = position(program.text, node.at)
            return f"{line}:{column}: {reason}"
    return ""


def _typed(node: Node, expected: str) -> Iterator[tuple[Message, str]]:
    """(constructor, the type that belongs to its place) of everything that is written out in an expression."""
    match node:
        case Message():
            yield node, expected
            if node.name != PATCH:
                for field, value, _ in node.fields:
                    yield from _typed(value, f"{expected}.{field}")
        case Conditional():
            yield from _typed(node.then, expected)
            yield from _typed(node.otherwise, expected)
        case ListLiteral():
            for element, _ in node.elements:
                yield from _typed(element, expected)
        case MapLiteral():
            for _, value, _ in node.entries:
                yield from _typed(value, expected)


def _fault(node: Message, expected: str) -> str:
    if node.name == PATCH:
        unknown = next((field for field, _, _ in node.fields if field not in OPERATION_FIELDS), "")
        return f"undefined field '{unknown}'" if unknown else ""
    if node.name == expected:
        return ""
    return f'unexpected type name "{node.name}", expected "{expected}", which matches field path from root Object type'

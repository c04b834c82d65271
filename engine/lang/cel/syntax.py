"""The syntax tree. Macros are calls here; the compiler knows them. `at` is a 0-based offset in the text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Node:
    at: int


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """A value of a scalar type: bool, int, UInt, float, str, bytes or None."""

    value: Any


@dataclass(frozen=True, slots=True)
class Ident(Node):
    """A name; a leading dot (`.name`) asks for the root scope."""

    name: str


@dataclass(frozen=True, slots=True)
class Select(Node):
    """`operand.field`, or `operand.?field`."""

    operand: Node
    field: str
    optional: bool


@dataclass(frozen=True, slots=True)
class Index(Node):
    """`operand[index]`, or `operand[?index]`."""

    operand: Node
    index: Node
    optional: bool


@dataclass(frozen=True, slots=True)
class Call(Node):
    """`name(args)` or `target.name(args)`. `at` is the place of the name."""

    name: str
    target: Node | None
    args: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Unary(Node):
    """`!operand` or `-operand`."""

    operator: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """Arithmetic, comparison and `in`. `at` is the place of the operator."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Logic(Node):
    """`&&` or `||` over two or more terms, flattened."""

    operator: str
    terms: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Conditional(Node):
    """`condition ? then : otherwise`."""

    condition: Node
    then: Node
    otherwise: Node


@dataclass(frozen=True, slots=True)
class ListLiteral(Node):
    """Elements with their `?` marks."""

    elements: tuple[tuple[Node, bool], ...]


@dataclass(frozen=True, slots=True)
class MapLiteral(Node):
    """(key, value, `?` mark) in the order written."""

    entries: tuple[tuple[Node, Node, bool], ...]


@dataclass(frozen=True, slots=True)
class Message(Node):
    """`Name{field: value}`, the constructor of an object type such as `Object.spec` or `JSONPatch`."""

    name: str
    fields: tuple[tuple[str, Node, bool], ...]


def children(node: Node) -> Iterator[Node]:
    """The nodes right below a node, in the order written."""
    for field in fields(node):
        yield from _nodes(getattr(node, field.name))


def _nodes(value: Any) -> Iterator[Node]:
    if isinstance(value, Node):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from _nodes(part)

"""CEL text to its syntax tree, by recursive descent."""

from __future__ import annotations

from typing import NoReturn

from engine.lang.cel.lexer import KEYWORDS, RESERVED, Token, tokens
from engine.lang.cel.syntax import (
    Binary,
    Call,
    Conditional,
    Ident,
    Index,
    ListLiteral,
    Literal,
    Logic,
    MapLiteral,
    Message,
    Node,
    Select,
    Unary,
    children,
)
from engine.lang.cel.values import INT_MAX
from engine.lang.errors import ExpressionSyntaxError

MAX_NESTING = 60
"""Brackets within brackets: the parser and the compiler recurse as deep."""

MAX_DEPTH = 120
"""Levels of the tree, chains of operators and selections included: the closures nest as deep."""

MAX_LENGTH = 100_000

_CONSTANTS = {"true": True, "false": False, "null": None}
_LOGIC = frozenset({"&&", "||"})
_PRECEDENCE = {
    "||": 1,
    "&&": 2,
    **dict.fromkeys(("<", "<=", ">", ">=", "==", "!=", "in"), 3),
    **dict.fromkeys(("+", "-"), 4),
    **dict.fromkeys(("*", "/", "%"), 5),
}


def parse(expression: str) -> Node:
    """The tree of an expression. Raises `ExpressionSyntaxError` with the offset of the fault."""
    if len(expression) > MAX_LENGTH:
        raise ExpressionSyntaxError(expression, f"expression is longer than {MAX_LENGTH} characters", 0)
    parser = _Parser(expression, tokens(expression))
    tree = parser.expression()
    if parser.token.kind != "end":
        parser.unexpected()
    _check_depth(expression, tree)
    return tree


def _check_depth(expression: str, tree: Node) -> None:
    level = [tree]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in children(node)]
        if not level:
            return
    raise ExpressionSyntaxError(expression, f"expression is deeper than {MAX_DEPTH} levels", level[0].at)


class _Parser:
    def __init__(self, text: str, found: list[Token]) -> None:
        self.text = text
        self.tokens = found
        self.place = 0
        self.depth = 0
        self.token = found[0]

    def fail(self, reason: str, at: int) -> NoReturn:
        raise ExpressionSyntaxError(self.text, reason, at)

    def unexpected(self, wanted: str = "") -> NoReturn:
        found = "end of expression" if self.token.kind == "end" else f"`{self.token.value}`"
        self.fail(f"syntax error: unexpected {found}{f', expected {wanted}' if wanted else ''}", self.token.at)

    def advance(self) -> Token:
        token = self.token
        self.place += 1
        self.token = self.tokens[self.place] if self.place < len(self.tokens) else token
        return token

    def accept(self, kind: str) -> Token | None:
        return self.advance() if self.token.kind == kind else None

    def expect(self, kind: str) -> Token:
        if self.token.kind != kind:
            self.unexpected(f"`{kind}`")
        return self.advance()

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_NESTING:
            self.fail(f"expression nests deeper than {MAX_NESTING}", self.token.at)

    def expression(self) -> Node:
        self.deeper()
        node = self.operations()
        if self.token.kind == "?":
            at = self.advance().at
            then = self.operations()
            self.expect(":")
            node = Conditional(at, node, then, self.expression())
        self.depth -= 1
        return node

    def operations(self) -> Node:
        """Everything between unary operators and `?:`, by precedence; rows of `&&` and of `||` become one node."""
        operands = [self.unary()]
        operators: list[Token] = []
        while (found := self.operator()) is not None:
            strength = _PRECEDENCE[found.value]
            while operators and (
                _PRECEDENCE[operators[-1].value] > strength
                or (_PRECEDENCE[operators[-1].value] == strength and found.value not in _LOGIC)
            ):
                _reduce(operands, operators)
            operators.append(found)
            operands.append(self.unary())
        while operators:
            _reduce(operands, operators)
        return operands[0]

    def operator(self) -> Token | None:
        value = self.token.value if self.token.kind in ("ident", self.token.value) else None
        return self.advance() if value in _PRECEDENCE else None

    def unary(self) -> Node:
        signs: list[Token] = []
        while self.token.kind in ("!", "-"):
            signs.append(self.advance())
        if signs and signs[-1].kind == "-" and self.token.kind == "value" and type(self.token.value) in (int, float):
            number = self.advance()
            node = self.member(Literal(signs.pop().at, -number.value))
        else:
            node = self.member(self.primary())
        for sign in signs:
            if sign.kind != signs[0].kind:
                self.fail(f"syntax error: unexpected `{sign.kind}` after `{signs[0].kind}`", sign.at)
        return Unary(signs[0].at, signs[0].kind, node) if len(signs) % 2 else self.doubled(signs, node)

    def doubled(self, signs: list[Token], node: Node) -> Node:
        # An even row of signs still has the type rules of one.
        for sign in signs[:2]:
            node = Unary(sign.at, sign.kind, node)
        return node

    def member(self, node: Node) -> Node:
        while True:
            if self.accept("."):
                optional = self.accept("?") is not None
                name = self.field()
                if self.token.kind == "(" and not optional and name.kind == "ident":
                    self.advance()
                    node = Call(name.at, name.value, node, self.arguments(")"))
                else:
                    node = Select(name.at, node, name.value, optional)
            elif self.token.kind == "[":
                at = self.advance().at
                optional = self.accept("?") is not None
                node = Index(at, node, self.expression(), optional)
                self.expect("]")
            elif self.token.kind == "{" and (path := dotted(node)) is not None:
                node = self.message(node.at, path)
            else:
                return node

    def field(self) -> Token:
        if self.token.kind == "field":
            return self.advance()
        if self.token.kind != "ident" or self.token.value in KEYWORDS:
            self.unexpected("a field name")
        return self.advance()

    def primary(self) -> Node:
        token = self.token
        match token.kind:
            case "value":
                self.advance()
                if type(token.value) is int and token.value > INT_MAX:
                    self.fail("invalid int literal", token.at)
                return Literal(token.at, token.value)
            case "ident":
                return self.identifier()
            case ".":
                self.advance()
                if self.token.kind != "ident":
                    self.unexpected("a name")
                return self.identifier(".")
            case "(":
                self.advance()
                node = self.expression()
                self.expect(")")
                return node
            case "[":
                self.advance()
                return ListLiteral(token.at, tuple(self.elements()))
            case "{":
                self.advance()
                return MapLiteral(token.at, tuple(self.entries()))
            case _:
                return self.unexpected()

    def identifier(self, prefix: str = "") -> Node:
        name = self.advance()
        if not prefix and name.value in _CONSTANTS:
            return Literal(name.at, _CONSTANTS[name.value])
        if name.value in RESERVED or name.value in KEYWORDS:
            self.fail(f"reserved identifier: {name.value}", name.at)
        if self.accept("("):
            return Call(name.at, prefix + name.value, None, self.arguments(")"))
        return Ident(name.at, prefix + name.value)

    def arguments(self, closing: str) -> tuple[Node, ...]:
        found: list[Node] = []
        while self.token.kind != closing:
            found.append(self.expression())
            if not self.accept(","):
                break
            if self.token.kind == closing:
                self.unexpected("an argument")
        self.expect(closing)
        return tuple(found)

    def elements(self) -> list[tuple[Node, bool]]:
        found = []
        while self.token.kind != "]":
            optional = self.accept("?") is not None
            found.append((self.expression(), optional))
            if not self.accept(","):
                break
        self.expect("]")
        return found

    def entries(self) -> list[tuple[Node, Node, bool]]:
        found = []
        while self.token.kind != "}":
            optional = self.accept("?") is not None
            key = self.expression()
            self.expect(":")
            found.append((key, self.expression(), optional))
            if not self.accept(","):
                break
        self.expect("}")
        return found

    def message(self, at: int, name: str) -> Node:
        self.expect("{")
        found = []
        while self.token.kind != "}":
            optional = self.accept("?") is not None
            field = self.field()
            self.expect(":")
            found.append((field.value, self.expression(), optional))
            if not self.accept(","):
                break
        self.expect("}")
        return Message(at, name, tuple(found))


def _reduce(operands: list[Node], operators: list[Token]) -> None:
    """Replaces the last operator and its operands by their node; a row of the same `&&` or `||` at once."""
    last = operators.pop()
    if last.value not in _LOGIC:
        right = operands.pop()
        operands.append(Binary(last.at, last.value, operands.pop(), right))
        return
    count = 2
    while operators and operators[-1].value == last.value:
        last = operators.pop()
        count += 1
    terms = operands[-count:]
    del operands[-count:]
    operands.append(Logic(last.at, last.value, tuple(terms)))


def dotted(node: Node) -> str | None:
    """`a.b.c` as text, None where the node is more than names and dots."""
    names: list[str] = []
    while isinstance(node, Select) and not node.optional:
        names.append(node.field)
        node = node.operand
    if not isinstance(node, Ident):
        return None
    return ".".join((node.name, *reversed(names)))

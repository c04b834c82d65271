"""The syntax tree to closures, checking names, functions and static types on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.lang.cel import access, kinds, logic, operators
from engine.lang.cel.calls import by_class, call
from engine.lang.cel.errors import CelError
from engine.lang.cel.frame import Code, Run, constant
from engine.lang.cel.functions import Function, mismatch
from engine.lang.cel.kinds import DYN, Struct, Type, joined, kind_name
from engine.lang.cel.literals import list_of, map_of, message_of
from engine.lang.cel.macros import MACROS
from engine.lang.cel.names import Names
from engine.lang.cel.parser import dotted
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
)
from engine.lang.cel.values import kind_of
from engine.lang.errors import ExpressionError


class Compiler(Names):
    """One expression being compiled."""

    def compile(self, node: Node) -> Code:
        """The code of a node; constants are folded."""
        return _NODES[node.__class__](self, node)

    def ident(self, node: Ident) -> Code:
        found = self.resolve([node.name])
        if found is None:
            return self.failing(node, f"undeclared reference to '{node.name}' (in container '{self.container}')")
        return found[0]

    def select(self, node: Select) -> Code:
        names: list[str] = []
        base: Node = node
        while isinstance(base, Select) and not base.optional:
            names.insert(0, base.field)
            base = base.operand
        if isinstance(base, Ident):
            found = self.resolve([base.name, *names])
            if found is None:
                return self.failing(base, f"undeclared reference to '{base.name}' (in container '{self.container}')")
            code, used = found
            return self.fields(node, code, names[used - 1 :])
        if names:
            return self.fields(node, self.compile(base), names)
        operand = self.compile(node.operand)
        self.field_kind(node, operand.kind, node.field)
        run, name = operand.run, node.field
        return Code(lambda frame: access.select_optional(run(frame), name), kinds.OPTIONAL)

    def fields(self, node: Node, base: Code, names: list[str]) -> Code:
        if not names:
            return base
        kind = base.kind
        for name in names:
            kind = self.field_kind(node, kind, name)
        return self.folded(Code(access.chain(base, names), kind), base)

    def field_kind(self, node: Node, kind: Type, name: str) -> Type:
        """The static type of a field."""
        if isinstance(kind, Struct):
            if name not in kind.fields and self.checked:
                self.fail(node, f"undefined field '{name}'")
            return kind.fields.get(name, DYN)
        if kind == kinds.OPTIONAL:
            return kinds.OPTIONAL
        if kind not in (DYN, kinds.MAP) and self.checked:
            self.fail(node, f"type '{kind_name(kind)}' does not support field selection")
        return DYN

    # operators

    def index(self, node: Index) -> Code:
        operand, key = self.compile(node.operand), self.compile(node.index)
        indexable = isinstance(operand.kind, Struct) or operand.kind in (DYN, kinds.LIST, kinds.MAP, kinds.OPTIONAL)
        if self.checked and not indexable:
            self.fail(node, mismatch("_[_]", (operand.kind, key.kind), member=False))
        if node.optional:
            run, at = operand.run, key.run
            return Code(lambda frame: access.index_optional(run(frame), at(frame)), kinds.OPTIONAL)
        kind = kinds.OPTIONAL if operand.kind == kinds.OPTIONAL else DYN
        if key.constant.__class__ is str:
            return self.folded(Code(access.chain(operand, [key.constant]), kind), operand)
        run, at = operand.run, key.run
        return self.folded(Code(lambda frame: access.index(run(frame), at(frame)), kind), operand, key)

    def unary(self, node: Unary) -> Code:
        operand = self.compile(node.operand)
        if node.operator == "-":
            return self.function(node, operators.NEGATE, [operand])
        if self.checked and operand.kind not in (DYN, kinds.BOOL):
            self.fail(node, mismatch("!_", (operand.kind,), member=False))
        return self.folded(Code(logic.negate(operand.run), kinds.BOOL), operand)

    def binary(self, node: Binary) -> Code:
        left, right = self.compile(node.left), self.compile(node.right)
        args = [left, right]
        if node.operator in ("==", "!="):
            if self.checked and not operators.comparable(left.kind, right.kind):
                self.fail(node, mismatch(f"_{node.operator}_", (left.kind, right.kind), member=False))
            same = operators.same(left, right)
            run = same if node.operator == "==" else _not(same)
            return self.folded(Code(run, kinds.BOOL), left, right)
        if node.operator == "in":
            checked = self.function(node, operators.MEMBERSHIP, args)
            return self.folded(checked._replace(run=operators.member_of(left.run, right)), left, right)
        if node.operator in operators.ORDER:
            checked = self.function(node, operators.ORDER[node.operator], args)
            return self.folded(checked._replace(run=operators.order(node.operator, left.run, right.run)), left, right)
        function = operators.ARITHMETIC[node.operator]
        code = self.function(node, function, args)
        if node.operator == "+" and DYN in (left.kind, right.kind) and not code.is_constant:
            slow = by_class(function, list(function.overloads))
            return code._replace(run=operators.plus(left.run, right.run, slow))
        return code

    def logic(self, node: Logic) -> Code:
        terms = [self.compile(term) for term in node.terms]
        for term, code in zip(node.terms, terms, strict=True):
            if self.checked and code.kind not in (DYN, kinds.BOOL):
                self.fail(term, mismatch(f"_{node.operator}_", (code.kind,), member=False))
        return self.folded(Code(logic.decide(node.operator, [code.run for code in terms]), kinds.BOOL), *terms)

    def conditional(self, node: Conditional) -> Code:
        condition, then, otherwise = map(self.compile, (node.condition, node.then, node.otherwise))
        if self.checked and condition.kind not in (DYN, kinds.BOOL):
            self.fail(node, mismatch("_?_:_", (condition.kind,), member=False))
        run = logic.choose(condition.run, then.run, otherwise.run)
        return self.folded(Code(run, joined(then.kind, otherwise.kind)), condition, then, otherwise)

    # calls and constructors

    def call(self, node: Call) -> Code:
        macro = MACROS.get((node.name, node.target is not None, len(node.args)))
        if macro is not None:
            code = macro(self, node)
            if code is not None:
                return code
        if node.target is None:
            return self.named(node, node.name.removeprefix("."), list(node.args))
        path = dotted(node.target)
        if path is not None and path.split(".")[0] not in self.locals:
            qualified = f"{path}.{node.name}".removeprefix(".")
            if self.is_function(qualified):
                return self.named(node, qualified, list(node.args))
        return self.named(node, node.name, [node.target, *node.args], member=True)

    def is_function(self, name: str) -> bool:
        return any((name, False, count) in self.functions for count in range(_MOST_ARGUMENTS))

    def named(self, node: Call, name: str, args: list[Node], *, member: bool = False) -> Code:
        function = self.functions.get((name, member, len(args)))
        codes = [self.compile(arg) for arg in args]
        if function is None:
            if not any((name, member, count) in self.functions for count in range(_MOST_ARGUMENTS)):
                return self.failing(node, f"undeclared reference to '{name}' (in container '{self.container}')")
            return self.failing(node, mismatch(name, [code.kind for code in codes], member=member))
        return self.function(node, function, codes, member=member)

    def function(self, node: Node, function: Function, args: list[Code], *, member: bool = False) -> Code:
        """A call whose arguments are compiled."""
        candidates = function.candidates([code.kind for code in args])
        if not candidates:
            if self.checked:
                self.fail(node, mismatch(function.name, [code.kind for code in args], member=member))
            candidates = list(function.overloads)
        try:
            run = call(function, candidates, args)
        except CelError as error:
            self.fail(node, str(error))
        result = candidates[0].result
        for overload in candidates[1:]:
            result = joined(result, overload.result)
        return self.folded(Code(run, result), *args)

    def literal(self, node: Literal) -> Code:
        return constant(node.value, kind_of(node.value))

    def list(self, node: ListLiteral) -> Code:
        codes = [self.compile(element) for element, _ in node.elements]
        marks = [mark for _, mark in node.elements]
        return self.folded(Code(list_of([code.run for code in codes], marks), kinds.LIST), *codes)

    def map(self, node: MapLiteral) -> Code:
        keys = [self.compile(key) for key, _, _ in node.entries]
        values = [self.compile(value) for _, value, _ in node.entries]
        marks = [mark for _, _, mark in node.entries]
        run = map_of([code.run for code in keys], [code.run for code in values], marks)
        return self.folded(Code(run, kinds.MAP), *keys, *values)

    def message(self, node: Message) -> Code:
        name = node.name.removeprefix(".")
        constructor = self.constructors.get(name) or self.constructors.get(name.split(".")[0] + ".*")
        if constructor is None:
            return self.failing(node, f"undeclared reference to '{name}' (in container '{self.container}')")
        fields = [field for field, _, _ in node.fields]
        values = [self.compile(value).run for _, value, _ in node.fields]
        marks = [mark for _, _, mark in node.fields]
        return Code(message_of(constructor, name, fields, values, marks))

    def folded(self, code: Code, *parts: Code) -> Code:
        """The code as a constant if all its parts are; an evaluation error stays one until it is evaluated."""
        if code.is_constant or not all(part.is_constant for part in parts):
            return code
        try:
            value = code.run([None, _FOLDING_STEPS])
        except ExpressionError:
            return code
        return constant(value, code.kind)


_MOST_ARGUMENTS = 8
_FOLDING_STEPS = 1000
"""What a constant may cost when compiling; dearer ones are left to the evaluation and its budget."""

_NODES: dict[type[Node], Callable[[Compiler, Any], Code]] = {
    Literal: Compiler.literal,
    Ident: Compiler.ident,
    Select: Compiler.select,
    Index: Compiler.index,
    Call: Compiler.call,
    Unary: Compiler.unary,
    Binary: Compiler.binary,
    Logic: Compiler.logic,
    Conditional: Compiler.conditional,
    ListLiteral: Compiler.list,
    MapLiteral: Compiler.map,
    Message: Compiler.message,
}


def _not(run: Run) -> Run:
    return lambda frame: not run(frame)

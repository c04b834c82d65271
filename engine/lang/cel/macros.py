"""Macros: calls that bind names or look at the form of their arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from engine.lang.cel import access, comprehension, kinds
from engine.lang.cel.frame import Code, Frame, constant
from engine.lang.cel.functions import mismatch
from engine.lang.cel.kinds import DYN, Struct, joined
from engine.lang.cel.parser import dotted
from engine.lang.cel.syntax import Call, Ident, ListLiteral, Node, Select
from engine.lang.cel.values import NONE, Optional, no_overload

if TYPE_CHECKING:
    from engine.lang.cel.compiler import Compiler

Macro = Callable[["Compiler", Call], Code | None]
"""The code of the call, or None where it is none of this macro."""


def _name(compiler: Compiler, node: Node) -> str:
    if not isinstance(node, Ident) or node.name.startswith("."):
        compiler.fail(node, "argument must be a simple name")
    return node.name


def _range(compiler: Compiler, node: Call) -> Code:
    assert node.target is not None
    target = compiler.compile(node.target)
    if compiler.checked and target.kind not in (DYN, kinds.LIST, kinds.MAP) and not isinstance(target.kind, Struct):
        compiler.fail(node.target, f"expression of type '{kinds.kind_name(target.kind)}' cannot be range of a comprehension")
    return target


def _condition(compiler: Compiler, node: Node) -> Code:
    code = compiler.compile(node)
    if compiler.checked and code.kind not in (DYN, kinds.BOOL):
        compiler.fail(node, mismatch("_&&_", (code.kind,), member=False))
    return code


def _has(compiler: Compiler, node: Call) -> Code:
    (argument,) = node.args
    if not isinstance(argument, Select):
        compiler.fail(argument, "invalid argument to has() macro")
    path = dotted(argument)
    if path is not None and path in compiler.variables and path.split(".")[0] not in compiler.locals:
        return constant(True, kinds.BOOL)  # a variable with a dotted name is declared, so it is there
    operand = compiler.compile(argument.operand)
    if argument.optional:
        run, name = operand.run, argument.field
        return Code(lambda frame: access.select_optional(run(frame), name) is not NONE, kinds.BOOL)
    compiler.field_kind(argument, operand.kind, argument.field)
    return compiler.folded(Code(access.has_field(operand.run, argument.field), kinds.BOOL), operand)


def _quantifier(*, exists: bool) -> Macro:
    def quantifier(compiler: Compiler, node: Call) -> Code:
        target = _range(compiler, node)
        name = _name(compiler, node.args[0])

        def body(variable: Code) -> Code:
            condition = _condition(compiler, node.args[-1])
            return Code(comprehension.quantify(target.run, variable.slot, condition.run, exists=exists), kinds.BOOL)

        return compiler.bound(name, DYN, body)

    return quantifier


_Build = Callable[["Compiler", Call, comprehension.Elements, list[Code]], Code]


def _loop_one(build: _Build) -> Macro:
    """A macro over one variable; `build` compiles the rest while it is bound."""

    def loop(compiler: Compiler, node: Call) -> Code:
        target = _range(compiler, node)
        name = _name(compiler, node.args[0])
        return compiler.bound(
            name, DYN, lambda variable: build(compiler, node, comprehension.over_one(target.run, variable.slot), [variable])
        )

    return loop


def _loop_two(build: _Build) -> Macro:
    """A macro over index and element, or key and value."""

    def loop(compiler: Compiler, node: Call) -> Code:
        target = _range(compiler, node)
        first, second = (_name(compiler, argument) for argument in node.args[:2])
        if first == second:
            compiler.fail(node.args[1], "the variables of a comprehension must differ")
        index = kinds.INT if target.kind == kinds.LIST else DYN

        def inner(one: Code) -> Code:
            return compiler.bound(
                second,
                DYN,
                lambda two: build(compiler, node, comprehension.over_two(target.run, one.slot, two.slot), [one, two]),
            )

        return compiler.bound(first, index, inner)

    return loop


def _pairs(*, exists: bool) -> _Build:
    def build(compiler: Compiler, node: Call, elements: comprehension.Elements, _: list[Code]) -> Code:
        return Code(comprehension.quantify_pairs(elements, _condition(compiler, node.args[-1]).run, exists=exists), kinds.BOOL)

    return build


def _exactly_one(compiler: Compiler, node: Call, elements: comprehension.Elements, _: list[Code]) -> Code:
    return Code(comprehension.exactly_one(elements, _condition(compiler, node.args[-1]).run), kinds.BOOL)


def _filter(compiler: Compiler, node: Call, elements: comprehension.Elements, variables: list[Code]) -> Code:
    condition = _condition(compiler, node.args[-1])
    return Code(comprehension.collect(elements, condition.run, variables[0].run), kinds.LIST)


def _collect(compiler: Compiler, node: Call, elements: comprehension.Elements, variables: list[Code]) -> Code:
    filtered = len(node.args) == len(variables) + 2
    condition = _condition(compiler, node.args[-2]).run if filtered else None
    return Code(comprehension.collect(elements, condition, compiler.compile(node.args[-1]).run), kinds.LIST)


def _collect_map(compiler: Compiler, node: Call, elements: comprehension.Elements, variables: list[Code]) -> Code:
    condition = _condition(compiler, node.args[-2]).run if len(node.args) == 4 else None
    value = compiler.compile(node.args[-1]).run
    return Code(comprehension.collect_map(elements, condition, variables[0].run, value), kinds.MAP)


def _collect_entries(compiler: Compiler, node: Call, elements: comprehension.Elements, _: list[Code]) -> Code:
    condition = _condition(compiler, node.args[-2]).run if len(node.args) == 4 else None
    return Code(comprehension.collect_entries(elements, condition, compiler.compile(node.args[-1]).run), kinds.MAP)


def _sort_by(compiler: Compiler, node: Call) -> Code:
    target = _range(compiler, node)
    # The key's variable is the only thing the macro does not name: it is the first argument.
    name = _name(compiler, node.args[0])
    return compiler.bound(
        name,
        DYN,
        lambda variable: Code(
            comprehension.sort_by(
                comprehension.over_one(target.run, variable.slot), variable.slot, compiler.compile(node.args[1]).run
            ),
            kinds.LIST,
        ),
    )


def _bind(compiler: Compiler, node: Call) -> Code | None:
    if not isinstance(node.target, Ident) or node.target.name != "cel":
        return None
    name = _name(compiler, node.args[0])
    value = compiler.compile(node.args[1])

    def body(variable: Code) -> Code:
        inner, slot, run = compiler.compile(node.args[2]), variable.slot, value.run

        def bound(frame: Frame) -> Any:
            frame[slot] = run(frame)
            return inner.run(frame)

        return Code(bound, inner.kind)

    return compiler.bound(name, value.kind, body)


def _optional_map(*, flat: bool) -> Macro:
    def optional_map(compiler: Compiler, node: Call) -> Code:
        assert node.target is not None
        target = compiler.compile(node.target)
        name = _name(compiler, node.args[0])

        def body(variable: Code) -> Code:
            slot, source, inner = variable.slot, target.run, compiler.compile(node.args[1]).run

            def mapped(frame: Frame) -> Any:
                value = source(frame)
                if value.__class__ is not Optional:
                    raise no_overload(node.name, value)
                if value is NONE:
                    return NONE
                frame[slot] = value.value
                return inner(frame) if flat else Optional(inner(frame))

            return Code(mapped, kinds.OPTIONAL)

        return compiler.bound(name, DYN, body)

    return optional_map


def _or(*, unwrap: bool) -> Macro:
    """`or` and `orValue` look at their argument only where the target is none. As in cel-go a target that is no optional
    value when it is evaluated is the answer itself."""

    def alternative(compiler: Compiler, node: Call) -> Code:
        assert node.target is not None
        target, other = compiler.compile(node.target), compiler.compile(node.args[0])
        if compiler.checked and (target.kind not in (DYN, kinds.OPTIONAL) or not (unwrap or other.kind in (DYN, kinds.OPTIONAL))):
            compiler.fail(node, mismatch(node.name, (target.kind, other.kind), member=True))
        run, otherwise = target.run, other.run

        def chosen(frame: Frame) -> Any:
            value = run(frame)
            if value is NONE:
                return otherwise(frame)
            return value.value if unwrap and value.__class__ is Optional else value

        return compiler.folded(Code(chosen, DYN if unwrap else kinds.OPTIONAL), target, other)

    return alternative


def _extreme(name: str) -> Macro:
    """`math.greatest` and `math.least` take any number of arguments, or one list."""

    def extreme(compiler: Compiler, node: Call) -> Code | None:
        if not isinstance(node.target, Ident) or node.target.name != "math":
            return None
        function = compiler.functions.get((f"math.@{name}", False, 1))
        if function is None:
            return None
        args = [compiler.compile(argument) for argument in node.args]
        if len(args) > 1 or args[0].kind in kinds.NUMERIC:
            for argument, code in zip(node.args, args, strict=True):
                if compiler.checked and code.kind != DYN and code.kind not in kinds.NUMERIC:
                    compiler.fail(argument, f"math.{name}() requires numeric arguments")
            kind = args[0].kind
            for code in args[1:]:
                kind = joined(kind, code.kind)
            listed = compiler.compile(ListLiteral(node.at, tuple((argument, False) for argument in node.args)))
            return compiler.function(node, function, [listed])._replace(kind=kind)
        return compiler.function(node, function, args)

    return extreme


MACROS: dict[tuple[str, bool, int], Macro] = {
    ("has", False, 1): _has,
    ("all", True, 2): _quantifier(exists=False),
    ("exists", True, 2): _quantifier(exists=True),
    ("exists_one", True, 2): _loop_one(_exactly_one),
    ("existsOne", True, 2): _loop_one(_exactly_one),
    ("map", True, 2): _loop_one(_collect),
    ("map", True, 3): _loop_one(_collect),
    ("filter", True, 2): _loop_one(_filter),
    ("all", True, 3): _loop_two(_pairs(exists=False)),
    ("exists", True, 3): _loop_two(_pairs(exists=True)),
    ("existsOne", True, 3): _loop_two(_exactly_one),
    ("exists_one", True, 3): _loop_two(_exactly_one),
    ("transformList", True, 3): _loop_two(_collect),
    ("transformList", True, 4): _loop_two(_collect),
    ("transformMap", True, 3): _loop_two(_collect_map),
    ("transformMap", True, 4): _loop_two(_collect_map),
    ("transformMapEntry", True, 3): _loop_two(_collect_entries),
    ("transformMapEntry", True, 4): _loop_two(_collect_entries),
    ("sortBy", True, 2): _sort_by,
    ("bind", True, 3): _bind,
    ("or", True, 1): _or(unwrap=False),
    ("orValue", True, 1): _or(unwrap=True),
    ("optMap", True, 2): _optional_map(flat=False),
    ("optFlatMap", True, 2): _optional_map(flat=True),
    **{(name, True, count): _extreme(name) for name in ("greatest", "least") for count in range(1, 32)},
}
"""(name, member, arguments without the target) -> macro."""

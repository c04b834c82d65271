"""AST -> closures.

Every node becomes one Python closure over the closures of its children. Two things are decided at compile time. *Rooted*: the
node is evaluated against the Root, everywhere else values are plain JSON. *Lenient*: an unknown field is null there instead of
an error (spec 2.10, 9.8): function arguments, comparators, filters, projections, multi-selects, both sides of pipes, the left
side of `||` and `&&`, and `!`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.lang.errors import ExpressionError, ExpressionSyntaxError
from engine.lang.jmes.fields import after, fields, forgiving
from engine.lang.jmes.functions import FUNCTIONS, Closure, bind
from engine.lang.jmes.projections import filtered, flattened, projected, values_projected
from engine.lang.jmes.root import Document, Root
from engine.lang.jmes.syntax import Ast
from engine.lang.jmes.values import NUMBERS, equal, is_true


class Build:
    """One compilation; `root` is bound only for expressions whose functions need it (`needs_root` tells, afterwards)."""

    __slots__ = ("needs_root", "raw", "root", "text")

    def __init__(self, text: str, root: Root | None = None) -> None:
        self.text = text
        self.root = root
        self.needs_root = False
        self.raw = False

    def node(self, ast: Ast, *, rooted: bool, lenient: bool) -> Closure:
        return _NODES[ast["type"]](self, ast, rooted, lenient)

    def fault(self, reason: str) -> ExpressionSyntaxError:
        return ExpressionSyntaxError(self.text, reason)


def _plain(rooted: bool, closure: Closure) -> Closure:
    """A closure over plain values, made to work on the Root where it is met."""
    return (lambda root: closure(root.as_object())) if rooted else closure


# Fields


def _field(build: Build, ast: Ast, rooted: bool, lenient: bool) -> Closure:
    return fields([ast["value"]], rooted, lenient)


def _subexpression(build: Build, ast: Ast, rooted: bool, lenient: bool) -> Closure:
    children = list(ast["children"])
    if rooted and children[0]["type"] == "current":
        del children[0]  # `@.name` reads one name, it does not need the whole root
    steps: list[Closure] = []
    names: list[str] = []
    for child in children:
        if child["type"] == "field":
            names.append(child["value"])
            continue
        if names:
            steps.append(fields(names, rooted and not steps, lenient=False))
            names = []
        steps.append(build.node(child, rooted=rooted and not steps, lenient=False))
    if not steps:
        return fields(names, rooted, lenient)
    if names:
        steps.append(fields(names, False, lenient=False))
    run = steps[0]
    for step in steps[1:]:
        run = after(run, step)
    return forgiving(run) if lenient else run


# Indexes and slices


def _index(build: Build, ast: Ast, rooted: bool, lenient: bool) -> Closure:
    position = ast["value"]

    def index(value: Any) -> Any:
        if value.__class__ is list and -len(value) <= position < len(value):
            return value[position]
        return None

    return _plain(rooted, index)


def _slice(build: Build, ast: Ast, rooted: bool, lenient: bool) -> Closure:
    span = slice(*ast["children"])
    return _plain(rooted, lambda value: value[span] if value.__class__ is list else None)


def _index_expression(build: Build, ast: Ast, rooted: bool, lenient: bool) -> Closure:
    left, *rest = ast["children"]
    run = build.node(left, rooted=rooted, lenient=lenient)
    for child in rest:
        run = after(run, build.node(child, rooted=False, lenient=lenient))
    return run


# Values


def _literal(build: Build, ast: Ast, rooted: bool, lenient: bool) -> Closure:
    constant = ast["value"]
    return lambda _value: constant


def _current(build: Build, ast: Ast, rooted: bool, lenient: bool) -> Closure:
    return _plain(rooted, lambda value: value)


def _expref(build: Build, ast: Ast, rooted: bool, lenient: bool) -> Closure:
    # Outside a call it has no value; Kyverno shows an empty object.
    return lambda _value: {}


def _multi_select_list(build: Build, ast: Ast, rooted: bool, lenient: bool) -> Closure:
    items = [build.node(child, rooted=rooted, lenient=True) for child in ast["children"]]

    def select(value: Any) -> Any:
        return None if value is None else [item(value) for item in items]

    return _unless_null(select) if rooted else select


def _multi_select_dict(build: Build, ast: Ast, rooted: bool, lenient: bool) -> Closure:
    pairs = [(pair["value"], build.node(pair["children"][0], rooted=rooted, lenient=True)) for pair in ast["children"]]

    def select(value: Any) -> Any:
        return None if value is None else {name: item(value) for name, item in pairs}

    return _unless_null(select) if rooted else select


def _unless_null(select: Closure) -> Closure:
    return lambda root: None if isinstance(root, Document) and root.value is None else select(root)


# Conditions


def _or(build: Build, ast: Ast, rooted: bool, lenient: bool) -> Closure:
    # Both sides forgive an unknown key: `nope || alsono` is null (test policies/karpenter/set-karpenter-non-cpu-limits).
    left, right = (build.node(child, rooted=rooted, lenient=True) for child in ast["children"])

    def either(value: Any) -> Any:
        found = left(value)
        return found if found or found.__class__ in NUMBERS else right(value)

    return either


def _and(build: Build, ast: Ast, rooted: bool, lenient: bool) -> Closure:
    left = build.node(ast["children"][0], rooted=rooted, lenient=True)
    right = build.node(ast["children"][1], rooted=rooted, lenient=lenient)

    def both(value: Any) -> Any:
        found = left(value)
        return right(value) if found or found.__class__ in NUMBERS else found

    return both


def _not(build: Build, ast: Ast, rooted: bool, lenient: bool) -> Closure:
    operand = build.node(ast["children"][0], rooted=rooted, lenient=True)
    return lambda value: not is_true(operand(value))


_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "gt": lambda left, right: left > right,
    "gte": lambda left, right: left >= right,
    "lt": lambda left, right: left < right,
    "lte": lambda left, right: left <= right,
}


def _comparator(build: Build, ast: Ast, rooted: bool, lenient: bool) -> Closure:
    left, right = (build.node(child, rooted=rooted, lenient=True) for child in ast["children"])
    constants = [child["value"] for child in ast["children"] if child["type"] == "literal"]
    if len(constants) == 1 and constants[0].__class__ is str and ast["value"] in ("eq", "ne"):
        constant, found = constants[0], right if ast["children"][0]["type"] == "literal" else left
        return (lambda value: found(value) == constant) if ast["value"] == "eq" else lambda value: found(value) != constant
    if ast["value"] == "eq":
        return lambda value: equal(left(value), right(value))
    if ast["value"] == "ne":
        return lambda value: not equal(left(value), right(value))
    order = _ORDER[ast["value"]]

    def compare(value: Any) -> Any:
        one, other = left(value), right(value)
        if one.__class__ in NUMBERS and other.__class__ in NUMBERS:
            return order(one, other)
        return None  # only numbers have an order

    return compare


def _pipe(build: Build, ast: Ast, rooted: bool, lenient: bool) -> Closure:
    left, right = ast["children"]
    if left["type"] == "current":
        return build.node(right, rooted=rooted, lenient=True)
    return after(build.node(left, rooted=rooted, lenient=True), build.node(right, rooted=False, lenient=True))


# Projections


def _projection(build: Build, ast: Ast, rooted: bool, lenient: bool) -> Closure:
    left, right = ast["children"]
    base = build.node(left, rooted=rooted, lenient=True)
    return projected(base, build.node(right, rooted=False, lenient=True), right)


def _value_projection(build: Build, ast: Ast, rooted: bool, lenient: bool) -> Closure:
    left, right = ast["children"]
    base = build.node(left, rooted=rooted, lenient=True)
    return values_projected(base, build.node(right, rooted=False, lenient=True))


def _filter_projection(build: Build, ast: Ast, rooted: bool, lenient: bool) -> Closure:
    left, right, condition = ast["children"]
    base = build.node(left, rooted=rooted, lenient=True)
    keep = build.node(condition, rooted=False, lenient=True)
    return filtered(base, keep, build.node(right, rooted=False, lenient=True), right)


def _flatten(build: Build, ast: Ast, rooted: bool, lenient: bool) -> Closure:
    return flattened(build.node(ast["children"][0], rooted=rooted, lenient=True))


# Functions


def _function(build: Build, ast: Ast, rooted: bool, lenient: bool) -> Closure:
    name, nodes = ast["value"], ast["children"]
    entry = FUNCTIONS.get(name)
    if entry is None:
        raise build.fault(f"unknown function: {name}")
    if not entry.accepts(len(nodes)):
        raise build.fault(f"incorrect number of args: {entry.signature(name)} got {len(nodes)}")
    arguments: list[Closure] = []
    for position, node in enumerate(nodes):
        parameter = entry.parameter(position)
        if parameter.is_expression != (node["type"] == "expref"):
            expected = "an expression (&…)" if parameter.is_expression else "no expression (&…)"
            raise build.fault(f"argument {position + 1} of {name} must be {expected}")
        if parameter.is_expression:
            inner = build.node(node["children"][0], rooted=False, lenient=True)
            arguments.append(_literal(build, {"value": inner}, rooted, lenient))
        else:
            arguments.append(parameter.checked(build.node(node, rooted=rooted, lenient=True)))
    build.raw |= entry.raw
    if entry.needs_root:
        build.needs_root = True
        root = build.root
        return bind(lambda *values: entry.call(root, *values), arguments)
    if entry.prepare is not None and nodes[0]["type"] == "literal" and nodes[0]["value"].__class__ is str:
        try:
            return bind(entry.prepare(nodes[0]["value"]), arguments[1:])
        except ExpressionError:
            pass  # a faulty pattern is the evaluation's error, as in Kyverno: the plain call raises it
    return bind(entry.call, arguments)


_NODES: dict[str, Callable[[Build, Ast, bool, bool], Closure]] = {
    "and_expression": _and,
    "comparator": _comparator,
    "current": _current,
    "expref": _expref,
    "field": _field,
    "filter_projection": _filter_projection,
    "flatten": _flatten,
    "function_expression": _function,
    "identity": _current,
    "index": _index,
    "index_expression": _index_expression,
    "literal": _literal,
    "multi_select_dict": _multi_select_dict,
    "multi_select_list": _multi_select_list,
    "not_expression": _not,
    "or_expression": _or,
    "pipe": _pipe,
    "projection": _projection,
    "slice": _slice,
    "subexpression": _subexpression,
    "value_projection": _value_projection,
}

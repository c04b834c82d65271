"""Variables and their parts: what `{{ expression }}` and each piece of it is for one request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.clauses.template import Template
from engine.clauses.variable import PLACEHOLDER, VARIABLE
from engine.errors import EngineError, Unknown
from engine.explain.step import ABSENT, Step
from engine.lang.errors import LanguageError
from engine.lang.jmes import Document, Expression, compile_expression
from engine.lang.jmes.syntax import Ast
from engine.lang.jmes.text import to_text
from engine.scope import Scope

_LEAVES = frozenset({"literal", "current", "identity", "expref", "index", "slice"})
_SAME_ROOT = frozenset(
    {
        "and_expression",
        "comparator",
        "function_expression",
        "multi_select_list",
        "not_expression",
        "or_expression",
    }
)
_LEFT_FIRST = frozenset({"projection", "value_projection", "filter_projection", "flatten", "index_expression", "pipe"})


def template_step(title: str, template: Template, scope: Scope, path: str) -> Step:
    """The value of a template and, below it, of every variable in it."""
    if template.constant:
        return Step(title, path=path, found=template.value)
    variables = tuple(variable_step(text, scope) for text in dict.fromkeys(template.variables) if PLACEHOLDER not in text)
    found, note = attempt(template, scope)
    if len(variables) == 1 and VARIABLE.fullmatch(str(template.value)):
        variables = variables[0].steps  # the variable is the whole: its value has been shown
    return Step(title, path=path, wanted=template.value, found=found, note=note, steps=variables)


def variable_step(text: str, scope: Scope) -> Step:
    """One expression with its value and the values of its parts; on DELETE the old object answers, as for the engine."""
    written = text.replace("request.object", "request.oldObject") if scope.request.operation == "DELETE" else text
    title = f"{{{{ {text} }}}}"
    try:
        expression = compile_expression(written)
    except LanguageError as error:
        return Step(title, note=str(error))
    found, note = attempt(expression, scope)
    return Step(title, found=found, note=note, steps=tuple(_parts(expression.ast, scope)))


def attempt(ask: Any, root: Any) -> tuple[Any, str]:
    """(value, why there is none)."""
    try:
        return ask(root), ""
    except Unknown as unknown:
        return ABSENT, f"not known here: {unknown}"
    except (EngineError, LanguageError) as error:
        return ABSENT, str(error)


def _parts(ast: Ast, root: Any) -> Iterator[Step]:
    """The parts that are asked of the same root, and what a pipe hands on."""
    kind, children = ast["type"], ast["children"]
    if kind in _SAME_ROOT:
        for child in children:
            yield from _part(child, root)
    elif kind == "multi_select_dict":
        for pair in children:
            yield from _part(pair["children"][0], root)
    elif kind in _LEFT_FIRST or (kind == "subexpression" and children[0]["type"] != "field"):
        yield from _part(children[0], root)
    if kind == "pipe":
        found, _ = attempt(Expression(to_text(children[0]), children[0]), root)
        if found is not ABSENT:
            yield from _parts(children[1], Document(found))


def _part(ast: Ast, root: Any) -> Iterator[Step]:
    if ast["type"] == "flatten":
        ast = ast["children"][0]  # the list shows what its flattening would
    if ast["type"] in _LEAVES:
        return
    text = to_text(ast)
    found, note = attempt(Expression(text, ast), root)
    yield Step(text, found=found, note=note, steps=tuple(_parts(ast, root)))

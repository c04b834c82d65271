"""One variable: the grammar of `{{ expression }}`, its value in a scope, and texts whose variables are only known now.

How a text is read (spec 2.10, 9.8): a variable is two braces around text whose own braces are balanced one level deep; the
innermost variables are replaced first, then the text is searched again until none is left. `{{- x }}` is inserted without a
further search, `\\{{ x }}` is text and loses its backslash.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from engine.errors import EvaluationError, InvalidPolicy, VariableError
from engine.lang import go_json
from engine.lang.errors import ExpressionError, ExpressionSyntaxError
from engine.lang.jmes import Expression, compile_expression
from engine.scope import Scope

VARIABLE = re.compile(r"(?<!\\)\{\{((?:\{[^{}]*\}|[^{}])*)\}\}")
_ESCAPED = re.compile(r"\\(\{\{(?:\{[^{}]*\}|[^{}])*\}\})")
PLACEHOLDER = "\x00"
_MAX_ROUNDS = 64
_MAX_VARIABLES = 2000
_MAX_TEXT = 2 * 1024 * 1024
"""Objects may hold variables of their own: bounds on what they can make of a text (maxContextSize, spec 2.10)."""


def variables_of(value: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """(expression text, pointer) of every variable in a JSON value, map keys included."""
    if isinstance(value, str):
        for inner in variables_in(value):
            yield inner, at
    elif isinstance(value, dict):
        for key, member in value.items():
            yield from variables_of(key, at)
            yield from variables_of(member, f"{at}/{step_of(key)}")
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from variables_of(member, f"{at}/{index}")


def variables_in(text: str) -> Iterator[str]:
    """The innermost variables of a text, then those that hold them, the inner ones marked by their own text without braces."""
    while True:
        found = [match[1] for match in VARIABLE.finditer(text)]
        if not found:
            return
        for inner in found:
            yield _strip(inner)[0]
        text = VARIABLE.sub(PLACEHOLDER, text)


class Variable:
    """One variable with a fixed expression: called with a scope it gives the value."""

    __slots__ = ("at", "expression", "on_delete", "shallow", "text")

    def __init__(self, inner: str, path: str, at: str) -> None:
        self.text, self.shallow = _strip(inner)
        self.at = at
        self.expression: Expression | None = None
        self.on_delete: Expression | None = None
        if self.text != "@":
            self.expression = self.on_delete = _compiled(self.text, path, at)
            rewritten = _for_delete(self.text)
            if rewritten != self.text:
                self.on_delete = _compiled(rewritten, path, at)

    def __call__(self, scope: Scope) -> Any:
        expression = self.on_delete if scope.request.operation == "DELETE" else self.expression
        if expression is None:
            return _resolve(self.text, scope, self.at)
        return _value(expression, self.text, scope, self.at)


def _compiled(text: str, path: str, at: str) -> Expression:
    try:
        return _parse(text)
    except ExpressionSyntaxError as error:
        raise InvalidPolicy(path, f"failed to resolve {text} at path {at}: {_syntax(text, error)}") from error


def _parse(text: str) -> Expression:
    if not text:
        raise ExpressionSyntaxError(text, "invalid query (nil)")
    return compile_expression(text)


def _syntax(text: str, error: ExpressionSyntaxError) -> str:
    return f"invalid JMESPath query {text}: {error.reason}" if text else error.reason


def substitute(text: str, scope: Scope, *, at: str = "") -> Any:
    """The value of a text whose variables are only known now; raises `VariableError`."""
    resolved = 0
    for _ in range(_MAX_ROUNDS):
        matches = list(VARIABLE.finditer(text))
        if not matches:
            return unescape(text)
        first, shallow = _strip(matches[0][1])
        resolved += len(matches)
        if resolved > _MAX_VARIABLES:
            raise VariableError(first, f"more than {_MAX_VARIABLES} variables in one text", at)
        if matches[0][0] == text:
            return _resolve(first, scope, at)
        parts: list[str] = []
        end = 0
        for match in matches:
            expression, once = _strip(match[1])
            shallow = shallow or once
            parts += (text[end : match.start()], inserted(_resolve(expression, scope, at)))
            end = match.end()
        parts.append(text[end:])
        text = "".join(parts)
        if shallow:
            return unescape(text)
        if len(text) > _MAX_TEXT:
            raise VariableError(first, "context size limit exceeded", at)
    raise VariableError(first, f"still variables after {_MAX_ROUNDS} rounds of substitution", at)


def _resolve(text: str, scope: Scope, at: str) -> Any:
    """The value of an expression that is compiled now."""
    written = text
    if text == "@":
        text = _at_pointer(scope, at)
    if scope.request.operation == "DELETE":
        text = _for_delete(text)
    try:
        expression = _parse(text)
    except ExpressionSyntaxError as error:
        raise VariableError(written, _syntax(text, error), at) from error
    return _value(expression, written, scope, at)


def _value(expression: Expression, text: str, scope: Scope, at: str) -> Any:
    try:
        return expression(scope)
    except ExpressionError as error:
        raise VariableError(text, f"JMESPath query failed: {error}", at) from error
    except EvaluationError as error:
        raise VariableError(text, str(error), at) from error


def step_of(key: str) -> str:
    """A key as one step of a place: its own slashes are escaped (mutate/.../jmespath-with-special-chars)."""
    return key.replace("/", "\\/") if "/" in key else key


_STEP_END = re.compile(r"(?<!\\)/")


def _at_pointer(scope: Scope, at: str) -> str:
    """The expression that `@` stands for: the place `at` within the target or the request's object.

    The first two steps are dropped whatever they are: in a rule they are the rule's kind and `pattern`, but a pattern is
    resolved by itself, so that `@` at /spec/x is the whole object (oracle variables.json).
    """
    steps = [step.replace("\\/", "/") for step in _STEP_END.split(at) if step]
    if "foreach" in steps:
        steps = steps[steps.index("foreach") + 1 :]
    root = "target" if "target" in scope.names() else "request.object"
    text = root
    for step in steps[2:]:
        text += f"[{step}]" if step.isdigit() else f".{go_json.dumps(step)}"
    return text


def _for_delete(text: str) -> str:
    """On DELETE there is no new object: the old one answers for it (spec 2.10)."""
    return text.replace("request.object", "request.oldObject")


def _strip(inner: str) -> tuple[str, bool]:
    text = inner.strip()
    if text.startswith("-"):
        return text[1:].strip(), True
    return text, False


def inserted(value: Any) -> str:
    """A variable's value inside a text: a string as it is, anything else as Go's JSON (spec 2.10)."""
    return value if isinstance(value, str) else go_json.dumps(value)


def unescape(text: str) -> str:
    """`\\{{` is how a policy writes braces that are no variable."""
    return _ESCAPED.sub(r"\1", text) if "\\{{" in text else text

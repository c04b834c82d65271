"""Variables in JSON values: `{{ expression }}` and `$(reference)`, compiled once (spec 2.10, 9.8).

The grammar: a variable is two braces around text whose own braces are balanced one level deep; the innermost variables are
replaced first, then the text is searched again until none is left. A string that is one variable as a whole takes the
value's type and is not searched again; elsewhere the value is inserted as Go writes JSON (strings bare). `{{- x }}` is
inserted without a further search, `\\{{ x }}` is text and loses its backslash. Map keys are templates too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from engine.clauses.references import resolve_references
from engine.errors import EvaluationError, InvalidPolicy, VariableError
from engine.lang import go_json
from engine.lang.errors import ExpressionError, ExpressionSyntaxError
from engine.lang.jmes import Expression, compile_expression
from engine.scope import Scope

VARIABLE = re.compile(r"(?<!\\)\{\{((?:\{[^{}]*\}|[^{}])*)\}\}")
_ESCAPED = re.compile(r"\\(\{\{(?:\{[^{}]*\}|[^{}])*\}\})")
_PLACEHOLDER = "\x00"
_MAX_ROUNDS = 64
_MAX_VARIABLES = 2000
_MAX_TEXT = 2 * 1024 * 1024
"""Objects may hold variables of their own: bounds on what they can make of a text (maxContextSize, spec 2.10)."""

Render = Callable[[Scope], Any]


class Template:
    """A JSON value with variables. Called with a scope it gives the value with all of them resolved.

    `constant`: there are none, `value` is the result; otherwise `value` is what was written. `variables` are the expression
    texts (of nested variables the innermost ones first, then the outer ones with a NUL in the inner one's place). Raises
    `VariableError` where a variable has no value; parts of the result without variables are shared, never copied.
    """

    __slots__ = ("_render", "constant", "value", "variables")

    def __init__(self, value: Any, render: Render | None, variables: tuple[str, ...]) -> None:
        self.value = value
        self.constant = render is None
        self.variables = variables
        self._render: Render = render if render is not None else lambda _scope: value

    def __call__(self, scope: Scope) -> Any:
        return self._render(scope)

    def lenient(self, scope: Scope) -> Any:
        """The value for a message: the empty string where a variable cannot be resolved (spec 9.8)."""
        try:
            return self._render(scope)
        except EvaluationError:
            return ""


def compile_template(value: Any, *, path: str = "", at: str = "") -> Template:
    """Compiles the JSON `value`.

    `path` is its place in the policy, for `InvalidPolicy` (JMESPath syntax errors, references to nothing); `at` the pointer
    that error messages and `{{ @ }}` start from: empty for a pattern or a condition's key, which stand for themselves.
    """
    document = resolve_references(value, path=path, at=at)
    variables: list[str] = []
    render = _compile(document, path, at, variables)
    return Template(_plain(document) if render is None else document, render, tuple(variables))


def substitute(text: str, scope: Scope, *, at: str = "") -> Any:
    """The value of a text that is only known now; raises `VariableError`."""
    return _search(text, scope, at)


def variables_of(value: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """(expression text, pointer) of every variable in a JSON value, map keys included."""
    if isinstance(value, str):
        for inner in _variables_in(value):
            yield inner, at
    elif isinstance(value, dict):
        for key, member in value.items():
            yield from variables_of(key, at)
            yield from variables_of(member, f"{at}/{key}")
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from variables_of(member, f"{at}/{index}")


def _variables_in(text: str) -> Iterator[str]:
    """The innermost variables of a text, then those that hold them, the inner ones marked by their own text without braces."""
    while True:
        found = [match[1] for match in VARIABLE.finditer(text)]
        if not found:
            return
        for inner in found:
            yield _strip(inner)[0]
        text = VARIABLE.sub(_PLACEHOLDER, text)


def _compile(value: Any, path: str, at: str, variables: list[str]) -> Render | None:
    """The closure for a value; None: the value is constant."""
    if isinstance(value, str):
        return _compile_text(value, path, at, variables)
    if isinstance(value, dict):
        return _compile_map(value, path, at, variables)
    if isinstance(value, list):
        return _compile_list(value, path, at, variables)
    return None


def _compile_map(value: dict[str, Any], path: str, at: str, variables: list[str]) -> Render | None:
    members = []
    for key, member in value.items():
        key_render = _compile_text(key, path, at, variables)
        render = _compile(member, f"{path}.{key}" if path else key, f"{at}/{key}", variables)
        members.append((key if key_render is not None else _unescape(key), key_render, _plain(member), render))
    if all(key_render is None and render is None for _, key_render, _, render in members):
        return None
    if all(key_render is None for _, key_render, _, _ in members):
        return lambda scope: {key: plain if render is None else render(scope) for key, _, plain, render in members}

    def render_map(scope: Scope) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, key_render, plain, render in members:
            name = key
            if key_render is not None:
                name = key_render(scope)
                if not isinstance(name, str):
                    raise EvaluationError(f'expected string after substituting variables in key "{key}"')
            result[name] = plain if render is None else render(scope)
        return result

    return render_map


def _compile_list(value: list[Any], path: str, at: str, variables: list[str]) -> Render | None:
    members = [
        (_plain(member), _compile(member, f"{path}[{index}]", f"{at}/{index}", variables)) for index, member in enumerate(value)
    ]
    if all(render is None for _, render in members):
        return None
    return lambda scope: [plain if render is None else render(scope) for plain, render in members]


def _compile_text(text: str, path: str, at: str, variables: list[str]) -> Render | None:
    matches = list(VARIABLE.finditer(text))
    if not matches:
        return None
    nested = _PLACEHOLDER in text or VARIABLE.search(VARIABLE.sub(_PLACEHOLDER, text)) is not None
    resolvers = [_Variable(match[1], path, at) for match in matches]
    variables.extend(resolver.text for resolver in resolvers)
    if nested:
        variables.extend(outer for outer in _variables_in(VARIABLE.sub(_PLACEHOLDER, text)))
        return lambda scope: _search(text, scope, at)
    if len(matches) == 1 and matches[0][0] == text:
        return resolvers[0]
    if any(resolver.shallow for resolver in resolvers):
        return lambda scope: _search(text, scope, at)
    literals = [text[end:start] for end, start in _gaps(matches, len(text))]

    def render_text(scope: Scope) -> str:
        parts = [literals[0]]
        for resolver, literal in zip(resolvers, literals[1:], strict=True):
            parts.append(_inserted(resolver(scope)))
            parts.append(literal)
        joined = "".join(parts)
        return _search(joined, scope, at) if "{{" in joined else joined

    return render_text


def _gaps(matches: list[re.Match[str]], length: int) -> Iterator[tuple[int, int]]:
    """Start and end of the text before, between and after the matches."""
    end = 0
    for match in matches:
        yield end, match.start()
        end = match.end()
    yield end, length


class _Variable:
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


def _search(text: str, scope: Scope, at: str) -> Any:
    """Replaces the variables of a text whose expressions are only known now, until none is left."""
    resolved = 0
    for _ in range(_MAX_ROUNDS):
        matches = list(VARIABLE.finditer(text))
        if not matches:
            return _unescape(text)
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
            parts += (text[end : match.start()], _inserted(_resolve(expression, scope, at)))
            end = match.end()
        parts.append(text[end:])
        text = "".join(parts)
        if shallow:
            return _unescape(text)
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


def _at_pointer(scope: Scope, at: str) -> str:
    """The expression that `@` stands for: the place `at` within the target or the request's object.

    The first two steps are dropped whatever they are: in a rule they are the rule's kind and `pattern`, but a pattern is
    resolved by itself, so that `@` at /spec/x is the whole object (oracle variables.json).
    """
    steps = [step for step in at.split("/") if step]
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


def _inserted(value: Any) -> str:
    return value if isinstance(value, str) else go_json.dumps(value)


def _unescape(text: str) -> str:
    return _ESCAPED.sub(r"\1", text) if "\\{{" in text else text


def _plain(value: Any) -> Any:
    """A value without variables, its escapes undone; the same object where there are none."""
    if isinstance(value, str):
        return _unescape(value)
    if isinstance(value, dict):
        plain = {_unescape(key): _plain(member) for key, member in value.items()}
        same = all(a is b for a, b in zip(plain.values(), value.values(), strict=False)) and plain.keys() == value.keys()
        return value if same else plain
    if isinstance(value, list):
        members = [_plain(member) for member in value]
        return value if all(a is b for a, b in zip(members, value, strict=True)) else members
    return value

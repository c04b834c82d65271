"""Variables in JSON values: `{{ expression }}` and `$(reference)`, compiled once (spec 2.10, 9.8).

A string that is one variable as a whole takes the value's type and is not searched again; elsewhere the value is inserted as
Go writes JSON (strings bare). Map keys are templates too. The grammar of variables is in variable.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from engine.clauses.references import resolve_references
from engine.clauses.variable import PLACEHOLDER, VARIABLE, Variable, inserted, step_of, substitute, unescape, variables_in
from engine.errors import EvaluationError
from engine.scope import Scope

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
        render = _compile(member, f"{path}.{key}" if path else key, f"{at}/{step_of(key)}", variables)
        members.append((key if key_render is not None else unescape(key), key_render, _plain(member), render))
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
    nested = PLACEHOLDER in text or VARIABLE.search(VARIABLE.sub(PLACEHOLDER, text)) is not None
    resolvers = [Variable(match[1], path, at) for match in matches]
    variables.extend(resolver.text for resolver in resolvers)
    if nested:
        variables.extend(outer for outer in variables_in(VARIABLE.sub(PLACEHOLDER, text)))
        return lambda scope: substitute(text, scope, at=at)
    if len(matches) == 1 and matches[0][0] == text:
        return resolvers[0]
    if any(resolver.shallow for resolver in resolvers):
        return lambda scope: substitute(text, scope, at=at)
    literals = [text[end:start] for end, start in _gaps(matches, len(text))]

    def render_text(scope: Scope) -> str:
        parts = [literals[0]]
        for resolver, literal in zip(resolvers, literals[1:], strict=True):
            parts.append(inserted(resolver(scope)))
            parts.append(literal)
        joined = "".join(parts)
        return substitute(joined, scope, at=at) if "{{" in joined else joined

    return render_text


def _gaps(matches: list[re.Match[str]], length: int) -> Iterator[tuple[int, int]]:
    """Start and end of the text before, between and after the matches."""
    end = 0
    for match in matches:
        yield end, match.start()
        end = match.end()
    yield end, length


def _plain(value: Any) -> Any:
    """A value without variables, its escapes undone; the same object where there are none."""
    if isinstance(value, str):
        return unescape(value)
    if isinstance(value, dict):
        plain = {unescape(key): _plain(member) for key, member in value.items()}
        same = all(a is b for a, b in zip(plain.values(), value.values(), strict=False)) and plain.keys() == value.keys()
        return value if same else plain
    if isinstance(value, list):
        members = [_plain(member) for member in value]
        return value if all(a is b for a, b in zip(members, value, strict=True)) else members
    return value

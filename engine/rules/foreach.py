"""validate.foreach: a check for every element of lists in the object (spec 2.4, 9.8)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.clauses.conditions import Conditions, compile_conditions
from engine.clauses.context import compile_context
from engine.clauses.template import Template, compile_template
from engine.errors import EvaluationError, InvalidPolicy, NoContext
from engine.lang.errors import ExpressionError, ExpressionSyntaxError
from engine.lang.jmes import compile_expression
from engine.policy import Check
from engine.result import Outcome, Status
from engine.rules import deny, pattern
from engine.rules.subject import SubjectScope
from engine.scope import Scope

Elements = Callable[[Scope], list[Any]]
Compile = Callable[..., Check]

_GO_TYPES = {str: "string", bool: "bool", int: "float64", float: "float64", list: "[]interface {}"}
PASSED = Outcome(Status.PASS, "rule passed")


def compile_check(
    spec: Any, *, rule: str, message: Template | None, path: str, policy_namespace: str = "", depth: int = 0
) -> Check:
    """Compiles the list of foreach entries at `path`; the check gives None when no element was checked (spec 9.8).

    `depth` is the nesting: the n-th level binds `element<n>` and `elementIndex<n>` beside `element` and `elementIndex`.
    """
    entries = [
        _Entry(entry, rule=rule, message=message, path=f"{path}[{index}]", policy_namespace=policy_namespace, depth=depth)
        for index, entry in enumerate(spec or [])
    ]

    def foreach(scope: Scope) -> Outcome | None:
        checked = 0
        for entry in entries:
            outcome, count = entry(scope)
            if outcome is not None:
                return outcome
            checked += count
        return PASSED if checked else None

    return foreach


class _Entry:
    """One foreach entry: called with a scope it gives the failing outcome, if any, and how many elements were checked."""

    __slots__ = ("check", "context", "depth", "element_scope", "elements", "preconditions")

    def __init__(
        self, entry: Mapping[str, Any], *, rule: str, message: Template | None, path: str, policy_namespace: str, depth: int
    ) -> None:
        self.depth = depth
        self.element_scope: bool | None = entry.get("elementScope")
        self.elements = compile_elements(entry.get("list") or "", path=f"{path}.list")
        self.context: Callable[[Scope], None] | None = None
        if entry.get("context"):
            self.context = compile_context(entry["context"], path=f"{path}.context", policy_namespace=policy_namespace)
        self.preconditions: Conditions | None = None
        if entry.get("preconditions") is not None:
            self.preconditions = compile_conditions(entry["preconditions"], path=f"{path}.preconditions")
        kinds = [key for key in (*BODIES, "foreach") if entry.get(key) is not None]
        if len(kinds) != 1:
            raise InvalidPolicy(path, "exactly one of pattern, anyPattern, deny or a nested foreach must be specified")
        (kind,) = kinds
        if kind == "foreach":
            self.check = compile_check(
                entry[kind],
                rule=rule,
                message=message,
                path=f"{path}.foreach",
                policy_namespace=policy_namespace,
                depth=depth + 1,
            )
        else:
            self.check = BODIES[kind](entry[kind], rule=rule, message=message, path=f"{path}.{kind}")

    def __call__(self, scope: Scope) -> tuple[Outcome | None, int]:
        elements = self.elements(scope)
        checked = 0
        error: Outcome | None = None
        for index, element in enumerate(elements):
            if element is None:
                continue
            inner = self._scope(scope, element)
            bind_element(inner, element, index, self.depth)
            outcome = self._outcome(inner)
            if outcome is None or outcome.status is Status.SKIP:
                continue
            if outcome.status is Status.PASS:
                checked += 1
            else:
                bad = Outcome(outcome.status, f"validation failure: {outcome.message}", outcome.properties)
                if outcome.status is not Status.ERROR:
                    return bad, checked
                error = bad  # an element that fails says more than one that cannot be judged
        return error, checked

    def _scope(self, scope: Scope, element: Any) -> Scope:
        is_map = isinstance(element, dict)
        if self.element_scope and not is_map:
            raise EvaluationError(
                "failed to process foreach: cannot use elementScope=true foreach rules for elements that are not maps, "
                f"expected type=map got type={_GO_TYPES[type(element)]}"
            )
        within = is_map if self.element_scope is None else self.element_scope
        return SubjectScope(scope, element) if within else scope.child()

    def _outcome(self, scope: Scope) -> Outcome | None:
        if self.context is not None:
            self.context(scope)
        if self.preconditions is not None:
            try:
                met, _ = self.preconditions(scope)
            except EvaluationError:
                return None  # spec 2.4: an element whose preconditions cannot be answered is passed over
            if not met:
                return None
        try:
            return self.check(scope)
        except EvaluationError as error:
            return Outcome(Status.ERROR, str(error))


def bind_element(scope: Scope, element: Any, index: int, depth: int) -> None:
    """Binds `element`, `elementIndex` and their numbered forms for nesting level `depth`."""
    scope.bind("element", element)
    scope.bind("elementIndex", index)
    scope.bind(f"element{depth}", element)
    scope.bind(f"elementIndex{depth}", index)


def compile_elements(text: str, *, path: str) -> Elements:
    """Compiles the `list` of a foreach entry: a JMESPath expression that may hold variables.

    A value that is no list counts as a list of itself; null, an unknown field and an expression that cannot be parsed or
    evaluated give no elements (oracle variables.json). Context whose data cannot be had is an error: nothing was checked.
    """
    if "{{" in text:
        template = compile_template(text, path=path)
        return lambda scope: _evaluated(template, scope)
    try:
        expression = compile_expression(text)
    except ExpressionSyntaxError:
        return lambda _scope: []

    def elements(scope: Scope) -> list[Any]:
        try:
            return _as_list(expression(scope))
        except NoContext as error:
            raise NoContext(f"failed to evaluate list {text}: {error}") from error
        except (ExpressionError, EvaluationError):
            return []

    return elements


def _evaluated(template: Template, scope: Scope) -> list[Any]:
    try:
        value = template(scope)
        return _as_list(compile_expression(value)(scope) if isinstance(value, str) else value)
    except (ExpressionError, ExpressionSyntaxError, EvaluationError):
        return []


def _as_list(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    return [] if value is None else [value]


BODIES: dict[str, Compile] = {
    "pattern": pattern.compile_check,
    "anyPattern": pattern.compile_any_check,
    "deny": deny.compile_check,
}

"""mutate.foreach: a patch for every element of lists, one after the other (spec 2.7; oracle mutate.json)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.clauses.conditions import Conditions, compile_conditions
from engine.clauses.context import compile_context
from engine.clauses.template import compile_template
from engine.errors import EvaluationError, InvalidPolicy
from engine.lang.errors import ExpressionError, ExpressionSyntaxError
from engine.lang.jmes import compile_expression
from engine.request import Object
from engine.result import Outcome, Status
from engine.rules.foreach import bind_element
from engine.rules.patching import Patch, mutated
from engine.rules.subject import SubjectScope, is_handed_over
from engine.scope import Scope

Compile = Callable[..., Patch]
Elements = Callable[[Scope], list[Any]]

NOTHING_DONE = Outcome(Status.SKIP, "0 elements processed")


def compile_foreach(
    entries: list[Any], patches: Mapping[str, Compile], *, path: str, policy_namespace: str
) -> Callable[[Scope, Object], Outcome]:
    """Compiles the value of `mutate.foreach`; `patches` are the compilers of what an entry may do to an element.

    The mutation's outcome is pass with the object after all elements, or skip when none changed it. The object that patches
    see is always the latest; `request.object` (or `target`) becomes so with the next entry only, as recorded.
    """
    patch = _compile_entries(entries, patches, path=path, policy_namespace=policy_namespace, depth=0)

    def mutate(scope: Scope, subject: Object) -> Outcome:
        patched = patch(scope, subject)
        return NOTHING_DONE if patched is subject else mutated(patched)

    return mutate


def _compile_entries(
    entries: list[Any], patches: Mapping[str, Compile], *, path: str, policy_namespace: str, depth: int
) -> Patch:
    compiled = [
        _Entry(entry, patches, path=f"{path}[{index}]", policy_namespace=policy_namespace, depth=depth)
        for index, entry in enumerate(entries)
    ]

    def patch(scope: Scope, subject: Object) -> Object:
        for entry in compiled:
            before, subject = subject, entry(scope, subject)
            if subject is not before:
                scope = _with(scope, subject)
        return subject

    return patch


def _with(scope: Scope, subject: Object) -> Scope:
    """A scope in which the variables show `subject` as the object that is being mutated."""
    if is_handed_over(scope):
        inner: Scope = SubjectScope(scope, subject)
        inner.bind("target", subject)
        return inner
    inner = scope.child()
    inner.bind("request", {**scope.field("request"), "object": subject})
    return inner


class _Entry:
    """One foreach entry: called with a scope and an object it gives the object after all its elements."""

    __slots__ = ("context", "depth", "descending", "elements", "patch", "preconditions")

    def __init__(
        self, entry: Mapping[str, Any], patches: Mapping[str, Compile], *, path: str, policy_namespace: str, depth: int
    ) -> None:
        kinds = [kind for kind in (*patches, "foreach") if entry.get(kind) is not None]
        if len(kinds) != 1:
            raise InvalidPolicy(path, f"exactly one of {', '.join(patches)} or a nested foreach must be specified")
        (kind,) = kinds
        if kind == "foreach":
            self.patch = _compile_entries(
                entry[kind], patches, path=f"{path}.{kind}", policy_namespace=policy_namespace, depth=depth + 1
            )
        else:
            self.patch = patches[kind](entry[kind], path=f"{path}.{kind}", at=f"/{kind}")
        # Elements of the patch go to the front of a list: from the last element to the first they keep their order.
        self.descending = (entry.get("order") or ("Descending" if kind == "patchStrategicMerge" else "Ascending")) == "Descending"
        self.depth = depth
        self.elements = compile_list(entry.get("list") or "", path=f"{path}.list")
        self.context: Callable[[Scope], None] | None = None
        if entry.get("context"):
            self.context = compile_context(entry["context"], path=f"{path}.context", policy_namespace=policy_namespace)
        self.preconditions: Conditions | None = None
        if entry.get("preconditions") is not None:
            self.preconditions = compile_conditions(entry["preconditions"], path=f"{path}.preconditions")

    def __call__(self, scope: Scope, subject: Object) -> Object:
        numbered = list(enumerate(self.elements(scope)))
        for index, element in reversed(numbered) if self.descending else numbered:
            if element is None:
                continue
            inner = scope.child()
            bind_element(inner, element, index, self.depth)
            try:
                if self._concerns(inner, index):
                    subject = self.patch(inner, subject)
            except EvaluationError as error:
                raise EvaluationError(f"failed to mutate elements: {error}") from error
        return subject

    def _concerns(self, scope: Scope, index: int) -> bool:
        if self.context is not None:
            self.context(scope)
        if self.preconditions is None:
            return True
        try:
            return self.preconditions(scope)[0]
        except EvaluationError as error:
            raise EvaluationError(f"failed to evaluate mutate.foreach[{index}].preconditions: {error}") from error


def compile_list(text: str, *, path: str) -> Elements:
    """Compiles the `list` of an entry: a JMESPath expression that may hold variables.

    A value that is no list counts as a list of itself, null as an empty one; an unknown field is an error.
    """
    template = compile_template(text, path=path)
    expression = None
    if template.constant:
        try:
            expression = compile_expression(template.value)
        except ExpressionSyntaxError as error:
            raise InvalidPolicy(path, f"failed to parse JMESPath {text}: {error.reason}") from error

    def elements(scope: Scope) -> list[Any]:
        try:
            if expression is not None:
                value = expression(scope)
            else:
                value = template(scope)
                value = compile_expression(value)(scope) if isinstance(value, str) else value
        except (ExpressionError, ExpressionSyntaxError, EvaluationError) as error:
            reason = f"JMESPath query failed: {error}"
            raise EvaluationError(f"failed to evaluate list {text}: {reason}: {reason}") from error
        if value is None:
            return []
        return value if isinstance(value, list) else [value]

    return elements

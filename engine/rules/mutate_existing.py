"""mutate.targets: a rule whose trigger leaves itself alone and has other objects patched (spec 2.7).

One check answers two questions. Asked with the request alone, it says which objects it wants: the outcome is pass, `generated`
holds one selector document per target. Asked with an object handed over (`SubjectScope`), it says what becomes of that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.clauses.conditions import Conditions, compile_conditions
from engine.clauses.context import compile_context
from engine.clauses.template import compile_template
from engine.errors import EvaluationError, InvalidPolicy
from engine.lang.selector import InvalidSelector, compile_selector
from engine.lang.wildcard import matches
from engine.policy import Check
from engine.request import Object
from engine.result import Outcome, Status
from engine.rules.subject import is_handed_over, subject_of, whole_of
from engine.scope import Scope

Mutation = Callable[[Scope, Object], Outcome]
"""What a rule makes of an object."""

SELECTING = ("apiVersion", "kind", "namespace", "name", "selector", "uid")
"""The fields of a target that say which objects it is about."""


def compile_check(targets: list[Any], mutate: Mutation, *, path: str, policy_namespace: str) -> Check:
    """Compiles the value of `mutate.targets`; raises `InvalidPolicy` for bad selectors, contexts and preconditions."""
    compiled = [
        _Target(target, path=f"{path}[{index}]", at=f"/mutate/targets/{index}", policy_namespace=policy_namespace)
        for index, target in enumerate(targets)
    ]

    def check(scope: Scope) -> Outcome | None:
        if not is_handed_over(scope):
            return Outcome(Status.PASS, "", generated=tuple(target.wanted(scope) for target in compiled))
        subject = subject_of(scope)
        whole, part = whole_of(scope)
        for target in compiled:
            wanted = target.wanted(scope)
            if is_target(wanted, whole) and (not part or str(wanted["kind"]).partition("/")[2] == part):
                inner = scope.child()
                inner.bind("target", subject)
                return target.unmet(inner) or mutate(inner, subject)
        return None

    return check


def is_target(wanted: Mapping[str, Any], document: Object) -> bool:
    """Is `document` one of the objects that a selector document asks for? All but the kind may hold wildcards."""
    metadata = document.get("metadata") or {}
    kind, _, _ = str(wanted.get("kind") or "").partition("/")  # what follows is a subresource
    version = str(document.get("apiVersion") or "")
    if kind != document.get("kind") or not matches(str(wanted.get("apiVersion") or ""), version):
        return False
    for field in ("name", "namespace", "uid"):
        pattern = wanted.get(field)
        if pattern and not matches(pattern, str(metadata.get(field) or "")):
            return False
    selector = wanted.get("selector")
    return selector is None or compile_selector(selector)(metadata.get("labels") or {})


class _Target:
    """One entry of `targets`."""

    __slots__ = ("context", "preconditions", "selecting")

    def __init__(self, target: Mapping[str, Any], *, path: str, at: str, policy_namespace: str) -> None:
        self.selecting = compile_template({field: target[field] for field in SELECTING if target.get(field)}, path=path, at=at)
        if target.get("selector") is not None and self.selecting.constant:
            try:
                compile_selector(target["selector"])
            except InvalidSelector as error:
                raise InvalidPolicy(f"{path}.selector", str(error)) from error
        self.context: Callable[[Scope], None] | None = None
        if target.get("context"):
            self.context = compile_context(target["context"], path=f"{path}.context", policy_namespace=policy_namespace)
        self.preconditions: Conditions | None = None
        if target.get("preconditions") is not None:
            self.preconditions = compile_conditions(target["preconditions"], path=f"{path}.preconditions")

    def wanted(self, scope: Scope) -> Object:
        """The selector document for the request in `scope`; raises `EvaluationError` where a variable has no value."""
        try:
            document: Object = self.selecting(scope)
        except EvaluationError as error:
            raise EvaluationError(f"failed to substitute variables in target: {error}") from error
        selector = document.get("selector")
        if selector is not None:
            try:
                compile_selector(selector)
            except InvalidSelector as error:
                raise EvaluationError(f"invalid selector of a target: {error}") from error
        return document

    def unmet(self, scope: Scope) -> Outcome | None:
        """Binds the target's context; the outcome when its preconditions do not hold."""
        if self.context is not None:
            self.context(scope)
        if self.preconditions is None:
            return None
        try:
            met, text = self.preconditions(scope)
        except EvaluationError as error:
            raise EvaluationError(f"failed to evaluate preconditions: {error}") from error
        if met:
            return None
        return Outcome(Status.SKIP, f"preconditions not met; {text}" if text else "preconditions not met")

"""Why a rule matched, was skipped, passed or failed: a walk beside the engine, built from the same compiled pieces.

The engine itself pays nothing for it and knows nothing of it: the outcome comes from `result_of`, the steps ask the clauses
of the rule's document one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.clauses.request_variables import bind_request
from engine.compiler.autogen import in_any_version
from engine.compiler.cluster_policy import compile_scope
from engine.document import diff
from engine.errors import EngineError, Unknown
from engine.evaluate import result_of
from engine.explain.checks import admission_steps, body_steps, context_step, failing_path, match_conditions_step
from engine.explain.conditions import conditions_step
from engine.explain.match import clause_step
from engine.explain.step import ABSENT, Step
from engine.facts import NO_FACTS, Facts
from engine.policy import Effect, Policy, PolicyException, Rule
from engine.request import Object, Request
from engine.result import Result, Status
from engine.scope import Scope

__all__ = ["ABSENT", "Explanation", "Step", "explain", "failing_path"]

NOT_MATCHED = "not matched"
NO_ROW = "nothing to check"
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Explanation:
    """One rule and one request.

    `outcome` is a status (`pass`, `fail`, `skip`, `error`, `warn`), `not matched`, `nothing to check` (foreach over nothing),
    or `unknown` where data from outside is missing; `origin` is the written rule of a generated one.
    """

    policy: str
    rule: str
    outcome: str
    message: str
    steps: tuple[Step, ...]
    origin: str = ""
    properties: Mapping[str, str] | None = None

    def document(self) -> dict[str, Any]:
        """As JSON."""
        shown: dict[str, Any] = {"policy": self.policy, "rule": self.rule, "outcome": self.outcome}
        if self.origin:
            shown["generatedFrom"] = self.origin
        if self.message:
            shown["message"] = self.message
        if self.properties:
            shown["properties"] = dict(self.properties)
        return shown | {"steps": [step.document() for step in self.steps]}


def explain(
    policy: Policy, request: Request, facts: Facts = NO_FACTS, *, exceptions: Iterable[PolicyException] = ()
) -> tuple[Explanation, ...]:
    """An explanation of every rule of `policy`, in order. Raises nothing for what a rule cannot answer: it is part of it."""
    known = tuple(exceptions)
    return tuple(_explained(policy, rule, request, facts, known) for rule in policy.rules)


def _explained(
    policy: Policy, rule: Rule, request: Request, facts: Facts, exceptions: tuple[PolicyException, ...]
) -> Explanation:
    naming = tuple(exception for exception in exceptions if exception.names(rule))
    properties: Mapping[str, str] | None = None
    try:
        result = result_of(rule, Scope(request, facts=facts), naming)
    except Unknown as unknown:
        outcome, message = UNKNOWN, f"not known here: {unknown}"
    else:
        if result is not None:
            outcome, message, properties = str(result.status), result.message, result.properties
            if rule.effect is Effect.DELETE and result.status is Status.PASS:
                message = message or "the next run deletes the object"
        elif rule.match(request):
            outcome, message = NO_ROW, ""
        else:
            outcome, message = NOT_MATCHED, ""
    steps = [*_steps(policy, rule, request, facts, naming)]
    if outcome != UNKNOWN and result is not None:
        steps += _effects(result, request)
    return Explanation(policy.identity.key, rule.name, outcome, message, tuple(steps), rule.origin, properties)


def _effects(result: Result, request: Request) -> Iterator[Step]:
    """What the rule made of the object, and what it wants to be there."""
    if result.patched is not None:
        for operation in diff(request.subject, result.patched):
            found = operation.get("value", ABSENT)
            yield Step(f"{operation['op']} {operation['path']}", found=found)
    for document in result.generated:
        yield Step("generated", found=document)


def _steps(policy: Policy, rule: Rule, request: Request, facts: Facts, exceptions: tuple[PolicyException, ...]) -> Iterator[Step]:
    path = _path(policy, rule)
    yield from _match_steps(rule, request, path)
    if not rule.match(request):
        return
    if request.operation == "DELETE" and not rule.on_delete:
        yield Step("operation", False, path, found="DELETE", note="rules of this type are not asked when an object goes")
        return
    root = Scope(request, facts=facts)
    for exception in exceptions:
        applies = exception.match(request) and exception.holds(root)
        yield Step(f"exception {exception.identity.key}", applies, note="" if applies else "names the rule, does not apply")
    namespace = policy.identity.namespace
    if rule.effect is Effect.DELETE:
        yield from _cleanup_steps(rule.document, root, namespace)
        return
    if "match" not in rule.document:
        bind_request(root)
        if rule.document.get("validations"):
            yield from admission_steps(rule.document, root, "spec")
        return
    try:
        scope = compile_scope(rule.document, path=path, policy_namespace=namespace, written=rule.origin or rule.name)(root)
    except EngineError as error:
        yield Step("context", None, f"{path}.context", note=str(error))
        return
    yield from _rule_steps(rule.document, scope, path, namespace)


def _rule_steps(document: Object, scope: Scope, path: str, namespace: str) -> Iterator[Step]:
    if document.get("context"):
        yield context_step(document["context"], scope, f"{path}.context", namespace, bound=True)
    if document.get("preconditions") is not None:
        step = conditions_step("preconditions", document["preconditions"], scope, f"{path}.preconditions")
        yield step
        if not step.holds:
            return
    if document.get("celPreconditions"):
        yield match_conditions_step("celPreconditions", document["celPreconditions"], scope, f"{path}.celPreconditions")
    if document.get("validate"):
        yield from body_steps(document["validate"], scope, f"{path}.validate", policy_namespace=namespace)


def _cleanup_steps(spec: Object, root: Scope, namespace: str) -> Iterator[Step]:
    """What decides whether the object is deleted."""
    bind_request(root)
    scope = root.child()
    scope.bind("target", root.request.subject)
    if spec.get("context"):
        yield context_step(spec["context"], scope, "spec.context", namespace)
    if spec.get("conditions") is not None:
        yield conditions_step("conditions", spec["conditions"], scope, "spec.conditions")


def _match_steps(rule: Rule, request: Request, path: str) -> Iterator[Step]:
    """match and exclude, for the new object and, where that does not match, for the old one (spec 2.1)."""
    document = rule.document
    namespace = rule.policy.namespace
    if namespace:
        inside = request.namespace == namespace and request.kind.kind != "Namespace"
        yield Step("policy namespace", inside, wanted=namespace, found=request.namespace or ABSENT)
        if not inside:
            return
    if not isinstance(document.get("match"), Mapping):
        yield Step("match", rule.match(request), path)
        return
    shown = in_any_version if rule.origin else dict
    match, exclude = shown(document["match"]), shown(document.get("exclude") or {})
    objects = [object_ for object_ in (request.object, request.old_object) if object_ is not None]
    for index, object_ in enumerate(objects):
        steps = [clause_step("match", match, request, object_, f"{path}.match")]
        if steps[0].holds and exclude:
            steps.append(clause_step("exclude", exclude, request, object_, f"{path}.exclude"))
        if len(objects) == 1:
            yield from steps
            return
        applies = bool(steps[0].holds) and not any(step.holds for step in steps[1:])
        yield Step("old object" if index else "new object", applies, steps=tuple(steps))
        if applies:
            return


def _path(policy: Policy, rule: Rule) -> str:
    """Where the written rule stands in the policy."""
    spec = policy.document.get("spec")
    rules = spec.get("rules") if isinstance(spec, Mapping) else None
    for index, written in enumerate(rules or []):
        if isinstance(written, Mapping) and written.get("name") == (rule.origin or rule.name):
            return f"spec.rules[{index}]"
    return "spec"

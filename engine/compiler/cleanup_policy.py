"""CleanupPolicy and ClusterCleanupPolicy (kyverno.io/v2, v2beta1) to `Policy` (spec 1.2, 2.13)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.clauses.conditions import compile_conditions
from engine.clauses.context import compile_context
from engine.clauses.match import check_match, compile_match
from engine.clauses.request_variables import bind_request
from engine.compiler import fields
from engine.compiler.identity import identity_of
from engine.compiler.shape import anything, check_document, one_of, record, text
from engine.compiler.users import user_fields
from engine.errors import EvaluationError, InvalidPolicy
from engine.lang.cron import InvalidSchedule, Schedule, parse_schedule
from engine.policy import Action, Check, Cleanup, Effect, Policy, Rule
from engine.request import Object, Request
from engine.result import Outcome, Status
from engine.rules.excepted import never_excepted
from engine.scope import Scope

NAMESPACED = "CleanupPolicy"
NO_SOURCES = ("configMap", "imageRegistry")
MATCHED = Outcome(Status.PASS, "")
UNMET = Outcome(Status.SKIP, "conditions not met")

_spec = record(
    ("schedule", "match"),
    schedule=text,
    match=fields.match,
    exclude=fields.match,
    context=fields.context,
    conditions=anything,
    deletionPropagationPolicy=one_of("Foreground", "Background", "Orphan"),
)


def compile_cleanup_policy(document: Mapping[str, Any]) -> Policy:
    """Compiles a cleanup policy; its one rule has no name and passes for what is to be deleted. Raises `InvalidPolicy`.

    Operations in match and exclude mean nothing: a stored object is judged, nobody asks.
    """
    check_document(document, _spec)
    namespaced = document["kind"] == NAMESPACED
    identity = identity_of(document, namespace=str(document["metadata"].get("namespace") or "default") if namespaced else "")
    spec: Object = document["spec"]
    schedule = _schedule(spec["schedule"])
    clauses = {key: _without_operations(spec[key]) for key in ("match", "exclude") if spec.get(key) is not None}
    for key, clause in clauses.items():
        for path in user_fields(clause, f"spec.{key}"):
            raise InvalidPolicy(path, "Forbidden: nobody asks for a cleanup, user info is not known")
    check_match(clauses, "spec", namespaced=namespaced)
    check = _compile_check(spec, identity.namespace)
    rule = Rule(
        policy=identity,
        name="",
        effect=Effect.DELETE,
        match=compile_match(clauses["match"], clauses.get("exclude"), path="spec", policy_namespace=identity.namespace),
        evaluate=check,
        action=_audit,
        document=spec,
        excepted=never_excepted(check),
    )
    return Policy(
        identity=identity,
        rules=(rule,),
        admission=False,
        background=True,
        cleanup=Cleanup(schedule, spec.get("deletionPropagationPolicy") or ""),
        document=dict(document),
    )


def _audit(_request: Request) -> Action:
    return "Audit"


def _schedule(written: str) -> Schedule:
    try:
        return parse_schedule(written)
    except InvalidSchedule as error:
        raise InvalidPolicy("spec.schedule", str(error)) from error


def _without_operations(clause: Object) -> Object:
    kept: Object = {key: value for key, value in clause.items() if key not in ("any", "all")}
    for key in ("any", "all"):
        if clause.get(key) is not None:
            kept[key] = [_without_operations(block) for block in clause[key]]
    if isinstance(kept.get("resources"), dict):
        kept["resources"] = {key: value for key, value in kept["resources"].items() if key != "operations"}
    return kept


def _compile_check(spec: Object, namespace: str) -> Check:
    entries = spec.get("context") or []
    for index, entry in enumerate(entries):
        for source in NO_SOURCES:
            if entry.get(source) is not None:
                raise InvalidPolicy(f"spec.context[{index}].{source}", "Forbidden: not allowed in a cleanup policy")
    context = compile_context(entries, path="spec.context", policy_namespace=namespace) if entries else None
    document = spec.get("conditions")
    conditions = compile_conditions(document, path="spec.conditions") if document is not None else None

    def evaluate(root: Scope) -> Outcome:
        if conditions is None:
            return MATCHED
        if "request" not in root.loaders and "request" not in root.values:
            bind_request(root)
        scope = root.child()
        scope.bind("target", root.request.subject)
        if context is not None:
            context(scope)
        try:
            met, _ = conditions(scope)
        except EvaluationError as error:
            raise EvaluationError(f"failed to evaluate conditions: {error}") from error
        return MATCHED if met else UNMET

    return evaluate

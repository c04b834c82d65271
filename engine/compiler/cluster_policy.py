"""ClusterPolicy and Policy (kyverno.io/v1, v2beta1) to `Policy` (spec 1.2, 2.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from engine.clauses.conditions import Conditions, compile_conditions
from engine.clauses.context import compile_context
from engine.clauses.match import compile_match
from engine.clauses.request_variables import Extractor, bind_request, extracted_images, with_rule_variables
from engine.clauses.template import Template, compile_template
from engine.compiler.actions import compile_action
from engine.compiler.autogen import generated_rules, in_any_version
from engine.compiler.fields import check_fields
from engine.compiler.identity import identity_of
from engine.compiler.validation import check_policy, warnings_of
from engine.errors import EvaluationError, InvalidPolicy
from engine.lang.errors import ExpressionSyntaxError
from engine.lang.jmes import compile_expression
from engine.policy import Check, Effect, Match, Policy, PolicyIdentity, Rule, WebhookSettings
from engine.request import Object
from engine.result import Outcome, Status
from engine.rules.bodies import ACTIONS, BODIES, WITH_CONTEXT, WITH_POLICY
from engine.rules.excepted import EXCEPTED, Evaluate, excepted_pod_security
from engine.rules.later import later
from engine.rules.pod_security import PodSecurityCheck
from engine.scope import Scope

compile_match_conditions = later("engine.compiler.match_conditions", "compile_match_conditions")
SCORED = "policies.kyverno.io/scored"
NOT_ON_DELETE = frozenset({"pattern", "anyPattern", "podSecurity", "manifests"})
"""Bodies that judge what an object looks like, which does not matter once it goes (spec 2.4)."""

FORGIVING = frozenset({"pattern", "anyPattern", "deny", "foreach", "podSecurity"})
"""Bodies for which allowExistingViolations counts; CEL rules deny whatever was there before (validate/.../cel/deny)."""

_COUNTED = {"validate": "validate", "mutate": "mutate", "generate": "generate", "verifyImages": "verifyimages"}
_EFFECTS = {
    "validate": Effect.VALIDATE,
    "mutate": Effect.MUTATE,
    "generate": Effect.GENERATE,
    "verifyImages": Effect.VERIFY_IMAGES,
}


def compile_cluster_policy(document: Mapping[str, Any]) -> Policy:
    """Compiles a ClusterPolicy or Policy; raises `InvalidPolicy` for what Kyverno's policy webhook refuses too (spec 3.4)."""
    check_fields(document)
    identity = _identity(document)
    spec: Object = document["spec"]
    written: list[Object] = spec["rules"]
    generated = list(generated_rules(identity.annotations, written))
    check_policy(document)
    rules = [_compile_rule(rule, identity, spec, f"spec.rules[{index}]") for index, rule in enumerate(written)]
    rules += [_compile_rule(g.document, identity, spec, f"spec.rules[{g.index}]", origin=g.origin) for g in generated]
    return Policy(
        identity=identity,
        rules=tuple(rules),
        webhook=_webhook(spec),
        admission=_default(spec.get("admission"), True),
        background=_default(spec.get("background"), True),
        apply_one=spec.get("applyRules") == "One",
        emit_warning=bool(spec.get("emitWarning")),
        scored=identity.annotations.get(SCORED) != "false",
        autogen=tuple(g.document for g in generated),
        rule_count=rule_count(written),
        warnings=tuple(warnings_of(document)),
        document=dict(document),
    )


def _identity(document: Mapping[str, Any]) -> PolicyIdentity:
    namespaced = document["kind"] == "Policy"
    return identity_of(document, namespace=str(document["metadata"].get("namespace") or "default") if namespaced else "")


def _webhook(spec: Object) -> WebhookSettings:
    configuration = spec.get("webhookConfiguration") or {}
    conditions = tuple(configuration.get("matchConditions") or ())
    path = "spec.webhookConfiguration.matchConditions"
    return WebhookSettings(
        failure_policy=configuration.get("failurePolicy") or spec.get("failurePolicy") or "Fail",
        timeout_seconds=configuration.get("timeoutSeconds") or spec.get("webhookTimeoutSeconds"),
        match_conditions=conditions,
        holds=compile_match_conditions(conditions, path=path) if conditions else None,
    )


def _default(value: Any, default: bool) -> bool:
    return default if value is None else bool(value)


def rule_count(rules: list[Object]) -> dict[str, int]:
    """How many written rules there are of each type, for status.rulecount."""
    counted = [rule for rule in rules if not str(rule["name"]).startswith("autogen-")]
    return {shown: sum(1 for rule in counted if rule.get(key)) for key, shown in _COUNTED.items()}


def _compile_rule(rule: Object, identity: PolicyIdentity, spec: Object, path: str, *, origin: str = "") -> Rule:
    name = str(rule["name"])
    effect, kind, check = _compile_body(rule, name, path, identity)
    clauses = (rule.get("match") or {}, rule.get("exclude"))
    if origin:
        clauses = (in_any_version(clauses[0]), in_any_version(clauses[1]))
    match = compile_match(*clauses, path=path, policy_namespace=identity.namespace)
    evaluate = _pipeline(rule, path, identity.namespace, written=origin or name)
    validate = rule.get("validate") or {}
    return Rule(
        policy=identity,
        name=name,
        effect=effect,
        match=match,
        evaluate=partial(evaluate, check),
        action=compile_action(spec, rule, path=path),
        document=rule,
        origin=origin,
        allow_existing_violations=kind in FORGIVING and _default(validate.get("allowExistingViolations"), True),
        on_delete=_states_delete(match) if effect is Effect.GENERATE else kind not in NOT_ON_DELETE,
        needs_user=match.needs_user,
        skip_background_requests=_default(rule.get("skipBackgroundRequests"), True),
        excepted=excepted_pod_security(evaluate, check) if isinstance(check, PodSecurityCheck) else EXCEPTED.get(effect),
    )


def _states_delete(match: Match) -> bool:
    """Does the author name DELETE? Only then the end of a trigger generates (spec 2.8)."""
    return any(reach.stated and "DELETE" in reach.operations for reach in match.reach)


def effect_of(rule: Mapping[str, Any]) -> tuple[str, Effect]:
    """The key that says what the rule does, and what that is."""
    action = next(key for key in _EFFECTS if rule.get(key) is not None)
    if action == "mutate" and rule[action].get("targets"):
        return action, Effect.MUTATE_EXISTING
    return action, _EFFECTS[action]


def _compile_body(rule: Object, name: str, path: str, identity: PolicyIdentity) -> tuple[Effect, str, Check]:
    """Effect, name and check of what the rule does."""
    action, effect = effect_of(rule)
    if action != "validate":
        return effect, action, _compiled(ACTIONS, action, rule[action], name, None, f"{path}.{action}", identity)
    validate = rule["validate"]
    kind = next(
        key
        for key in ("foreach", "pattern", "anyPattern", "podSecurity", "deny", "cel", "manifests", "assert")
        if validate.get(key) is not None
    )
    message = validate.get("message")
    template = compile_template(message, path=f"{path}.validate.message", at="/validate/message") if message else None
    table: Mapping[str, Callable[..., Check]] = BODIES
    if rule.get("celPreconditions"):  # they stand beside the body that they belong to
        own = {"preconditions": rule["celPreconditions"], "preconditions_path": f"{path}.celPreconditions"}
        table = {"cel": partial(BODIES["cel"], **own)}
    return effect, kind, _compiled(table, kind, validate[kind], name, template, f"{path}.validate.{kind}", identity)


def _compiled(
    table: Mapping[str, Callable[..., Check]],
    kind: str,
    body: Any,
    rule: str,
    message: Template | None,
    path: str,
    identity: PolicyIdentity,
) -> Check:
    compile_check = table.get(kind)
    if compile_check is None:
        compile_template(body, path=path, at=f"/{kind}")  # its expressions are checked all the same
        return _unsupported(kind)
    if kind in WITH_CONTEXT:
        return compile_check(body, rule=rule, message=message, path=path, policy_namespace=identity.namespace)
    if kind in WITH_POLICY:
        return compile_check(body, rule=rule, message=message, path=path, policy=identity)
    return compile_check(body, rule=rule, message=message, path=path)


def _unsupported(kind: str) -> Check:
    def check(_scope: Scope) -> Outcome:
        raise EvaluationError(f"rules of type {kind} are not supported yet")

    return check


def _pipeline(rule: Object, path: str, namespace: str, *, written: str) -> Evaluate:
    """The steps of a rule in their order: predefined variables, context, preconditions, check, report properties (spec 2.2)."""
    within = compile_scope(rule, path=path, policy_namespace=namespace, written=written)
    document = rule.get("preconditions")
    preconditions = compile_conditions(document, path=f"{path}.preconditions") if document is not None else None
    properties = compile_template(rule.get("reportProperties") or {}, path=f"{path}.reportProperties")

    def evaluate(check: Check, root: Scope) -> Outcome | None:
        scope = within(root)
        if preconditions is not None:
            unmet = _unmet(preconditions, scope)
            if unmet is not None:
                return unmet
        outcome = check(scope)
        return _reported(outcome, properties, scope) if outcome is not None and properties.value else outcome

    return evaluate


def compile_scope(rule: Object, *, path: str, policy_namespace: str, written: str) -> Callable[[Scope], Scope]:
    """What the rule at `path` sees, as a function from the request's root scope to the rule's own.

    Binds the predefined variables on the root, where they are missing; then come variables given for the rule `written`,
    its images and its context entries.
    """
    entries = rule.get("context")
    context = compile_context(entries, path=f"{path}.context", policy_namespace=policy_namespace) if entries else None
    extractors = _extractors(rule.get("imageExtractors") or {}, path)

    def within(root: Scope) -> Scope:
        if "request" not in root.loaders and "request" not in root.values:
            bind_request(root)
        scope = with_rule_variables(root, written) if root.request.rule_variables else root
        images = extractors.get(root.request.kind.kind) if extractors else None
        if context is not None or images is not None:
            scope = scope.child()
            if images is not None:
                scope.bind_lazily("images", images)
            if context is not None:
                context(scope)
        return scope

    return within


def _unmet(preconditions: Conditions, scope: Scope) -> Outcome | None:
    try:
        met, text = preconditions(scope)
    except EvaluationError as error:
        raise EvaluationError(f"failed to evaluate preconditions: {error}") from error
    if met:
        return None
    return Outcome(Status.SKIP, f"preconditions not met; {text}" if text else "preconditions not met")


def _reported(outcome: Outcome, properties: Template, scope: Scope) -> Outcome:
    try:
        own = properties(scope)
    except EvaluationError:
        own = properties.value  # a property that cannot be resolved is shown as written
    return outcome._replace(properties={**{key: str(value) for key, value in own.items()}, **outcome.properties})


def _extractors(document: Mapping[str, Any], path: str) -> dict[str, Callable[[Scope], Any]]:
    """Loaders of `images` by kind."""
    loaders = {}
    for kind, entries in document.items():
        compiled = []
        for index, entry in enumerate(entries):
            where = f"{path}.imageExtractors.{kind}[{index}]"
            text = entry.get("jmesPath")
            try:
                expression = compile_expression(text) if text else None
            except ExpressionSyntaxError as error:
                raise InvalidPolicy(f"{where}.jmesPath", f"failed to parse JMESPath {text}: {error.reason}") from error
            steps = tuple(step for step in str(entry["path"]).split("/") if step)
            group = str(entry.get("name") or "custom")
            compiled.append(
                Extractor(
                    group=group,
                    steps=steps,
                    value=str(entry.get("value") or ""),
                    key=str(entry.get("key") or ""),
                    expression=expression,
                )
            )
        loaders[kind] = extracted_images(tuple(compiled))
    return loaders

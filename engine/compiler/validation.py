"""What Kyverno's policy webhook refuses in a ClusterPolicy or Policy beyond its shape, and what it warns about (spec 3.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.clauses.kinds import parse_kind
from engine.clauses.match_validation import check_match
from engine.compiler.autogen import CONTROLLERS, controllers_of
from engine.compiler.rule_bodies import check_generate, check_mutate, check_validate, check_verify_images
from engine.compiler.variables import check_variables
from engine.errors import InvalidPolicy
from engine.request import Object

MAX_NAME = 63
ACTIONS = ("mutate", "validate", "generate", "verifyImages")
OPERATIONS = ("CREATE", "UPDATE", "DELETE", "CONNECT")
MIGRATION = "https://kyverno.io/docs/guides/migration-to-cel/"
_DEPRECATED_OPERATORS = (
    "In",
    "NotIn",
    "DurationGreaterThan",
    "DurationGreaterThanOrEquals",
    "DurationLessThan",
    "DurationLessThanOrEquals",
)


def check_policy(document: Mapping[str, Any]) -> None:
    """Raises `InvalidPolicy` for the first fault; the document has the right shape already."""
    spec: Object = document["spec"]
    namespace = str(document["metadata"].get("namespace") or "default") if document["kind"] == "Policy" else ""
    background = spec.get("background") is not False
    _check_spec(spec, namespace, background)
    seen: set[str] = set()
    for index, rule in enumerate(spec["rules"]):
        path = f"spec.rules[{index}]"
        name = str(rule["name"])
        if name in seen:
            raise InvalidPolicy(f"{path}.name", f'Duplicate rule name: "{name}"')
        seen.add(name)
        _check_rule(rule, spec, path, namespace, background)


def _check_spec(spec: Object, namespace: str, background: bool) -> None:
    if not spec["rules"]:
        raise InvalidPolicy("spec.rules", "a policy needs at least one rule")
    admission = spec.get("admission") is not False
    if not admission and not background:
        raise InvalidPolicy("spec", "disabling both admission and background processing is not allowed")
    if spec.get("generateExistingOnPolicyUpdate") is not None:
        raise InvalidPolicy("spec.generateExistingOnPolicyUpdate", "the field is no longer supported, use generateExisting")
    if namespace and spec.get("validationFailureActionOverrides"):
        raise InvalidPolicy(
            "spec.validationFailureActionOverrides",
            "Forbidden: Use of validationFailureActionOverrides is supported only with ClusterPolicy",
        )
    timeouts = {
        "spec.webhookTimeoutSeconds": spec.get("webhookTimeoutSeconds"),
        "spec.webhookConfiguration.timeoutSeconds": (spec.get("webhookConfiguration") or {}).get("timeoutSeconds"),
    }
    for path, timeout in timeouts.items():
        if timeout is not None and not 1 <= timeout <= 30:
            raise InvalidPolicy(path, "the timeout value must be between 1 and 30 seconds")
    if not admission:
        for index, rule in enumerate(spec["rules"]):
            for kind in ("mutate", "generate"):
                if rule.get(kind):
                    raise InvalidPolicy(
                        f"spec.rules[{index}].{kind}", f"{kind} rules need admission processing, but spec.admission is false"
                    )


def _check_rule(rule: Object, spec: Object, path: str, namespace: str, background: bool) -> None:
    name = str(rule["name"])
    if len(name) > MAX_NAME:
        raise InvalidPolicy(f"{path}.name", f"Too long: may not be more than {MAX_NAME} bytes")
    actions = [action for action in ACTIONS if not _is_void(rule.get(action))]
    if not actions:
        raise InvalidPolicy(path, f"No operation defined in the rule '{name}'.(supported operations: {','.join(ACTIONS)})")
    if len(actions) > 1:
        raise InvalidPolicy(
            path,
            f"Multiple operations defined in the rule '{name}', only one operation ({','.join(ACTIONS)}) is allowed per rule",
        )
    check_match(rule, path, namespaced=bool(namespace))
    _check_kinds(rule, path, background)
    if rule.get("celPreconditions") and (rule.get("validate") or {}).get("cel") is None:
        raise InvalidPolicy(f"{path}.celPreconditions", "celPrecondition can only be used with validate.cel")
    check_variables(rule, path, background=background)
    for key, value in _conditions(rule, path):
        _check_operations(value, key)
    match actions[0]:
        case "validate":
            check_validate(rule["validate"], path, namespaced=bool(namespace))
        case "mutate":
            check_mutate(rule["mutate"], spec, path, namespace)
        case "generate":
            check_generate(rule["generate"], path, namespace)
        case "verifyImages":
            check_verify_images(rule["verifyImages"], spec, path)


def _is_void(body: Any) -> bool:
    """Is there nothing to do? A field that is null counts as absent."""
    return not body or (isinstance(body, dict) and all(value is None for value in body.values()))


def _kinds(rule: Object) -> Iterator[tuple[str, str]]:
    """(path within the rule, kind) of every kind in match."""
    clause = rule.get("match") or {}
    blocks = [("match", clause)]
    blocks += [(f"match.{key}[{index}]", block) for key in ("any", "all") for index, block in enumerate(clause.get(key) or [])]
    for path, block in blocks:
        for kind in (block.get("resources") or {}).get("kinds") or []:
            yield f"{path}.kinds", kind


def _check_kinds(rule: Object, path: str, background: bool) -> None:
    for where, kind in _kinds(rule):
        if background and rule.get("validate") and parse_kind(kind).subresource:
            raise InvalidPolicy(f"{path}.{where}", f"background scan enabled with subresource {kind}")
        if kind != "*":
            continue
        if background:
            raise InvalidPolicy(
                f"{path}.{where}",
                "wildcard policy not allowed in background mode. "
                "Set spec.background=false to disable background mode for this policy rule",
            )
        validate, mutate = rule.get("validate") or {}, rule.get("mutate") or {}
        if rule.get("generate") or rule.get("verifyImages") or validate.get("foreach") or mutate.get("targets"):
            raise InvalidPolicy(f"{path}.{where}", "wildcard policy does not support rule type")
        patterns = [validate.get("pattern"), mutate.get("patchStrategicMerge"), *(validate.get("anyPattern") or [])]
        if any(pattern is not None and not _only_metadata(pattern) for pattern in patterns):
            raise InvalidPolicy(
                f"{path}.{where}",
                "policy can only deal with the metadata field of the resource if the rule does not match any kind",
            )


def _only_metadata(pattern: Any) -> bool:
    return isinstance(pattern, dict) and all(key.strip("=+<X^()") == "metadata" for key in pattern)


def _conditions(value: Any, path: str) -> Iterator[tuple[str, Object]]:
    """(path, condition) of everything in a rule that looks like a condition: a map with key, operator and value."""
    if isinstance(value, list):
        for index, member in enumerate(value):
            yield from _conditions(member, f"{path}[{index}]")
    elif isinstance(value, dict):
        if "key" in value and "operator" in value and "value" in value:
            yield path, value
            return
        for key, member in value.items():
            yield from _conditions(member, f"{path}.{key}")


def _check_operations(condition: Object, path: str) -> None:
    """A condition on request.operation can only be met by an operation that exists."""
    key = condition["key"]
    if not isinstance(key, str) or key.replace(" ", "") != "{{request.operation}}":
        return
    value = condition["value"]
    for member in value if isinstance(value, list) else [value]:
        if isinstance(member, str) and "{{" not in member and member not in OPERATIONS and not any(c in member for c in "*?[,"):
            raise InvalidPolicy(
                path,
                f"unknown value '{member}' found under the 'value' field. "
                f"Only the following values are allowed: [{', '.join(OPERATIONS)}]",
            )


def warnings_of(document: Mapping[str, Any]) -> Iterator[str]:
    """What the policy webhook tells the author of a valid policy."""
    spec: Object = document["spec"]
    kind = document["kind"]
    yield (
        f"{kind} (kyverno.io) is deprecated and will be removed in a future release; migrate to ValidatingPolicy, "
        f"MutatingPolicy, GeneratingPolicy, ImageValidatingPolicy (policies.kyverno.io), see {MIGRATION}"
    )
    actions = [spec.get("validationFailureAction")]
    actions += [override.get("action") for override in spec.get("validationFailureActionOverrides") or []]
    if any(action in ("enforce", "audit") for action in actions):
        yield "Validation failure actions enforce/audit are deprecated, use Enforce/Audit instead."
    operators = {
        condition["operator"] for _, condition in _conditions(spec["rules"], "") if isinstance(condition["operator"], str)
    }
    for operator in _DEPRECATED_OPERATORS:
        if operator in operators:
            yield f"Operator {operator} has been deprecated and will be removed soon. {_REPLACEMENTS[operator]}"
    yield from _warnings_on_pods(document["metadata"].get("annotations") or {}, spec["rules"])


def _warnings_on_pods(annotations: Mapping[str, str], rules: list[Object]) -> Iterator[str]:
    """A rule for Pods meets them whoever made them: one that leaves their controllers out surprises later (spec 3.4)."""
    left_out = 0 < len(controllers_of(annotations)) < len(CONTROLLERS)
    if left_out and any({parse_kind(kind).kind for _, kind in _kinds(rule)} == {"Pod"} for rule in rules):
        yield (
            "Policies that match Pods apply to all Pods including those created and managed by controllers "
            "excluded from autogen. Use preconditions to exclude the Pods managed by controllers which are "
            "excluded from autogen. Refer to https://kyverno.io/docs/writing-policies/autogen/ for details."
        )
    patching = (rule for rule in rules if (rule.get("mutate") or {}).get("patchesJson6902"))
    if any(parse_kind(kind).kind == "Pod" for rule in patching for _, kind in _kinds(rule)):
        yield (
            "Pods managed by workload controllers should not be directly mutated using policies. "
            "Use the autogen feature or write policies that match Pod controllers."
        )


_REPLACEMENTS = {
    "In": "Use AllIn or AnyIn instead.",
    "NotIn": "Use AllNotIn or AnyNotIn instead.",
    "DurationGreaterThan": "Use GreaterThan instead.",
    "DurationGreaterThanOrEquals": "Use GreaterThanOrEquals instead.",
    "DurationLessThan": "Use LessThan instead.",
    "DurationLessThanOrEquals": "Use LessThanOrEquals instead.",
}

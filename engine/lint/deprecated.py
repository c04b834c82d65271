"""Old forms that still work (spec 1.2, 2.1, 2.3, 3.4), and what to write instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from engine.lint.finding import Finding
from engine.lint.walk import as_map, blocks_of, conditions_of, maps_of, rules_of

SPEC = {
    "validationFailureAction": "use `validate.failureAction` of the rules",
    "validationFailureActionOverrides": "use `validate.failureActionOverrides` of the rules",
    "failurePolicy": "use `spec.webhookConfiguration.failurePolicy`",
    "webhookTimeoutSeconds": "use `spec.webhookConfiguration.timeoutSeconds`",
    "mutateExistingOnPolicyUpdate": "use `mutate.mutateExistingOnPolicyUpdate` of the rules",
    "generateExisting": "use `generate.generateExisting` of the rules",
    "generateExistingOnPolicyUpdate": "use `generate.generateExisting` of the rules",
    "schemaValidation": "it has no effect, leave it out",
}
OPERATORS = {
    "In": "use AnyIn or AllIn",
    "NotIn": "use AnyNotIn or AllNotIn",
    "DurationGreaterThan": "use GreaterThan",
    "DurationGreaterThanOrEquals": "use GreaterThanOrEquals",
    "DurationLessThan": "use LessThan",
    "DurationLessThanOrEquals": "use LessThanOrEquals",
}
VERIFY_IMAGES = {
    "image": "use `imageReferences`",
    "key": "use `attestors[].entries[].keys`",
    "roots": "use `attestors[].entries[].keyless.roots`",
    "subject": "use `attestors[].entries[].keyless.subject`",
    "issuer": "use `attestors[].entries[].keyless.issuer`",
    "additionalExtensions": "use `attestors[].entries[].keyless.additionalExtensions`",
    "annotations": "use `attestors[].entries[].annotations`",
}
VERSIONS = {
    "kyverno.io/v2beta1": {"CleanupPolicy": "v2", "ClusterCleanupPolicy": "v2", "PolicyException": "v2"},
    "kyverno.io/v2alpha1": {"GlobalContextEntry": "v2beta1"},
    "policies.kyverno.io/v1alpha1": {
        "ValidatingPolicy": "v1",
        "ImageValidatingPolicy": "v1",
        "MutatingPolicy": "v1",
        "GeneratingPolicy": "v1",
        "DeletingPolicy": "v1",
        "PolicyException": "v1",
    },
}


def deprecated_findings(document: Mapping[str, Any]) -> Iterator[Finding]:
    """One finding for each old form."""
    newer = VERSIONS.get(str(document.get("apiVersion")), {}).get(str(document.get("kind")))
    if newer:
        group = str(document["apiVersion"]).partition("/")[0]
        yield _old("apiVersion", f"`{document['apiVersion']}` of {document['kind']}", f"use `{group}/{newer}`")
    spec = document.get("spec")
    if not isinstance(spec, Mapping):
        return
    if document.get("kind") in ("ClusterPolicy", "Policy"):
        for field, instead in SPEC.items():
            if spec.get(field) is not None:
                yield _old(f"spec.{field}", f"`{field}`", instead)
    for path, rule in rules_of(document):
        for check in RULES:
            yield from check(rule, path)


def _old(path: str, what: str, instead: str) -> Finding:
    return Finding("deprecated", path, f"{what} is deprecated", help=instead)


def _match(rule: Mapping[str, Any], path: str) -> Iterator[Finding]:
    for clause in ("match", "exclude"):
        document = rule.get(clause)
        if not isinstance(document, Mapping):
            continue
        here = f"{path}.{clause}"
        if any(document.get(key) for key in ("resources", "roles", "clusterRoles", "subjects")):
            yield _old(here, f"`{clause}` without any or all", f"put the block under `{clause}.any`")
        for at, block in blocks_of(document, here):
            if as_map(block.get("resources")).get("name"):
                yield _old(f"{at}.resources.name", "`name`", "use `names`")


def _conditions(rule: Mapping[str, Any], path: str) -> Iterator[Finding]:
    for at, conditions in conditions_of(rule, path):
        if isinstance(conditions, list) and conditions:
            yield _old(at, "a list of conditions", "put it under `all`")
        blocks: list[tuple[str, Any]] = [(at, conditions)]
        if isinstance(conditions, Mapping):
            blocks = [(f"{at}.{key}", conditions.get(key)) for key in ("any", "all")]
        for where, members in blocks:
            for index, condition in maps_of(members):
                operator = condition.get("operator")
                if isinstance(operator, str) and operator in OPERATORS:
                    yield _old(f"{where}[{index}].operator", f"operator `{operator}`", OPERATORS[operator])


def _bodies(rule: Mapping[str, Any], path: str) -> Iterator[Finding]:
    validate = rule.get("validate")
    if isinstance(validate, Mapping) and validate.get("assert") is not None:
        yield _old(f"{path}.validate.assert", "`assert`", "it has no effect; use `pattern`, `deny` or `cel`")
    for index, entry in maps_of(rule.get("verifyImages")):
        here = f"{path}.verifyImages[{index}]"
        for field, instead in VERIFY_IMAGES.items():
            if entry.get(field):
                yield _old(f"{here}.{field}", f"`{field}`", instead)
        for number, attestation in maps_of(entry.get("attestations")):
            if attestation.get("predicateType"):
                yield _old(f"{here}.attestations[{number}].predicateType", "`predicateType`", "use `type`")


RULES: tuple[Callable[[Mapping[str, Any], str], Iterator[Finding]], ...] = (_match, _conditions, _bodies)

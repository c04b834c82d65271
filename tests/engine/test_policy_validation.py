"""What is refused, and what the author is warned of (spec 3.4)."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from engine.compiler import compile_policy
from engine.errors import InvalidPolicy
from engine.request import Object

DENY = {"message": "m", "deny": {"conditions": {"all": [{"key": 1, "operator": "Equals", "value": 1}]}}}
RULE: Object = {"name": "r", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]}, "validate": DENY}
POLICY: Object = {
    "apiVersion": "kyverno.io/v1",
    "kind": "ClusterPolicy",
    "metadata": {"name": "p"},
    "spec": {"rules": [RULE]},
}
MUTATE: Object = {
    "name": "r",
    "match": {"any": [{"resources": {"kinds": ["ConfigMap"]}}]},
    "mutate": {
        "targets": [{"apiVersion": "v1", "kind": "Secret", "name": "s", "namespace": "n"}],
        "patchStrategicMerge": {"metadata": {"labels": {"a": "{{ target.metadata.name }}"}}},
    },
}


def with_rule(rule: Object | None = None, kind: str = "ClusterPolicy", **spec: Any) -> Object:
    document = copy.deepcopy(POLICY)
    document["kind"] = kind
    document["spec"] = {"rules": [rule or copy.deepcopy(RULE)], **spec}
    return document


def refusal(document: Any) -> InvalidPolicy:
    with pytest.raises(InvalidPolicy) as caught:
        compile_policy(document)
    return caught.value


def test_the_plain_policy_is_accepted() -> None:
    compile_policy(POLICY)


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ({**RULE, "mach": {}}, "spec.rules[0].mach"),
        ({**RULE, "validate": {**DENY, "patern": {}}}, "spec.rules[0].validate.patern"),
        ({**RULE, "name": 5}, "spec.rules[0].name"),
        ({**RULE, "name": "x" * 64}, "spec.rules[0].name"),
        ({key: RULE[key] for key in ("name", "validate")}, ""),
        ({**RULE, "validate": {"message": "m"}}, "spec.rules[0].validate"),
        ({**RULE, "validate": {**DENY, "pattern": {}}}, "spec.rules[0].validate"),
        ({**RULE, "validate": {}}, "spec.rules[0]"),
        ({**RULE, "mutate": {"patchStrategicMerge": {"a": 1}}}, "spec.rules[0]"),
        ({**RULE, "exclude": RULE["match"]}, "spec.rules[0]"),
        ({**RULE, "match": {**RULE["match"], "all": RULE["match"]["any"]}}, "spec.rules[0].match"),
        ({**RULE, "celPreconditions": [{"name": "a", "expression": "true"}]}, "spec.rules[0].celPreconditions"),
        (
            {**RULE, "match": {"any": [{"resources": {"kinds": ["Pod"], "names": ["{{ request.namespace }}"]}}]}},
            "spec.rules[0].match",
        ),
        ({**RULE, "match": {"any": [{"resources": {"kinds": ["Pod/exec"]}}]}}, "spec.rules[0].match.any[0].kinds"),
        ({**RULE, "match": {"any": [{"resources": {"kinds": ["*"]}}]}}, "spec.rules[0].match.any[0].kinds"),
        ({**RULE, "context": [{"name": "request", "variable": {"value": 1}}]}, "spec.rules[0].context[0]"),
        ({**RULE, "validate": {"podSecurity": {"level": "Baseline"}}}, "spec.rules[0].validate.podSecurity.level"),
        ({**RULE, "validate": {**DENY, "failureAction": "enforce"}}, "spec.rules[0].validate.failureAction"),
        ({**RULE, "validate": {**DENY, "message": "{{ a-b }}"}}, "spec.rules[0]"),
        ({**RULE, "validate": {**DENY, "message": "{{ request.a-b }}"}}, "spec.rules[0].validate.message"),
    ],
)
def test_a_bad_rule_is_refused_at_its_place(rule: Object, path: str) -> None:
    assert refusal(with_rule(rule)).path == path


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"rules": []}, "spec.rules"),
        ({"admission": False, "background": False}, "spec"),
        ({"webhookTimeoutSeconds": 31}, "spec.webhookTimeoutSeconds"),
        ({"webhookConfiguration": {"timeoutSeconds": 0}}, "spec.webhookConfiguration.timeoutSeconds"),
        ({"generateExistingOnPolicyUpdate": True}, "spec.generateExistingOnPolicyUpdate"),
        ({"validationFailureAction": "Deny"}, "spec.validationFailureAction"),
        ({"failurePolicy": "fail"}, "spec.failurePolicy"),
        ({"nope": 1}, "spec.nope"),
        ({"rules": [RULE, RULE]}, "spec.rules[1].name"),
    ],
)
def test_bad_settings_are_refused_at_their_place(spec: Object, path: str) -> None:
    assert refusal(with_rule(**spec)).path == path


def test_a_namespaced_policy_has_no_overrides_and_no_namespaces() -> None:
    overrides = [{"action": "Enforce", "namespaces": ["x"]}]
    assert refusal(with_rule(kind="Policy", validationFailureActionOverrides=overrides)).path.endswith("Overrides")
    elsewhere = {**RULE, "match": {"any": [{"resources": {"kinds": ["Pod"], "namespaces": ["x"]}}]}}
    assert refusal(with_rule(elsewhere, kind="Policy")).path == "spec.rules[0].match.any[0].namespaces"


@pytest.mark.parametrize("text", ["{{ foo }}", "{{ `5` }}", "{{ 'a' }}", "{{ target.metadata.name }}"])
def test_variables_need_a_known_root(text: str) -> None:
    assert "must match regex" in refusal(with_rule({**RULE, "validate": {**DENY, "message": text}})).reason


@pytest.mark.parametrize("text", ["{{ element.name }}", "{{ elementIndex }}", "{{ element0 }}"])
def test_elements_exist_within_foreach_only(text: str) -> None:
    reason = refusal(with_rule({**RULE, "validate": {**DENY, "message": text}})).reason
    assert reason == f"variable '{text[3:-3]}' present outside of foreach at path /validate/message"
    inside = {
        "foreach": [
            {"list": "request.object.spec.x", "deny": {"conditions": {"any": [{"key": text, "operator": "Equals", "value": 1}]}}}
        ]
    }
    compile_policy(with_rule({**RULE, "validate": inside}))


def test_a_config_map_entry_shows_data_and_metadata_only() -> None:
    context = [{"name": "cm", "configMap": {"name": "c", "namespace": "n"}}]
    assert (
        "patterns [cm.data cm.metadata"
        in refusal(with_rule({**RULE, "context": context, "validate": {**DENY, "message": "{{ cm }}"}})).reason
    )
    compile_policy(with_rule({**RULE, "context": context, "validate": {**DENY, "message": '{{ cm.data."a.b" }}'}}))


@pytest.mark.parametrize(
    "text",
    [
        "{{ request.userInfo.username }}",
        "{{ serviceAccountName }}",
        "{{ request.roles }}",
        "{{ to_upper(request.clusterRoles[0]) }}",
    ],
)
def test_user_data_needs_background_false(text: str) -> None:
    rule = {**RULE, "validate": {**DENY, "message": text}}
    assert "only select variables are allowed in background mode" in refusal(with_rule(rule)).reason
    compile_policy(with_rule(rule, background=False))


def test_match_by_user_needs_background_false() -> None:
    block = {**RULE["match"]["any"][0], "subjects": [{"kind": "User", "name": "ann"}]}
    assert "background mode" in refusal(with_rule({**RULE, "match": {"any": [block]}})).reason
    compile_policy(with_rule({**RULE, "match": {"any": [block]}}, background=False))


def test_wildcard_kinds_judge_metadata_only() -> None:
    everything = {"any": [{"resources": {"kinds": ["*"]}}]}
    about_spec = {**RULE, "match": everything, "validate": {"pattern": {"spec": {"a": 1}}}}
    assert "can only deal with the metadata" in refusal(with_rule(about_spec, background=False)).reason
    about_labels = {**RULE, "match": everything, "validate": {"pattern": {"metadata": {"labels": {"a": "?*"}}}}}
    compile_policy(with_rule(about_labels, background=False))


def test_operations_that_do_not_exist_are_refused() -> None:
    condition = {"key": "{{ request.operation }}", "operator": "AnyIn", "value": ["CREATE", "DESTROY"]}
    assert "unknown value 'DESTROY'" in refusal(with_rule({**RULE, "preconditions": {"all": [condition]}})).reason


def test_targets_know_the_target_but_do_not_choose_by_it() -> None:
    compile_policy(with_rule(MUTATE))
    chosen = copy.deepcopy(MUTATE)
    chosen["mutate"]["targets"][0]["namespace"] = "{{ target.metadata.namespace }}"
    assert "must match regex" in refusal(with_rule(chosen)).reason
    early = {**MUTATE, "preconditions": {"all": [{"key": "{{ target.kind }}", "operator": "Equals", "value": "Secret"}]}}
    assert "must match regex" in refusal(with_rule(early)).reason


@pytest.mark.parametrize(
    "mutate",
    [
        {"mutateExistingOnPolicyUpdate": True, "patchStrategicMerge": {"a": 1}},
        {"patchStrategicMerge": {"metadata": {"labels": {"a": 1}}}},
        {"patchStrategicMerge": {"a": 1}, "patchesJson6902": "[]"},
        {"patchesJson6902": "- op: add\n  path: /metadata/labels/{{ request.object.metadata.name }}\n  value: x"},
        {"foreach": [{"list": "request.object.spec.x", "patchStrategicMerge": {"a": 1}, "foreach": [{"list": "element"}]}]},
        {"targets": [{"kind": "Secret"}], "patchStrategicMerge": {"a": 1}},
    ],
)
def test_mutations_that_are_refused(mutate: Object) -> None:
    assert refusal(with_rule({**MUTATE, "mutate": mutate})).path.startswith("spec.rules[0].mutate")


def test_admission_false_leaves_nothing_to_mutate() -> None:
    assert (
        refusal(with_rule({**MUTATE, "mutate": {"patchStrategicMerge": {"a": 1}}}, admission=False)).path
        == "spec.rules[0].mutate"
    )
    compile_policy(with_rule(admission=False))


def test_digests_are_not_written_in_audit_mode() -> None:
    rule = {"name": "r", "match": RULE["match"], "verifyImages": [{"imageReferences": ["*"]}]}
    assert "mutateDigest must be set to false" in refusal(with_rule(rule)).reason
    compile_policy(with_rule(rule, validationFailureAction="Enforce"))


def test_a_namespaced_policy_generates_in_its_own_namespace() -> None:
    body = {"apiVersion": "v1", "kind": "Secret", "name": "s", "namespace": "other", "data": {"a": "b"}}
    rule = {"name": "r", "match": MUTATE["match"], "generate": body}
    assert refusal(with_rule(rule, kind="Policy")).path == "spec.rules[0].generate.namespace"
    compile_policy(with_rule({**rule, "generate": {**body, "namespace": "default"}}, kind="Policy"))


@pytest.mark.parametrize("document", [None, [], "x", {}, {"apiVersion": "v1", "kind": "Pod"}, {"kind": "ClusterPolicy"}])
def test_what_is_no_policy_is_refused(document: Any) -> None:
    refusal(document)


def test_deprecated_spellings_are_warned_of() -> None:
    old = {"any": [{"key": "{{ request.object.metadata.name }}", "operator": "NotIn", "value": ["a"]}]}
    warnings = compile_policy(
        with_rule({**RULE, "validate": {"deny": {"conditions": old}}}, validationFailureAction="enforce")
    ).warnings
    assert any(text.startswith("Operator NotIn has been deprecated and will be removed soon.") for text in warnings)
    assert "Validation failure actions enforce/audit are deprecated, use Enforce/Audit instead." in warnings


PODS_ONLY = {"name": "r", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]}, "validate": {"pattern": {"spec": "*"}}}
PATCH = {**PODS_ONLY, "mutate": {"patchesJson6902": '[{"op": "add", "path": "/metadata/labels/a", "value": "b"}]'}}
del PATCH["validate"]


@pytest.mark.parametrize(
    ("annotation", "document", "start"),
    [
        ("Deployment", PODS_ONLY, "Policies that match Pods apply to all Pods"),
        ("none", PODS_ONLY, ""),
        (None, PODS_ONLY, ""),
        (None, PATCH, "Pods managed by workload controllers should not be directly mutated"),
    ],
)
def test_rules_for_pods_that_meet_more_than_they_seem_to_are_pointed_out(
    annotation: str | None, document: Any, start: str
) -> None:
    annotations = {} if annotation is None else {"pod-policies.kyverno.io/autogen-controllers": annotation}
    compiled = compile_policy(
        {
            "apiVersion": "kyverno.io/v1",
            "kind": "ClusterPolicy",
            "metadata": {"name": "p", "annotations": annotations},
            "spec": {"rules": [document]},
        }
    )
    told = [text for text in compiled.warnings if text.startswith(("Policies that", "Pods managed"))]
    assert [text.startswith(start) for text in told] == ([True] if start else [])

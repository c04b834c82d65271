"""generate rules: what they want to exist, under which labels, and what they ask the world for (spec 2.8)."""

from __future__ import annotations

from typing import Any

import pytest

from engine import Facts, InvalidPolicy, LookupFailed, PolicySet, Unknown, compile_exception, compile_policy, generate
from engine.facts import Lookup, resource, resources
from engine.request import Object
from engine.result import Result, Status
from tests.policies import request_for


def policy(generates: Object, *, namespace: str = "", kinds: Any = ("Namespace",), **rule: Any) -> Object:
    match = {"any": [{"resources": {"kinds": list(kinds)}}]}
    return {
        "apiVersion": "kyverno.io/v1",
        "kind": "Policy" if namespace else "ClusterPolicy",
        "metadata": {"name": "p", "namespace": namespace} if namespace else {"name": "p"},
        "spec": {"rules": [{"name": "r", "match": match, "generate": generates, **rule}]},
    }


TRIGGER: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "blue", "uid": "u-1"}}


def result(document: Object, trigger: Object = TRIGGER, answers: dict[Lookup, Any] | None = None, **request: Any) -> Result:
    (response,) = generate(PolicySet([compile_policy(document)]), request_for(trigger, **request), Facts(answers or {}))
    (only,) = response.results
    return only


def target(**fields: Any) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "name": "cm", "namespace": "{{ request.object.metadata.name }}", **fields}


def named(found: Result) -> list[tuple[str, str]]:
    return [(one["metadata"].get("namespace", ""), one["metadata"]["name"]) for one in found.generated]


def test_data_becomes_an_object_with_the_labels_of_its_origin() -> None:
    found = result(
        policy(target(data={"metadata": {"labels": {"a": "b"}}, "data": {"ns": "{{ request.object.metadata.name }}"}}))
    )
    assert (found.status, found.message) == (Status.PASS, "")
    assert found.generated == (
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": "cm",
                "namespace": "blue",
                "labels": {
                    "a": "b",
                    "app.kubernetes.io/managed-by": "kyverno",
                    "generate.kyverno.io/policy-name": "p",
                    "generate.kyverno.io/policy-namespace": "",
                    "generate.kyverno.io/rule-name": "r",
                    "generate.kyverno.io/trigger-uid": "u-1",
                    "generate.kyverno.io/trigger-namespace": "default",
                    "generate.kyverno.io/trigger-kind": "Namespace",
                    "generate.kyverno.io/trigger-version": "v1",
                    "generate.kyverno.io/trigger-group": "",
                },
            },
            "data": {"ns": "blue"},
        },
    )


def test_a_target_without_data_is_a_bare_object() -> None:
    assert [sorted(one) for one in result(policy(target())).generated] == [["apiVersion", "kind", "metadata"]]


def secret(name: str, **metadata: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "src", **metadata},
        "data": {"k": "dg=="},
    }


CLONE = target(kind="Secret", name="copy", clone={"namespace": "src", "name": "regcred"})
SOURCE = resource("v1", "Secret", namespace="src", name="regcred")


def test_a_clone_asks_for_its_source() -> None:
    with pytest.raises(Unknown) as caught:
        result(policy(CLONE))
    assert caught.value.lookups == {SOURCE}


def test_a_clone_carries_content_and_labels_but_not_what_the_api_server_keeps() -> None:
    metadata = {"uid": "u-2", "resourceVersion": "7", "creationTimestamp": "x", "managedFields": [], "annotations": {"n": "1"}}
    labels = {"team": "a", "app.kubernetes.io/managed-by": "Helm", "generate.kyverno.io/clone-source": ""}
    owners = [{"kind": "Deployment", "name": "d"}]
    found = result(policy(CLONE), answers={SOURCE: secret("regcred", labels=labels, ownerReferences=owners, **metadata)})
    (copy,) = found.generated
    assert copy["data"] == {"k": "dg=="}
    kept = {key: value for key, value in copy["metadata"].items() if key != "labels"}
    assert kept == {"name": "copy", "namespace": "blue", "annotations": {"n": "1"}}
    ours = {key.rpartition("/")[2]: value for key, value in copy["metadata"]["labels"].items()}
    assert ours["managed-by"] == "kyverno"
    assert (ours["team"], ours["source-uid"], ours["source-namespace"], ours["source-kind"]) == ("a", "u-2", "src", "Secret")
    assert (ours["source-version"], ours["source-group"], ours["rule-name"]) == ("v1", "", "r")
    assert "clone-source" not in ours


def test_owners_stay_within_their_namespace() -> None:
    owners = [{"kind": "Deployment", "name": "d"}]
    generates = {**CLONE, "namespace": "src"}
    (copy,) = result(policy(generates), answers={SOURCE: secret("regcred", ownerReferences=owners)}).generated
    assert copy["metadata"]["ownerReferences"] == owners


def test_a_source_that_is_not_there_or_cannot_be_had_is_an_error() -> None:
    missing = result(policy(CLONE), answers={SOURCE: None})
    assert (missing.status, missing.message) == (Status.ERROR, "clone source v1/Secret src/regcred not found")
    failed = result(policy(CLONE), answers={SOURCE: LookupFailed(SOURCE, "timeout")})
    assert (failed.status, failed.message) == (Status.ERROR, "failed to get clone source v1/Secret src/regcred: timeout")


def test_a_clone_list_copies_what_its_selector_selects() -> None:
    selector = {"matchLabels": {"copy": "yes"}}
    kinds = ["v1/Secret", "apps/v1/Deployment"]
    document = policy({"namespace": "blue", "cloneList": {"namespace": "src", "kinds": kinds, "selector": selector}})
    asked = [resources("v1", "Secret", namespace="src", selector=selector)]
    asked.append(resources("apps/v1", "Deployment", namespace="src", selector=selector))
    with pytest.raises(Unknown) as caught:
        result(document)
    assert caught.value.lookups == set(asked)
    answers: dict[Lookup, Any] = {
        asked[0]: [secret("a", labels={"copy": "yes"}), secret("b"), secret("c", labels={"copy": "no"})]
    }
    assert named(result(document, answers={**answers, asked[1]: []})) == [("blue", "a")]


def test_foreach_makes_a_target_of_every_element_that_meets_the_preconditions() -> None:
    entry = {
        "list": "request.object.metadata.annotations.to | split(@, ',')",
        "context": [{"name": "ns", "variable": {"jmesPath": "element"}}],
        "preconditions": {"all": [{"key": "{{ ns }}", "operator": "NotEquals", "value": "b"}]},
        **target(name="cm-{{ elementIndex }}", namespace="{{ ns }}", data={"data": {"for": "{{ element }}"}}),
    }
    trigger = {**TRIGGER, "metadata": {"name": "blue", "annotations": {"to": "a,b,c"}}}
    found = result(policy({"foreach": [entry]}), trigger)
    assert named(found) == [("a", "cm-0"), ("c", "cm-2")]
    assert [one["data"] for one in found.generated] == [{"for": "a"}, {"for": "c"}]


def test_foreach_asks_for_all_its_sources_at_once() -> None:
    entry = {"list": "['a', 'b']", **target(kind="Secret", clone={"namespace": "src", "name": "{{ element }}"})}
    with pytest.raises(Unknown) as caught:
        result(policy({"foreach": [entry]}))
    assert caught.value.lookups == {resource("v1", "Secret", namespace="src", name=name) for name in "ab"}


def test_a_variable_that_cannot_be_resolved_is_an_error() -> None:
    found = result(policy(target(name="{{ request.object.spec.nope }}")))
    assert found.status is Status.ERROR
    assert "request.object.spec.nope" in found.message


def test_preconditions_skip_the_rule() -> None:
    preconditions = {"all": [{"key": "a", "operator": "Equals", "value": "b"}]}
    assert result(policy(target(), preconditions=preconditions)).status is Status.SKIP


def test_an_exception_skips_the_rule() -> None:
    exception = {
        "apiVersion": "kyverno.io/v2",
        "kind": "PolicyException",
        "metadata": {"name": "e", "namespace": "ns"},
        "spec": {
            "match": {"any": [{"resources": {"kinds": ["Namespace"]}}]},
            "exceptions": [{"policyName": "p", "ruleNames": ["r"]}],
        },
    }
    policies = PolicySet([compile_policy(policy(target()))], [compile_exception(exception)])
    (response,) = generate(policies, request_for(TRIGGER))
    assert response.results[0].message == "rule is skipped due to policy exception ns/e"


def test_the_end_of_a_trigger_generates_only_where_the_rule_names_it() -> None:
    silent = generate(PolicySet([compile_policy(policy(target()))]), request_for(TRIGGER, "DELETE"))
    assert [response.results for response in silent] == [()]
    document = policy(target())
    document["spec"]["rules"][0]["match"]["any"][0]["resources"]["operations"] = ["DELETE"]
    assert named(result(document, operation="DELETE")) == [("blue", "cm")]


@pytest.mark.parametrize(
    ("generates", "path"),
    [
        (target(data={"a": 1}, clone={"name": "x", "namespace": "y"}), "spec.rules[0].generate"),
        (target(name=""), "spec.rules[0].generate.name"),
        ({"namespace": "a", "cloneList": {"kinds": ["Secret"]}}, "spec.rules[0].generate.cloneList.kinds[0]"),
        ({"foreach": [target()]}, "spec.rules[0].generate.foreach[0]"),
        (target(data={"a": "{{ request. }}"}), "spec.rules[0].generate.data.a"),
    ],
)
def test_faults_are_named_by_their_path(generates: Object, path: str) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        compile_policy(policy(generates))
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("generates", "path"),
    [
        (target(namespace="red"), "spec.rules[0].generate.namespace"),
        (target(), "spec.rules[0].generate.namespace"),
        (target(namespace="blue", clone={"name": "x", "namespace": "red"}), "spec.rules[0].generate.clone.namespace"),
    ],
)
def test_a_namespaced_policy_stays_in_its_namespace(generates: Object, path: str) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        compile_policy(policy(generates, namespace="blue", kinds=["ConfigMap"]))
    assert caught.value.path == path


def test_a_namespaced_policy_asks_within_its_namespace() -> None:
    document = policy(target(namespace="default", clone={"name": "x"}), namespace="default", kinds=["ConfigMap"])
    trigger = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "t"}}
    with pytest.raises(Unknown) as caught:
        result(document, trigger)
    assert caught.value.lookups == {resource("v1", "ConfigMap", namespace="default", name="x", policy_namespace="default")}

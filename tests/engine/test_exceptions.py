"""PolicyExceptions: which rules they name, when they apply, what they say, and what is refused (spec 2.12)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine import InvalidPolicy, PolicyException, PolicySet, Request, compile_exception, compile_policy, mutate, scan, validate
from engine.request import Object
from engine.result import Result, Status
from tests.policies import request_for


def exception(name: str = "e", namespace: str = "ns", *, policy: str = "p", rules: Any = ("r",), **spec: Any) -> PolicyException:
    match = {"any": [{"resources": {"kinds": ["Pod"]}}]}
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    references = [{"policyName": policy, "ruleNames": list(rules)}]
    document = {
        "apiVersion": "kyverno.io/v2",
        "kind": "PolicyException",
        "metadata": metadata,
        "spec": {"match": match, "exceptions": references, **spec},
    }
    return compile_exception(document)


def policy(body: Object, **metadata: Any) -> Object:
    rule = {"name": "r", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]}, "validate": body}
    return {
        "apiVersion": "kyverno.io/v1",
        "kind": "Policy" if "namespace" in metadata else "ClusterPolicy",
        "metadata": {"name": "p", **metadata},
        "spec": {"rules": [rule]},
    }


DENY: Object = {"failureAction": "Enforce", "message": "no", "deny": {}}


def pod(**metadata: Any) -> Object:
    spec = {"containers": [{"name": "c", "image": "busybox"}], "volumes": [{"name": "v", "hostPath": {"path": "/var/lib1"}}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", **metadata}, "spec": spec}


def results(document: Object, request: Request, *exceptions: PolicyException) -> tuple[Result, ...]:
    return validate(PolicySet([compile_policy(document)], exceptions), request).results


def test_an_exception_skips_a_rule_and_names_itself() -> None:
    (result,) = results(policy(DENY), request_for(pod()), exception("b"), exception("a"))
    assert result.status is Status.SKIP
    assert result.message == "rule is skipped due to policy exceptionsns/a, ns/b"
    assert result.properties == {"exceptions": "a,b"}
    assert [identity.key for identity in result.exceptions] == ["ns/a", "ns/b"]


def test_an_exception_without_namespace_goes_by_its_name() -> None:
    (result,) = results(policy(DENY), request_for(pod()), exception(namespace=""))
    assert result.message == "rule is skipped due to policy exceptionse"


@pytest.mark.parametrize(
    ("name", "rules", "status"),
    [
        ("p", ["r"], Status.SKIP),
        ("p", ["*"], Status.SKIP),
        ("p", ["?"], Status.SKIP),
        ("p", ["autogen-r"], Status.FAIL),
        ("q", ["*"], Status.FAIL),
        ("*", ["*"], Status.FAIL),
        ("default/p", ["r"], Status.FAIL),
    ],
)
def test_policies_are_named_exactly_and_rules_with_wildcards(name: str, rules: list[str], status: Status) -> None:
    (result,) = results(policy(DENY), request_for(pod()), exception(policy=name, rules=rules))
    assert result.status is status


def test_a_namespaced_policy_is_named_with_its_namespace() -> None:
    document = policy(DENY, namespace="default")
    assert results(document, request_for(pod()), exception(policy="p"))[0].status is Status.FAIL
    assert results(document, request_for(pod()), exception(policy="default/p"))[0].status is Status.SKIP


def test_a_generated_rule_is_named_by_its_own_name() -> None:
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {"template": {"metadata": {}, "spec": {}}},
    }
    match = {"any": [{"resources": {"kinds": ["Deployment"]}}]}
    document = policy(DENY)
    assert results(document, request_for(deployment), exception(match=match))[0].status is Status.FAIL
    assert results(document, request_for(deployment), exception(match=match, rules=["autogen-*"]))[0].status is Status.SKIP


def test_conditions_decide_and_unanswerable_ones_exempt_nothing() -> None:
    blue = {"any": [{"key": "{{ request.object.metadata.labels.color }}", "operator": "Equals", "value": "blue"}]}
    for labels, status in (({"color": "blue"}, Status.SKIP), ({"color": "red"}, Status.FAIL), (None, Status.FAIL)):
        found = pod(labels=labels) if labels else pod()
        assert results(policy(DENY), request_for(found), exception(conditions=blue))[0].status is status


def test_an_exception_comes_before_preconditions_and_context() -> None:
    document = policy(DENY)
    document["spec"]["rules"][0]["preconditions"] = {
        "all": [{"key": "{{ request.object.nope }}", "operator": "Equals", "value": 1}]
    }
    assert results(document, request_for(pod()))[0].status is Status.ERROR
    assert results(document, request_for(pod()), exception())[0].status is Status.SKIP


def test_an_object_that_leaves_the_reach_of_an_exception_must_obey_again() -> None:
    match = {"any": [{"resources": {"kinds": ["Pod"], "selector": {"matchLabels": {"free": "yes"}}}}]}
    new, old = pod(), pod(labels={"free": "yes"})
    document = {"operation": "UPDATE", "object": new, "oldObject": old}
    request = Request(operation="UPDATE", kind=request_for(new).kind, object=new, old_object=old, document=document)
    body = {**DENY, "allowExistingViolations": False}
    assert results(policy(body), request, exception(match=match))[0].status is Status.FAIL
    assert results(policy(body), request_for(old, "DELETE"), exception(match=match))[0].status is Status.SKIP


def test_background_scans_pass_over_exceptions_that_are_not_for_them() -> None:
    document = policy({"message": "no", "deny": {}})
    for background, status in ((True, Status.SKIP), (False, Status.FAIL)):
        policies = PolicySet([compile_policy(document)], [exception(background=background)])
        (response,) = scan(policies, request_for(pod()))
        assert response.results[0].status is status


POD_SECURITY: Object = {"failureAction": "Enforce", "podSecurity": {"level": "baseline", "version": "latest"}}
HOST_PATH = {"controlName": "HostPath Volumes", "restrictedField": "spec.volumes[*].hostPath", "values": ["/var/lib1"]}


def test_pod_security_exceptions_take_controls_out_of_the_check() -> None:
    (result,) = results(policy(POD_SECURITY), request_for(pod()), exception(podSecurity=[HOST_PATH]))
    assert (result.status, result.message) == (Status.SKIP, "rule is skipped due to policy exceptions ns/e")
    other = {**HOST_PATH, "values": ["/etc"]}
    assert results(policy(POD_SECURITY), request_for(pod()), exception(podSecurity=[other]))[0].status is Status.FAIL


def test_a_pod_that_obeys_passes_although_there_is_an_exception() -> None:
    good = pod()
    del good["spec"]["volumes"]
    (result,) = results(policy(POD_SECURITY), request_for(good), exception(podSecurity=[HOST_PATH]))
    assert (result.status, result.exceptions) == (Status.PASS, ())


def test_an_exception_without_controls_skips_a_pod_security_rule_as_a_whole() -> None:
    found = results(policy(POD_SECURITY), request_for(pod()), exception("a", podSecurity=[HOST_PATH]), exception("b"))
    assert (found[0].message, found[0].properties) == ("rule is skipped due to policy exception ns/b", {"exceptions": "b"})


def test_a_set_keeps_its_exceptions_when_policies_change() -> None:
    compiled = compile_policy(policy(DENY))
    bare = PolicySet()
    policies = bare.with_exceptions([exception()]).plus(compiled)
    assert validate(policies, request_for(pod())).allowed
    assert not validate(policies.with_exceptions([]), request_for(pod())).allowed
    assert len(policies.minus(("ClusterPolicy", "", "p")).exceptions) == 1
    assert bare.exceptions == ()


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"match": {"any": [{"subjects": [{"kind": "User", "name": "chip"}]}]}}, "spec.match.any[0].subjects"),
        ({"match": {"all": [{"resources": {"kinds": ["Pod"]}, "roles": ["ns:r"]}]}}, "spec.match.all[0].roles"),
        ({"match": None}, "spec.match"),
        ({"exceptions": []}, "spec.exceptions"),
        ({"exceptions": [{"policyName": "p", "ruleNames": []}]}, "spec.exceptions[0].ruleNames"),
        ({"exceptions": [{"policyName": "", "ruleNames": ["r"]}]}, "spec.exceptions[0].policyName"),
        ({"exceptions": [{"ruleNames": ["r"]}]}, "spec.exceptions[0].policyName"),
        ({"conditions": {"any": [{"key": "a", "operator": "Sounds", "value": "b"}]}}, "spec.conditions.any[0]"),
        ({"podSecurity": [{"controlName": "Nope"}]}, "spec.podSecurity[0].controlName"),
        ({"podSecurity": [{"controlName": "Capabilities"}]}, "spec.podSecurity[0].controlName"),
        ({"colour": "blue"}, "spec.colour"),
    ],
)
def test_faults_are_named_by_their_path(spec: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        exception(**spec)
    assert caught.value.path == path


def test_without_background_users_may_be_named() -> None:
    match = {"any": [{"resources": {"kinds": ["Pod"]}, "subjects": [{"kind": "User", "name": "chip"}]}]}
    named = exception(background=False, match=match)
    asking = {"userInfo": {"username": "chip"}}
    assert results(policy(DENY), request_for(pod(), userinfo=asking), named)[0].status is Status.SKIP
    asking = {"userInfo": {"username": "dale"}}
    assert results(policy(DENY), request_for(pod(), userinfo=asking), named)[0].status is Status.FAIL


@pytest.mark.parametrize("document", [None, [], {}, {"apiVersion": "policies.kyverno.io/v1", "kind": "PolicyException"}])
def test_other_documents_are_no_exceptions(document: Any) -> None:
    with pytest.raises(InvalidPolicy):
        compile_exception(document)


def test_an_exception_skips_a_mutation() -> None:
    document = policy(DENY)
    rule = document["spec"]["rules"][0]
    del rule["validate"]
    rule["mutate"] = {"patchStrategicMerge": {"metadata": {"labels": {"a": "b"}}}}
    compiled = compile_policy(document)
    assert mutate(PolicySet([compiled]), request_for(pod())).patch
    verdict = mutate(PolicySet([compiled], [exception()]), request_for(pod()))
    assert (verdict.allowed, verdict.patch) == (True, ())
    assert [result.message for result in verdict.results] == ["rule is skipped due to policy exceptionsns/e"]


def test_an_exception_skips_a_cel_rule() -> None:
    document = policy({"failureAction": "Enforce", "cel": {"expressions": [{"expression": "false"}]}})
    assert results(document, request_for(pod()))[0].status is Status.FAIL
    assert results(document, request_for(pod()), exception())[0].status is Status.SKIP


def test_exceptions_are_about_policies_of_kyverno_only() -> None:
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["*"]}]
    document = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "p"},
        "spec": {"matchConstraints": {"resourceRules": rules}, "validations": [{"expression": "false"}]},
    }
    assert results(document, request_for(pod()), exception(rules=["*"]))[0].status is Status.FAIL


def expiring(moment: str) -> PolicyException:
    document = dict(exception().document)
    document["metadata"] = {"name": "e", "namespace": "ns", "annotations": {"exceptions.pyvern.io/expires": moment}}
    return compile_exception(document)


UNTIL = [("1970-01-02", "fail"), ("1970-01-02T00:00:01Z", "skip"), ("1970-01-03", "skip")]
NO_DATES = ["soon", "", "2026-02-30", "2026-13-01", "31.12.2026", "2026-01-01T25:00:00Z", "2026-01-01 10:00"]


@pytest.mark.parametrize(("expires", "status"), UNTIL)
def test_an_expired_exception_exempts_nothing(expires: str, status: str) -> None:
    request = replace(request_for(pod()), now=86_400_000_000_000)  # 1970-01-02
    (result,) = results(policy(DENY), request, expiring(expires))
    assert result.status.value == status


@pytest.mark.parametrize("expires", NO_DATES)
def test_an_expiry_that_is_no_date_is_refused_with_path_and_value(expires: str) -> None:
    with pytest.raises(InvalidPolicy) as raised:
        expiring(expires)
    assert raised.value.path == "metadata.annotations[exceptions.pyvern.io/expires]"
    assert f"`{expires}`" in raised.value.reason

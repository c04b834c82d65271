"""Flags that forbid: exceptions off (the default) or of no namespace, --protectManagedResources, --omitEvents.

The operators of these tests take the place of the admission operator that all others share; it is started again at the end.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator

import pytest

from deploy.local.api import Api, Refused
from deploy.local.control_plane import ControlPlane
from deploy.local.operators import Operators, Running
from tests.cluster.calls import CPOL, HOOKS, MAPS, RESOURCE_HOOKS, Document, config_map, denied, policy, post, review, until
from tests.cluster.generating import NAMESPACES, Apply, data, generating, patch
from tests.conftest import EXCEPTIONS, RunOperator

pytestmark = pytest.mark.cluster
POLEX = "/apis/kyverno.io/v2/namespaces/default/policyexceptions"
EVENTS = "/apis/events.k8s.io/v1/namespaces/default/events"
REPORTS = "/apis/wgpolicyk8s.io/v1alpha2/namespaces/default/policyreports"
CONFIG = "/api/v1/namespaces/kyverno/configmaps/kyverno"
MANAGED = "A kyverno managed resource can only be modified by kyverno"
AS = "--as=system:serviceaccount:kube-system:{}"
"""A controller of the control plane; the one of these tests runs them all under one name."""
FLAGS = {
    "admission": {"protectManagedResources": "true", "omitEvents": "PolicyViolation, PolicySkipped"},
    "background": {"omitEvents": "PolicyApplied"},
    "reports": {"omitEvents": "PolicyViolation"},
}


@pytest.fixture(scope="module")
def strict(control_plane: ControlPlane, operators: Operators, admission: Running) -> Iterator[Running]:
    """Three operators, the admission operator with neither --enablePolicyException nor --exceptionNamespace."""
    operators.stop(admission.name)
    started = []
    try:
        for name, flags in FLAGS.items():
            started.append(operators.start(name, flags=flags))
        yield started[0]
    finally:
        for running in started:
            operators.stop(running.name)
        operators.start("admission", flags=EXCEPTIONS, again=admission)


@pytest.fixture(scope="module")
def api(control_plane: ControlPlane, strict: Running) -> Api:
    return control_plane.api


def exception(name: str, policy: str) -> Document:
    match = {"any": [{"resources": {"kinds": ["ConfigMap", "Pod"], "names": [name]}}]}
    return {
        "apiVersion": "kyverno.io/v2",
        "kind": "PolicyException",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"match": match, "exceptions": [{"policyName": policy, "ruleNames": ["*"]}]},
    }


def warnings(api: Api, path: str, document: Document) -> list[str]:
    """What the API server tells whoever creates it, in a dry run."""
    request = urllib.request.Request(
        f"{api.url}{path}?dryRun=All",
        data=json.dumps(document).encode(),
        headers={"Authorization": f"Bearer {api._token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, context=api._tls, timeout=30) as answer:
        return [text.split('"')[1] for text in answer.headers.get_all("Warning") or []]


def reasons(api: Api, name: str) -> set[str]:
    """Reasons of the events about an object or policy of that name."""
    found = api.ask(EVENTS)["items"]
    return {one["reason"] for one in found if name in (one["regarding"]["name"], (one.get("related") or {}).get("name"))}


def test_exceptions_are_off_by_default_and_who_makes_one_is_warned(api: Api, apply: Apply) -> None:
    apply(policy("no-exceptions", kind="ConfigMap"))
    told = warnings(api, POLEX, exception("off", "no-exceptions"))
    assert told == ["PolicyException resources would not be processed until it is enabled."]
    api.ask(POLEX, method="POST", body=exception("off", "no-exceptions"))
    time.sleep(1)  # where exceptions count, they do within moments
    assert "no-exceptions" in denied(api, MAPS, config_map("off"))
    api.ask(f"{POLEX}/off", method="DELETE")


@pytest.mark.parametrize(
    ("namespace", "warning"),
    [
        ("", "The exceptionNamespace flag is not set"),
        ("kube-public", "PolicyException resource namespace must match the defined namespace."),
    ],
)
def test_exceptions_of_a_namespace_that_is_not_allowed_do_not_count(
    api: Api, apply: Apply, run_operator: RunOperator, namespace: str, warning: str
) -> None:
    """A second replica is asked straight, as the API server would."""
    apply(policy("no-exceptions"))
    api.ask(POLEX, method="POST", body=exception("raw", "no-exceptions"))
    try:
        flags = {"enablePolicyException": "true", "exceptionNamespace": namespace}
        second = run_operator("admission", name="second", flags=flags)
        request = json.loads(review())
        request["request"] |= {"object": exception("raw", "no-exceptions")}
        _, answer = post(second, "/exceptionvalidate", json.dumps(request).encode())
        response = json.loads(answer)["response"]
        assert (response["allowed"], response["warnings"]) == (True, [warning])
        _, answer = post(second, "/validate/fail", review("raw"))
        response = json.loads(answer)["response"]
        assert not response["allowed"]
        assert "no-exceptions" in response["status"]["message"]
    finally:
        api.ask(f"{POLEX}/raw", method="DELETE")


def test_what_was_generated_is_changed_by_us_alone_and_goes_with_its_namespace(
    control_plane: ControlPlane, api: Api, apply: Apply
) -> None:
    place = f"{NAMESPACES}/guarded/configmaps"
    api.ask(NAMESPACES, method="POST", body={"metadata": {"name": "guarded"}})
    apply(generating("guard"))
    api.ask(place, method="POST", body=config_map("guard-in", a="1"))
    made = f"{place}/guard-made-guard-in"
    until(lambda: data(api, made) == {"from": "1"})
    for change in (
        lambda: patch(api, made, {"data": {"from": "edited"}}),
        lambda: patch(api, made, {"metadata": {"labels": {"app.kubernetes.io/managed-by": None}}}),
        lambda: api.ask(made, method="DELETE"),
    ):
        with pytest.raises(Refused, match=MANAGED):
            change()
    patch(api, f"{place}/guard-in", {"data": {"a": "2"}})  # what is not managed may be changed, and we follow
    until(lambda: data(api, made) == {"from": "2"})
    api.ask(f"{place}/guard-in", method="DELETE")
    until(lambda: api.find(made) is None)
    api.ask(place, method="POST", body=config_map("guard-in", a="3"))
    until(lambda: data(api, made) == {"from": "3"})
    control_plane.kubectl("delete", "configmap", "guard-made-guard-in", "-n", "guarded", AS.format("namespace-controller"))
    assert api.find(made) is None
    api.ask(f"{NAMESPACES}/guarded", method="DELETE")
    until(lambda: api.find(f"{NAMESPACES}/guarded") is None, timeout=60)


def test_nobody_makes_what_looks_managed(api: Api, apply: Apply) -> None:
    apply(policy("looking", kind="ConfigMap", action="Audit"))
    document = config_map("looks-managed")
    document["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "kyverno"}
    assert MANAGED in denied(api, MAPS, document)


def test_reports_are_guarded_where_a_policy_looks_at_them_and_go_with_their_object(
    control_plane: ControlPlane, api: Api, apply: Apply
) -> None:
    """A webhook is asked only about kinds that policies name."""
    rule = policy("scanned", kind="ConfigMap", action="Audit")["spec"]["rules"][0]
    rule["match"]["any"][0]["resources"]["names"] = ["scanned-in"]
    apply(policy("scanned", rules=[rule], background=True))
    body = api.ask(MAPS, method="POST", body=config_map("scanned-in"))
    report = f"{REPORTS}/{body['metadata']['uid']}"
    until(lambda: api.find(report), timeout=20)
    apply(policy("of-reports", kind="PolicyReport", action="Audit"))
    with pytest.raises(Refused, match=MANAGED):
        api.ask(report, method="DELETE")
    patch(api, f"{MAPS}/scanned-in", {"metadata": {"labels": {"team": "a"}}})
    until(lambda: api.ask(report)["summary"]["pass"] == 1, timeout=20)
    api.ask(f"{MAPS}/scanned-in", method="DELETE")
    uid = body["metadata"]["uid"]
    control_plane.kubectl("delete", "policyreport", uid, "--ignore-not-found", AS.format("generic-garbage-collector"))
    assert api.find(report) is None


def test_webhook_configurations_are_put_back(api: Api, apply: Apply) -> None:
    """The API server asks no webhook about webhooks, so that nobody can be kept from changing them."""
    apply(policy("hooked"))
    before = api.ask(RESOURCE_HOOKS)["webhooks"]
    patch(api, RESOURCE_HOOKS, {"webhooks": []})
    until(lambda: api.ask(RESOURCE_HOOKS).get("webhooks") == before)
    api.ask(f"{HOOKS}/kyverno-policy-validating-webhook-cfg", method="DELETE")
    until(lambda: api.find(f"{HOOKS}/kyverno-policy-validating-webhook-cfg"))


def test_events_of_reasons_that_are_omitted_are_not_written(api: Api, apply: Apply) -> None:
    """At admission and in scans violations, in the background successes; everything else is told."""
    before = api.ask(CONFIG)["data"].get("generateSuccessEvents")
    patch(api, CONFIG, {"data": {"generateSuccessEvents": "true"}})
    try:
        rule = policy("quiet", kind="ConfigMap", action="Audit")["spec"]["rules"][0]
        rule["match"]["any"][0]["resources"]["names"] = ["quiet-in"]
        apply(policy("quiet", rules=[rule], background=True))
        apply(generating("quiet-too", trigger="quiet"))
        time.sleep(0.5)  # settings are read from a watch
        body = api.ask(MAPS, method="POST", body=config_map("quiet-in", a="1"))
        until(lambda: data(api, f"{MAPS}/quiet-too-made-quiet-in"))
        until(lambda: api.find(f"{REPORTS}/{body['metadata']['uid']}"), timeout=20)
        time.sleep(1)  # events come after what they tell of
        assert reasons(api, "quiet") | reasons(api, "quiet-in") | reasons(api, "quiet-too") == set()
        patch(api, f"{MAPS}/quiet-in", {"metadata": {"labels": {"team": "a"}}})
        until(lambda: reasons(api, "quiet-in") == {"PolicyApplied"})
    finally:
        patch(api, CONFIG, {"data": {"generateSuccessEvents": before}})
        api.ask(f"{MAPS}/quiet-in", method="DELETE")
    until(lambda: api.find(f"{MAPS}/quiet-too-made-quiet-in") is None)
    assert api.find(f"{CPOL}/quiet") is not None

"""The background operator under faults: nothing is lost, nothing stays behind, and what cannot be done is told."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from deploy.local.api import Api, Refused
from tests.cluster.calls import CPOL, config_map, ready, until
from tests.cluster.generating import CRDS, NAMESPACES, UPDATES, Apply, background_policy, data, generating, patch

pytestmark = pytest.mark.cluster


def test_edits_that_compete_end_as_the_policy_wants(api: Api, apply: Apply, maps: str) -> None:
    apply(generating("race"))
    api.ask(maps, method="POST", body=config_map("race-in", a="0"))
    made = f"{maps}/race-made-race-in"
    until(lambda: data(api, made) == {"from": "0"})
    for number in range(1, 21):
        patch(api, f"{maps}/race-in", {"data": {"a": str(number)}})
        patch(api, made, {"data": {"from": "edited", f"k{number}": "x"}})
    until(lambda: data(api, made) == {"from": "20"}, timeout=30)


def test_a_trigger_that_is_gone_at_once_leaves_nothing(api: Api, apply: Apply, maps: str) -> None:
    apply(generating("brief"))
    for number in range(10):
        api.ask(maps, method="POST", body=config_map(f"brief-in-{number}", a="1"))
        api.ask(f"{maps}/brief-in-{number}", method="DELETE")
    until(lambda: not api.ask(UPDATES)["items"], timeout=30)
    assert {item["metadata"]["name"] for item in api.ask(maps)["items"]} <= {"kube-root-ca.crt"}


def test_a_right_that_is_missing_is_told_and_its_coming_is_enough(
    api: Api, apply: Apply, maps: str, role: Callable[..., str]
) -> None:
    rule = {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["create", "get"]}
    needs = generating("rights", kind="ServiceAccount", synchronize=None, data=None)
    with pytest.raises(Refused, match=r"requires permissions create for resource v1/ServiceAccount"):
        api.ask(CPOL, method="POST", body=needs)
    path = role("test:accounts", rule)
    apply(needs)
    api.ask(path, method="DELETE")
    time.sleep(1.0)
    api.ask(maps, method="POST", body=config_map("rights-in", a="1"))
    (stuck,) = until(lambda: [one for one in api.ask(UPDATES)["items"] if (one.get("status") or {}).get("state") == "Failed"])
    assert "forbidden" in stuck["status"]["message"]
    role("test:accounts", rule)
    until(lambda: api.find(f"{maps.rpartition('/')[0]}/serviceaccounts/rights-made-rights-in"), timeout=40)


def test_a_kind_that_is_installed_later_is_generated_then(api: Api, apply: Apply, maps: str, role: Callable[..., str]) -> None:
    role("test:things", {"apiGroups": ["test.pyvern.io"], "resources": ["things"], "verbs": ["*"]})
    apply(generating("later", apiVersion="test.pyvern.io/v1", kind="Thing", data={"spec": {"a": "b"}}))
    api.ask(maps, method="POST", body=config_map("later-in", a="1"))
    until(lambda: [one for one in api.ask(UPDATES)["items"] if "serves no" in (one.get("status") or {}).get("message", "")])
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    body = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.test.pyvern.io"},
        "spec": {
            "group": "test.pyvern.io",
            "scope": "Namespaced",
            "names": {"kind": "Thing", "plural": "things", "singular": "thing", "listKind": "ThingList"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }
    api.ask(CRDS, method="POST", body=body)
    try:
        things = f"/apis/test.pyvern.io/v1/namespaces/{maps.split('/')[4]}/things/later-made-later-in"
        until(lambda: api.find(things), timeout=40)
    finally:
        api.ask(f"{CRDS}/things.test.pyvern.io", method="DELETE")


def test_a_terminating_namespace_leaves_no_request_behind(api: Api, apply: Apply, maps: str) -> None:
    apply(generating("ending"))
    for number in range(5):
        api.ask(maps, method="POST", body=config_map(f"ending-in-{number}", a="1"))
    api.ask(maps.rpartition("/")[0], method="DELETE")
    until(lambda: api.find(maps.rpartition("/")[0]) is None, timeout=40)
    until(lambda: not api.ask(UPDATES)["items"], timeout=30)
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": maps.split("/")[4]}}
    api.ask(NAMESPACES, method="POST", body=body)


def test_requests_made_by_hand_with_nonsense_stop_no_others(api: Api, apply: Apply, maps: str) -> None:
    apply(generating("hostile"))
    made = api.ask(maps, method="POST", body=config_map("hostile-in-1", a="1"))
    about = {"apiVersion": "v1", "kind": "ConfigMap", **{key: made["metadata"][key] for key in ("name", "namespace", "uid")}}
    kind = {"group": "", "version": "v1"}
    asked = {"uid": "x", "kind": {**kind, "kind": "ConfigMap"}, "resource": {**kind, "resource": "configmaps"}}
    requests: tuple[dict[str, object], ...] = (
        {**asked, "operation": "CREATE"},
        {**asked, "operation": "FROB", "userInfo": {"username": "u"}},
        {**asked, "operation": "DELETE", "oldObject": {"metadata": {"labels": None}}, "object": {"a": 1}},
        {**asked, "operation": "CREATE", "object": {}, "subResource": "status"},
        {**asked, "operation": "CONNECT"},
    )
    for cause in ("trigger", "downstream", "source", "existing", "orphaned", "nonsense"):
        for number, request in enumerate(requests):
            info = {"operation": request["operation"], "admissionRequest": request}
            spec = {"requestType": "generate", "policy": "hostile", "rule": "r", "resource": about}
            metadata = {"name": f"hostile-{cause}-{number}", "annotations": {"pyvern.io/cause": cause, "pyvern.io/changes": "x"}}
            body = {"apiVersion": "kyverno.io/v2", "kind": "UpdateRequest", "metadata": metadata}
            api.ask(UPDATES, method="POST", body={**body, "spec": {**spec, "context": {"admissionRequestInfo": info}}})
    api.ask(maps, method="POST", body=config_map("hostile-in-2", a="2"))
    until(lambda: data(api, f"{maps}/hostile-made-hostile-in-2") == {"from": "2"})
    until(lambda: not api.ask(UPDATES)["items"], timeout=90)


def test_a_targets_name_leads_to_no_other_place(api: Api, maps: str) -> None:
    namespace = maps.split("/")[4]
    policies = f"/apis/kyverno.io/v1/namespaces/{namespace}/policies"
    victim = "/api/v1/namespaces/default/configmaps/path-victim"
    api.ask(victim.rpartition("/")[0], method="POST", body=config_map("path-victim", a="1"))
    target = {"apiVersion": "v1", "kind": "ConfigMap", "namespace": namespace, "name": "{{request.object.data.a}}"}
    body = background_policy("path", "path", {"mutate": {"targets": [target], "patchStrategicMerge": {"data": {"a": "taken"}}}})
    body.update(kind="Policy", metadata={"name": "path", "namespace": namespace})
    api.ask(policies, method="POST", body=body)
    try:
        until(lambda: ready(api.ask(f"{policies}/path")))
        time.sleep(0.5)
        api.ask(maps, method="POST", body=config_map("path-in", a="../../default/configmaps/path-victim"))
        told = "cannot be the name of an object"
        until(lambda: told in str(api.ask(f"{policies}/path")["status"]["conditions"]), timeout=30)
        assert data(api, victim) == {"a": "1"}
    finally:
        api.ask(victim, method="DELETE")
        api.ask(f"{policies}/path", method="DELETE")

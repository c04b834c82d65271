"""The background operator on a real API server: what it generates and changes, and that nothing is lost, whatever happens."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from deploy.local.api import Api, Refused
from deploy.local.control_plane import ControlPlane
from deploy.local.operators import Operators, Running
from tests.cluster.calls import CPOL, Document, config_map, until

pytestmark = pytest.mark.cluster
UPDATES = "/apis/kyverno.io/v2/namespaces/kyverno/updaterequests"
NAMESPACES = "/api/v1/namespaces"
ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MERGE = "application/merge-patch+json"
Apply = Callable[[Document], Document]


def generating(name: str, /, *, trigger: str = "", spec: Document | None = None, **generate: Any) -> Document:
    """A policy that makes ConfigMap NAME-made of ConfigMaps whose names begin with `trigger`, in their namespace."""
    target = {
        "synchronize": True,
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": f"{name}-made-{{{{request.object.metadata.name}}}}",
        "namespace": "{{request.object.metadata.namespace}}",
        "data": {"data": {"from": "{{request.object.data.a}}"}},
        **generate,
    }
    return policy(name, trigger or name, {"generate": {key: value for key, value in target.items() if value is not None}}, spec)


def policy(name: str, trigger: str, body: Document, spec: Document | None = None) -> Document:
    match = {"any": [{"resources": {"kinds": ["ConfigMap"], "names": [f"{trigger}-in*"]}}]}
    return {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": name},
        "spec": {"background": False, "rules": [{"name": "r", "match": match, **body}], **(spec or {})},
    }


@pytest.fixture(scope="module")
def background(operators: Operators, admission: Running) -> Iterator[Running]:
    running = operators.start("background")
    yield running
    operators.stop("background")


@pytest.fixture
def maps(api: Api, background: Running, request: pytest.FixtureRequest) -> Iterator[str]:
    """The path of the ConfigMaps of a namespace of the test's own."""
    name = request.node.name.replace("_", "-")[:50].strip("-")
    api.ask(NAMESPACES, method="POST", body={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield f"{NAMESPACES}/{name}/configmaps"
    until(lambda: not api.ask(UPDATES)["items"], timeout=60)
    api.ask(f"{NAMESPACES}/{name}", method="DELETE")


@pytest.fixture
def role(api: Api) -> Iterator[Callable[..., str]]:
    made: list[str] = []

    def create(name: str, *rules: Document) -> str:
        labels = {"rbac.kyverno.io/aggregate-to-background-controller": "true"}
        document = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": name, "labels": labels},
        }
        api.ask(ROLES, method="POST", body={**document, "rules": list(rules)})
        made.append(name)
        time.sleep(1.0)  # aggregation
        return f"{ROLES}/{name}"

    yield create
    for name in made:
        with suppress(Refused):
            api.ask(f"{ROLES}/{name}", method="DELETE")


def data(api: Api, path: str) -> Document | None:
    found = api.find(path)
    return None if found is None else found.get("data") or {}


def patch(api: Api, path: str, body: Document) -> None:
    api.ask(path, method="PATCH", body=body, content_type=MERGE)


def test_the_life_of_a_synchronized_downstream(api: Api, apply: Apply, maps: str) -> None:
    apply(generating("life"))
    api.ask(maps, method="POST", body=config_map("life-in", a="1"))
    made = f"{maps}/life-made-life-in"
    until(lambda: data(api, made) == {"from": "1"})
    patch(api, made, {"data": {"from": "edited", "more": "x"}})
    until(lambda: data(api, made) == {"from": "1"})
    before = api.ask(made)["metadata"]["uid"]
    api.ask(made, method="DELETE")
    until(lambda: data(api, made) == {"from": "1"} and api.ask(made)["metadata"]["uid"] != before)
    patch(api, f"{maps}/life-in", {"data": {"a": "2"}})
    until(lambda: data(api, made) == {"from": "2"})
    api.ask(f"{maps}/life-in", method="DELETE")
    until(lambda: data(api, made) is None)


def test_a_downstream_that_is_not_synchronized_is_left_alone(api: Api, apply: Apply, maps: str) -> None:
    apply(generating("once", synchronize=False))
    api.ask(maps, method="POST", body=config_map("once-in", a="1"))
    made = f"{maps}/once-made-once-in"
    until(lambda: data(api, made) == {"from": "1"})
    patch(api, made, {"data": {"from": "edited"}})
    patch(api, f"{maps}/once-in", {"data": {"a": "2"}})
    api.ask(f"{maps}/once-in", method="DELETE")
    until(lambda: not api.ask(UPDATES)["items"])
    assert data(api, made) == {"from": "edited"}


def test_what_needs_the_user_is_put_back_as_it_was(api: Api, apply: Apply, maps: str) -> None:
    apply(generating("asker", data={"data": {"by": "{{request.userInfo.username}}"}}))
    api.ask(maps, method="POST", body=config_map("asker-in", a="1"))
    made = f"{maps}/asker-made-asker-in"
    until(lambda: data(api, made))
    by = data(api, made)
    patch(api, made, {"data": {"by": "somebody else"}})
    until(lambda: data(api, made) == by)
    api.ask(made, method="DELETE")
    until(lambda: data(api, made) == by)


def test_a_changed_rule_changes_what_it_made_and_a_deleted_policy_takes_it_away(api: Api, apply: Apply, maps: str) -> None:
    document = generating("changing")
    apply(document)
    api.ask(maps, method="POST", body=config_map("changing-in", a="1"))
    made = f"{maps}/changing-made-changing-in"
    until(lambda: data(api, made) == {"from": "1"})
    stored = api.ask(f"{CPOL}/changing")
    stored["spec"]["rules"][0]["generate"]["data"] = {"data": {"new": "{{request.object.data.a}}"}}
    api.ask(f"{CPOL}/changing", method="PUT", body=stored)
    until(lambda: data(api, made) == {"new": "1"})
    api.ask(f"{CPOL}/changing", method="DELETE")
    until(lambda: data(api, made) is None)


def test_existing_objects_are_generated_for_and_changed(api: Api, apply: Apply, maps: str) -> None:
    for number in range(3):
        api.ask(maps, method="POST", body=config_map(f"existing-in-{number}", a=str(number)))
    apply(generating("existing", generateExisting=True))
    until(lambda: [data(api, f"{maps}/existing-made-existing-in-{n}") for n in range(3)] == [{"from": str(n)} for n in range(3)])
    target = {"apiVersion": "v1", "kind": "ConfigMap", "namespace": maps.split("/")[4], "name": "existing-made-*"}
    mutate = {
        "mutateExistingOnPolicyUpdate": True,
        "targets": [target],
        "patchStrategicMerge": {"metadata": {"labels": {"seen": "yes"}}},
    }
    apply(policy("existing-labels", "existing", {"mutate": mutate}))
    made = [f"{maps}/existing-made-existing-in-{number}" for number in range(3)]
    until(lambda: all(api.ask(path)["metadata"]["labels"].get("seen") == "yes" for path in made))


def test_a_rule_that_triggers_itself_ends(api: Api, apply: Apply, maps: str) -> None:
    apply(generating("self", name="self-in-{{request.object.metadata.name}}", data={"data": {"a": "x"}}))
    api.ask(maps, method="POST", body=config_map("self-in", a="1"))
    until(lambda: data(api, f"{maps}/self-in-self-in"))
    time.sleep(1.5)
    names = {item["metadata"]["name"] for item in api.ask(maps)["items"]} - {"kube-root-ca.crt"}
    assert names == {"self-in", "self-in-self-in"}


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


def test_nothing_is_lost_when_the_operator_is_killed(
    api: Api, apply: Apply, maps: str, operators: Operators, control_plane: ControlPlane
) -> None:
    apply(generating("killed"))
    count = 120
    for number in range(count):
        api.ask(maps, method="POST", body=config_map(f"killed-in-{number}", a=str(number)))
        if number in (40, 80):
            pid = control_plane.processes.pid("background")
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            operators.stop("background")
            operators.start("background")
    wanted = {f"killed-made-killed-in-{number}": {"from": str(number)} for number in range(count)}

    def made() -> Document:
        items = api.ask(maps)["items"]
        return {item["metadata"]["name"]: item["data"] for item in items if "-made-" in item["metadata"]["name"]}

    until(lambda: made() == wanted, timeout=60)
    until(lambda: not api.ask(UPDATES)["items"], timeout=30)


def test_a_terminating_namespace_leaves_no_request_behind(api: Api, apply: Apply, maps: str) -> None:
    apply(generating("ending"))
    for number in range(5):
        api.ask(maps, method="POST", body=config_map(f"ending-in-{number}", a="1"))
    api.ask(maps.rpartition("/")[0], method="DELETE")
    until(lambda: api.find(maps.rpartition("/")[0]) is None, timeout=40)
    until(lambda: not api.ask(UPDATES)["items"], timeout=30)
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": maps.split("/")[4]}}
    api.ask(NAMESPACES, method="POST", body=body)


def test_a_rule_that_renders_nonsense_is_given_up_and_told(api: Api, apply: Apply, maps: str) -> None:
    apply(generating("nonsense", data={"data": ["no", "map"]}))
    api.ask(maps, method="POST", body=config_map("nonsense-in", a="1"))

    def told() -> list[Document]:
        conditions = api.ask(f"{CPOL}/nonsense")["status"]["conditions"]
        return [condition for condition in conditions if condition["type"] == "Background"]

    (condition,) = until(told, timeout=20)
    assert (condition["status"], condition["reason"]) == ("False", "GivenUp")
    assert "nonsense-in" in condition["message"]
    until(lambda: not api.ask(UPDATES)["items"])

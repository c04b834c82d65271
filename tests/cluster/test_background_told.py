"""What people see of work in the background: states of UpdateRequests, conditions, events, reports, metrics."""

from __future__ import annotations

import urllib.request

import pytest

from deploy.local.api import Api
from deploy.local.operators import Running
from tests.cluster.calls import CPOL, Document, config_map, until
from tests.cluster.generating import UPDATES, Apply, background_policy, data, generating, patch

pytestmark = pytest.mark.cluster
EVENTS = "/apis/events.k8s.io/v1/namespaces/default/events"
NONSENSE = {"data": ["no", "map"]}


def conditions(api: Api, name: str) -> list[Document]:
    return [one for one in api.ask(f"{CPOL}/{name}")["status"]["conditions"] if one["type"] == "Background"]


def events(api: Api, name: str) -> list[Document]:
    return [one for one in api.ask(EVENTS)["items"] if one["regarding"]["name"] == name]


def metric(running: Running, name: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{running.metrics_port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def test_what_is_given_up_is_told_once_and_goes_with_the_next_success(
    api: Api, apply: Apply, maps: str, background: Running
) -> None:
    apply(generating("told", data=NONSENSE))
    api.ask(maps, method="POST", body=config_map("told-in", a="1"))
    (condition,) = until(lambda: conditions(api, "told"), timeout=20)
    assert (condition["status"], condition["reason"]) == ("False", "GivenUp")
    assert "told-in" in condition["message"]
    until(lambda: not api.ask(UPDATES)["items"])
    found = until(lambda: events(api, "told"))
    assert len(found) == 1, [(one["reason"], one["reportingController"], one["action"], one["note"]) for one in found]
    (event,) = found
    assert (event["type"], event["reason"], event["reportingController"]) == ("Warning", "PolicyError", "kyverno-generate")
    assert "told-in" in event["note"]
    assert metric(background, "kyverno_controller_drop_total") >= 1
    stored = api.ask(f"{CPOL}/told")
    stored["spec"]["rules"][0]["generate"]["data"] = {"data": {"from": "x"}}
    api.ask(f"{CPOL}/told", method="PUT", body=stored)
    patch(api, f"{maps}/told-in", {"data": {"a": "2"}})
    until(lambda: data(api, f"{maps}/told-made-told-in") == {"from": "x"})
    until(lambda: not conditions(api, "told"))


def test_a_request_says_how_far_it_is(api: Api, apply: Apply, maps: str) -> None:
    states: list[Document] = []
    apply(generating("states", data=NONSENSE))
    api.ask(maps, method="POST", body=config_map("states-in", a="1"))

    def seen_all() -> bool:
        states.extend(one["status"] for one in api.ask(UPDATES)["items"])
        return bool(states) and not api.ask(UPDATES)["items"]

    until(seen_all, timeout=20)
    assert {state["state"] for state in states} <= {"Pending", "Failed"}
    failed = [state for state in states if state["state"] == "Failed"]
    assert {state["retryCount"] for state in failed} == {1, 2}
    assert all("cannot unmarshal" in state["message"] or "invalid" in state["message"].lower() for state in failed), failed


def test_a_request_that_somebody_else_has_finished_is_removed(api: Api, maps: str) -> None:
    for state in ("Completed", "Skip"):
        name = f"ur-{state.lower()}"
        spec = {"requestType": "generate", "policy": "nobody", "ruleContext": [], "resource": {}, "context": {}}
        body = {"apiVersion": "kyverno.io/v2", "kind": "UpdateRequest", "metadata": {"name": name}, "spec": spec}
        api.ask(UPDATES, method="POST", body=body)
    until(lambda: not api.ask(UPDATES)["items"])
    assert api.find(f"{UPDATES}/ur-completed") is None


def test_the_report_of_the_trigger_names_every_target(api: Api, apply: Apply, maps: str) -> None:
    namespace = maps.split("/")[4]
    target = {"apiVersion": "v1", "kind": "ConfigMap", "namespace": namespace, "name": "reported-target-*"}
    mutate = {"targets": [target], "patchStrategicMerge": {"metadata": {"labels": {"seen": "yes"}}}}
    for number in range(3):
        api.ask(maps, method="POST", body=config_map(f"reported-target-{number}", a="1"))
    apply(background_policy("reported", "reported", {"mutate": mutate}))
    trigger = api.ask(maps, method="POST", body=config_map("reported-in", a="1"))
    reports = f"/apis/reports.kyverno.io/v1/namespaces/{namespace}/ephemeralreports"

    def rows() -> list[Document]:
        uid = trigger["metadata"]["uid"]
        owned = [one for one in api.ask(reports)["items"] if one["metadata"].get("ownerReferences", [{}])[0].get("uid") == uid]
        return [row for one in owned for row in one["spec"].get("results") or () if row["policy"] == "reported"]

    (row,) = until(rows)
    assert row["result"] == "pass"
    assert all(f"Name=reported-target-{number} " in row["properties"]["patched-target"] for number in range(3))
    assert all(api.ask(f"{maps}/reported-target-{n}")["metadata"]["labels"] == {"seen": "yes"} for n in range(3))

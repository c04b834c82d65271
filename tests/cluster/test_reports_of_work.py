"""Rows of rules that generate or change other objects: in the report of their trigger, with what they made or changed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.local.api import Api
from deploy.local.operators import Operators, Running
from tests.cluster.calls import ready, until
from tests.cluster.reported import CPOL, MAPS, NAMESPACE, POLR, Document, config_map, reports

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module", autouse=True)
def background(operators: Operators, admission: Running, reports_operator: Running) -> Iterator[Running]:
    yield operators.start("background")
    operators.stop("background")


@pytest.fixture
def api(reported: Api) -> Api:
    return reported


def policy(name: str, **body: Any) -> Document:
    match = {"any": [{"resources": {"kinds": ["ConfigMap"], "names": ["trigger"], "namespaces": [NAMESPACE]}}]}
    spec = {"background": False, "rules": [{"name": "r", "match": match, **body}]}
    return {"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": name}, "spec": spec}


def about(name: str) -> str:
    return f"/v1, Kind=ConfigMap Name={name} Namespace={NAMESPACE}"


def rows(api: Api) -> dict[str, Document]:
    """Policy -> its row in the trigger's report."""
    found = (report for report in api.ask(POLR)["items"] if report["scope"]["name"] == "trigger")
    return {row["policy"]: row for report in found for row in report["results"]}


def test_what_was_generated_and_changed_stands_in_the_triggers_report(api: Api) -> None:
    for name in ("left", "right"):
        api.ask(MAPS, method="POST", body=config_map(name, side="yes"))
    target = {"apiVersion": "v1", "kind": "ConfigMap", "namespace": NAMESPACE}
    side = {**target, "selector": {"matchLabels": {"side": "yes"}}}
    patch = {"metadata": {"annotations": {"changed": "by-{{request.object.metadata.name}}"}}}
    api.ask(CPOL, method="POST", body=policy("changing", mutate={"targets": [side], "patchStrategicMerge": patch}))
    making = {**target, "name": "made", "synchronize": False, "data": {"data": {"a": "b"}}}
    api.ask(CPOL, method="POST", body=policy("making", generate=making))
    until(lambda: all(ready(api.ask(f"{CPOL}/{name}")) for name in ("changing", "making")))
    time.sleep(0.5)  # the API server takes the webhook configuration from its own watch
    api.ask(MAPS, method="POST", body=config_map("trigger"))
    until(lambda: rows(api).keys() == {"changing", "making"}, timeout=60)
    found = rows(api)
    assert {row["result"] for row in found.values()} == {"pass"}
    assert found["making"]["properties"]["generated-resources"] == about("made")
    assert set(found["changing"]["properties"]["patched-target"].split("; ")) == {about("left"), about("right")}
    api.ask(f"{CPOL}/making", method="DELETE")
    until(lambda: reports(api).get("trigger") == {"changing": "pass"}, timeout=30)

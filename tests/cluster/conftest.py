"""What tests of operators share: an API, policies that go again, a namespace of the test's own, rights, reports."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from deploy.local.api import Api, Refused
from deploy.local.control_plane import ControlPlane
from deploy.local.operators import Operators, Running
from tests.cluster.calls import CPOL, RESOURCE_HOOKS, Document, ready, until
from tests.cluster.generating import NAMESPACES, ROLES, UPDATES
from tests.cluster.reported import NAMESPACE, PATHS, reports


@pytest.fixture(scope="module")
def api(control_plane: ControlPlane, admission: Running) -> Api:
    return control_plane.api


@pytest.fixture
def apply(api: Api) -> Iterator[Callable[[Document], Document]]:
    """Creates a policy and waits until it is ready and its webhook in use; deletes it at the end."""
    made: list[str] = []

    def create(document: Document) -> Document:
        name = document["metadata"]["name"]
        api.ask(CPOL, method="POST", body=document)
        made.append(name)
        stored = until(lambda: ready(api.ask(f"{CPOL}/{name}")))
        time.sleep(0.3)  # the API server takes the configuration from its own watch
        return dict(stored)

    yield create
    for name in made:
        if api.find(f"{CPOL}/{name}") is not None:
            api.ask(f"{CPOL}/{name}", method="DELETE")
    if made:
        until(lambda: not api.ask(RESOURCE_HOOKS).get("webhooks"))
        time.sleep(0.3)


@pytest.fixture(scope="module")
def reports_operator(operators: Operators, control_plane: ControlPlane) -> Iterator[Running]:
    """One reports operator, with exceptions on, that the tests of a module share."""
    api = control_plane.api
    if api.find(f"/api/v1/namespaces/{NAMESPACE}") is None:
        api.ask("/api/v1/namespaces", method="POST", body={"metadata": {"name": NAMESPACE}})
    yield operators.start("reports", flags={"enablePolicyException": "true", "exceptionNamespace": "*"})
    operators.stop("reports")


@pytest.fixture
def reported(control_plane: ControlPlane, reports_operator: Running) -> Iterator[Api]:
    """The API server; objects that a test makes in NAMESPACE, and policies, are gone after it, and so are the reports."""
    api = control_plane.api
    yield api
    for path in PATHS:
        for item in api.ask(path)["items"]:
            if item["metadata"]["name"] != "kube-root-ca.crt":
                api.ask(f"{path}/{item['metadata']['name']}", method="DELETE")
    until(lambda: reports(api) == {}, timeout=60)


@pytest.fixture(scope="module")
def background(operators: Operators, admission: Running) -> Iterator[Running]:
    running = operators.start("background")
    yield running
    operators.stop("background")


@pytest.fixture
def maps(api: Api, background: Running, request: pytest.FixtureRequest) -> Iterator[str]:
    """The path of the ConfigMaps of a namespace of the test's own."""
    name = re.sub("[^a-z0-9]+", "-", request.node.name.lower())[:60].strip("-")
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

"""What tests of the admission and of the reports operator share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from deploy.local.api import Api
from deploy.local.control_plane import ControlPlane
from deploy.local.operators import Operators, Running
from tests.cluster.calls import CPOL, RESOURCE_HOOKS, Document, ready, until
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

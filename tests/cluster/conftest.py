"""What tests of the admission operator share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from deploy.local.api import Api
from deploy.local.control_plane import ControlPlane
from deploy.local.operators import Running
from tests.cluster.calls import CPOL, RESOURCE_HOOKS, Document, ready, until


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

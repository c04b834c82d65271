"""What tests of controllers share: the API server as controllers reach it, and a namespace for each test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from controllers.cluster.credentials import Credentials, from_kubeconfig
from deploy.local.control_plane import ControlPlane
from tests.controllers.scanning import Place


@pytest.fixture
def credentials(control_plane: ControlPlane) -> Credentials:
    """A log-in with all rights."""
    return from_kubeconfig(control_plane.kubeconfig)


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """A namespace of this test's own; what is in it goes with it."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    api = control_plane.api
    api.ask("/api/v1/namespaces", method="POST", body={"metadata": {"name": name}})
    yield name
    api.ask(f"/api/v1/namespaces/{name}", method="DELETE")


@pytest.fixture
def place(control_plane: ControlPlane, credentials: Credentials, namespace: str) -> Iterator[Place]:
    """Scans look at the whole cluster: so what a test made is gone before the next one."""
    here = Place(control_plane.api, credentials, namespace)
    yield here
    for path in (here.pods, here.maps, here.ephr, here.polr):
        here.api.ask(path, method="DELETE")


@pytest.fixture
def powerless(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> Credentials:
    """A log-in as a ServiceAccount `nobody` of the namespace, which has the rights of everybody only."""
    control_plane.kubectl("create", "serviceaccount", "nobody", "-n", namespace)
    file = tmp_path / "kubeconfig-nobody"
    control_plane.kubectl.identity("nobody", namespace=namespace, hours=1, file=file)
    return from_kubeconfig(file)

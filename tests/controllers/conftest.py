"""What tests of controllers share: the API server as controllers reach it, and a namespace for each test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from controllers.cluster.credentials import Credentials, from_kubeconfig
from deploy.local.control_plane import ControlPlane


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

"""What tests of the whole share: one control plane for a test run, and operators on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import settings

from deploy.local.binaries import can_provide, provide
from deploy.local.console import Blocked
from deploy.local.control_plane import ControlPlane
from deploy.local.installation import install
from deploy.local.operators import Operators, Running
from deploy.local.processes import host_address

# A busy machine is no failure; and `make test` judges a change, not the luck of the draw: `make fuzz` draws anew.
settings.register_profile("pyvern", deadline=None, derandomize=True)
settings.register_profile("fuzz", deadline=None, print_blob=True)
settings.load_profile("pyvern")

EXCEPTIONS = {"enablePolicyException": "true", "exceptionNamespace": "default"}
"""Flags of the admission operator that the tests of a run share."""
RunOperator = Callable[..., Running]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what needs the control plane; what judges the bare API server runs before operators change its answers."""
    for item in items:
        if "control_plane" in getattr(item, "fixturenames", ()):
            item.add_marker("cluster")
    items.sort(key=lambda item: "operators" in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def tools() -> dict[str, Path]:
    """The paths of etcd, kube-apiserver, kube-controller-manager and kubectl; built when they are missing and Go is there."""
    if reason := can_provide():
        pytest.skip(reason)
    return provide()


@pytest.fixture(scope="session")
def control_plane(tools: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane of this test run's own, with deploy/overlays/local applied; it ends with the run, however that ends."""
    plane = ControlPlane(tmp_path_factory.mktemp("cluster"), tools=tools, leashed=True)
    plane.start()
    try:
        install(plane.kubectl)
        yield plane
    finally:
        plane.processes.stop(plane.processes.names(), patience=1.0)
        plane.stop()


@pytest.fixture(scope="session")
def operators(control_plane: ControlPlane) -> Operators:
    """Starts operators under their own ServiceAccounts; webhooks come through the Service where the machine has an address."""
    return Operators(control_plane.kubectl, control_plane.processes, directory=control_plane.directory, host=host_address())


@pytest.fixture(scope="session")
def admission(operators: Operators) -> Running:
    """One admission operator that all tests of a run share; PolicyExceptions in namespace `default` count.

    Tests that stop theirs use `run_operator`.
    """
    return operators.start("admission", flags=EXCEPTIONS)


@pytest.fixture
def run_operator(operators: Operators) -> Iterator[RunOperator]:
    """`run_operator("admission", name="second", flags={...})`: a replica of this test's own, stopped at its end."""
    started: list[str] = []

    def run(operator: str, *, name: str = "", flags: dict[str, str] | None = None) -> Running:
        started.append(name or operator)
        return operators.start(operator, name=name, flags=flags)

    yield run
    for name in started:
        with suppress(Blocked):
            operators.stop(name)

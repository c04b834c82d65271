"""EphemeralReports that a crash left behind: all of them are merged, few at a time, in bounded memory."""

from __future__ import annotations

import asyncio
import time

import pytest

from controllers.cluster.client import Client
from controllers.cluster.credentials import from_kubeconfig
from deploy.local.api import Api
from deploy.local.control_plane import ControlPlane
from deploy.local.operators import Running
from perf.proc import usage
from tests.cluster.calls import until
from tests.cluster.reported import CPOL, EPHR, MAPS, NAMESPACE, Document, config_map, policy, reports
from tests.conftest import RunOperator

pytestmark = pytest.mark.cluster
OBJECTS = 100
POLICIES = ("one", "two", "three")


def ephemeral(stored: Document, number: int) -> Document:
    """What an admission review of a ConfigMap left."""
    metadata = stored["metadata"]
    name = POLICIES[number % len(POLICIES)]
    stamp = {"seconds": int(time.time()), "nanos": 0}
    row = {"source": "kyverno", "policy": name, "rule": "team", "result": "fail", "scored": True, "timestamp": stamp}
    resource = "audit.kyverno.io/resource"
    return {
        "apiVersion": "reports.kyverno.io/v1",
        "kind": "EphemeralReport",
        "metadata": {
            "generateName": f"{metadata['uid']}-",
            "labels": {
                "app.kubernetes.io/managed-by": "kyverno",
                "audit.kyverno.io/source": "admission",
                f"{resource}.uid": metadata["uid"],
                f"{resource}.version": "v1",
                f"{resource}.kind": "ConfigMap",
                f"{resource}.gvr": "configmaps.v1",
            },
            "annotations": {f"{resource}.name": metadata["name"], f"{resource}.namespace": NAMESPACE},
        },
        "spec": {"owner": {"apiVersion": "", "kind": "", "name": "", "uid": ""}, "results": [row]},
    }


async def leave(control_plane: ControlPlane, count: int) -> None:
    """`count` EphemeralReports about OBJECTS ConfigMaps."""
    async with Client(from_kubeconfig(control_plane.kubeconfig), connections=8) as client:
        stored = await asyncio.gather(*(client.create(MAPS, config_map(f"x{number}")) for number in range(OBJECTS)))
        bodies = (ephemeral(stored[number % OBJECTS], number) for number in range(count))

        async def work() -> None:
            for body in bodies:
                await client.create(EPHR, body)

        await asyncio.gather(*(work() for _ in range(8)))


def merged(api: Api, running: Running, control_plane: ControlPlane) -> None:
    """All rows are in the reports and nothing is left; the operator stays small."""
    until(lambda: not api.ask(f"{EPHR}?limit=1")["items"], timeout=600)
    wanted = dict.fromkeys(POLICIES, "fail")
    until(lambda: reports(api) == {f"x{number}": wanted for number in range(OBJECTS)}, timeout=60)
    pid = control_plane.processes.pid(running.name)
    assert pid is not None
    assert usage(pid).peak < 150


def clear(api: Api) -> None:
    for path in (CPOL, MAPS, EPHR):
        api.ask(path, method="DELETE")
    until(lambda: reports(api) == {}, timeout=120)


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_ephemeral_reports_of_a_crash_are_merged(control_plane: ControlPlane, run_operator: RunOperator, count: int) -> None:
    api = control_plane.api
    if api.find(f"/api/v1/namespaces/{NAMESPACE}") is None:
        api.ask("/api/v1/namespaces", method="POST", body={"metadata": {"name": NAMESPACE}})
    try:
        asyncio.run(leave(control_plane, count))
        for name in POLICIES:
            api.ask(CPOL, method="POST", body=policy(name, background=False))
        merged(api, run_operator("reports"), control_plane)
    finally:
        clear(api)

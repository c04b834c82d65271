"""Two replicas of the cleanup operator: one works, and the other goes on when it is killed; conditions from a global entry."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from deploy.local.api import Api
from deploy.local.console import Blocked
from deploy.local.control_plane import ControlPlane
from deploy.local.operators import Operators, Running
from tests.cluster.calls import Document, config_map, until
from tests.cluster.cleaning import LONG_AGO, POLICIES, cleanup_policy, gone, may_clean_up, overdue
from tests.cluster.generating import NAMESPACES

pytestmark = pytest.mark.cluster
LEASE = "/apis/coordination.k8s.io/v1/namespaces/kyverno/leases/kyverno-cleanup-controller"
ENTRIES = "/apis/kyverno.io/v2/globalcontextentries"
EVENTS = "/apis/events.k8s.io/v1/namespaces/default/events"
MAPS = f"{NAMESPACES}/swept/configmaps"
NAMES = ("cleanup", "cleanup-2")
HAND_OVER = 30
"""Seconds in which a test gives up on a hand-over. A Lease holds 12 s and is tried every 2 s, so that it takes 14 s at most."""


@pytest.fixture(scope="module")
def api(control_plane: ControlPlane) -> Iterator[Api]:
    """ConfigMaps may be cleaned up, and there are some in a namespace of their own; an entry lists them."""
    api = control_plane.api
    api.ask(NAMESPACES, method="POST", body={"metadata": {"name": "swept"}})
    spec = {"kubernetesResource": {"version": "v1", "resource": "configmaps", "namespace": "swept"}}
    projected = {**spec, "projections": [{"name": "old", "jmesPath": "[?data.state == 'old'].metadata.name"}]}
    entry = {"apiVersion": "kyverno.io/v2", "kind": "GlobalContextEntry", "metadata": {"name": "swept"}, "spec": projected}
    api.ask(ENTRIES, method="POST", body=entry)
    with may_clean_up(api, "configmaps"):
        yield api
    api.ask(f"{ENTRIES}/swept", method="DELETE")
    api.ask(f"{NAMESPACES}/swept", method="DELETE")


@pytest.fixture(scope="module")
def replicas(api: Api, operators: Operators) -> Iterator[list[Running]]:
    """Successes are not told by these two."""
    yield [operators.start("cleanup", name=name, flags={"omitEvents": "PolicyApplied"}) for name in NAMES]
    for name in NAMES:
        with suppress(Blocked):
            operators.stop(name)


def holder(api: Api) -> str:
    return str(api.ask(LEASE)["spec"].get("holderIdentity") or "").removeprefix("kyverno-cleanup-controller-")


def last_run(api: Api, name: str) -> str:
    return str((api.ask(f"{POLICIES}/{name}").get("status") or {}).get("lastExecutionTime") or "")


def of_entry(name: str) -> Document:
    """Deletes the ConfigMaps of the namespace that the entry calls old, once a year."""
    conditions = {"all": [{"key": "{{ target.metadata.name }}", "operator": "AnyIn", "value": "{{ old }}"}]}
    return cleanup_policy(
        name,
        match={"any": [{"resources": {"kinds": ["ConfigMap"], "namespaces": ["swept"]}}]},
        context=[{"name": "old", "globalReference": {"name": "swept.old"}}],
        conditions=conditions,
    )


def test_when_the_leader_is_killed_the_other_one_does_what_is_due_once(
    control_plane: ControlPlane, operators: Operators, api: Api, replicas: list[Running]
) -> None:
    leader = until(lambda: holder(api))
    pid = control_plane.processes.pid(leader)
    assert pid is not None
    api.ask(MAPS, method="POST", body=config_map("first", state="old"))
    api.ask(MAPS, method="POST", body=config_map("kept", state="new"))
    os.kill(pid, signal.SIGKILL)
    operators.stop(leader)  # its address goes, as that of a Pod would
    overdue(api, of_entry("due"))
    until(gone(api, f"{MAPS}/first"), timeout=HAND_OVER)
    until(lambda: last_run(api, "due") > LONG_AGO)
    (other,) = set(NAMES) - {leader}
    assert (holder(api), api.find(f"{MAPS}/kept") is not None) == (other, True)
    ran = last_run(api, "due")
    api.ask(MAPS, method="POST", body=config_map("second", state="old"))
    time.sleep(3)
    assert (api.find(f"{MAPS}/second") is not None, last_run(api, "due")) == (True, ran)
    log = control_plane.processes.log(other).read_text()
    assert log.count("due: 1 objects deleted, 0 failures") == 1
    assert [one for one in api.ask(EVENTS)["items"] if one["regarding"]["name"] == "due"] == [], "--omitEvents=PolicyApplied"
    api.ask(f"{POLICIES}/due", method="DELETE")

"""Replicas of the background operator, and an API server that goes away: another one goes on, and nothing is done twice."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from deploy.local.api import Api, Refused
from deploy.local.console import Blocked
from deploy.local.control_plane import ControlPlane
from deploy.local.operators import Operators, Running
from tests.cluster.calls import CPOL, config_map, until
from tests.cluster.generating import UPDATES, Apply, data, generating

pytestmark = pytest.mark.cluster
LEASE = "/apis/coordination.k8s.io/v1/namespaces/kyverno/leases/kyverno-background-controller"
HAND_OVER = 30
"""Seconds in which a test gives up on a hand-over. A Lease holds 12 s and is tried every 2 s, so that it takes 14 s at most."""


@pytest.fixture
def second(background: Running, run_operator: Callable[..., Running], operators: Operators) -> Iterator[Running]:
    """A second replica. One of the two may be killed; afterwards the first runs again."""
    yield run_operator("background", name="background-2")
    with suppress(Blocked):
        operators.stop("background")
    operators.start("background")


def holder(api: Api) -> str:
    return str(api.ask(LEASE)["spec"].get("holderIdentity") or "")


def test_another_replica_goes_on_when_the_leader_is_killed(
    api: Api,
    apply: Apply,
    maps: str,
    second: Running,
    control_plane: ControlPlane,
) -> None:
    apply(generating("replicas"))
    leader = until(lambda: holder(api)).removeprefix("kyverno-background-controller-")
    pids = {name: control_plane.processes.pid(name) for name in ("background", "background-2")}
    for number in range(10):
        api.ask(maps, method="POST", body=config_map(f"replicas-in-{number}", a=str(number)))
    pid = pids[leader]
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    for number in range(10, 20):
        api.ask(maps, method="POST", body=config_map(f"replicas-in-{number}", a=str(number)))
    until(lambda: not holder(api).endswith(f"-{leader}"), timeout=HAND_OVER)
    made = [f"{maps}/replicas-made-replicas-in-{number}" for number in range(20)]
    until(lambda: all(data(api, path) == {"from": str(number)} for number, path in enumerate(made)), timeout=HAND_OVER)
    until(lambda: not api.ask(UPDATES)["items"])


def test_a_policy_that_is_deleted_while_nobody_leads_is_followed_by_the_next_leader(
    api: Api, apply: Apply, maps: str, second: Running, control_plane: ControlPlane
) -> None:
    apply(generating("headless"))
    api.ask(maps, method="POST", body=config_map("headless-in", a="1"))
    made = f"{maps}/headless-made-headless-in"
    until(lambda: data(api, made))
    leader = until(lambda: holder(api)).removeprefix("kyverno-background-controller-")
    pid = control_plane.processes.pid(leader)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    api.ask(f"{CPOL}/headless", method="DELETE")
    until(lambda: data(api, made) is None, timeout=2 * HAND_OVER)


def test_an_api_server_that_is_restarted_loses_nothing(api: Api, apply: Apply, maps: str, control_plane: ControlPlane) -> None:
    apply(generating("restart"))
    processes = control_plane.processes
    for number in range(30):
        api.ask(maps, method="POST", body=config_map(f"restart-in-{number}", a=str(number)))
    pid = processes.pid("kube-apiserver")
    assert pid is not None
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        command = file.read().decode().split("\0")[:-1]
    processes.stop(["kube-apiserver"], patience=5)
    time.sleep(1.0)
    processes.start("kube-apiserver", command)

    def answered() -> bool:
        try:
            return api.find(f"{CPOL}/restart") is not None
        except (Refused, OSError):
            return False

    until(answered, timeout=60)
    made = [f"{maps}/restart-made-restart-in-{number}" for number in range(30)]
    until(lambda: all(data(api, path) == {"from": str(number)} for number, path in enumerate(made)), timeout=60)
    until(lambda: not api.ask(UPDATES)["items"], timeout=30)

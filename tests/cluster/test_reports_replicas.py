"""Several replicas of the reports operator share the objects; a killed one is replaced, and its scan goes on where it stopped."""

from __future__ import annotations

import os
import signal

import pytest

from deploy.local.api import Api
from deploy.local.control_plane import ControlPlane
from deploy.local.operators import Operators, Running
from tests.cluster.calls import until
from tests.cluster.reported import CPOL, MAPS, NAMESPACE, config_map, figure, metrics, policy, reports, wait_for

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def running(reports_operator: Running) -> Running:
    return reports_operator


@pytest.fixture
def api(reported: Api) -> Api:
    return reported


def test_three_replicas_share_the_objects_and_survive_a_kill(
    api: Api, operators: Operators, control_plane: ControlPlane, running: Running
) -> None:
    replicas = [running, *(operators.start("reports", name=name) for name in ("reports-2", "reports-3"))]
    try:
        until(lambda: all("pyvern_replicas 3.0" in metrics(replica) for replica in replicas), timeout=20)
        api.ask(CPOL, method="POST", body=policy("teams"))
        for number in range(30):
            api.ask(MAPS, method="POST", body=config_map(f"x{number}"))
        wait_for(api, {f"x{number}": {"teams": "fail"} for number in range(30)}, timeout=10)
        created = [figure(replica, 'pyvern_reports_total{what="created"}') for replica in replicas]
        assert min(created) > 0
        victim = control_plane.processes.pid("reports-3")
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
        for number in range(30):
            api.ask(f"{MAPS}/x{number}", method="PUT", body=config_map(f"x{number}", team="a"))
        wait_for(api, {f"x{number}": {"teams": "pass"} for number in range(30)}, timeout=15)
    finally:
        for name in ("reports-2", "reports-3"):
            operators.stop(name)
    until(lambda: "pyvern_replicas 1.0" in metrics(running), timeout=30)


def test_reports_that_a_killed_replica_should_have_removed_go(
    api: Api, operators: Operators, control_plane: ControlPlane, running: Running
) -> None:
    """Nobody follows their kind any more when the others take over."""
    second = operators.start("reports", name="reports-2")
    try:
        until(lambda: all("pyvern_replicas 2.0" in metrics(replica) for replica in (running, second)), timeout=20)
        api.ask(CPOL, method="POST", body=policy("teams"))
        for number in range(20):
            api.ask(MAPS, method="POST", body=config_map(f"x{number}"))
        wait_for(api, {f"x{number}": {"teams": "fail"} for number in range(20)}, timeout=10)
        victim = control_plane.processes.pid("reports-2")
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
        api.ask(f"{CPOL}/teams", method="DELETE")
        wait_for(api, {}, timeout=30)
    finally:
        operators.stop("reports-2")


def test_a_replica_killed_in_the_middle_of_a_scan_goes_on_where_it_stopped(
    api: Api, operators: Operators, control_plane: ControlPlane, running: Running
) -> None:
    for number in range(150):
        api.ask(MAPS, method="POST", body=config_map(f"x{number}"))
    api.ask(CPOL, method="POST", body=policy("teams", resources={"namespaces": [NAMESPACE], "names": ["x*"]}))
    until(lambda: reports(api))
    victim = control_plane.processes.pid("reports")
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    operators.stop("reports")
    again = operators.start("reports", flags={"enablePolicyException": "true", "exceptionNamespace": "*"})
    wait_for(api, {f"x{number}": {"teams": "fail"} for number in range(150)}, timeout=30)
    until(lambda: figure(again, "pyvern_reports_waiting") == 0)
    assert figure(again, 'pyvern_reports_total{what="updated"}') == 0

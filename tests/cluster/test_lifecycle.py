"""`make demo`, `make up` and `make down` as a user meets them, in a directory of their own."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.console import Blocked, silent
from deploy.local.control_plane import PLANE, ControlPlane
from deploy.local.demo import demo
from deploy.local.installation import until
from deploy.local.lifecycle import Wish, down, up
from deploy.local.processes import Processes

pytestmark = pytest.mark.cluster
OPERATORS = ["admission", "background", "cleanup", "reports"]


@pytest.fixture(scope="module")
def shown(tools: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The directory of a cluster on which the demo ran, and what the demo said."""
    directory = tmp_path_factory.mktemp("demo")
    lines: list[str] = []
    try:
        demo(directory, leashed=True, wait=True, to=lines.append)
        yield directory, "\n".join(lines)
    finally:
        down(directory, to=silent)


def test_the_demo_shows_denials_with_reasons(shown: tuple[Path, str]) -> None:
    _, text = shown
    assert "resource Pod/default/privileged was blocked due to the following policies" in text
    assert "disallow-privileged-containers:" in text
    assert "pod/compliant created" in text
    assert "resource Deployment/default/privileged was blocked due to the following policies" in text
    assert "autogen-privileged-containers:" in text
    assert [line.split()[3] for line in text.splitlines() if " Pod " in line and "legacy" in line] == ["legacy"]
    assert "both are gone" in text
    assert text.endswith("Stop with `make down`.")


def test_there_is_one_pid_file_a_process(shown: tuple[Path, str]) -> None:
    directory, _ = shown
    assert sorted(Processes(directory).names()) == sorted([*OPERATORS, *PLANE])


def test_a_second_up_keeps_the_control_plane_and_its_objects(shown: tuple[Path, str], tools: dict[str, Path]) -> None:
    directory, _ = shown
    before = {name: Processes(directory).pid(name) for name in [*OPERATORS, *PLANE]}
    plane = up(directory, leashed=True, to=silent)
    after = {name: plane.processes.pid(name) for name in before}
    assert [name for name in before if before[name] != after[name]] == OPERATORS
    assert plane.kubectl("get", "pod", "compliant", "-o", "name") == "pod/compliant\n"


def test_up_recovers_from_a_killed_operator_whose_webhooks_block_everything(shown: tuple[Path, str]) -> None:
    directory, _ = shown
    processes = Processes(directory)
    plane = up(directory, leashed=True, to=silent)
    rule = {
        "name": "r",
        "match": {"any": [{"resources": {"kinds": ["*"]}}]},
        "validate": {"failureAction": "Enforce", "deny": {}},
    }
    document = {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": "everything"},
        "spec": {"background": False, "rules": [rule]},
    }
    plane.kubectl("create", "-f", "-", stdin=json.dumps(document))
    plane.kubectl("wait", "--for=condition=Ready", "clusterpolicy/everything", "--timeout=10s")
    pid = processes.pid("admission")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: processes.pid("admission") is None, what="the operator is dead", timeout=5)
    up(directory, leashed=True, to=silent)
    assert processes.pid("admission") is not None
    plane.kubectl("delete", "clusterpolicy", "everything")


def test_up_on_a_cluster_of_the_users_own_runs_operators_only(
    shown: tuple[Path, str], tools: dict[str, Path], tmp_path: Path
) -> None:
    theirs = ControlPlane(tmp_path / "theirs", tools=tools, leashed=True)
    theirs.start()
    try:
        plane = up(tmp_path / "ours", wish=Wish(kubeconfig=theirs.kubeconfig), leashed=True, to=silent)
        assert sorted(plane.processes.names()) == OPERATORS
        hooks = "validatingwebhookconfigurations"
        assert "kyverno-policy-validating-webhook-cfg" in theirs.kubectl("get", hooks)
        down(tmp_path / "ours", to=silent)
        assert theirs.running
        assert theirs.kubectl("get", hooks) == ""
    finally:
        down(tmp_path / "ours", to=silent)
        theirs.stop()


def test_a_cluster_that_does_not_answer_is_told(tools: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(Blocked, match="does not answer: check the file"):
        up(tmp_path / "ours", wish=Wish(kubeconfig=tmp_path / "absent"), to=silent)

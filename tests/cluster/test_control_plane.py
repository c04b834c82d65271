"""The local control plane: isolated, ended exactly, and each operator with its own rights."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.console import Blocked
from deploy.local.control_plane import PLANE, ControlPlane
from deploy.local.kubectl import Kubectl, KubectlFailed
from deploy.local.lifecycle import down, status
from deploy.local.processes import Processes, free_ports

OBEDIENT = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"]


@pytest.fixture
def lines() -> list[str]:
    return []


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_user_is_the_one_that_conformance_tests_name(control_plane: ControlPlane) -> None:
    who = control_plane.kubectl.json("auth", "whoami")["status"]["userInfo"]
    assert who["username"] == "kubernetes-admin"
    assert "system:masters" in who["groups"]


def test_two_clusters_run_side_by_side_and_one_ends_alone(
    control_plane: ControlPlane, tools: dict[str, Path], tmp_path: Path
) -> None:
    other = ControlPlane(tmp_path / "other", tools=tools, leashed=True)
    other.start()
    pids = [other.processes.pid(name) for name in PLANE]
    assert other.url != control_plane.url
    assert sorted(other.stop()) == sorted(PLANE)
    assert not any(pid and alive(pid) for pid in pids)
    assert control_plane.running
    assert control_plane.kubectl("get", "--raw", "/readyz") == "ok"


def test_an_identity_has_only_its_own_rights(control_plane: ControlPlane, tmp_path: Path) -> None:
    admission = control_plane.kubectl.identity(
        "kyverno-admission-controller", namespace="kyverno", hours=1, file=tmp_path / "kubeconfig"
    )
    who = admission.json("auth", "whoami")["status"]["userInfo"]["username"]
    assert who == "system:serviceaccount:kyverno:kyverno-admission-controller"
    assert can(admission, "list", "clusterpolicies.kyverno.io")
    assert not can(admission, "create", "pods")
    assert not can(admission, "*", "*")


def can(kubectl: Kubectl, verb: str, resource: str) -> bool:
    try:
        return kubectl("auth", "can-i", verb, resource, "-A").strip() == "yes"
    except KubectlFailed:
        return False


def test_kubectl_says_why_it_failed(control_plane: ControlPlane) -> None:
    with pytest.raises(KubectlFailed, match=r'pods "absent" not found'):
        control_plane.kubectl("get", "pod", "absent")


def test_down_ends_a_process_whatever_became_of_its_starter(tmp_path: Path, lines: list[str]) -> None:
    Processes(tmp_path, leashed=True).start("admission", OBEDIENT)
    pid = Processes(tmp_path).pid("admission")
    assert pid
    assert (tmp_path / "pids" / "admission").read_text() == f"{pid}\n"
    down(tmp_path, to=lines.append)
    assert lines == ["stopped admission"]
    os.waitpid(pid, os.WNOHANG)
    assert Processes(tmp_path).names() == []


def test_down_leaves_a_process_alone_that_took_over_a_pid(tmp_path: Path, lines: list[str]) -> None:
    stranger = subprocess.Popen(STUBBORN)
    try:
        processes = Processes(tmp_path, leashed=True)
        processes.start("admission", OBEDIENT)
        processes.stop(["admission"], patience=5)
        (tmp_path / "commands" / "admission").write_text('["another", "program"]')
        (tmp_path / "pids" / "admission").write_text(f"{stranger.pid}\n")
        down(tmp_path, to=lines.append)
        assert stranger.poll() is None
        assert lines == []
        assert Processes(tmp_path).names() == []
    finally:
        stranger.kill()
        stranger.wait()


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    processes = Processes(tmp_path, leashed=True)
    processes.start("admission", STUBBORN)
    processes.wait("admission", lambda: processes.log("admission").read_text() == "1\n", timeout=10)
    assert processes.stop(["admission"], patience=0.2) == ["admission"]
    assert processes.pid("admission") is None


def test_a_process_that_dies_at_once_is_reported_with_its_last_words(tmp_path: Path) -> None:
    processes = Processes(tmp_path, leashed=True)
    processes.start("etcd", [sys.executable, "-c", "print('the disk is full')"])
    with pytest.raises(Blocked, match=r"etcd ended before it was ready.*\n.*the disk is full"):
        processes.wait("etcd", lambda: False, timeout=10)


def test_a_taken_port_is_named_as_the_reason(tmp_path: Path) -> None:
    processes = Processes(tmp_path, leashed=True)
    processes.start("etcd", [sys.executable, "-c", "print('listen tcp 127.0.0.1:1: bind: address already in use')"])
    with pytest.raises(Blocked, match=r"etcd found its port taken: .*run the command again"):
        processes.wait("etcd", lambda: False, timeout=10)


def test_status_tells_the_dead_from_the_living(tmp_path: Path, lines: list[str]) -> None:
    assert not status(tmp_path, to=lines.append)
    assert lines == ["nothing is running; start it with `make up`"]
    processes = Processes(tmp_path, leashed=True)
    processes.start("etcd", OBEDIENT)
    assert status(tmp_path, to=lines.append)
    os.kill(int((tmp_path / "pids" / "etcd").read_text()), signal.SIGKILL)
    processes.wait("etcd", lambda: processes.pid("etcd") is None, timeout=5)
    assert not status(tmp_path, to=lines.append)
    assert lines[-1].startswith("  etcd                         dead; the end of")
    processes.stop(["etcd"], patience=5)


def test_without_a_cluster_the_way_to_one_is_told(tmp_path: Path) -> None:
    with pytest.raises(Blocked, match="run `make up`"):
        _ = ControlPlane(tmp_path, tools={}).url


def test_free_ports_differ() -> None:
    assert len(set(free_ports(50))) == 50

"""What does a background scan cost: thousands of Pods in 20 namespaces and the 17 Pod Security policies?

    python -m perf.scan [--pods 2000 10000] [--output perf/results/scan.md]

Starts its own control plane and reports operator and ends them. Pods are created without nodes, every fourth violates policies.
Then: the policies arrive, a Pod is created, a tenth of the Pods changes, one policy changes, the operator is started anew and
looks at everything.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
import os
import platform
import re
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controllers.cluster.client import Client
from controllers.cluster.credentials import load
from deploy.local.binaries import CONTROL_PLANE, provide
from deploy.local.console import say
from deploy.local.control_plane import ControlPlane
from deploy.local.installation import install
from deploy.local.operators import Operators, Running
from perf.proc import machine, usage

HERE = Path(__file__).resolve().parent
AUDIT = HERE.parent / "deploy" / "policies" / "pod-security" / "audit"
NAMESPACES = 20
ROWS = 19
"""Rules of the 17 policies that match Pods."""
QUIET = 1.5
"""Seconds without a write after which a scan counts as done."""
PATIENCE = 1200.0
SETTLE = 4.0
REQUESTS = re.compile(r'^apiserver_request_total\{.*?resource="([^"]*)".*?verb="([A-Z]+)".*\} ([0-9.e+]+)$', re.MULTILINE)
UNCOUNTED = frozenset({"WATCH", "CONNECT"})


@dataclass(frozen=True, slots=True)
class Row:
    """One phase: seconds of CPU (the operator's, the API server's) and on the clock, MB of memory and of etcd's database."""

    what: str
    cpu: float
    server: float
    wall: float
    rss: float
    peak: float
    etcd: float
    requests: Counter[str]

    @property
    def line(self) -> str:
        requests = ", ".join(f"{count} {what}" for what, count in self.requests.most_common(6)) or "none"
        figures = f"{self.cpu:.1f} | {self.server:.1f} | {self.wall:.1f} | {self.rss:.0f} | {self.peak:.0f} | {self.etcd:+.1f}"
        return f"| {self.what} | {figures} | {requests} |"


COLUMNS = ("phase", "CPU s", "API server CPU s", "wall s", "RSS MB", "peak MB", "etcd MB", "requests of all clients")
HEADER = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"


def pod(number: int) -> dict[str, Any]:
    """A Pod as Deployments make them; every fourth is privileged and on the host's network."""
    bad = number % 4 == 0
    security: dict[str, Any] = {
        "allowPrivilegeEscalation": False,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {
        "name": "main",
        "image": f"registry.example/team/app-{number % 50}:1.{number % 7}",
        "ports": [{"containerPort": 8080}],
        "env": [{"name": f"SETTING_{index}", "value": "value"} for index in range(8)],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
        "securityContext": {"privileged": True} if bad else security,
        "volumeMounts": [{"name": "config", "mountPath": "/config"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"app-{number}",
            "labels": {"app": f"app-{number % 50}", "app.kubernetes.io/part-of": "load", "pod-template-hash": f"{number:010x}"},
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
        },
        "spec": {
            "hostNetwork": bad,
            "containers": [container],
            "volumes": [{"name": "config", "emptyDir": {}}],
        },
    }


async def _all(client: Client, numbers: range, act: Callable[[Client, int], Any]) -> None:
    limit = asyncio.Semaphore(16)

    async def one(number: int) -> None:
        async with limit:
            await act(client, number)

    await asyncio.gather(*(one(number) for number in numbers))


def _path(number: int) -> str:
    return f"/api/v1/namespaces/load-{number % NAMESPACES}/pods"


class Bench:
    """One control plane, one reports operator, many Pods."""

    def __init__(self, directory: Path, pods: int) -> None:
        self.directory = directory
        self.pods = pods
        self.plane = ControlPlane(directory, tools=provide(CONTROL_PLANE), leashed=True)
        self.operators = Operators(self.plane.kubectl, self.plane.processes, directory=directory)
        self.rows: list[Row] = []
        self.first = 0.0

    def start(self) -> None:
        self.plane.start(to=say)
        install(self.plane.kubectl, to=say)
        for index in range(NAMESPACES):
            self.plane.api.ask("/api/v1/namespaces", method="POST", body={"metadata": {"name": f"load-{index}"}})
        self._each(range(self.pods), lambda client, number: client.create(_path(number), pod(number)))
        say(f"{self.pods} Pods in {NAMESPACES} namespaces")

    def change_pods(self) -> None:
        patch = {"metadata": {"labels": {"changed": "yes"}}, "spec": {"activeDeadlineSeconds": 100_000}}
        numbers = range(0, self.pods, 10)
        self._each(numbers, lambda client, number: client.merge(f"{_path(number)}/app-{number}", patch))

    def run(self, what: str, running: Running, act: Callable[[], object], *, fresh: bool = False) -> None:
        """Measures from the change until nothing has been written for a while."""
        pid = self.plane.processes.pid(running.name)
        assert pid is not None
        server = self.plane.processes.pid("kube-apiserver")
        assert server is not None
        before, etcd, requests = usage(pid), self._etcd(), self._requests()
        serving = usage(server).cpu
        cpu = 0.0 if fresh else before.cpu
        started = time.monotonic()
        act()
        state, since = self._state(running), time.monotonic()
        while time.monotonic() - since < QUIET:
            time.sleep(0.5)
            now = self._state(running)
            if now != state:
                state, since = now, time.monotonic()
            if time.monotonic() - started > PATIENCE:
                raise SystemExit(f"{what}: not done after {PATIENCE:.0f} s")
        wall = since - started
        after = usage(pid)
        made = self._requests() - requests
        self.rows.append(
            Row(what, after.cpu - cpu, usage(server).cpu - serving, wall, after.rss, after.peak, self._etcd() - etcd, made)
        )
        say(self.rows[-1].line)

    def first_report(self) -> None:
        """Seconds from a new Pod to its report."""
        began = time.monotonic()
        created = self.plane.api.ask(_path(0), method="POST", body={**pod(0), "metadata": {"name": "new"}})
        path = f"/apis/wgpolicyk8s.io/v1alpha2/namespaces/load-0/policyreports/{created['metadata']['uid']}"
        while self.plane.api.find(path) is None:
            time.sleep(0.02)
            if time.monotonic() - began > PATIENCE:
                raise SystemExit(f"a new Pod has no report after {PATIENCE:.0f} s")
        self.first = time.monotonic() - began
        self.plane.api.ask(f"{_path(0)}/new?gracePeriodSeconds=0", method="DELETE")
        while self.plane.api.find(path) is not None:
            time.sleep(0.5)

    def check(self) -> None:
        """Every Pod has a report with a row for each rule."""
        reports = self.plane.api.ask("/apis/wgpolicyk8s.io/v1alpha2/policyreports")["items"]
        complete = [report for report in reports if report["scope"]["kind"] == "Pod" and len(report["results"]) == ROWS]
        failing = sum(report["summary"]["fail"] > 0 for report in complete)
        say(f"{len(complete)} complete reports, {failing} of them with failures")
        if len(complete) != self.pods:
            raise SystemExit(f"{self.pods} Pods, but {len(complete)} complete reports")

    def _each(self, numbers: range, act: Callable[[Client, int], Any]) -> None:
        async def work() -> None:
            async with Client(load(str(self.plane.kubeconfig))) as client:
                await _all(client, numbers, act)

        asyncio.run(work())

    def _state(self, running: Running) -> tuple[str, ...]:
        """What has been written and looked at so far."""
        # All metrics would cost CPU that is measured.
        url = f"http://127.0.0.1:{running.metrics_port}/metrics?name[]=pyvern_reports_total"
        with urllib.request.urlopen(url, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return tuple(line for line in lines if line.startswith("pyvern_reports_total"))

    def _etcd(self) -> float:
        flags = json.loads((self.directory / "commands" / "etcd").read_text())
        url = next(flag.partition("=")[2] for flag in flags if flag.startswith("--listen-client-urls"))
        with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        found = re.search(r"^etcd_mvcc_db_total_size_in_bytes ([0-9.e+]+)$", text, re.MULTILINE)
        assert found is not None
        return float(found[1]) / 1e6

    def _requests(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for resource, verb, number in REQUESTS.findall(self.plane.api.ask("/metrics")):
            if verb not in UNCOUNTED and resource in ("pods", "policyreports", "clusterpolicyreports", "events", "configmaps"):
                counts[f"{verb} {resource}"] += int(float(number))
        return counts


def measure(bench: Bench) -> None:
    """All phases."""
    bench.start()
    running = bench.operators.start("reports", to=say)
    kubectl = bench.plane.kubectl
    time.sleep(SETTLE)
    bench.run("17 policies arrive", running, lambda: kubectl("apply", "-k", str(AUDIT)))
    bench.check()
    bench.first_report()
    bench.run("a tenth of the Pods changes", running, bench.change_pods)
    change = ("patch", "cpol", "disallow-host-path", "--type=merge", "-p", '{"spec":{"emitWarning":true}}')
    bench.run("one policy changes", running, lambda: kubectl(*change))
    bench.operators.stop(running.name)
    running = bench.operators.start("reports", to=say)
    bench.run("restart: a second full scan", running, lambda: None, fresh=True)
    bench.check()
    bench.operators.stop(running.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pods", type=int, nargs="+", default=[2000, 10_000])
    parser.add_argument("--output", type=Path, default=HERE / "results" / "scan.md")
    options = parser.parse_args()
    sizes = " ".join(map(str, options.pods))
    lines = [
        "# Background scan",
        "",
        f"17 policies, {NAMESPACES} namespaces; {machine()}; Python {platform.python_version()}; "
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}; `python -m perf.scan --pods {sizes}`.",
        "Kyverno 1.16.3 on a machine of this kind, 2,000 Pods: 139 CPU s, 165 s, 172 MB, etcd +62 MB.",
        "",
        "CPU and memory are the operator's; the wall time ends with the last change of its counters; etcd: the size of its file.",
        "Pods have no nodes. Other work on the machine lengthens the wall times: see the load averages.",
        "",
    ]
    for pods in options.pods:
        lines += _measured(pods)
        options.output.parent.mkdir(exist_ok=True)
        options.output.write_text("\n".join(lines))
    say(f"written to {options.output}")


def _measured(pods: int) -> list[str]:
    """The section about so many Pods."""
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), pods)
        try:
            measure(bench)
        finally:
            bench.plane.processes.stop(bench.plane.processes.names(), patience=5)
            bench.plane.stop()
    return [
        f"## {pods} Pods",
        "",
        f"Load average {load_before:.1f} before the start, {os.getloadavg()[0]:.1f} at the end. "
        f"A new Pod had its report after {bench.first:.2f} s.",
        "",
        HEADER,
        *(row.line for row in bench.rows),
        "",
    ]


if __name__ == "__main__":
    main()

"""What does work in the background cost: 1,000 Namespaces that get three objects each, and 2,000 objects that change?

    python -m perf.background [--namespaces 1000] [--objects 2000] [--output perf/results/background.md]

Starts its own control plane, admission and background operator and ends them. Namespaces are created by 16 clients; each gets a
NetworkPolicy (data), a copy of a Secret and a RoleBinding with variables, by one policy and then by three. Then a ConfigMap
triggers a rule that changes 2,000 others.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import os
import platform
import re
import subprocess
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
from deploy.local.installation import install, until
from deploy.local.operators import Operators, Running
from perf.proc import machine, usage
from perf.triggers import GENERATED, MUTATING, ROLE, generating

HERE = Path(__file__).resolve().parent
PHASES = ("one", "three", "targets")
CLIENTS = 16
PATIENCE = 400.0
SETTLE = 3.0
LOOK = 0.4
"""Seconds between two looks whether everything is there."""
UPDATES = "/apis/kyverno.io/v2/namespaces/kyverno/updaterequests"
NETWORK_POLICIES = "/apis/networking.k8s.io/v1/networkpolicies"
ROLE_BINDINGS = "/apis/rbac.authorization.k8s.io/v1/rolebindings"
SECRETS = "/api/v1/secrets"
QUERIES = re.compile(
    r'^kyverno_client_queries_total\{.*?operation="([^"]*)".*?resource_kind="([^"]*)".*\} ([0-9.e+]+)$', re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Row:
    """One phase: seconds on the clock and of CPU, MB of the background operator, its requests beside what was made."""

    what: str
    made: int
    wall: float
    cpu: float
    admission: float
    server: float
    rss: float
    peak: float
    requests: Counter[str]

    @property
    def line(self) -> str:
        requests = ", ".join(f"{count} {what}" for what, count in self.requests.most_common(7))
        cpu = f"{self.cpu:.1f} | {self.admission:.1f} | {self.server:.1f}"
        per = f"{self.requests.total() / self.made:.2f}"
        figures = (
            f"{self.made} | {self.wall:.1f} | {self.made / self.wall:.0f} | {cpu} | {self.rss:.0f} | {self.peak:.0f} | {per}"
        )
        return f"| {self.what} | {figures} | {requests} |"


COLUMNS = (
    "phase",
    "objects",
    "wall s",
    "objects/s",
    "CPU s",
    "admission CPU s",
    "API server CPU s",
    "RSS MB",
    "peak MB",
    "requests per object",
    "requests",
)
HEADER = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"


class Bench:
    """One control plane, two operators, many triggers."""

    def __init__(self, directory: Path, *, spy: Path | None) -> None:
        self.directory = directory
        self.spy = spy
        self.plane = ControlPlane(directory, tools=provide(CONTROL_PLANE), leashed=True)
        self.operators = Operators(self.plane.kubectl, self.plane.processes, directory=directory)
        self.rows: list[Row] = []

    def start(self) -> None:
        self.plane.start(to=say)
        install(self.plane.kubectl, to=say)
        ask = self.plane.api.ask
        ask("/apis/rbac.authorization.k8s.io/v1/clusterroles", method="POST", body=ROLE)
        secret = {"metadata": {"name": "registry"}, "stringData": {"password": "swordfish"}}
        ask("/api/v1/namespaces/default/secrets", method="POST", body=secret)
        self.operators.start("admission", to=say)
        self.background = self.operators.start("background", to=say)

    def apply(self, policy: dict[str, Any]) -> None:
        path = "/apis/kyverno.io/v1/clusterpolicies"
        self.plane.api.ask(path, method="POST", body=policy)
        self.plane.kubectl("wait", "--for=condition=Ready", f"cpol/{policy['metadata']['name']}", "--timeout=30s")
        time.sleep(SETTLE)

    def remove(self, name: str) -> None:
        self.plane.api.ask(f"/apis/kyverno.io/v1/clusterpolicies/{name}", method="DELETE")

    def namespaces(self, what: str, prefix: str, count: int) -> None:
        """Creates Namespaces and waits until all they get is there."""
        before = {path: self._count(path) for path in (NETWORK_POLICIES, SECRETS, ROLE_BINDINGS)}
        bodies = [{"metadata": {"name": f"{prefix}-{number}"}} for number in range(count)]

        def done() -> bool:
            time.sleep(LOOK)
            return all(self._count(path) >= number + count for path, number in before.items())

        self._measure(what, 3 * count, lambda: self._create("/api/v1/namespaces", bodies), done)
        names = {body["metadata"]["name"] for body in bodies}
        for path in before:
            found = [item["metadata"] for item in self.plane.api.ask(path)["items"]]
            there = {metadata["namespace"] for metadata in found} & names
            if there != names:
                raise SystemExit(f"{path}: {len(names - there)} of {count} are missing")

    def objects(self, what: str, count: int) -> None:
        """Makes targets, then a trigger, and waits until all targets have changed."""
        ask = self.plane.api.ask
        ask("/api/v1/namespaces", method="POST", body={"metadata": {"name": "targets"}})
        targets = "/api/v1/namespaces/targets/configmaps"
        data = {f"key-{index}": "value" * 20 for index in range(10)}
        self._create(targets, [{"metadata": {"name": f"target-{number}"}, "data": data} for number in range(count)])
        self.apply(MUTATING)
        trigger = {"metadata": {"name": "trigger"}, "data": {"stamp": "one"}}

        def done() -> bool:
            time.sleep(LOOK)
            return not ask(f"{UPDATES}?limit=1")["items"] and len(ask(f"{targets}?labelSelector=stamp=one")["items"]) == count

        self._measure(what, count, lambda: ask("/api/v1/namespaces/default/configmaps", method="POST", body=trigger), done)

    def _measure(self, what: str, made: int, act: Callable[[], object], done: Callable[[], bool]) -> None:
        pids = [self.plane.processes.pid(name) for name in ("background", "admission", "kube-apiserver")]
        background, admission, server = (pid for pid in pids if pid is not None)
        before = [usage(pid).cpu for pid in (background, admission, server)]
        queries = self._queries(self.background)
        spying = self._spied(background, what)
        started = time.monotonic()
        act()
        say(f"{what}: {time.monotonic() - started:.1f} s until all triggers are there")
        until(done, what=what, timeout=PATIENCE)
        wall = time.monotonic() - started
        until(lambda: not self.plane.api.ask(f"{UPDATES}?limit=1")["items"], what="UpdateRequests gone", timeout=PATIENCE)
        if spying is not None:
            spying.wait(timeout=PATIENCE)
        time.sleep(SETTLE)
        after = usage(background)
        spent = [now - then for now, then in zip((after.cpu, usage(admission).cpu, usage(server).cpu), before, strict=True)]
        made_requests = self._queries(self.background) - queries
        row = Row(what, made, wall, spent[0], spent[1], spent[2], after.rss, after.peak, made_requests)
        self.rows.append(row)
        say(row.line)

    def _spied(self, pid: int, what: str) -> subprocess.Popen[bytes] | None:
        if self.spy is None:
            return None
        output = self.spy / f"{what.partition(' ')[0]}-{len(self.rows)}.txt"
        command = ["py-spy", "record", "-p", str(pid), "-d", "25", "-r", "200", "-f", "raw", "-o", str(output)]
        return subprocess.Popen(command)

    def _create(self, path: str, bodies: list[dict[str, Any]]) -> None:
        async def work() -> None:
            limit = asyncio.Semaphore(CLIENTS)
            async with Client(load(str(self.plane.kubeconfig))) as client:

                async def one(body: dict[str, Any]) -> None:
                    async with limit:
                        await client.create(path, body)

                await asyncio.gather(*map(one, bodies))

        asyncio.run(work())

    def _count(self, path: str) -> int:
        listed = self.plane.api.ask(f"{path}?limit=1")
        return len(listed["items"]) + int(listed["metadata"].get("remainingItemCount") or 0)

    def _queries(self, running: Running) -> Counter[str]:
        with urllib.request.urlopen(f"http://127.0.0.1:{running.metrics_port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        found = ((operation, kind, int(float(number))) for operation, kind, number in QUERIES.findall(text))
        return Counter({f"{operation} {kind}": number for operation, kind, number in found if operation != "watch"})


def measure(bench: Bench, *, namespaces: int, objects: int, phases: list[str]) -> None:
    """The phases that are wanted."""
    bench.start()
    if "one" in phases:
        bench.apply(generating("three-rules", "one", GENERATED))
        bench.namespaces(f"{namespaces} Namespaces, one policy with three rules", "one", namespaces)
    if "three" in phases:
        for rule in GENERATED:
            bench.apply(generating(f"only-{rule}", "many", [rule]))
        bench.namespaces(f"{namespaces} Namespaces, three policies", "many", namespaces)
    if "targets" in phases:
        bench.objects(f"one trigger, {objects} targets", objects)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--namespaces", type=int, default=1000)
    parser.add_argument("--objects", type=int, default=2000)
    parser.add_argument("--phases", default=",".join(PHASES), help="some of them, with commas")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "background.md")
    parser.add_argument("--spy", type=Path, help="folder for profiles by py-spy, which must be on PATH")
    options = parser.parse_args()
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), spy=options.spy)
        try:
            measure(bench, namespaces=options.namespaces, objects=options.objects, phases=options.phases.split(","))
        finally:
            bench.plane.processes.stop(bench.plane.processes.names(), patience=5)
            bench.plane.stop()
    lines = [
        "# Work in the background",
        "",
        f"{machine()}; Python {platform.python_version()}; {datetime.datetime.now(datetime.UTC):%Y-%m-%d}; "
        f"`python -m perf.background --namespaces {options.namespaces} --objects {options.objects} --phases {options.phases}`.",
        f"Load average before the start: {load_before:.1f}, at the end {os.getloadavg()[0]:.1f}.",
        "Everything, the clients too, runs on this machine.",
        "",
        HEADER,
        *(row.line for row in bench.rows),
        "",
        "CPU, memory and requests are the background operator's (its metric `kyverno_client_queries` without watches,",
        "its Lease left out). The wall time begins with the first trigger and ends when everything is there;",
        "requests that remove finished UpdateRequests after that are counted.",
        "",
    ]
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text("\n".join(lines))
    say(f"written to {options.output}")


if __name__ == "__main__":
    main()

"""How fast is a denied Pod, beside an empty webhook in the same run?

    python -m perf.admission [--loads 25/500,100/1000,200/5000,500/10000] [--rounds 1] [--output perf/results/admission.md]

Starts its own control plane and admission operator, applies the 17 Pod Security policies in Enforce, lets k6 create a Pod
that they refuse, through the API server and straight at the webhook; then the same with empty webhooks.
"""

from __future__ import annotations

import argparse
import base64
import datetime
import json
import platform
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local.binaries import CONTROL_PLANE, LOAD, provide
from deploy.local.console import say
from deploy.local.control_plane import ControlPlane
from deploy.local.installation import install, until
from deploy.local.operators import Operators
from deploy.local.processes import free_ports
from perf.proc import Usage, machine, usage

HERE = Path(__file__).resolve().parent
ENFORCE = HERE.parent / "deploy" / "policies" / "pod-security" / "enforce"
COMPARED = "200/5000"
POLICIES = 17
PATHS = {"Validating": "validate", "Mutating": "mutate"}
BAD_POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "bad", "labels": {"app": "load"}},
    "spec": {
        "hostNetwork": True,
        "containers": [{"name": "main", "image": "registry.example/app:1", "securityContext": {"privileged": True}}],
    },
}


@dataclass(frozen=True, slots=True)
class Row:
    """One k6 run. Times in ms; `cpu` is the server's CPU per review in ms, `rss` and `peak` its memory in MB."""

    what: str
    load: str
    avg: float
    p95: float
    worst: float
    cpu: float
    rss: float
    peak: float
    failed: int

    @property
    def line(self) -> str:
        figures = f"{self.avg:.1f} | {self.p95:.1f} | {self.worst:.1f} | {self.cpu:.2f} | {self.rss:.0f} | {self.peak:.0f}"
        return f"| {self.what} | {self.load} | {figures} | {self.failed} |"


COLUMNS = (
    "server",
    "clients/iterations",
    "avg ms",
    "p95 ms",
    "max ms",
    "CPU ms/review",
    "RSS MB",
    "peak RSS MB",
    "wrong answers",
)
HEADER = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"


def k6(program: Path, script: str, load: str, **environment: str) -> dict[str, Any]:
    """The metrics of one k6 run."""
    vus, _, iterations = load.partition("/")
    with tempfile.TemporaryDirectory() as folder:
        summary = Path(folder) / "summary.json"
        settings = {**environment, "VUS": vus, "ITERATIONS": iterations}
        arguments = [f"--env={name}={value}" for name, value in settings.items()]
        command = [str(program), "run", "--quiet", f"--summary-export={summary}", *arguments, str(HERE / "k6" / script)]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=400)
        metrics: dict[str, Any] = json.loads(summary.read_text())["metrics"]
        return metrics


class Bench:
    """One control plane and the load generator."""

    def __init__(self, directory: Path, *, body: dict[str, Any] | None = None, query: str = "") -> None:
        self.directory = directory
        self.body, self.query = body or BAD_POD, query
        self.k6 = provide(LOAD)["k6"]
        self.plane = ControlPlane(directory, tools=provide(CONTROL_PLANE), leashed=True)
        self.pod = directory / "pod.json"
        self.rows: list[Row] = []

    def start(self) -> None:
        self.plane.start(to=say)
        install(self.plane.kubectl, to=say)
        self.plane.kubectl("create", "namespace", "load")
        self.pod.write_text(json.dumps(self.body))

    def through_api_server(self, what: str, load: str, pid: int, expect: int) -> None:
        token = json.loads(self.plane.kubeconfig.read_text())["users"][0]["user"]["token"]
        place = {"URL": self.plane.url, "TOKEN": token, "NAMESPACE": "load"}
        environment = {**place, "BODY": str(self.pod), "EXPECT": str(expect), "QUERY": self.query}
        self._measure(what, load, pid, lambda: k6(self.k6, "pod.js", load, **environment))

    def straight(self, what: str, load: str, pid: int, url: str, body: Path) -> None:
        self._measure(what, load, pid, lambda: k6(self.k6, "review.js", load, URL=url, BODY=str(body)))

    def _measure(self, what: str, load: str, pid: int, run: Callable[[], dict[str, Any]]) -> None:
        before = usage(pid)
        metrics = run()
        after: Usage = usage(pid)
        times = metrics["http_req_duration"]
        count = metrics["http_reqs"]["count"]
        row = Row(
            what,
            load,
            times["avg"],
            times["p(95)"],
            times["max"],
            (after.cpu - before.cpu) * 1000 / count,
            after.rss,
            after.peak,
            int(metrics["checks"]["fails"]),
        )
        say(row.line)
        self.rows.append(row)


def denies(bench: Bench) -> bool:
    """Does the API server refuse the Pod by now?"""
    arguments = ["create", "-n", "load", "--dry-run=server", "-f", str(bench.pod)]
    done = subprocess.run(
        [str(bench.plane.tools["kubectl"]), f"--kubeconfig={bench.plane.kubeconfig}", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode != 0 and "denied the request" in done.stderr


def ours(bench: Bench, loads: list[str]) -> tuple[float, float]:
    """Measures the admission operator; returns its RSS in MB when idle, without and with the policies."""
    operators = Operators(bench.plane.kubectl, bench.plane.processes, directory=bench.directory)
    running = operators.start("admission", to=say)
    pid = bench.plane.processes.pid(running.name)
    assert pid is not None
    time.sleep(3)
    idle = usage(pid).rss
    bench.plane.kubectl("apply", "-k", str(ENFORCE))
    until(lambda: denies(bench), what="the policies deny the Pod", timeout=30)
    time.sleep(2)
    loaded = usage(pid).rss
    for load in loads:
        bench.through_api_server("pyvern", load, pid, 400)
    review = bench.directory / "review.json"
    review.write_text(json.dumps(REVIEW))
    for load in loads:
        bench.straight("pyvern, no API server", load, pid, f"https://127.0.0.1:{running.port}/validate/fail", review)
    operators.stop(running.name)
    return idle, loaded


@contextmanager
def empty(
    bench: Bench, kind: str, verb: str = "Validating", registered: Callable[[Bench], bool] = denies
) -> Iterator[tuple[int, int]]:
    """An empty webhook that is registered for Pods, Validating or Mutating; gives its pid and port."""
    port = free_ports(1)[0]
    keys = bench.directory / "keys"
    files = (str(keys / "server.crt"), str(keys / "server.key"))
    command = [sys.executable, "-m", "perf.empty_webhooks", kind, str(port), *files]
    name = f"empty-{kind}"
    bench.plane.processes.start(name, command, environment={}, cwd=HERE.parent)
    bench.plane.processes.wait(name, lambda: answers(port), timeout=20)
    configuration = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": f"{verb}WebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [
            {
                "name": "empty.pyvern.test",
                "clientConfig": {
                    "url": f"https://127.0.0.1:{port}/{PATHS[verb]}",
                    "caBundle": base64.b64encode(bench.plane.ca.read_bytes()).decode(),
                },
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
            }
        ],
    }
    bench.plane.kubectl("create", "-f", "-", stdin=json.dumps(configuration))
    pid = bench.plane.processes.pid(name)
    assert pid is not None
    try:
        until(lambda: registered(bench), what="the empty webhook is called", timeout=30)
        yield pid, port
    finally:
        bench.plane.kubectl("delete", f"{verb.lower()}webhookconfiguration", name)
        bench.plane.processes.stop([name], patience=2)


def answers(port: int) -> bool:
    trusting = ssl._create_unverified_context()
    request = urllib.request.Request(f"https://127.0.0.1:{port}/", data=json.dumps(REVIEW).encode())
    try:
        with urllib.request.urlopen(request, context=trusting, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


REVIEW: dict[str, Any] = {
    "apiVersion": "admission.k8s.io/v1",
    "kind": "AdmissionReview",
    "request": {
        "uid": "0b4e1c9e-6b1e-4f7b-9d3c-2f1f9a2f7f11",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
        "requestResource": {"group": "", "version": "v1", "resource": "pods"},
        "name": "bad",
        "namespace": "load",
        "operation": "CREATE",
        "userInfo": {"username": "kubernetes-admin", "groups": ["system:masters", "system:authenticated"]},
        "object": {**BAD_POD, "metadata": {**BAD_POD["metadata"], "namespace": "load"}},
        "oldObject": None,
        "dryRun": False,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loads", default="25/500,100/1000,200/5000,500/10000")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "admission.md")
    options = parser.parse_args()
    loads = options.loads.split(",")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        try:
            bench.start()
            idle, loaded = ours(bench, loads)
            for kind in ("aiohttp", "granian"):
                with empty(bench, kind) as (pid, _):
                    for load in [load for load in loads if load in (COMPARED, "500/10000")] or loads:
                        bench.through_api_server(f"empty {kind}", load, pid, 400)
        finally:
            bench.plane.processes.stop(bench.plane.processes.names(), patience=5)
            bench.plane.stop()
    report(bench.rows, idle, loaded, options.output)


def report(rows: list[Row], idle: float, loaded: float, output: Path) -> None:
    """Writes the table and the ratios of one run."""

    def average(what: str) -> float | None:
        return next((row.avg for row in rows if row.what == what and row.load == COMPARED), None)

    lines = [
        "# A denied Pod, 17 Pod Security policies",
        "",
        f"{machine()}; Python {platform.python_version()}; {datetime.datetime.now(datetime.UTC):%Y-%m-%d}; "
        "`python -m perf.admission`. API server, etcd, k6 and the server share the cores; only rows of one run compare.",
        "",
        HEADER,
        *[row.line for row in rows],
        "",
        f"Idle: {idle:.0f} MB without policies, {loaded:.0f} MB with {POLICIES}.",
    ]
    mine = average("pyvern")
    for kind in ("aiohttp", "granian"):
        other = average(f"empty {kind}")
        if mine and other:
            lines.append(f"Average at {COMPARED}: {mine / other:.2f} times an empty {kind} webhook.")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("\n".join(lines) + "\n")
    say("\n".join(lines))


if __name__ == "__main__":
    main()

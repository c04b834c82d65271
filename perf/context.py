"""What does a policy that needs all RoleBindings of a big cluster add to a request?

    python -m perf.context [--load 50/2000] [--rounds 2] [--size 1.0] [--output perf/results/context.md]

Starts its own control plane with 3,200 Namespaces, 10,500 Ingresses, 200 ClusterRoleBindings and 11,000 RoleBindings (times
`--size`) and an admission operator. k6 creates a Pod that one policy refuses: once the policy holds the list it compares with,
once it reads all RoleBindings by an apiCall, once from a GlobalContextEntry; each reading through its jmesPath. The operator is
started anew for each, so that memory can be told apart; the last runs change RoleBindings meanwhile. Everything is stopped at
the end.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
import platform
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controllers.cluster.client import ApiError, Client
from controllers.cluster.credentials import load
from deploy.local.console import say
from deploy.local.installation import until
from deploy.local.operators import Operators
from perf.admission import Bench, denies, k6
from perf.proc import machine, usage
from perf.scan import REQUESTS

HERE = Path(__file__).resolve().parent
RBAC = "rbac.authorization.k8s.io/v1"
ALL = f"/apis/{RBAC}/rolebindings"
SIZES = {"namespaces": 3200, "ingresses": 10_500, "clusterrolebindings": 200, "rolebindings": 11_000}
ADMINS = "[?roleRef.name=='cluster-admin'].subjects[].name"
RARE = 100
"""Every so many RoleBindings is one for cluster-admin."""
SETTLE = 8.0


def metadata(name: str, namespace: str = "") -> dict[str, Any]:
    labels = {"app.kubernetes.io/managed-by": "platform", "team": f"team-{hash(namespace or name) % 40}"}
    return {"name": name, "labels": labels, **({"namespace": namespace} if namespace else {})}


def namespace(number: int) -> tuple[str, dict[str, Any]]:
    return "/api/v1/namespaces", {"metadata": metadata(f"load-{number}")}


def ingress(number: int) -> tuple[str, dict[str, Any]]:
    space = f"load-{number % SIZES['namespaces']}"
    backend = {"service": {"name": f"app-{number}", "port": {"number": 80}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    spec = {"rules": [{"host": f"app-{number}.apps.example.com", "http": {"paths": [path]}}]}
    return f"/apis/networking.k8s.io/v1/namespaces/{space}/ingresses", {
        "metadata": metadata(f"app-{number}", space),
        "spec": spec,
    }


def subjects(number: int, space: str) -> list[dict[str, str]]:
    account = {"kind": "ServiceAccount", "name": f"deployer-{number % 7}", "namespace": space}
    return [account, {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": f"user-{number}@example.com"}]


def cluster_role_binding(number: int) -> tuple[str, dict[str, Any]]:
    body = {"metadata": metadata(f"load-{number}"), "roleRef": role("view"), "subjects": subjects(number, "default")}
    return f"/apis/{RBAC}/clusterrolebindings", body


def role_binding(number: int) -> tuple[str, dict[str, Any]]:
    space = f"load-{number % SIZES['namespaces']}"
    named = "cluster-admin" if number % RARE == 0 else ("view", "edit", "admin")[number % 3]
    body = {"metadata": metadata(f"binding-{number}", space), "roleRef": role(named), "subjects": subjects(number, space)}
    return f"/apis/{RBAC}/namespaces/{space}/rolebindings", body


def role(name: str) -> dict[str, str]:
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}


KINDS: dict[str, Callable[[int], tuple[str, dict[str, Any]]]] = {
    "namespaces": namespace,
    "ingresses": ingress,
    "clusterrolebindings": cluster_role_binding,
    "rolebindings": role_binding,
}
ENTRY = {
    "apiVersion": "kyverno.io/v2",
    "kind": "GlobalContextEntry",
    "metadata": {"name": "rolebindings"},
    "spec": {"kubernetesResource": {"group": "rbac.authorization.k8s.io", "version": "v1", "resource": "rolebindings"}},
}


def cases(count: int) -> dict[str, dict[str, Any]]:
    """Name -> the context entry `admins`; the first needs nothing from outside and compares with as many names."""
    names = [f"user-{number}@example.com" for number in range(0, count, RARE)] * 2
    return {
        "the list in the policy": {"variable": {"value": names}},
        "GlobalContextEntry": {"globalReference": {"name": "rolebindings", "jmesPath": ADMINS}},
        "apiCall": {"apiCall": {"urlPath": ALL, "jmesPath": f"items{ADMINS}"}},
    }


def policy(context: dict[str, Any]) -> dict[str, Any]:
    condition = {"key": "{{ request.userInfo.username }}", "operator": "AnyNotIn", "value": "{{ admins }}"}
    rule = {
        "name": "cluster-admins-only",
        "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
        "context": [{"name": "admins", **context}],
        "validate": {"failureAction": "Enforce", "message": "only admins", "deny": {"conditions": {"all": [condition]}}},
    }
    annotations = {"pod-policies.kyverno.io/autogen-controllers": "none"}
    spec = {"background": False, "rules": [rule]}
    return {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": "admins", "annotations": annotations},
        "spec": spec,
    }


@dataclass(frozen=True, slots=True)
class Row:
    """One case: times in ms as k6 saw them, `cpu` ms a review, memory in MB (idle, loaded, at most), reads of bindings."""

    what: str
    avg: float
    p95: float
    cpu: float
    idle: float
    rss: float
    peak: float
    reads: int
    wrong: int

    @property
    def line(self) -> str:
        times = f"{self.avg:.1f} | {self.p95:.1f} | {self.cpu:.2f}"
        return f"| {self.what} | {times} | {self.idle:.0f} | {self.rss:.0f} | {self.peak:.0f} | {self.reads} | {self.wrong} |"


COLUMNS = ("data", "avg ms", "p95 ms", "CPU ms/review", "idle MB", "RSS MB", "peak MB", "reads of RoleBindings", "wrong answers")
HEADER = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"


class Context:
    """The big cluster and one operator after the other."""

    def __init__(self, bench: Bench, size: float) -> None:
        self.bench = bench
        self.counts = {kind: max(1, int(count * size)) for kind, count in SIZES.items()}
        SIZES["namespaces"] = self.counts["namespaces"]
        self.operators = Operators(bench.plane.kubectl, bench.plane.processes, directory=bench.directory)
        self.entry_ready = 0.0

    def fill(self) -> None:
        """Creates everything."""
        began = time.monotonic()
        asyncio.run(self._fill())
        say(f"{', '.join(f'{count} {kind}' for kind, count in self.counts.items())} in {time.monotonic() - began:.0f} s")

    async def _fill(self) -> None:
        limit = asyncio.Semaphore(24)

        async def create(client: Client, path: str, body: dict[str, Any]) -> None:
            async with limit:
                try:
                    await client.create(path, body)
                except ApiError as error:
                    if not error.conflict:
                        raise

        async with Client(load(str(self.bench.plane.kubeconfig))) as client:
            for kind, count in self.counts.items():
                await asyncio.gather(*(create(client, *KINDS[kind](number)) for number in range(count)))

    def measure(self, what: str, context: dict[str, Any], load: str, *, churn: int = 0) -> Row:
        """A fresh operator with one policy under load; `churn` RoleBindings are changed every second meanwhile."""
        kubectl = self.bench.plane.kubectl
        running = self.operators.start("admission", to=say)
        pid = self.bench.plane.processes.pid(running.name)
        assert pid is not None
        if "globalReference" in context:
            kubectl("apply", "-f", "-", stdin=json.dumps(ENTRY))
        kubectl("apply", "-f", "-", stdin=json.dumps(policy(context)))
        until(lambda: denies(self.bench), what="the policy denies the Pod", timeout=60)
        time.sleep(SETTLE)
        idle = usage(pid)
        token = json.loads(self.bench.plane.kubeconfig.read_text())["users"][0]["user"]["token"]
        environment = {"URL": self.bench.plane.url, "TOKEN": token, "BODY": str(self.bench.pod)}
        before = self.reads()
        with self.changing(churn):
            metrics = k6(self.bench.k6, "pod.js", load, **environment, NAMESPACE="load", EXPECT="400")
        reads = self.reads() - before
        after = usage(pid)
        times = metrics["http_req_duration"]
        cpu = (after.cpu - idle.cpu) * 1000 / metrics["http_reqs"]["count"]
        wrong = int(metrics["checks"]["fails"])
        row = Row(what, times["avg"], times["p(95)"], cpu, idle.rss, after.rss, after.peak, reads, wrong)
        say(row.line)
        kubectl("delete", "clusterpolicy", "admins")
        kubectl("delete", "globalcontextentry", "--all")
        self.operators.stop(running.name)
        return row

    def reads(self) -> int:
        """GET and LIST requests for RoleBindings so far, of all clients."""
        text = self.bench.plane.kubectl("get", "--raw", "/metrics")
        found = REQUESTS.findall(text)
        return sum(int(float(count)) for resource, verb, count in found if resource == "rolebindings" and verb in ("GET", "LIST"))

    @contextmanager
    def changing(self, rate: int) -> Iterator[None]:
        """Labels `rate` RoleBindings a second while the block runs."""
        over = threading.Event()

        def change() -> None:
            number = 0
            while not over.wait(1 / rate):
                path, _ = role_binding(number)
                body = {"metadata": {"labels": {"changed": str(time.monotonic_ns())}}}
                merge = "application/merge-patch+json"
                self.bench.plane.api.ask(f"{path}/binding-{number}", method="PATCH", body=body, content_type=merge)
                number = (number + 1) % self.counts["rolebindings"]

        worker = threading.Thread(target=change)
        if rate:
            worker.start()
        try:
            yield
        finally:
            over.set()
            if rate:
                worker.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--load", default="25/3000", help="clients/iterations of k6")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--size", type=float, default=1.0)
    parser.add_argument("--churn", type=int, default=20, help="RoleBindings changed every second in the last run")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "context.md")
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        try:
            bench.start()
            context = Context(bench, options.size)
            context.fill()
            for _ in range(options.rounds):
                rows += [context.measure(what, source, options.load) for what, source in cases(11_000).items()]
            for what, source in list(cases(11_000).items())[1:]:
                rows.append(context.measure(f"{what}, {options.churn} changes/s", source, options.load, churn=options.churn))
        finally:
            bench.plane.processes.stop(bench.plane.processes.names(), patience=5)
            bench.plane.stop()
    report(rows, context.counts, options)


def report(rows: list[Row], counts: dict[str, int], options: argparse.Namespace) -> None:
    """Writes the table and what each kind of data adds to the policy that needs none."""

    def best(what: str) -> Row:
        return min((row for row in rows if row.what == what), key=lambda row: row.p95)

    plain, *others = [best(what) for what in cases(1)]
    lines = [
        "# A policy that needs all RoleBindings",
        "",
        f"{machine()}; Python {platform.python_version()}; {datetime.datetime.now(datetime.UTC):%Y-%m-%d}; "
        f"`python -m perf.context --load {options.load} --rounds {options.rounds}`. In the cluster: "
        f"{', '.join(f'{count:,} {kind}' for kind, count in counts.items())}. API server, etcd, k6 and the operator share the "
        "cores; only rows of one run compare.",
        "",
        HEADER,
        *[row.line for row in rows],
        "",
        *[f"{row.what} adds {row.p95 - plain.p95:.1f} ms at the 95th percentile, {row.avg - plain.avg:.1f} ms on average."
          for row in others],
    ]  # fmt: skip
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text("\n".join(lines) + "\n")
    say("\n".join(lines))


if __name__ == "__main__":
    main()

"""What does a policy that needs all RoleBindings of a big cluster add to a request, and to the operator's memory?

    python -m perf.context [--load 25/500] [--rounds 6] [--size 1.0] [--output perf/results/context.md]

Starts its own control plane with 3,200 Namespaces, 10,500 Ingresses, 200 ClusterRoleBindings and 11,000 RoleBindings (times
`--size`) and an admission operator. k6 creates a Pod that one policy refuses: one holds the list it compares with, one reads all
RoleBindings from a GlobalContextEntry, one by an apiCall; each reading through its jmesPath. For memory each policy is alone
with an operator of its own, while RoleBindings change. For times all three are there, each for a namespace, and take turns: what
else the machine does meets all of them. Everything is stopped at the end.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from deploy.local.console import say
from deploy.local.installation import until
from deploy.local.operators import Operators
from perf.admission import Bench, k6
from perf.big_cluster import RARE, RBAC, SIZES, fill, role_binding
from perf.proc import machine, usage
from perf.scan import REQUESTS

HERE = Path(__file__).resolve().parent
ALL = f"/apis/{RBAC}/rolebindings"
ADMINS = "[?roleRef.name=='cluster-admin'].subjects[].name"
SETTLE = 8.0
CHANGING = ", changing"


def home(what: str) -> str:
    """The namespace of a case."""
    return f"case-{what.rpartition(' ')[2].lower()}"


ENTRY = {
    "apiVersion": "kyverno.io/v2",
    "kind": "GlobalContextEntry",
    "metadata": {"name": "rolebindings"},
    "spec": {"kubernetesResource": {"group": "rbac.authorization.k8s.io", "version": "v1", "resource": "rolebindings"}},
}


def cases(count: int) -> dict[str, dict[str, Any]]:
    """Name -> the context entry `admins`; the first needs nothing from outside and compares with as many names."""
    names = [name for number in range(0, count, RARE) for name in (f"deployer-{number % 7}", f"user-{number}@example.com")]
    return {
        "the list in the policy": {"variable": {"value": names}},
        "GlobalContextEntry": {"globalReference": {"name": "rolebindings", "jmesPath": ADMINS}},
        "apiCall": {"apiCall": {"urlPath": ALL, "jmesPath": f"items{ADMINS}"}},
    }


def policy(context: dict[str, Any], space: str) -> dict[str, Any]:
    """Refuses Pods of a namespace to all but some users."""
    condition = {"key": "{{ request.userInfo.username }}", "operator": "AnyNotIn", "value": "{{ admins }}"}
    rule = {
        "name": "cluster-admins-only",
        "match": {"any": [{"resources": {"kinds": ["Pod"], "namespaces": [space]}}]},
        "context": [{"name": "admins", **context}],
        "validate": {"failureAction": "Enforce", "message": "only admins", "deny": {"conditions": {"all": [condition]}}},
    }
    annotations = {"pod-policies.kyverno.io/autogen-controllers": "none"}
    return {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": space, "annotations": annotations},
        "spec": {"background": False, "rules": [rule]},
    }


@dataclass(frozen=True, slots=True)
class Memory:
    """An operator with one policy: MB without load, after it, at most; how often RoleBindings were read meanwhile."""

    what: str
    idle: float
    loaded: float
    peak: float
    reads: int

    @property
    def line(self) -> str:
        return f"| {self.what} | {self.idle:.0f} | {self.loaded:.0f} | {self.peak:.0f} | {self.reads} |"


class Timing(NamedTuple):
    """One k6 run, ms."""

    avg: float
    p95: float
    cpu: float
    wrong: int


class Context:
    """The big cluster and one operator after the other."""

    def __init__(self, bench: Bench, size: float) -> None:
        self.bench = bench
        self.counts = {kind: max(1, int(count * size)) for kind, count in SIZES.items()}
        self.operators = Operators(bench.plane.kubectl, bench.plane.processes, directory=bench.directory)

    @contextmanager
    def operator(self, chosen: dict[str, dict[str, Any]]) -> Iterator[int]:
        """An operator with a policy for each chosen case, in the namespace of the case; gives its pid."""
        kubectl = self.bench.plane.kubectl
        running = self.operators.start("admission", to=say)
        pid = self.bench.plane.processes.pid(running.name)
        assert pid is not None
        if any("globalReference" in context for context in chosen.values()):
            kubectl("apply", "-f", "-", stdin=json.dumps(ENTRY))
        for what, context in chosen.items():
            kubectl("apply", "-f", "-", stdin=json.dumps(policy(context, home(what))))
            until(lambda what=what: self.denies(what), what=f"the policy with {what} denies the Pod", timeout=60)
        time.sleep(SETTLE)
        try:
            yield pid
        finally:
            kubectl("delete", "clusterpolicy", "--all")
            kubectl("delete", "globalcontextentry", "--all")
            self.operators.stop(running.name)

    def denies(self, what: str) -> bool:
        arguments = ["create", "-n", home(what), "--dry-run=server", "-f", str(self.bench.pod)]
        command = [str(self.bench.plane.tools["kubectl"]), f"--kubeconfig={self.bench.plane.kubeconfig}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode != 0 and "denied the request" in done.stderr

    def load(self, what: str, load: str, pid: int) -> Timing:
        token = json.loads(self.bench.plane.kubeconfig.read_text())["users"][0]["user"]["token"]
        environment = {"URL": self.bench.plane.url, "TOKEN": token, "BODY": str(self.bench.pod), "NAMESPACE": home(what)}
        before = usage(pid).cpu
        metrics = k6(self.bench.k6, "pod.js", load, **environment, EXPECT="400")
        times = metrics["http_req_duration"]
        cpu = (usage(pid).cpu - before) * 1000 / metrics["http_reqs"]["count"]
        return Timing(times["avg"], times["p(95)"], cpu, int(metrics["checks"]["fails"]))

    def memory(self, what: str, context: dict[str, Any], load: str, churn: int) -> Memory:
        """A fresh operator with one policy, under load and changes."""
        with self.operator({what: context}) as pid:
            idle, before = usage(pid).rss, self.reads()
            with self.changing(churn):
                self.load(what, load, pid)
            after = usage(pid)
            row = Memory(what, idle, after.rss, after.peak, self.reads() - before)
        say(row.line)
        return row

    def times(self, chosen: dict[str, dict[str, Any]], load: str, rounds: int, churn: int) -> dict[str, list[Timing]]:
        """The cases in turn, again and again; half of the rounds while RoleBindings change."""
        found: dict[str, list[Timing]] = {f"{what}{suffix}": [] for suffix in ("", CHANGING) for what in chosen}
        with self.operator(chosen) as pid:
            for what in chosen:
                self.load(what, load, pid)
            for suffix, rate in (("", 0), (CHANGING, churn)):
                for number in range(rounds):
                    with self.changing(rate):
                        for what in list(chosen) if number % 2 else reversed(chosen):
                            found[f"{what}{suffix}"].append(self.load(what, load, pid))
                            say(f"{what}{suffix}: {found[f'{what}{suffix}'][-1]}")
        return found

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
                path, _ = role_binding(number, self.counts["namespaces"])
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
    parser.add_argument("--load", default="25/500", help="clients/iterations of k6")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--size", type=float, default=1.0)
    parser.add_argument("--churn", type=int, default=20, help="RoleBindings changed every second")
    parser.add_argument("--parts", default="memory,times", help="what is measured")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "context.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        try:
            bench.start()
            context = Context(bench, options.size)
            began = time.monotonic()
            fill(bench.plane.kubeconfig, context.counts)
            say(f"{sum(context.counts.values())} objects in {time.monotonic() - began:.0f} s")
            chosen = cases(context.counts["rolebindings"])
            for what in chosen:
                bench.plane.kubectl("create", "namespace", home(what))
            alone = chosen if "memory" in options.parts else {}
            memory = [context.memory(what, source, options.load, options.churn) for what, source in alone.items()]
            times = context.times(chosen, options.load, options.rounds, options.churn) if "times" in options.parts else {}
        finally:
            bench.plane.processes.stop(bench.plane.processes.names(), patience=5)
            bench.plane.stop()
    report(memory, times, context.counts, options)


def report(memory: list[Memory], times: dict[str, list[Timing]], counts: dict[str, int], options: argparse.Namespace) -> None:
    """Writes the tables. What a case adds is the median over the rounds of its distance from the case without lookups."""

    def row(what: str) -> str:
        rounds = times[what]
        suffix = CHANGING if what.endswith(CHANGING) else ""
        plain = times[f"{next(iter(cases(1)))}{suffix}"]
        avg, p95, cpu = (median(getattr(one, field) for one in rounds) for field in ("avg", "p95", "cpu"))
        least = min(one.p95 for one in rounds)
        added = [
            median(getattr(one, f) - getattr(other, f) for one, other in zip(rounds, plain, strict=True)) for f in ("avg", "p95")
        ]
        wrong = sum(one.wrong for one in rounds)
        return f"| {what} | {avg:.1f} | {p95:.1f} | {least:.1f} | {added[0]:+.1f} | {added[1]:+.1f} | {cpu:.2f} | {wrong} |"

    lines = [
        "# A policy that needs all RoleBindings",
        "",
        f"{machine()}; Python {platform.python_version()}; {datetime.datetime.now(datetime.UTC):%Y-%m-%d}; "
        f"`python -m perf.context --load {options.load} --rounds {options.rounds}`. In the cluster: "
        f"{', '.join(f'{count:,} {kind}' for kind, count in counts.items())}. API server, etcd, k6 and the operator share the "
        f"cores (load average at the end: {os.getloadavg()[2]:.1f}); only rows of one run compare.",
        "",
        f"Times of one operator with all three policies, median of {options.rounds} rounds in which the cases take turns; "
        f"changing: {options.churn} RoleBindings every second.",
        "",
        "| data | avg ms | p95 ms | least p95 ms | adds to avg | adds to p95 | CPU ms/review | wrong answers |",
        f"|{'---|' * 8}",
        *[row(what) for what in times],
        "",
        "Memory of an operator with one policy; reads: GET and LIST requests for RoleBindings of all clients during the load.",
        "",
        "| data | idle MB | after load and changes MB | peak MB | reads |",
        f"|{'---|' * 5}",
        *[one.line for one in memory],
    ]
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text("\n".join(lines) + "\n")
    say("\n".join(lines))


if __name__ == "__main__":
    main()

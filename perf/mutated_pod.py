"""How fast is a mutated Pod, beside an empty webhook in the same run?

    python -m perf.mutated_pod [--loads 25/500,200/5000] [--output perf/results/mutated_pod.md]

As `perf.admission`, with three policies that mutate Pods in four ways; Pods are created with dryRun=All, so that nothing is
stored. The empty webhooks add one label, always the same.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

from deploy.local.console import say
from deploy.local.installation import until
from deploy.local.kubectl import KubectlFailed
from deploy.local.operators import Operators
from perf.admission import HEADER, HERE, Bench, empty
from perf.proc import machine

QUERY = "?dryRun=All"
CREATED = 201
POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "plain", "labels": {"app": "load"}},
    "spec": {
        "containers": [
            {"name": "main", "image": "registry.example/app:1", "env": [{"name": "A", "value": "1"}]},
            {"name": "side", "image": "registry.example/side:latest"},
        ]
    },
}
PODS = {"any": [{"resources": {"kinds": ["Pod"]}}]}
RULES: dict[str, dict[str, Any]] = {
    "labels": {"patchStrategicMerge": {"metadata": {"labels": {"+(team)": "load", "from": "{{request.namespace}}"}}}},
    "security": {
        "patchStrategicMerge": {
            "spec": {"containers": [{"(name)": "*", "securityContext": {"+(allowPrivilegeEscalation)": False}}]},
        }
    },
    "annotation": {"patchesJson6902": '[{"op": "add", "path": "/metadata/annotations", "value": {"checked": "yes"}}]'},
    "pull": {
        "foreach": [
            {
                "list": "request.object.spec.containers",
                "patchStrategicMerge": {"spec": {"containers": [{"name": "{{element.name}}", "imagePullPolicy": "Always"}]}},
            }
        ]
    },
}


def policy(name: str, *rules: str) -> dict[str, Any]:
    return {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": name, "annotations": {"pod-policies.kyverno.io/autogen-controllers": "none"}},
        "spec": {"background": False, "rules": [{"name": rule, "match": PODS, "mutate": RULES[rule]} for rule in rules]},
    }


def mutates(bench: Bench) -> bool:
    """Does the Pod get its label by now?"""
    try:
        made = bench.plane.kubectl.json("create", "-n", "load", "--dry-run=server", "-f", str(bench.pod))
    except KubectlFailed:
        return False
    return bool(made["metadata"]["labels"].get("team") == "load")


def measure(bench: Bench, loads: list[str]) -> None:
    """Ours, then the empty webhooks."""
    bench.start()
    bench.plane.api.ask("/api/v1/namespaces/load/serviceaccounts", method="POST", body={"metadata": {"name": "load"}})
    operators = Operators(bench.plane.kubectl, bench.plane.processes, directory=bench.directory)
    running = operators.start("admission", to=say)
    pid = bench.plane.processes.pid(running.name)
    assert pid is not None
    for made in (policy("labels", "labels"), policy("security", "security"), policy("rest", "annotation", "pull")):
        bench.plane.kubectl("create", "-f", "-", stdin=json.dumps(made))
    until(lambda: mutates(bench), what="the policies change the Pod", timeout=30)
    time.sleep(2)
    for load in loads:
        bench.through_api_server("pyvern", load, pid, CREATED)
    operators.stop(running.name)
    bench.plane.kubectl("delete", "mutatingwebhookconfigurations,validatingwebhookconfigurations", "--all")
    for kind in ("aiohttp", "granian"):
        with empty(bench, kind, "Mutating", mutates) as (pid, _):
            for load in loads:
                bench.through_api_server(f"empty {kind}", load, pid, CREATED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loads", default="25/500,200/5000")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "mutated_pod.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), body=POD, query=QUERY)
        try:
            measure(bench, options.loads.split(","))
        finally:
            bench.plane.processes.stop(bench.plane.processes.names(), patience=5)
            bench.plane.stop()
    compared = options.loads.split(",")[-1]
    averages = {row.what: row.avg for row in bench.rows if row.load == compared}
    lines = [
        "# A mutated Pod, three policies with four rules",
        "",
        f"{machine()}; Python {platform.python_version()}; {datetime.datetime.now(datetime.UTC):%Y-%m-%d}; "
        f"`python -m perf.mutated_pod --loads {options.loads}`.",
        "API server, etcd, k6 and the server share the cores; only rows of one run compare. Pods are created with dryRun=All.",
        f"Load average at the end: {os.getloadavg()[0]:.1f}.",
        "",
        HEADER,
        *(row.line for row in bench.rows),
        "",
        *(
            f"Average at {compared}: {averages['pyvern'] / average:.2f} times an {what} webhook."
            for what, average in averages.items()
            if what != "pyvern"
        ),
    ]
    options.output.write_text("\n".join(lines) + "\n")
    say("\n".join(lines))


if __name__ == "__main__":
    main()

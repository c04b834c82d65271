"""What tests of the reports operator share: a namespace, policies about its ConfigMaps, and what the reports say."""

from __future__ import annotations

import time
import urllib.request
from typing import Any

from deploy.local.api import Api
from deploy.local.operators import Running

Document = dict[str, Any]
NAMESPACE = "reported"
CPOL = "/apis/kyverno.io/v1/clusterpolicies"
POLR = f"/apis/wgpolicyk8s.io/v1alpha2/namespaces/{NAMESPACE}/policyreports"
EPHR = f"/apis/reports.kyverno.io/v1/namespaces/{NAMESPACE}/ephemeralreports"
MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"
EXCEPTIONS = f"/apis/kyverno.io/v2/namespaces/{NAMESPACE}/policyexceptions"
PATHS = (CPOL, EXCEPTIONS, MAPS, SECRETS, EPHR)
"""What tests make objects of."""
FIRST = 20.0
"""Seconds for which tests wait for a report; on an idle machine a change shows within five."""


def policy(name: str, label: str = "team", *, kind: str = "ConfigMap", **spec: Any) -> Document:
    """One rule: a label must be there."""
    resources = {"kinds": [kind], **spec.pop("resources", {"namespaces": [NAMESPACE]})}
    rule = {
        "name": label,
        "match": {"any": [{"resources": resources}]},
        "validate": {
            "failureAction": "Audit",
            "message": f"{label} is needed",
            "pattern": {"metadata": {"labels": {label: "?*"}}},
        },
    }
    return {"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": name}, "spec": {"rules": [rule], **spec}}


def config_map(name: str, **labels: str) -> Document:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}}


def reports(api: Api) -> dict[str, dict[str, str]]:
    """Object -> policy -> result, of all objects that tests made."""
    found = {}
    for report in api.ask(POLR)["items"]:
        name = report["scope"]["name"]
        if name != "kube-root-ca.crt":
            found[name] = {row["policy"]: row["result"] for row in report["results"]}
    return found


def wait_for(api: Api, wanted: dict[str, dict[str, str]], *, timeout: float = FIRST) -> None:
    """Until the reports say exactly this."""
    deadline = time.monotonic() + timeout
    while (found := reports(api)) != wanted:
        assert time.monotonic() < deadline, f"{found} instead of {wanted}"
        time.sleep(0.05)


def metrics(running: Running) -> str:
    """What Prometheus would read."""
    with urllib.request.urlopen(f"http://127.0.0.1:{running.metrics_port}/metrics", timeout=5) as answer:
        return str(answer.read().decode())


def figure(running: Running, name: str) -> float:
    """The value of one metric with its labels, 0 when it is not there."""
    return next((float(line.split()[-1]) for line in metrics(running).splitlines() if line.startswith(name)), 0.0)

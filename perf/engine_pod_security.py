"""What do the 17 Pod Security policies cost in the engine, for a good and a bad Pod, without a server?

python -m perf.engine_pod_security
"""

from __future__ import annotations

import timeit
from pathlib import Path
from typing import Any

import orjson
import yaml

from engine import PolicySet, Request, compile_policy, kind_of, validate

POLICIES = Path(__file__).resolve().parent.parent / "deploy" / "policies" / "pod-security" / "base"
GOOD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "good", "namespace": "load", "labels": {"app": "load"}},
    "spec": {
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": name,
                "image": "registry.example/app:1",
                "ports": [{"containerPort": 8080}],
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }
            for name in ("main", "sidecar")
        ],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    },
}
BAD: dict[str, Any] = {
    **GOOD,
    "metadata": {"name": "bad", "namespace": "load", "labels": {"app": "load"}},
    "spec": {
        "hostNetwork": True,
        "containers": [{"name": "main", "image": "registry.example/app:1", "securityContext": {"privileged": True}}],
        "volumes": [{"name": "host", "hostPath": {"path": "/"}}],
    },
}
RUNS = 100


def policies() -> PolicySet:
    """The 17 policies, enforcing."""
    files = (file for file in sorted(POLICIES.rglob("*.yaml")) if file.name != "kustomization.yaml")
    documents = [yaml.safe_load(file.read_text()) for file in files]
    for document in documents:
        for rule in document["spec"]["rules"]:
            rule["validate"]["failureAction"] = "Enforce"
    return PolicySet(compile_policy(document) for document in documents)


def request(pod: dict[str, Any]) -> Request:
    document = {"operation": "CREATE", "object": pod, "namespace": "load", "name": pod["metadata"]["name"], "userInfo": {}}
    return Request(
        operation="CREATE", kind=kind_of(pod), object=pod, namespace="load", name=pod["metadata"]["name"], document=document
    )


def main() -> None:
    compiled = policies()
    print(f"{len(list(compiled))} policies")
    for name, pod in (("good Pod", GOOD), ("bad Pod", BAD)):
        asked = request(orjson.loads(orjson.dumps(pod)))
        verdict = validate(compiled, asked)
        best = min(timeit.repeat(lambda asked=asked: validate(compiled, asked), number=RUNS, repeat=40)) / RUNS  # type: ignore[misc]
        print(f"{name}: allowed={verdict.allowed}, {len(verdict.results)} results, {best * 1e6:.0f} us")


if __name__ == "__main__":
    main()

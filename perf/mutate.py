"""What does a mutating review cost in the engine, by kind of patch, and for ten policies that follow each other?

python -m perf.mutate
"""

from __future__ import annotations

import timeit
from collections.abc import Mapping
from typing import Any

import orjson

from engine import Object, Policy, PolicySet, Request, compile_policy, kind_of, mutate

POD: Object = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "load", "namespace": "load", "labels": {"app": "load"}},
    "spec": {
        "containers": [
            {
                "name": name,
                "image": f"registry.example/{name}:latest",
                "env": [{"name": f"E{number}", "value": "x"} for number in range(8)],
                "ports": [{"containerPort": 8080, "protocol": "TCP"}],
            }
            for name in ("main", "sidecar")
        ],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
        "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}],
    },
}
PATCHES: Mapping[str, Object] = {
    "labels": {"patchStrategicMerge": {"metadata": {"labels": {"team": "a"}}}},
    "add-if-absent": {"patchStrategicMerge": {"spec": {"+(securityContext)": {"+(runAsNonRoot)": True}}}},
    "condition": {"patchStrategicMerge": {"spec": {"containers": [{"(image)": "*:latest", "imagePullPolicy": "Always"}]}}},
    "unmet-condition": {"patchStrategicMerge": {"spec": {"<(hostNetwork)": True, "dnsPolicy": "ClusterFirstWithHostNet"}}},
    "merge-by-key": {"patchStrategicMerge": {"spec": {"containers": [{"(name)": "*", "env": [{"name": "E", "value": "1"}]}]}}},
    "variables": {
        "patchStrategicMerge": {"metadata": {"annotations": {"a": "{{ request.object.metadata.name }}-{{ request.operation }}"}}}
    },
    "json-patch": {"patchesJson6902": "- {op: add, path: /spec/tolerations/-, value: {key: a, operator: Exists}}"},
    "json-patch-variables": {
        "patchesJson6902": "- op: add\n  path: /metadata/labels/b\n  value: '{{ request.object.metadata.name }}'"
    },
    "foreach": {
        "foreach": [
            {
                "list": "request.object.spec.containers",
                "patchStrategicMerge": {
                    "spec": {"containers": [{"name": "{{ element.name }}", "image": "mirror/{{ element.image }}"}]}
                },
            }
        ]
    },
    "foreach-json-patch": {
        "foreach": [
            {
                "list": "request.object.spec.containers",
                "patchesJson6902": "- op: add\n  path: /spec/containers/{{ elementIndex }}/tty\n  value: true",
            }
        ]
    },
}
RUNS = 200


def policy(name: str, body: Object) -> Policy:
    return compile_policy(
        {
            "apiVersion": "kyverno.io/v1",
            "kind": "ClusterPolicy",
            "metadata": {"name": name},
            "spec": {"rules": [{"name": name, "match": {"any": [{"resources": {"kinds": ["Pod"]}}]}, "mutate": body}]},
        }
    )


def request() -> Request:
    pod: Any = orjson.loads(orjson.dumps(POD))
    document = {"operation": "CREATE", "object": pod, "namespace": "load", "name": "load", "userInfo": {}}
    return Request(operation="CREATE", kind=kind_of(pod), object=pod, namespace="load", name="load", document=document)


def main() -> None:
    asked = request()
    every = {name: PolicySet([policy(name, body)]) for name, body in PATCHES.items()}
    every[f"all {len(PATCHES)}"] = PolicySet(policy(name, body) for name, body in PATCHES.items())
    for name, policies in every.items():
        verdict = mutate(policies, asked)
        best = min(timeit.repeat(lambda policies=policies: mutate(policies, asked), number=RUNS, repeat=20)) / RUNS  # type: ignore[misc]
        statuses = ",".join(sorted({str(result.status) for result in verdict.results}))
        print(f"{name:<22} {statuses:<10} {len(verdict.patch):>2} operations {best * 1e6:>7.1f} us")


if __name__ == "__main__":
    main()

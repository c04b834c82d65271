"""How long does one pattern check take? Prints microseconds per check of a compiled pattern on a typical Pod.

python -m perf.pattern
"""

from __future__ import annotations

from timeit import Timer
from typing import Any

from engine.lang.pattern import compile_pattern

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "app",
        "namespace": "default",
        "labels": {"app": "web", "app.kubernetes.io/name": "web", "team": "core"},
    },
    "spec": {
        "containers": [
            {
                "name": name,
                "image": f"registry.example.com/{name}:1.25",
                "resources": {"limits": {"memory": "128Mi", "cpu": "500m"}},
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsUser": 1000},
                "ports": [{"containerPort": 8080}],
            }
            for name in ("web", "sidecar")
        ],
        "volumes": [{"name": "data", "emptyDir": {}}, {"name": "config", "configMap": {"name": "c"}}],
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    },
}

PATTERNS: dict[str, Any] = {
    "host namespaces": {"spec": {"=(hostPID)": "false", "=(hostIPC)": "false", "=(hostNetwork)": "false"}},
    "privileged": {
        "spec": {
            "=(ephemeralContainers)": [{"=(securityContext)": {"=(privileged)": "false"}}],
            "=(initContainers)": [{"=(securityContext)": {"=(privileged)": "false"}}],
            "containers": [{"=(securityContext)": {"=(privileged)": "false"}}],
        }
    },
    "host ports": {"spec": {"containers": [{"=(ports)": [{"=(hostPort)": 0}]}]}},
    "host paths": {"spec": {"=(volumes)": [{"X(hostPath)": "null"}]}},
    "seccomp": {
        "spec": {
            "=(securityContext)": {"=(seccompProfile)": {"=(type)": "RuntimeDefault | Localhost"}},
            "containers": [{"=(securityContext)": {"=(seccompProfile)": {"=(type)": "RuntimeDefault | Localhost"}}}],
        }
    },
    "escalation": {"spec": {"containers": [{"securityContext": {"allowPrivilegeEscalation": "false"}}]}},
    "run as user": {"spec": {"containers": [{"=(securityContext)": {"=(runAsUser)": ">0"}}]}},
    "limits": {"spec": {"containers": [{"resources": {"limits": {"memory": "<=1Gi", "cpu": "100m-2"}}}]}},
    "images": {"spec": {"containers": [{"image": "registry.example.com/* & !*:latest"}]}},
    "latest needs pull": {"spec": {"containers": [{"(image)": "*:latest", "imagePullPolicy": "Always"}]}},
    "label": {"metadata": {"labels": {"team": "?*"}}},
    "wildcard label": {"metadata": {"labels": {"app.kubernetes.io/*": "?*"}}},
    "fails at once": {"spec": {"hostNetwork": "true"}},
}


def microseconds(pattern: Any, document: Any) -> float:
    """The best of five runs, so that other work on the machine counts least."""
    check = compile_pattern(pattern)
    timer = Timer(lambda: check(document))
    rounds = 2000
    return min(timer.repeat(5, rounds)) / rounds * 1e6


def main() -> None:
    for name, pattern in PATTERNS.items():
        verdict = compile_pattern(pattern)(POD)
        outcome = "passes" if verdict is None else "skips" if verdict.skips else "fails"
        print(f"{microseconds(pattern, POD):7.2f} us  {name} ({outcome})")


if __name__ == "__main__":
    main()

"""The Secrets with which Pods pull their images (spec 2.9)."""

from __future__ import annotations

from typing import Any

from engine.request import Request


def pull_secrets(request: Request) -> list[str]:
    """The Secrets with which the object's own Pods would pull images, as `namespace/name` (spec 2.9)."""
    pod: Any = request.object or request.old_object
    for step in _POD_SPECS.get(request.kind.kind, ("spec", "template", "spec")):
        pod = pod.get(step) if isinstance(pod, dict) else None
    secrets = pod.get("imagePullSecrets") if isinstance(pod, dict) else None
    names = [secret.get("name") for secret in secrets if isinstance(secret, dict)] if isinstance(secrets, list) else []
    return [f"{request.namespace}/{name}" for name in names if name and isinstance(name, str)]


_POD_SPECS = {"Pod": ("spec",), "CronJob": ("spec", "jobTemplate", "spec", "template", "spec")}

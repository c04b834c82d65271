"""How tests talk to an admission operator: through the API server, and straight.

Policies here use only labels and patterns; what rules mean is tested elsewhere.
"""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from deploy.local.api import Api, Refused
from deploy.local.operators import Running

Document = dict[str, Any]
CPOL = "/apis/kyverno.io/v1/clusterpolicies"
PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"
HOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
RESOURCE_HOOKS = f"{HOOKS}/kyverno-resource-validating-webhook-cfg"
TEAM = "label 'team' is required"


def policy(
    name: str, *, kind: str = "Pod", action: str = "Enforce", rules: list[Document] | None = None, **spec: Any
) -> Document:
    rule = {
        "name": "check-team",
        "match": {"any": [{"resources": {"kinds": [kind]}}]},
        "validate": {"failureAction": action, "message": TEAM, "pattern": {"metadata": {"labels": {"team": "?*"}}}},
    }
    return {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": name, "annotations": {"pod-policies.kyverno.io/autogen-controllers": "none"}},
        "spec": {"background": False, "rules": rules or [rule], **spec},
    }


def config_map(name: str, **data: str) -> Document:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def pod(name: str, **labels: str) -> Document:
    containers = [{"name": "c", "image": "nginx"}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": {"containers": containers}}


def until(what: Callable[[], Any], *, timeout: float = 10.0) -> Any:
    """The first true answer of `what`."""
    deadline = time.monotonic() + timeout
    while True:
        answer = what()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {timeout} s"
        time.sleep(0.05)


def ready(document: Document) -> Document | None:
    conditions = (document.get("status") or {}).get("conditions") or []
    return document if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions) else None


def denied(api: Api, path: str, document: Document) -> str:
    with pytest.raises(Refused) as refused:
        api.ask(path, method="POST", body=document)
    return str(refused.value)


def insecure() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def post(running: Running, path: str, body: bytes, *, timeout: float = 10) -> tuple[int, bytes]:
    request = urllib.request.Request(f"https://127.0.0.1:{running.port}{path}", data=body, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=timeout, context=insecure()) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def probe(running: Running, path: str = "/health/readiness") -> int:
    try:
        with urllib.request.urlopen(f"https://127.0.0.1:{running.port}{path}", timeout=5, context=insecure()) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (urllib.error.URLError, OSError):
        return 0


def review(name: str = "raw", *, labels: Document | None = None, padding: int = 0) -> bytes:
    document = {**pod(name, **(labels or {}))}
    document["metadata"]["annotations"] = {"padding": "x" * padding}
    request = {
        "uid": "7",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "operation": "CREATE",
        "namespace": "default",
        "name": name,
        "userInfo": {"username": "ann"},
        "object": document,
    }
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()

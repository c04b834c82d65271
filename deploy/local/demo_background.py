"""The part of `make demo` that shows the background controller: what it generates, keeps as it should be, and changes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from deploy.local.console import Say, step
from deploy.local.installation import ROOT, until
from deploy.local.kubectl import Kubectl, KubectlFailed

SAMPLES = Path("deploy/local/samples/background")
NAMESPACE = "team-blue"
TIMEOUT = 20.0
Show = Callable[..., None]


def show_background(kubectl: Kubectl, show: Show, *, to: Say) -> None:
    """Generates for a new Namespace, puts an edited object back, labels what exists. Errors: Blocked when it fails."""
    kubectl("apply", "-f", str(ROOT / SAMPLES / "role.yaml"))
    time.sleep(1.0)  # until the control plane has added the role to the controller's rights
    with step("policies that generate", to=to):
        kubectl("apply", "-f", str(ROOT / SAMPLES / "new-namespaces.yaml"))
        kubectl("wait", "--for=condition=Ready", "cpol/new-namespaces", f"--timeout={TIMEOUT:.0f}s")
        time.sleep(0.5)  # the API server takes webhooks from its own watch
    to("\nA new Namespace gets a NetworkPolicy, a copy of a Secret and a RoleBinding named after the user:\n")
    show(kubectl, "create", "namespace", NAMESPACE, to=to)
    until(lambda: _there(kubectl, "rolebinding/kubernetes-admin-reads", "secret/registry"), what="generated", timeout=TIMEOUT)
    show(kubectl, "get", "networkpolicies,secrets,rolebindings", "-n", NAMESPACE, to=to)
    to("Somebody edits the NetworkPolicy; a second later it is as the policy wants it:\n")
    patch = '{"spec": {"policyTypes": ["Ingress"]}}'
    show(kubectl, "patch", "networkpolicy", "default-deny", "-n", NAMESPACE, "--type=merge", f"--patch={patch}", to=to)
    until(lambda: _types(kubectl) == ["Ingress", "Egress"], what="put back", timeout=TIMEOUT)
    show(kubectl, "get", "networkpolicy", "default-deny", "-n", NAMESPACE, "-o", "jsonpath={.spec.policyTypes}", to=to)
    to("A new policy labels the ConfigMaps that exist:\n")
    show(kubectl, "apply", "-f", str(SAMPLES / "label-config-maps.yaml"), to=to)
    until(lambda: _labelled(kubectl), what="labelled", timeout=TIMEOUT)
    show(kubectl, "get", "configmaps", "-n", NAMESPACE, "--show-labels", to=to)


def _there(kubectl: Kubectl, *objects: str) -> bool:
    try:
        kubectl("get", "-n", NAMESPACE, *objects)
    except KubectlFailed:
        return False
    return True


def _types(kubectl: Kubectl) -> list[str]:
    types: list[str] = kubectl.json("get", "networkpolicy", "default-deny", "-n", NAMESPACE)["spec"]["policyTypes"]
    return types


def _labelled(kubectl: Kubectl) -> bool:
    items = kubectl.json("get", "configmaps", "-n", NAMESPACE)["items"]
    return bool(items) and all((item["metadata"].get("labels") or {}).get("team") == NAMESPACE for item in items)

"""The part of `make demo` that shows the background controller: what it generates, keeps as it should be, and changes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from deploy.local.console import Say, step
from deploy.local.installation import ROOT, until
from deploy.local.kubectl import Kubectl, KubectlFailed

SAMPLES = Path("deploy/local/samples/background")
TEAMS = ("team-blue", "team-green", "team-red", "team-grey")
"""Namespaces that the demo makes, one a run; a fifth run goes on with the number of the run."""
TIMEOUT = 20.0
Show = Callable[..., None]


def show_background(kubectl: Kubectl, show: Show, *, to: Say) -> None:
    """Generates for a new Namespace, puts an edited object back, labels what exists. Errors: Blocked when it fails."""
    kubectl("apply", "-f", str(ROOT / SAMPLES / "role.yaml"))
    kubectl("delete", "-f", str(ROOT / SAMPLES / "label-config-maps.yaml"), "--ignore-not-found")
    namespace = _new_team(kubectl)
    time.sleep(1.0)  # until the control plane has added the role to the controller's rights
    with step("policies that generate", to=to):
        kubectl("apply", "-f", str(ROOT / SAMPLES / "new-namespaces.yaml"))
        kubectl("wait", "--for=condition=Ready", "cpol/new-namespaces", f"--timeout={TIMEOUT:.0f}s")
        time.sleep(0.5)  # the API server takes webhooks from its own watch
    to("\nA new Namespace gets a NetworkPolicy, a copy of a Secret and a RoleBinding named after the user:\n")
    show(kubectl, "create", "namespace", namespace, to=to)
    until(
        lambda: _there(kubectl, namespace, "rolebinding/kubernetes-admin-reads", "secret/registry"),
        what="generated",
        timeout=TIMEOUT,
    )
    show(kubectl, "get", "networkpolicies,secrets,rolebindings", "-n", namespace, to=to)
    to("Somebody edits the NetworkPolicy; a second later it is as the policy wants it:\n")
    patch = '{"spec": {"policyTypes": ["Ingress"]}}'
    show(kubectl, "patch", "networkpolicy", "default-deny", "-n", namespace, "--type=merge", f"--patch={patch}", to=to)
    until(lambda: _types(kubectl, namespace) == ["Ingress", "Egress"], what="put back", timeout=TIMEOUT)
    show(kubectl, "get", "networkpolicy", "default-deny", "-n", namespace, "-o", "jsonpath={.spec.policyTypes}", to=to)
    to("A new policy labels the ConfigMaps that exist:\n")
    show(kubectl, "apply", "-f", str(SAMPLES / "label-config-maps.yaml"), to=to)
    until(lambda: _labelled(kubectl, namespace), what="labelled", timeout=TIMEOUT)
    show(kubectl, "get", "configmaps", "-n", namespace, "--show-labels", to=to)


def _new_team(kubectl: Kubectl) -> str:
    """A Namespace that is not there yet: the demo may run again on the same cluster."""
    taken = {item["metadata"]["name"] for item in kubectl.json("get", "namespaces")["items"]}
    return next((name for name in TEAMS if name not in taken), f"team-{len(taken)}")


def _there(kubectl: Kubectl, namespace: str, *objects: str) -> bool:
    try:
        kubectl("get", "-n", namespace, *objects)
    except KubectlFailed:
        return False
    return True


def _types(kubectl: Kubectl, namespace: str) -> list[str]:
    types: list[str] = kubectl.json("get", "networkpolicy", "default-deny", "-n", namespace)["spec"]["policyTypes"]
    return types


def _labelled(kubectl: Kubectl, namespace: str) -> bool:
    items = kubectl.json("get", "configmaps", "-n", namespace)["items"]
    return bool(items) and all((item["metadata"].get("labels") or {}).get("team") == namespace for item in items)

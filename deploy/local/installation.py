"""Our manifests on a cluster: applied with kubectl, and waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from deploy.local.console import Blocked, Say, silent, step
from deploy.local.kubectl import Kubectl, KubectlFailed

ROOT = Path(__file__).resolve().parents[2]
OVERLAY = ROOT / "deploy" / "overlays" / "local"
NAMESPACE = "kyverno"
TIMEOUT = 60.0


def render(kubectl: Kubectl, overlay: Path) -> str:
    """The manifests of `overlay` as YAML; needs no cluster. Errors: Blocked."""
    try:
        return kubectl("kustomize", str(overlay))
    except KubectlFailed as failed:
        raise Blocked("the manifests cannot be rendered", f"see {overlay}", detail=failed.message) from failed


def install(kubectl: Kubectl, *, manifests: str = "", to: Say = silent) -> None:
    """Apply `manifests` (default: deploy/overlays/local) and wait until CRDs are served and aggregated ClusterRoles are filled.

    Errors: Blocked.
    """
    with step("manifests", to=to):
        try:
            kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=manifests or render(kubectl, OVERLAY))
            kubectl("wait", "--for=condition=Established", "crd", "--all", f"--timeout={TIMEOUT:.0f}s")
            until(lambda: not _empty_roles(kubectl), what="the aggregated ClusterRoles have rules", timeout=TIMEOUT)
        except KubectlFailed as failed:
            raise Blocked("the manifests cannot be applied", "kubectl says why", detail=failed.message) from failed


def until(done: Callable[[], bool], *, what: str, timeout: float) -> None:
    """Wait until `done()`. Errors: Blocked after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not done():
        if time.monotonic() > deadline:
            raise Blocked(f"after {timeout:.0f} s it is not so that {what}", "look into the log of kube-controller-manager")
        time.sleep(0.1)


def _empty_roles(kubectl: Kubectl) -> list[str]:
    roles = kubectl.json("get", "clusterroles", "-l", "app.kubernetes.io/part-of=kyverno")["items"]
    return [role["metadata"]["name"] for role in roles if "aggregationRule" in role and not role.get("rules")]

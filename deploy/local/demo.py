"""`make demo`: policies enforced by a real API server, shown with kubectl."""

from __future__ import annotations

import time
from pathlib import Path

from deploy.local.console import Blocked, Say, say, step
from deploy.local.demo_background import show_background
from deploy.local.installation import ROOT, until
from deploy.local.kubectl import Kubectl, KubectlFailed
from deploy.local.lifecycle import DIRECTORY, up

POLICIES = Path("deploy/policies/pod-security/enforce")
SAMPLES = Path("deploy/local/samples")
READY_TIMEOUT = 60.0
CLEANUP_TIMEOUT = 150.0
REPORT_TIMEOUT = 15.0


def demo(directory: Path = DIRECTORY, *, leashed: bool = False, wait: bool = False, to: Say = say) -> None:
    """Bring all up; show refused and admitted workloads, reports, generated objects. Errors: Blocked when it turns out otherwise.

    `wait`: stay until the cleanup operator has deleted its two Pods; a schedule has no less than a minute.
    """
    started = time.monotonic()
    plane = up(directory, leashed=leashed, to=to)
    kubectl = plane.kubectl
    kubectl("apply", "-f", str(ROOT / SAMPLES / "legacy-pod.yaml"))
    kubectl("apply", "-f", str(ROOT / SAMPLES / "cleanup-role.yaml"))
    with step("17 Pod Security policies", to=to):
        kubectl("apply", "-k", str(ROOT / POLICIES))
        kubectl("wait", "--for=condition=Ready", "cpol", "--all", f"--timeout={READY_TIMEOUT:.0f}s")
        until(lambda: _enforced(kubectl), what="the policies are enforced", timeout=READY_TIMEOUT)
    to("\nThe policies of the Pod Security Standards, enforced:\n")
    _show(kubectl, "get", "cpol", to=to)
    to("A privileged Pod is refused, with the reasons:\n")
    _show_refused(kubectl, "privileged-pod.yaml", to=to)
    to("A Pod that obeys is admitted:\n")
    _show(kubectl, "apply", "-f", str(SAMPLES / "compliant-pod.yaml"), to=to)
    to("A Deployment whose Pods would be privileged is refused too; nobody wrote a rule for Deployments:\n")
    _show_refused(kubectl, "privileged-deployment.yaml", to=to)
    to("What is stored has a report, also the Pod that is older than the policies:\n")
    until(lambda: _reported(kubectl, "legacy", "compliant"), what="both Pods have a report", timeout=REPORT_TIMEOUT)
    _show(kubectl, "get", "polr", "-A", "-o", "wide", to=to)
    show_background(kubectl, _show, to=to)
    to("A Pod is deleted on schedule, another one when its time to live is over (within a minute or two):\n")
    _show(kubectl, "apply", "-f", str(SAMPLES / "cleanup-policy.yaml"), "-f", str(SAMPLES / "short-lived-pods.yaml"), to=to)
    if wait:
        with step("both are gone", to=to):
            until(lambda: not {"finished", "passing"} & _pods(kubectl), what="both Pods are gone", timeout=CLEANUP_TIMEOUT)
        _show(kubectl, "get", "ccleanpol,pods", to=to)
    to(f"All of it took {time.monotonic() - started:.0f} s. Go on:")
    to(f"    export KUBECONFIG={plane.kubeconfig} PATH={plane.tools['kubectl'].parent}:$PATH")
    to("    kubectl get cpol                            # what is enforced")
    to("    kubectl get polr -n default -o yaml         # every result with its reason")
    if not wait:
        to("    kubectl get pods -w                         # finished and passing go (make demo ARGS=--wait stays for it)")
    to("    kubectl get events -A                       # PolicyViolation and others")
    to(f"    ls {SAMPLES}   # change one, apply it, see what happens")
    to(f"    tail -f {plane.processes.log('admission')}")
    to("Stop with `make down`.")


def _pods(kubectl: Kubectl) -> set[str]:
    return {item["metadata"]["name"] for item in kubectl.json("get", "pods", "-n", "default")["items"]}


def _enforced(kubectl: Kubectl) -> bool:
    return _refusal(kubectl, "privileged-pod.yaml", "--dry-run=server") is not None


def _reported(kubectl: Kubectl, *pods: str) -> bool:
    reports = kubectl.json("get", "polr", "-n", "default")["items"]
    return {report["scope"]["name"] for report in reports} >= set(pods)


def _refusal(kubectl: Kubectl, sample: str, *flags: str) -> str | None:
    """What kubectl says when the API server refuses the sample; None when it takes it."""
    try:
        kubectl("apply", "-f", str(ROOT / SAMPLES / sample), *flags)
    except KubectlFailed as failed:
        if "denied the request" in failed.message:
            return failed.message
        raise Blocked(f"{sample} was not judged", "see the log of admission", detail=failed.message) from failed
    return None


def _show_refused(kubectl: Kubectl, sample: str, *, to: Say) -> None:
    to(f"    $ kubectl apply -f {SAMPLES / sample}")
    answer = _refusal(kubectl, sample)
    if answer is None:
        raise Blocked(f"{sample} was admitted, but must not be", "see the log of admission")
    to(_indented(answer))


def _show(kubectl: Kubectl, *command: str, to: Say) -> None:
    to(f"    $ kubectl {' '.join(command)}")
    try:
        to(_indented(kubectl(*(str(ROOT / part) if part.startswith("deploy/") else part for part in command))))
    except KubectlFailed as failed:
        raise Blocked(f"kubectl {' '.join(command)} failed", "see the log of admission", detail=failed.message) from failed


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.strip().splitlines())

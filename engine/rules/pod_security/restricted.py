"""The checks that level restricted has beyond baseline; see baseline.py for their form and sources."""

from __future__ import annotations

from engine.rules.pod_security.baseline import Check, Violations, capability_names, seccomp
from engine.rules.pod_security.pod import Container, Pod, items, mapping
from engine.rules.pod_security.violations import Violation

VOLUMES = frozenset(
    {
        *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image"),
        *("persistentVolumeClaim", "projected", "secret"),
    }
)


def outside_windows(check: Check) -> Check:
    """`check`, passed by Pods that declare Windows as their system (from Kubernetes 1.25 on)."""

    def guarded(pod: Pod) -> Violations:
        return None if pod.windows else check(pod)

    return guarded


def privilege_escalation(pod: Pod) -> Violations:
    found = []
    for container in pod.containers:
        field = f"{container.path}.securityContext.allowPrivilegeEscalation"
        if container.security is None:
            found.append(Violation(field, None, container))
        else:
            value = container.security.get("allowPrivilegeEscalation")
            if value is not False:
                found.append(Violation(field, "nil" if value is None else True, container))
    return found or None


def capabilities(pod: Pod) -> Violations:
    """ALL must be dropped; only NET_BIND_SERVICE may be added. All containers' drops come first."""
    drops, adds = [], []
    for container in pod.containers:
        field = f"{container.path}.securityContext.capabilities"
        dropped = capability_names(container, "drop")
        if "ALL" not in dropped:
            drops.append(Violation(f"{field}.drop", dropped or None, container))
        added = capability_names(container, "add", without={"NET_BIND_SERVICE"})
        if added:
            adds.append(Violation(f"{field}.add", added, container))
    return drops + adds or None


def run_as_non_root(pod: Pod) -> Violations:
    found = []
    of_pod = pod.security.get("runAsNonRoot")
    if of_pod is False:
        found.append(Violation("spec.securityContext.runAsNonRoot", False))
    for container in pod.containers:
        value = _security(container, "runAsNonRoot")
        if value is False or (value is None and of_pod is not True):
            found.append(Violation(f"{container.path}.securityContext.runAsNonRoot", value, container))
    return found or None


def run_as_user(pod: Pod) -> Violations:
    found = []
    if _is_root(pod.security.get("runAsUser")):
        found.append(Violation("spec.securityContext.runAsUser", 0))
    for container in pod.containers:
        if _is_root(_security(container, "runAsUser")):
            found.append(Violation(f"{container.path}.securityContext.runAsUser", 0, container))
    return found or None


def _is_root(value: object) -> bool:
    return value == 0 and value is not False


def seccomp_set(pod: Pod) -> Violations:
    """A profile must be set by the Pod or by each container; wrong profiles hide missing ones."""
    wrong = seccomp(pod)
    if wrong or pod.security.get("seccompProfile") is not None:
        return wrong
    missing = [container for container in pod.containers if _security(container, "seccompProfile") is None]
    return [Violation(f"{one.path}.securityContext.seccompProfile.type", None, one) for one in missing] or None


def _security(container: Container, name: str) -> bool | None:
    return None if container.security is None else container.security.get(name)


def volumes(pod: Pod) -> Violations:
    found = []
    for index, item in enumerate(items(pod.spec.get("volumes"), "spec.volumes")):
        path = f"spec.volumes[{index}]"
        sources = [name for name, value in mapping(item, path).items() if name != "name" and value is not None]
        if not any(name in VOLUMES for name in sources):
            found.append(Violation(f"{path}.{sources[0] if sources else 'unknown'}", ""))
    return found or None

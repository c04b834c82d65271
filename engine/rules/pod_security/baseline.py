"""The checks of level baseline: each lists the violations of a Pod, or is None for a Pod that passes.

Meaning: the Pod Security Standards of the Kubernetes documentation. The fields that are named, their order and the texts of their
values: conformance/oracle podsecurity.json.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from engine.rules.pod_security.pod import Container, Json, Pod, items, mapping
from engine.rules.pod_security.violations import Violation

Violations = list[Violation] | None
Check = Callable[[Pod], Violations]

APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"
APPARMOR_TYPES = frozenset({"RuntimeDefault", "Localhost"})
CAPABILITIES = frozenset(
    {
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"),
        *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    }
)
SECCOMP_TYPES = frozenset({"RuntimeDefault", "Localhost"})
SELINUX_TYPES = frozenset({"", "container_t", "container_init_t", "container_kvm_t"})
SELINUX_TYPES_31 = SELINUX_TYPES | {"container_engine_t"}
SYSCTLS = frozenset(
    {
        *("kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start"),
        *("net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range"),
    }
)
SYSCTLS_27 = SYSCTLS | {"net.ipv4.ip_local_reserved_ports"}
SYSCTLS_29 = SYSCTLS_27 | {
    f"net.ipv4.tcp_{name}" for name in ("keepalive_time", "fin_timeout", "keepalive_intvl", "keepalive_probes")
}
SYSCTLS_32 = SYSCTLS_29 | {"net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"}


def contexts(pod: Pod) -> Iterator[tuple[str, Json, Container | None]]:
    """Every securityContext there is: the Pod's, then the containers'. Its path, its fields, whose it is."""
    yield "spec.securityContext", pod.security, None
    for container in pod.containers:
        if container.security is not None:
            yield f"{container.path}.securityContext", container.security, container


def host_namespaces(pod: Pod) -> Violations:
    return [Violation(f"spec.{name}", True) for name in ("hostNetwork", "hostPID", "hostIPC") if pod.spec.get(name)] or None


def host_path_volumes(pod: Pod) -> Violations:
    found = []
    for index, item in enumerate(items(pod.spec.get("volumes"), "spec.volumes")):
        path = f"spec.volumes[{index}]"
        source = mapping(item, path).get("hostPath")
        if source is not None:
            found.append(Violation(f"{path}.hostPath", str(mapping(source, f"{path}.hostPath").get("path") or "")))
    return found or None


def host_ports(pod: Pod) -> Violations:
    found = []
    for container in pod.containers:
        for index, item in enumerate(items(container.fields.get("ports"), f"{container.path}.ports")):
            path = f"{container.path}.ports[{index}]"
            port = mapping(item, path).get("hostPort")
            if port:
                found.append(Violation(f"{path}.hostPort", str(port), container))
    return found or None


def host_probes(pod: Pod) -> Violations:
    """Probes and lifecycle handlers that name a host. The message lists no fields."""
    for container in pod.containers:
        lifecycle = mapping(container.fields.get("lifecycle"), f"{container.path}.lifecycle")
        handlers = [container.fields.get(name) for name in ("livenessProbe", "readinessProbe", "startupProbe")]
        handlers += [lifecycle.get(name) for name in ("postStart", "preStop")]
        if any(_names_host(handler, container.path) for handler in handlers if handler is not None):
            return []
    return None


def _names_host(handler: Any, path: str) -> bool:
    fields = mapping(handler, path)
    return any(mapping(fields.get(name), path).get("host") for name in ("httpGet", "tcpSocket"))


def host_process(pod: Pod) -> Violations:
    found = []
    for path, security, container in contexts(pod):
        if mapping(security.get("windowsOptions"), path).get("hostProcess"):
            found.append(Violation(f"{path}.windowsOptions.hostProcess", True, container))
    return found or None


def privileged(pod: Pod) -> Violations:
    found = []
    for container in pod.containers:
        if container.security is not None and container.security.get("privileged"):
            found.append(Violation(f"{container.path}.securityContext.privileged", True, container))
    return found or None


def proc_mount(pod: Pod) -> Violations:
    found = []
    for container in pod.containers:
        value = container.security.get("procMount") if container.security is not None else None
        if value is not None and value != "Default":
            found.append(Violation(f"{container.path}.securityContext.procMount", str(value), container))
    return found or None


def capabilities(pod: Pod) -> Violations:
    found = []
    for container in pod.containers:
        added = capability_names(container, "add", without=CAPABILITIES)
        if added:
            found.append(Violation(f"{container.path}.securityContext.capabilities.add", added, container))
    return found or None


def capability_names(container: Container, name: str, *, without: Collection[str] = ()) -> tuple[str, ...]:
    """The capabilities a container adds or drops, sorted, each once."""
    if container.security is None:
        return ()
    path = f"{container.path}.securityContext.capabilities"
    listed = items(mapping(container.security.get("capabilities"), path).get(name), f"{path}.{name}")
    return tuple(sorted({str(item) for item in listed if item not in without}))


def apparmor(pod: Pod) -> Violations:
    found = []
    for path, security, container in contexts(pod):
        profile = security.get("appArmorProfile")
        if profile is not None:
            kind = mapping(profile, f"{path}.appArmorProfile").get("type") or ""
            if kind not in APPARMOR_TYPES:
                found.append(Violation(f"{path}.appArmorProfile.type", str(kind), container))
    for key in sorted(pod.annotations):
        value = str(pod.annotations[key] or "")
        if key.startswith(APPARMOR_ANNOTATION) and value not in {"", "runtime/default"} and not value.startswith("localhost/"):
            found.append(Violation(f"metadata.annotations[{key}]", value))
    return found or None


def seccomp(pod: Pod) -> Violations:
    found = []
    for path, security, container in contexts(pod):
        profile = security.get("seccompProfile")
        if profile is not None:
            kind = mapping(profile, f"{path}.seccompProfile").get("type") or ""
            if kind not in SECCOMP_TYPES:
                found.append(Violation(f"{path}.seccompProfile.type", str(kind), container))
    return found or None


def selinux(types: Collection[str]) -> Check:
    """The check that allows these types."""

    def check(pod: Pod) -> Violations:
        found = []
        for path, security, container in contexts(pod):
            options = mapping(security.get("seLinuxOptions"), path)
            kind = options.get("type") or ""
            if kind not in types:
                found.append(Violation(f"{path}.seLinuxOptions.type", str(kind), container))
            for name in ("user", "role"):
                if options.get(name):
                    found.append(Violation(f"{path}.seLinuxOptions.{name}", str(options[name]), container))
        return found or None

    return check


def sysctls(allowed: Collection[str]) -> Check:
    """The check that allows these sysctls."""

    def check(pod: Pod) -> Violations:
        found = []
        for index, item in enumerate(items(pod.security.get("sysctls"), "spec.securityContext.sysctls")):
            path = f"spec.securityContext.sysctls[{index}]"
            name = mapping(item, path).get("name") or ""
            if name not in allowed:
                found.append(Violation(f"{path}.name", str(name)))
        return found or None

    return check

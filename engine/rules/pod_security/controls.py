"""Which checks there are: their levels, the versions in which they changed, and the controls that name them in policies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.rules.pod_security import baseline, restricted
from engine.rules.pod_security.baseline import Check
from engine.rules.pod_security.pod import Pod
from engine.rules.pod_security.violations import Finding, Violation

Level = Literal["privileged", "baseline", "restricted"]
Scope = Literal["pod", "container", "both"]

LEVELS: tuple[Level, ...] = ("privileged", "baseline", "restricted")
VERSIONS = (*(f"v1.{minor}" for minor in range(19, 33)), "latest")


@dataclass(frozen=True, slots=True)
class Control:
    """What `controlName` names. `scope` tells whether exclusions list images; `restricted`: level restricted only has it."""

    scope: Scope
    restricted: bool = False


CONTROLS: dict[str, Control] = {
    "HostProcess": Control("both"),
    "Host Namespaces": Control("pod"),
    "Privileged Containers": Control("container"),
    "Capabilities": Control("container"),
    "HostPath Volumes": Control("pod"),
    "Host Ports": Control("container"),
    "AppArmor": Control("both"),
    "SELinux": Control("both"),
    "/proc Mount Type": Control("container"),
    "Seccomp": Control("both"),
    "Sysctls": Control("pod"),
    "Volume Types": Control("pod", restricted=True),
    "Privilege Escalation": Control("container", restricted=True),
    "Running as Non-root": Control("both", restricted=True),
    "Running as Non-root user": Control("both", restricted=True),
}


@dataclass(frozen=True, slots=True)
class Standard:
    """One check of the standards.

    `versions` holds (minor version of Kubernetes, check) in ascending order. `names_images`: reports list the images of the
    containers at fault. `plural` replaces `reason` where several different values were found.
    """

    id: str
    control: str
    level: Level
    reason: str
    versions: tuple[tuple[int, Check], ...]
    names_images: bool = True
    plural: str = ""

    def check(self, version: str) -> Check:
        """The check as of `version`; before the first version there was, the first one (spec 9.8 and the oracle)."""
        if version in ("", "latest"):
            return self.versions[-1][1]
        minor = int(version.removeprefix("v1."))
        return next((check for since, check in reversed(self.versions) if since <= minor), self.versions[0][1])

    def finding(self, violations: list[Violation]) -> Finding:
        """What is reported of `violations`."""
        images: tuple[str, ...] = ()
        if self.names_images:
            images = tuple(violation.container.image for violation in violations if violation.container is not None)
        several = self.plural and len({violation.value for violation in violations}) > 1
        return Finding(self.id, self.control, self.plural if several else self.reason, violations, images)


STANDARDS: tuple[Standard, ...] = (
    Standard(
        "allowPrivilegeEscalation",
        "Privilege Escalation",
        "restricted",
        "allowPrivilegeEscalation != false",
        ((8, restricted.privilege_escalation), (25, restricted.outside_windows(restricted.privilege_escalation))),
    ),
    Standard(
        "appArmorProfile",
        "AppArmor",
        "baseline",
        "forbidden AppArmor profile",
        ((0, baseline.apparmor),),
        plural="forbidden AppArmor profiles",
    ),
    Standard("capabilities_baseline", "Capabilities", "baseline", "non-default capabilities", ((0, baseline.capabilities),)),
    Standard(
        "capabilities_restricted",
        "Capabilities",
        "restricted",
        "unrestricted capabilities",
        ((22, restricted.capabilities), (25, restricted.outside_windows(restricted.capabilities))),
    ),
    Standard("hostNamespaces", "Host Namespaces", "baseline", "host namespaces", ((0, baseline.host_namespaces),)),
    Standard("hostPathVolumes", "HostPath Volumes", "baseline", "hostPath volumes", ((0, baseline.host_path_volumes),)),
    Standard("hostPorts", "Host Ports", "baseline", "hostPort", ((0, baseline.host_ports),), names_images=False),
    Standard("hostProbesAndHostLifecycle", "", "baseline", "probe or lifecycle host", ((34, baseline.host_probes),)),
    Standard("privileged", "Privileged Containers", "baseline", "privileged", ((0, baseline.privileged),)),
    Standard("procMount", "/proc Mount Type", "baseline", "procMount", ((0, baseline.proc_mount),)),
    Standard("restrictedVolumes", "Volume Types", "restricted", "restricted volume types", ((0, restricted.volumes),)),
    Standard("runAsNonRoot", "Running as Non-root", "restricted", "runAsNonRoot != true", ((0, restricted.run_as_non_root),)),
    Standard("runAsUser", "Running as Non-root user", "restricted", "runAsUser=0", ((23, restricted.run_as_user),)),
    Standard(
        "seLinuxOptions",
        "SELinux",
        "baseline",
        "seLinuxOptions",
        ((0, baseline.selinux(baseline.SELINUX_TYPES)), (31, baseline.selinux(baseline.SELINUX_TYPES_31))),
        names_images=False,
    ),
    Standard("seccompProfile_baseline", "Seccomp", "baseline", "seccompProfile", ((19, baseline.seccomp),)),
    Standard(
        "seccompProfile_restricted",
        "Seccomp",
        "restricted",
        "seccompProfile",
        ((19, restricted.seccomp_set), (25, restricted.outside_windows(restricted.seccomp_set))),
    ),
    Standard(
        "sysctls",
        "Sysctls",
        "baseline",
        "forbidden sysctls",
        (
            (0, baseline.sysctls(baseline.SYSCTLS)),
            (27, baseline.sysctls(baseline.SYSCTLS_27)),
            (29, baseline.sysctls(baseline.SYSCTLS_29)),
            (32, baseline.sysctls(baseline.SYSCTLS_32)),
        ),
    ),
    Standard("windowsHostProcess", "HostProcess", "baseline", "hostProcess", ((0, baseline.host_process),)),
)
"""In the order of reports."""


@dataclass(frozen=True, slots=True)
class Checks:
    """The checks of one level and version."""

    selected: tuple[tuple[Standard, Check], ...]

    def findings(self, pod: Pod) -> list[Finding]:
        """What `pod` does not pass, in the order of `STANDARDS`."""
        found = []
        for standard, check in self.selected:
            violations = check(pod)
            if violations is not None:
                found.append(standard.finding(violations))
        return found

    def of_control(self, name: str) -> tuple[tuple[str, Check], ...]:
        """The checks that an exclusion of control `name` is about, each with its id."""
        return tuple((standard.id, check) for standard, check in self.selected if standard.control == name)


def checks_for(level: str, version: str) -> Checks:
    """The checks of a level (one of LEVELS) as of a version (one of VERSIONS, or "" for latest).

    Level privileged runs every check, as Kyverno does (oracle podsecurity.json); only baseline narrows them.
    """
    wanted = (standard for standard in STANDARDS if level != "baseline" or standard.level == "baseline")
    return Checks(tuple((standard, standard.check(version)) for standard in wanted))

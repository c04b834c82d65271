"""validate.podSecurity, and the exclusions that exceptions share with it (spec 2.5)."""

from crds.source.shapes import Schema, array, record, string, strings

CONTROLS = (
    "HostProcess",
    "Host Namespaces",
    "Privileged Containers",
    "Capabilities",
    "HostPath Volumes",
    "Host Ports",
    "AppArmor",
    "SELinux",
    "/proc Mount Type",
    "Seccomp",
    "Sysctls",
    "Volume Types",
    "Privilege Escalation",
    "Running as Non-root",
    "Running as Non-root user",
)
LEVELS = ("privileged", "baseline", "restricted")
VERSIONS = (*(f"v1.{minor}" for minor in range(19, 33)), "latest")


def controls(text: str) -> Schema:
    """Pod Security controls that are left out."""
    control = record(
        {
            "controlName": string("Control of the Pod Security Standards.", enum=CONTROLS),
            "images": strings("Images whose containers are left out; wildcards are allowed."),
            "restrictedField": string("Field of the Pod that is left out; all of the control's when unset."),
            "values": strings("Values of the field that are left out; wildcards are allowed."),
        },
        required=("controlName",),
    )
    return array(control, text)


def pod_security() -> Schema:
    """The check itself."""
    return record(
        {
            "level": string("Level of the Pod Security Standards.", enum=LEVELS),
            "version": string("Kubernetes version whose standards apply; latest when unset.", enum=VERSIONS),
            "exclude": controls("Controls that are left out."),
        },
        "Checks Pods against the Pod Security Standards.",
    )

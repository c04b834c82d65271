"""The 17 shipped policies implement the Pod Security Standards: the built-in check of validate.podSecurity is the judge."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.compiler import compile_policy
from engine.policy import Policy
from engine.rules.pod_security import compile_check
from engine.scope import Scope
from tests.policies import outcomes, request_for

Json = dict[str, Any]

FOLDER = Path(__file__).parents[2] / "deploy" / "policies" / "pod-security" / "base"
CHECKS = {
    "disallow-capabilities": {"capabilities_baseline"},
    "disallow-host-namespaces": {"hostNamespaces"},
    "disallow-host-path": {"hostPathVolumes"},
    "disallow-host-ports": {"hostPorts"},
    "disallow-host-process": {"windowsHostProcess"},
    "disallow-privileged-containers": {"privileged"},
    "disallow-proc-mount": {"procMount"},
    "disallow-selinux": {"seLinuxOptions"},
    "restrict-apparmor-profiles": {"appArmorProfile"},
    "restrict-seccomp": {"seccompProfile_baseline"},
    "restrict-sysctls": {"sysctls"},
    "disallow-capabilities-strict": {"capabilities_restricted"},
    "disallow-privilege-escalation": {"allowPrivilegeEscalation"},
    "require-run-as-non-root-user": {"runAsUser"},
    "require-run-as-nonroot": {"runAsNonRoot"},
    "restrict-seccomp-strict": {"seccompProfile_restricted"},
    "restrict-volume-types": {"restrictedVolumes"},
}
"""Policy -> the checks it stands for. Hosts of probes, forbidden by the standards since Kubernetes 1.34, have no policy."""


@cache
def policies() -> tuple[Policy, ...]:
    documents = (yaml.safe_load(file.read_text()) for file in sorted(FOLDER.glob("*/*.yaml")))
    return tuple(compile_policy(document) for document in documents)


def failing_policies(document: Json) -> set[str]:
    """The policies that `document` violates; a rule that errors is a mistake in the policy."""
    request = request_for(document)
    failing = set()
    for policy in policies():
        answers = outcomes(policy, request)
        assert answers, f"{policy.identity.name} has no rule for {document['kind']}"
        assert all(outcome.status != "error" for _, outcome in answers), answers
        if any(outcome.status == "fail" for _, outcome in answers):
            failing.add(policy.identity.name)
    return failing


def failing_checks(document: Json) -> set[str]:
    outcome = compile_check({"level": "restricted", "version": "latest"}, rule="r", message=None, path="")(
        Scope(request_for(document))
    )
    return set(outcome.properties.get("controls", "").split(",")) - {""}


def maps(**optional: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries({}, optional=optional)


def profiles(*types: str) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries({"type": st.sampled_from(types)})


def names(*values: str) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), max_size=3)


BOOLEANS = st.booleans()
SHARED = {
    "runAsNonRoot": BOOLEANS,
    "runAsUser": st.sampled_from([0, 1, 1000]),
    "seccompProfile": profiles("RuntimeDefault", "Localhost", "Unconfined"),
    "appArmorProfile": profiles("RuntimeDefault", "Localhost", "Unconfined"),
    "seLinuxOptions": maps(
        type=st.sampled_from(["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t", "spc_t"]),
        user=st.sampled_from(["", "system_u"]),
        role=st.sampled_from(["", "system_r"]),
        level=st.just("s0:c1"),
    ),
    "windowsOptions": maps(hostProcess=BOOLEANS, runAsUserName=st.just("ContainerUser")),
}
CONTEXTS = maps(
    **SHARED,
    privileged=BOOLEANS,
    allowPrivilegeEscalation=BOOLEANS,
    procMount=st.sampled_from(["Default", "Unmasked"]),
    capabilities=maps(
        add=names("CHOWN", "NET_BIND_SERVICE", "NET_RAW", "SYS_ADMIN", "ALL", "net_bind_service"),
        drop=names("ALL", "all", "NET_RAW"),
    ),
)
GOOD: Json = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
SYSCTLS = ("kernel.msgmax", "kernel.shm_rmid_forced", "net.ipv4.tcp_rmem", "net.ipv4.tcp_fin_timeout", "net.core.somaxconn")
POD_CONTEXTS = maps(
    **SHARED,
    fsGroup=st.just(0),
    sysctls=st.lists(st.fixed_dictionaries({"name": st.sampled_from(SYSCTLS), "value": st.just("1")}), max_size=2),
)
PORTS = st.lists(
    st.fixed_dictionaries({"containerPort": st.just(80)}, optional={"hostPort": st.sampled_from([0, 80])}), max_size=2
)


def containers(name: str, *, least: int = 0) -> st.SearchStrategy[list[Json]]:
    one = st.fixed_dictionaries(
        {"name": st.just(name), "image": st.just("example.com/app:v1")},
        optional={"securityContext": st.just(GOOD) | st.just(GOOD) | CONTEXTS, "ports": PORTS},
    )
    return st.lists(one, min_size=least, max_size=2)


VOLUMES = ("configMap", "csi", "emptyDir", "ephemeral", "image", "projected", "secret", "hostPath", "nfs", "gitRepo", "iscsi")
PODS = st.fixed_dictionaries(
    {"containers": containers("c", least=1)},
    optional={
        "initContainers": containers("i"),
        "ephemeralContainers": containers("e"),
        "securityContext": POD_CONTEXTS,
        "hostNetwork": BOOLEANS,
        "hostPID": BOOLEANS,
        "hostIPC": BOOLEANS,
        "os": st.sampled_from([{"name": "linux"}, {"name": "windows"}]),
        "volumes": st.lists(st.sampled_from(VOLUMES).map(lambda source: {"name": "v", source: {}}), max_size=2),
    },
)
ANNOTATIONS = st.dictionaries(
    st.sampled_from(
        ["container.apparmor.security.beta.kubernetes.io/c", "container.apparmor.security.beta.kubernetes.io/i", "other"]
    ),
    st.sampled_from(["", "runtime/default", "localhost/x", "unconfined"]),
    max_size=3,
)


def workload(kind: str, template: Json) -> Json:
    """A Pod, or a controller of Pods, with metadata and spec of `template`."""
    if kind == "Pod":
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "x", **template.get("metadata", {})},
            "spec": template["spec"],
        }
    spec: Json = {"template": template}
    if kind == "CronJob":
        spec = {"schedule": "@daily", "jobTemplate": {"spec": spec}}
    return {
        "apiVersion": "apps/v1" if kind == "Deployment" else "batch/v1",
        "kind": kind,
        "metadata": {"name": "x"},
        "spec": spec,
    }


WORKLOADS = st.builds(
    lambda kind, metadata, spec: workload(kind, {"metadata": metadata, "spec": spec}),
    st.sampled_from(["Pod", "Pod", "Pod", "Deployment", "CronJob"]),
    maps(annotations=ANNOTATIONS, labels=st.just({"app": "x"})),
    PODS,
)
"""As the API server lets them through: no nulls, one source a volume."""


def test_every_policy_is_there() -> None:
    assert {policy.identity.name for policy in policies()} == set(CHECKS)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(WORKLOADS)
def test_each_policy_fails_exactly_where_its_check_does(document: Json) -> None:
    checks = failing_checks(document)
    assert failing_policies(document) == {name for name, of_policy in CHECKS.items() if checks & of_policy}


@pytest.mark.parametrize("kind", ["Pod", "Deployment", "CronJob"])
def test_a_compliant_workload_passes_all_policies(kind: str) -> None:
    spec = {"containers": [{"name": "c", "image": "x", "securityContext": GOOD}]}
    assert failing_policies(workload(kind, {"spec": spec})) == set()

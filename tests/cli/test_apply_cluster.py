"""`pyvern apply --cluster`: resources and data come from the cluster, through kubectl."""

from __future__ import annotations

import os
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from deploy.local.control_plane import ControlPlane
from tests.cli.program import pyvern

POLICY = """
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {{name: checks}}
spec:
  rules:
  - name: team
    match:
      any:
      - resources: {{kinds: [ConfigMap], names: [subject-*], namespaceSelector: {{matchLabels: {{seen: "{label}"}}}}}}
    context:
    - name: settings
      configMap: {{name: settings, namespace: "{{{{ request.namespace }}}}"}}
    - name: count
      apiCall: {{urlPath: "/api/v1/namespaces/{{{{ request.namespace }}}}/secrets", jmesPath: "length(items)"}}
    validate:
      message: "{{{{ settings.data.word }}}} {{{{ count }}}}"
      pattern: {{data: {{team: "?*"}}}}
"""
ADMISSION = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: native}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}]
  validations: [{expression: "'team' in object.data"}]
"""


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """A namespace of this test's own."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    control_plane.api.ask("/api/v1/namespaces", method="POST", body={"metadata": {"name": name}})
    yield name
    control_plane.api.ask(f"/api/v1/namespaces/{name}", method="DELETE")


@pytest.fixture
def policy(control_plane: ControlPlane, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A policy about ConfigMaps of the namespace, in which there is one with a team and one without."""
    monkeypatch.setenv("PATH", os.pathsep.join((str(control_plane.tools["kubectl"].parent), os.environ["PATH"])))
    api = control_plane.api
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    given = {"settings": {"word": "hello"}, "subject-good": {"team": "core"}, "subject-bad": {"other": "x"}}
    for name, data in given.items():
        api.ask(path, method="POST", body={"metadata": {"name": name}, "data": data})
    labelled = {"metadata": {"name": namespace, "labels": {"seen": namespace}}}
    api.ask(f"/api/v1/namespaces/{namespace}", method="PUT", body=labelled)
    (tmp_path / "policy.yaml").write_text(POLICY.format(label=namespace))
    return tmp_path / "policy.yaml"


def test_policies_are_applied_to_what_is_in_the_cluster(control_plane: ControlPlane, namespace: str, policy: Path) -> None:
    ran = pyvern("apply", policy, "--cluster", "--kubeconfig", control_plane.kubeconfig)
    assert f"policy checks -> resource {namespace}/ConfigMap/subject-bad failed:\n1 - team validation error: hello 0." in ran.out
    assert "pass: 1, fail: 1, warn: 0, error: 0, skip: 0" in ran.out
    assert ran.status == 1


def test_a_namespace_and_names_narrow_it(control_plane: ControlPlane, namespace: str, policy: Path) -> None:
    flags = ("-c", "--kubeconfig", control_plane.kubeconfig, "-n", namespace)
    ran = pyvern("apply", policy, *flags, "-r", "subject-good")
    assert "to 1 resource(s)" in ran.out
    assert (ran.status, ran.err) == (0, "")
    ran = pyvern("apply", policy, *flags, "-r", "nobody")
    assert (ran.status, ran.err) == (1, "Error: cluster: nobody not found in cluster\n")
    elsewhere = pyvern("apply", policy, "-c", "--kubeconfig", control_plane.kubeconfig, "-n", "kube-public")
    assert "pass: 0, fail: 0, warn: 0, error: 0, skip: 0" in elsewhere.out


def test_native_policies_name_resources(control_plane: ControlPlane, namespace: str, policy: Path) -> None:
    policy.write_text(ADMISSION)
    ran = pyvern("apply", policy, "-c", "--kubeconfig", control_plane.kubeconfig, "-n", namespace)
    assert f"policy native -> resource {namespace}/ConfigMap/subject-bad failed:" in ran.out


def test_what_kubectl_says_is_shown_with_its_command(policy: Path) -> None:
    ran = pyvern("apply", policy, "-c", "--kubeconfig", "nowhere")
    assert ran.status == 1
    assert ran.err.startswith("Error: `kubectl --kubeconfig=nowhere api-resources ")
    assert "nowhere" in ran.err.rpartition("`")[2]


def test_a_kind_that_cannot_be_read_is_a_fault_and_the_rest_is_applied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        'api-resources*) echo "configmaps cm v1 true ConfigMap list"; echo "secrets v1 true Secret list";;\n'
        '*secrets*) echo "Error from server (Forbidden): no" >&2; exit 1;;\n'
        '*) echo \'{"items": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {}}]}\';;\n'
        "esac\n"
    )
    kubectl.chmod(kubectl.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "policy.yaml").write_text(ADMISSION.replace("[configmaps]", "[configmaps, secrets]"))
    ran = pyvern("apply", tmp_path / "policy.yaml", "-c")
    fault = "`kubectl get secrets.v1. --all-namespaces -o json`: Error from server (Forbidden): no"
    assert ran.err.startswith(f"Error: cluster: {fault}\n")
    assert "to 1 resource(s)" in ran.out
    assert ran.status == 1


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("-r", "x"), ""),
        ((), "resource file(s) or cluster required"),
        (
            ("-c", "--kubeconfig", "x", "--crd-paths", "y"),
            "crd-paths and kubeconfig flags are mutually exclusive, please use only one of them",
        ),
    ],
)
def test_flags_that_do_not_go_together(flags: tuple[str, ...], reason: str) -> None:
    assert reason in pyvern("apply", "policy.yaml", *flags).err


EXCEPTION = """
apiVersion: kyverno.io/v2
kind: PolicyException
metadata: {name: let-pass}
spec:
  exceptions: [{policyName: checks, ruleNames: [team]}]
  match: {any: [{resources: {kinds: [ConfigMap], names: [subject-bad]}}]}
"""
BINDING = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: NAME}
spec:
  policyName: native
  validationActions: [Audit]
  matchResources:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAME}}
    resourceRules:
    - {apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps], resourceNames: [subject-good]}
"""
TARGETS = """
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: marks}
spec:
  rules:
  - name: mark
    match: {any: [{resources: {kinds: [ConfigMap], names: [settings]}}]}
    mutate:
      mutateExistingOnPolicyUpdate: false
      targets: [{apiVersion: v1, kind: ConfigMap, name: "subject-*", namespace: "{{ request.namespace }}"}]
      patchStrategicMerge: {data: {marked: "yes"}}
"""


def test_targets_of_rules_are_those_of_the_cluster(control_plane: ControlPlane, namespace: str, policy: Path) -> None:
    policy.write_text(TARGETS)
    ran = pyvern("apply", policy, "-c", "--kubeconfig", control_plane.kubeconfig, "-n", namespace)
    assert "pass: 2, fail: 0, warn: 0, error: 0, skip: 0" in ran.out, ran.err
    assert ran.out.count("patched targets: ") == 2
    assert ran.out.count('marked: "yes"') == 2
    unchanged = control_plane.api.ask(f"/api/v1/namespaces/{namespace}/configmaps/subject-good")
    assert unchanged["data"] == {"team": "core"}, "nothing is written to the cluster"


def test_bindings_of_the_cluster_narrow_admission_policies(control_plane: ControlPlane, namespace: str, policy: Path) -> None:
    bindings = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
    document = yaml.safe_load(BINDING.replace("NAME", namespace))
    control_plane.api.ask(bindings, method="POST", body=document)
    try:
        policy.write_text(ADMISSION)
        ran = pyvern("apply", policy, "-c", "--kubeconfig", control_plane.kubeconfig, "-n", namespace)
    finally:
        control_plane.api.ask(f"{bindings}/{namespace}", method="DELETE")
    assert (ran.status, ran.err) == (0, "")
    assert "pass: 1, fail: 0, warn: 0, error: 0, skip: 0" in ran.out


def test_exceptions_of_the_cluster_count_unless_a_file_has_one_of_their_name(
    control_plane: ControlPlane, namespace: str, policy: Path, tmp_path: Path
) -> None:
    exceptions = f"/apis/kyverno.io/v2/namespaces/{namespace}/policyexceptions"
    control_plane.api.ask(exceptions, method="POST", body=yaml.safe_load(EXCEPTION))
    arguments = ("apply", policy, "-c", "--kubeconfig", control_plane.kubeconfig, "-n", namespace)
    ran = pyvern(*arguments)
    assert "with 1 exception(s)..." in ran.out
    assert "pass: 1, fail: 0, warn: 0, error: 0, skip: 1" in ran.out
    assert (ran.status, ran.err) == (0, "")
    other = EXCEPTION.replace("subject-bad", "nobody").replace("let-pass", f"let-pass, namespace: {namespace}")
    (tmp_path / "exception.yaml").write_text(other)
    ran = pyvern(*arguments, "-e", tmp_path / "exception.yaml")
    assert "with 1 exception(s)..." in ran.out
    assert "pass: 1, fail: 1, warn: 0, error: 0, skip: 0" in ran.out

"""deploy/: what `kubectl apply -k` would create, by name and by right."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from controllers.admission import webhooks
from controllers.cluster.flags import Environment

ROOT = Path(__file__).parents[2]
OVERLAYS = ("default", "local", "conformance")
CONTROLLERS = ("admission", "background", "reports", "cleanup")
FROM_THE_POD = {"KYVERNO_NAMESPACE", "KYVERNO_POD_NAME"}
IMAGE_USER = 65534
Document = dict[str, Any]


@cache
def rendered(overlay: str) -> tuple[Document, ...]:
    kubectl = shutil.which("kubectl") or next(map(str, sorted(Path.home().glob(".cache/pyvern/bin/*/kubectl"))), None)
    if kubectl is None:
        pytest.skip("no kubectl on PATH; `make up` builds one")
    command = [kubectl, "kustomize", str(ROOT / "deploy" / "overlays" / overlay)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    return tuple(yaml.load_all(result.stdout, Loader=yaml.CSafeLoader))


def find(kind: str, name: str, overlay: str = "default") -> Document:
    (document,) = [d for d in rendered(overlay) if (d["kind"], d["metadata"]["name"]) == (kind, name)]
    return document


def identities(overlay: str) -> set[tuple[str, str, str]]:
    return {(d["kind"], d["metadata"].get("namespace", ""), d["metadata"]["name"]) for d in rendered(overlay)}


def pod() -> Document:
    template: Document = find("Deployment", "kyverno-admission-controller")["spec"]["template"]
    return template


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kustomize_renders_each_object_once(overlay: str) -> None:
    assert len(identities(overlay)) == len(rendered(overlay))


def test_overlays_have_the_same_objects() -> None:
    assert identities("default") == identities("local") == identities("conformance")


@pytest.mark.parametrize("controller", CONTROLLERS)
def test_each_controller_has_its_account_and_roles(controller: str) -> None:
    role = f"kyverno:{controller}-controller"
    present = identities("default")
    assert {
        ("ServiceAccount", "kyverno", f"kyverno-{controller}-controller"),
        ("ClusterRole", "", role),
        ("ClusterRole", "", f"{role}:core"),
        ("ClusterRole", "", f"{role}:additional"),
        ("ClusterRoleBinding", "", role),
        ("Role", "kyverno", role),
        ("RoleBinding", "kyverno", role),
    } <= present
    assert (("ClusterRoleBinding", "", f"{role}:view") in present) is (controller != "cleanup")


def test_the_admission_controller_is_complete() -> None:
    assert {
        ("Namespace", "", "kyverno"),
        ("ConfigMap", "kyverno", "kyverno"),
        ("ConfigMap", "kyverno", "kyverno-metrics"),
        ("Deployment", "kyverno", "kyverno-admission-controller"),
        ("Service", "kyverno", "kyverno-svc"),
        ("Service", "kyverno", "kyverno-svc-metrics"),
        ("PodDisruptionBudget", "kyverno", "kyverno-admission-controller"),
        ("NetworkPolicy", "kyverno", "kyverno-admission-controller"),
    } <= identities("default")


def test_only_controllers_with_a_program_have_a_deployment() -> None:
    for kind, _, name in identities("default"):
        if kind == "Deployment":
            module = name.removeprefix("kyverno-").removesuffix("-controller")
            assert (ROOT / "controllers" / module).is_dir(), name


def test_everything_says_what_it_belongs_to() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for document in rendered("default"):
        labels = document["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "kyverno", document["metadata"]["name"]
        assert labels["app.kubernetes.io/part-of"] in {"kyverno", "kyverno-crds"}
        assert labels["app.kubernetes.io/version"] == version
        assert "app.kubernetes.io/managed-by" not in labels, "this label marks what the controllers themselves make"
    assert pod()["spec"]["containers"][0]["image"] == f"pyvern:{version}"


def test_services_and_budgets_select_the_pods() -> None:
    labels = pod()["metadata"]["labels"].items()
    spec = {name: find("Service", name)["spec"] for name in ("kyverno-svc", "kyverno-svc-metrics")}
    assert all(service["selector"].items() <= labels for service in spec.values())
    assert find("PodDisruptionBudget", "kyverno-admission-controller")["spec"]["selector"]["matchLabels"].items() <= labels
    assert find("NetworkPolicy", "kyverno-admission-controller")["spec"]["podSelector"]["matchLabels"].items() <= labels
    assert [(port["name"], port["port"]) for port in spec["kyverno-svc"]["ports"]] == [("https", 443)]
    ports = {port["name"]: port["containerPort"] for port in pod()["spec"]["containers"][0]["ports"]}
    assert ports == {"https": 9443, "metrics-port": 8000}
    assert {port["targetPort"] for service in spec.values() for port in service["ports"]} == set(ports)


def test_the_pod_is_as_restricted_as_a_pod_can_be() -> None:
    spec = pod()["spec"]
    (container,) = spec["containers"]
    security = container["securityContext"]
    assert (spec["securityContext"]["runAsNonRoot"], spec["securityContext"]["runAsUser"]) == (True, IMAGE_USER)
    assert security == {
        "runAsNonRoot": True,
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    assert f"USER {IMAGE_USER}:{IMAGE_USER}" in (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("controller", CONTROLLERS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_program_knows_the_flags_and_variables_it_is_given(overlay: str, controller: str) -> None:
    (container,) = find("Deployment", f"kyverno-{controller}-controller", overlay)["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["python", "-m", f"controllers.{controller}"]
    import_module(f"controllers.{controller}.flags").read(container["args"])
    given = {variable["name"]: variable.get("value", variable["name"]) for variable in container["env"]}
    shipped = {name: value for name, value in given.items() if name not in FROM_THE_POD}
    plain = Environment.read({}, controller=controller)
    assert replace(Environment.read(shipped, controller=controller), pod=plain.pod) == plain


def test_every_volume_is_mounted_and_every_mount_exists() -> None:
    spec = pod()["spec"]
    assert {mount["name"] for mount in spec["containers"][0]["volumeMounts"]} == {volume["name"] for volume in spec["volumes"]}
    (token,) = [volume["projected"]["sources"] for volume in spec["volumes"] if volume["name"] == "apicall"]
    assert token[0]["serviceAccountToken"]["audience"] == "kyverno-svc.kyverno.io"


def test_local_services_have_no_selector_and_local_deployments_make_no_pods() -> None:
    for overlay in ("local", "conformance"):
        for document in rendered(overlay):
            if document["kind"] == "Service":
                assert "selector" not in document["spec"]
            if document["kind"] == "Deployment":
                assert (document["spec"]["paused"], document["spec"]["replicas"]) == (True, 1)


def test_conformance_adds_rights_and_settings_only() -> None:
    changed = [a["metadata"]["name"] for a, b in zip(rendered("local"), rendered("conformance"), strict=True) if a != b]
    assert sorted(changed) == [
        *(f"kyverno-{controller}-controller" for controller in ("admission", "background", "reports")),
        *(f"kyverno:{controller}-controller:additional" for controller in ("admission", "background", "cleanup")),
    ]


def _rules(overlay: str = "default") -> Iterator[tuple[str, Document]]:
    for document in rendered(overlay):
        for rule in document.get("rules") or ():
            yield document["metadata"]["name"], rule


def test_no_shipped_rule_has_a_wildcard() -> None:
    for name, rule in _rules():
        for part in ("apiGroups", "resources", "verbs"):
            assert "*" not in rule[part], name


def test_no_controller_can_read_all_secrets_or_raise_its_own_rights() -> None:
    for name, rule in _rules():
        if "secrets" in rule["resources"]:
            assert rule.get("resourceNames") or rule["verbs"] == ["create"], name
        assert not {"bind", "escalate", "impersonate"} & set(rule["verbs"]), name


def test_webhook_configurations_of_others_are_out_of_reach() -> None:
    for name, rule in _rules():
        if rule["apiGroups"] == ["admissionregistration.k8s.io"] and {"update", "patch", "delete"} & set(rule["verbs"]):
            assert rule["resourceNames"], name
            assert all(re.fullmatch(r"kyverno-[a-z-]+-webhook-cfg", configuration) for configuration in rule["resourceNames"])


def test_the_admission_controller_may_write_exactly_its_own_webhook_configurations() -> None:
    role = find("ClusterRole", "kyverno:admission-controller:webhook")
    (named,) = [rule["resourceNames"] for rule in role["rules"] if "update" in rule["verbs"]]
    assert {name for _, name in webhooks.OURS} <= set(named)


@pytest.mark.parametrize("controller", CONTROLLERS)
def test_roles_reach_the_controller_by_aggregation(controller: str) -> None:
    role = f"kyverno:{controller}-controller"
    selectors = find("ClusterRole", role)["aggregationRule"]["clusterRoleSelectors"]
    label = f"rbac.kyverno.io/aggregate-to-{controller}-controller"
    assert {"matchLabels": {label: "true"}} in selectors
    for part in ("core", "additional"):
        assert find("ClusterRole", f"{role}:{part}")["metadata"]["labels"][label] == "true"
    assert "rules" not in find("ClusterRole", role), "applying an empty list would take away what was aggregated"


@pytest.mark.parametrize("who", ["admin", "view"])
def test_people_get_rights_through_the_roles_of_kubernetes(who: str) -> None:
    for what in ("policies", "policyreports", "reports", "updaterequests"):
        role = find("ClusterRole", f"kyverno:rbac:{who}:{what}")
        assert role["metadata"]["labels"][f"rbac.authorization.k8s.io/aggregate-to-{who}"] == "true"
        writes = {verb for rule in role["rules"] for verb in rule["verbs"]} - {"get", "list", "watch"}
        assert bool(writes) is (who == "admin")


def test_settings_are_what_kyverno_ships() -> None:
    data = find("ConfigMap", "kyverno")["data"]
    expressions = json.loads(data["webhooks"])["namespaceSelector"]["matchExpressions"]
    assert [expression["values"] for expression in expressions] == [["kube-system"], ["kyverno"]]
    assert json.loads(data["webhookAnnotations"]) == {"admissions.enforcer/disabled": "true"}
    assert (data["excludeGroups"], data["generateSuccessEvents"], data["updateRequestThreshold"]) == (
        "system:nodes",
        "false",
        "1000",
    )
    assert (data["defaultRegistry"], data["enableDefaultRegistryMutation"]) == ("docker.io", "true")
    json.loads(find("ConfigMap", "kyverno-metrics")["data"]["metricsExposure"])


def test_resource_filters_are_triples_and_start_with_kyvernos() -> None:
    filters = find("ConfigMap", "kyverno")["data"]["resourceFilters"].split()
    assert all(re.fullmatch(r"\[[^,\[\]]+,[^,\[\]]+,[^,\[\]]+\]", item) for item in filters)
    assert filters[:5] == ["[Event,*,*]", "[*/*,kube-system,*]", "[*/*,kube-public,*]", "[*/*,kube-node-lease,*]", "[Node,*,*]"]
    assert "[ReplicaSet,*,*]" in filters
    assert len(set(filters)) == len(filters)


def test_the_webhooks_leave_no_object_of_this_installation_unfiltered() -> None:
    filters = set(find("ConfigMap", "kyverno")["data"]["resourceFilters"].split())
    for kind, namespace, name in identities("default"):
        if kind in {
            "ServiceAccount",
            "Role",
            "RoleBinding",
            "ConfigMap",
            "Deployment",
            "NetworkPolicy",
            "PodDisruptionBudget",
            "Service",
        }:
            assert f"[{kind},{namespace},{name}]" in filters


def test_the_image_copies_what_the_build_context_lets_through() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert {source for line in copies for source in line.split()} == allowed

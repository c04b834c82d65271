"""deploy/ and crds/ on a real API server: what it accepts, what it refuses, and what each controller may do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from crds.source.files import kinds
from deploy.local.api import Api, Refused
from deploy.local.control_plane import ControlPlane
from deploy.local.installation import ROOT

pytestmark = pytest.mark.cluster
CONFORMANCE = Path(os.environ.get("CONFORMANCE_DIR", ROOT.parent / "shared" / "conformance"))
DRY_RUN = "?dryRun=All&fieldValidation=Strict"
Document = dict[str, Any]


@pytest.fixture(scope="module")
def api(control_plane: ControlPlane) -> Api:
    return control_plane.api


def create(api: Api, document: Document) -> Document:
    """A strict dry run; namespaced objects go to `default`. Answers the object with its defaults. Errors: Refused."""
    kind = next(kind for kind in kinds() if kind.kind == document["kind"])
    folder = "namespaces/default/" if kind.namespaced else ""
    path = f"/apis/{document['apiVersion']}/{folder}{kind.plural}{DRY_RUN}"
    answer: Document = api.ask(path, method="POST", body=document)
    return answer


def cluster_policy(*, rule: Document | None = None, **spec: Any) -> Document:
    match = {"any": [{"resources": {"kinds": ["Pod"]}}]}
    rules = [{"name": "r", "match": match, "validate": {"pattern": {"spec": {}}}, **(rule or {})}]
    return {"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "p"}, "spec": {"rules": rules, **spec}}


def global_entry(**spec: Any) -> Document:
    return {"apiVersion": "kyverno.io/v2", "kind": "GlobalContextEntry", "metadata": {"name": "g"}, "spec": spec}


def test_every_definition_is_served_without_complaint(api: Api) -> None:
    for kind in kinds():
        definition = api.ask(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{kind.name}")
        state = {condition["type"]: condition["status"] for condition in definition["status"]["conditions"]}
        assert state == {"NamesAccepted": "True", "Established": "True"}


def test_defaults_are_filled_in(api: Api) -> None:
    spec = create(api, cluster_policy())["spec"]
    settings = {key: spec[key] for key in ("admission", "background", "emitWarning", "validationFailureAction")}
    assert settings == {"admission": True, "background": True, "emitWarning": False, "validationFailureAction": "Audit"}
    (rule,) = spec["rules"]
    assert (rule["skipBackgroundRequests"], rule["validate"]["allowExistingViolations"]) == (True, True)


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        (cluster_policy(colour="red"), 'unknown field "spec.colour"'),
        (cluster_policy(rule={"validate": {"patern": {}}}), 'unknown field "spec.rules[0].validate.patern"'),
        (cluster_policy(rule={"name": "n" * 64}), "spec.rules[0].name: Too long"),
        (cluster_policy(rule={"match": {"any": [], "all": []}}), '"spec.rules[0].match" must not validate the schema (not)'),
        (cluster_policy(rule={"match": {"any": [{"resources": {"operations": ["LOOK"]}}]}}), 'Unsupported value: "LOOK"'),
        (cluster_policy(rule={"context": [{"name": "c"}]}), "must validate one and only one schema (oneOf). Found none valid"),
        (
            cluster_policy(rule={"context": [{"name": "c", "variable": {}, "configMap": {"name": "m"}}]}),
            "Found 2 valid alternatives",
        ),
        (cluster_policy(rule={"validate": {"podSecurity": {"level": "lax"}}}), 'Unsupported value: "lax"'),
        (cluster_policy(rule={"validate": {"failureAction": "enforce"}}), 'Unsupported value: "enforce"'),
        (cluster_policy(validationFailureAction="Warn"), 'Unsupported value: "Warn"'),
        (cluster_policy(failurePolicy="Maybe"), 'Unsupported value: "Maybe"'),
        (cluster_policy(applyRules="Two"), 'Unsupported value: "Two"'),
        (cluster_policy(webhookTimeoutSeconds=31), "spec.webhookTimeoutSeconds in body should be less than or equal to 30"),
        (cluster_policy(webhookConfiguration={"timeoutSeconds": 0}), "should be greater than or equal to 1"),
        (cluster_policy(background="yes"), 'spec.background in body must be of type boolean: "string"'),
        (global_entry(), "Found none valid"),
        (global_entry(kubernetesResource={"version": "v1", "resource": "pods"}, apiCall={"urlPath": "/api"}), "Found 2 valid"),
        (global_entry(kubernetesResource={"version": "v1"}), "spec.kubernetesResource.resource: Required value"),
        (global_entry(apiCall={"urlPath": "/api", "service": {"url": "https://a"}}), "must validate one and only one schema"),
        (global_entry(apiCall={"urlPath": "/api", "data": [{"key": "a", "value": 1}]}), 'supported values: "POST"'),
        (global_entry(apiCall={"urlPath": "/api", "refreshInterval": "often"}), "must be of type duration"),
    ],
)
def test_nonsense_is_refused_with_its_path(api: Api, document: Document, complaint: str) -> None:
    with pytest.raises(Refused) as refused:
        create(api, document)
    assert complaint in refused.value.message


REFUSED_BY_DESIGN = {
    "globalcontext/validate-apicall-data/gctxentry.yaml",
    "globalcontext/validate-crd/multiple-resources.yaml",
    "globalcontext/validate-crd/no-resource.yaml",
    "globalcontext/validate-reference/clusterpolicy.yaml",
    "policy-validation/cluster-policy/invalid-timeout-deprecated/policy-1.yaml",
    "policy-validation/cluster-policy/invalid-timeout-deprecated/policy-2.yaml",
    "policy-validation/cluster-policy/invalid-timeout/policy-1.yaml",
    "policy-validation/cluster-policy/invalid-timeout/policy-2.yaml",
}
"""Documents whose tests expect that the API server says no."""


def test_every_policy_of_the_conformance_data_is_accepted(api: Api) -> None:
    if not CONFORMANCE.is_dir():
        pytest.skip(f"no conformance data in {CONFORMANCE}; set CONFORMANCE_DIR")
    refused, tried = {}, 0
    for path, document in _documents(CONFORMANCE / "data"):
        tried += 1
        try:
            create(api, document)
        except Refused as no:
            refused[path.split("chainsaw/")[-1]] = no.message
    assert {path: text for path, text in refused.items() if path not in REFUSED_BY_DESIGN} == {}
    assert set(refused) == REFUSED_BY_DESIGN
    assert tried > 1_000


def _documents(folder: Path) -> Iterator[tuple[str, Document]]:
    """All complete documents of our kinds, without what the API server itself writes; parts of objects are assertions."""
    names = {kind.kind: kind.group for kind in kinds()}
    for path in sorted(folder.rglob("*.yaml")):
        text = path.read_text(encoding="utf-8", errors="replace")
        if not any(f"kind: {name}" in text for name in names):
            continue
        try:
            documents = list(yaml.load_all(text, Loader=yaml.CSafeLoader))
        except yaml.YAMLError:
            continue  # templates of the test runner
        for document in documents:
            if not isinstance(document, dict) or "spec" not in document:
                continue
            if not str(document.get("apiVersion")).startswith(f"{names.get(document['kind'])}/"):
                continue
            metadata = document.get("metadata") or {}
            labels = {key: metadata[key] for key in ("labels", "annotations") if key in metadata}
            yield str(path.relative_to(folder)), {**document, "metadata": {"name": "any", **labels}}


# (who, verb, resource.group, namespace, name, allowed)
RIGHTS = [
    ("admission", "watch", "clusterpolicies.kyverno.io", "", "", True),
    ("admission", "patch", "clusterpolicies/status.kyverno.io", "", "p", True),
    ("admission", "update", "clusterpolicies.kyverno.io", "", "p", False),
    ("admission", "list", "policyexceptions.kyverno.io", "", "", True),
    ("admission", "create", "ephemeralreports.reports.kyverno.io", "default", "", True),
    ("admission", "create", "events.events.k8s.io", "default", "", True),
    ("admission", "watch", "rolebindings.rbac.authorization.k8s.io", "", "", True),
    ("admission", "create", "validatingwebhookconfigurations.admissionregistration.k8s.io", "", "", True),
    (
        "admission",
        "patch",
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
        "",
        "kyverno-resource-validating-webhook-cfg",
        True,
    ),
    ("admission", "patch", "validatingwebhookconfigurations.admissionregistration.k8s.io", "", "of-another-system", False),
    ("admission", "get", "clusterroles.rbac.authorization.k8s.io", "", "kyverno:admission-controller:webhook", True),
    ("admission", "update", "secrets", "kyverno", "kyverno-svc.kyverno.svc.kyverno-tls-pair", True),
    ("admission", "get", "secrets", "kyverno", "of-another-program", False),
    ("admission", "get", "secrets", "default", "anything", False),
    ("admission", "patch", "leases.coordination.k8s.io", "kyverno", "kyverno-health", True),
    ("admission", "patch", "leases.coordination.k8s.io", "kyverno", "kyverno-background-controller", False),
    ("admission", "get", "deployments.apps", "kyverno", "kyverno-admission-controller", True),
    ("admission", "patch", "deployments.apps", "kyverno", "kyverno-admission-controller", False),
    ("admission", "create", "updaterequests.kyverno.io", "kyverno", "", True),
    ("admission", "create", "updaterequests.kyverno.io", "default", "", False),
    ("admission", "list", "pods", "", "", True),
    ("admission", "create", "pods", "default", "", False),
    ("background", "patch", "updaterequests/status.kyverno.io", "kyverno", "ur", True),
    ("background", "create", "networkpolicies.networking.k8s.io", "default", "", True),
    ("background", "create", "secrets", "default", "", False),
    ("background", "escalate", "roles.rbac.authorization.k8s.io", "default", "", False),
    ("reports", "create", "policyreports.wgpolicyk8s.io", "default", "", True),
    ("reports", "deletecollection", "ephemeralreports.reports.kyverno.io", "default", "", True),
    ("reports", "create", "updaterequests.kyverno.io", "kyverno", "", False),
    ("cleanup", "patch", "clustercleanuppolicies/status.kyverno.io", "", "c", True),
    ("cleanup", "delete", "pods", "default", "p", False),
]


@pytest.mark.parametrize(("who", "verb", "what", "namespace", "name", "allowed"), RIGHTS)
def test_rights(api: Api, who: str, verb: str, what: str, namespace: str, name: str, allowed: bool) -> None:
    resource, _, group = what.partition(".")
    resource, _, subresource = resource.partition("/")
    asked = {"verb": verb, "group": group, "resource": resource, "subresource": subresource, "namespace": namespace, "name": name}
    account = f"system:serviceaccount:kyverno:kyverno-{who}-controller"
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": account, "resourceAttributes": asked},
    }
    answer = api.ask("/apis/authorization.k8s.io/v1/subjectaccessreviews", method="POST", body=review)
    assert answer["status"]["allowed"] is allowed


def test_the_pods_of_the_deployment_meet_the_restricted_standard(api: Api) -> None:
    """The namespace enforces it; the API server's own admission plugin judges."""
    deployment = api.ask("/apis/apps/v1/namespaces/kyverno/deployments/kyverno-admission-controller")
    template = deployment["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {**template["metadata"], "name": "one"}, "spec": template["spec"]}
    api.ask(f"/api/v1/namespaces/kyverno/pods{DRY_RUN}", method="POST", body=pod)
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    with pytest.raises(Refused, match='violates PodSecurity "restricted:latest"'):
        api.ask(f"/api/v1/namespaces/kyverno/pods{DRY_RUN}", method="POST", body=pod)


def test_local_deployments_make_no_pods(api: Api) -> None:
    assert api.ask("/apis/apps/v1/namespaces/kyverno/replicasets")["items"] == []

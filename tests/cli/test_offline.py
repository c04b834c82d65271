"""Data that policies ask for, answered from files: API calls, mocks, global context, namespaces, other kinds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.program import pyvern

ROOT = Path(__file__).resolve().parents[2]
OBJECTS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: one, namespace: team, labels: {app: a, tier: web}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: two, namespace: team, labels: {app: b}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: one, namespace: other, labels: {app: a}}
---
apiVersion: example.org/v1
kind: Gateway
metadata: {name: main}
---
apiVersion: v1
kind: Pod
metadata: {name: pod, namespace: team}
"""


def policy(entry: str, shown: str = "{{ found }}") -> str:
    """A policy whose message shows what its context entry found."""
    return f"""
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {{name: show, annotations: {{pod-policies.kyverno.io/autogen-controllers: none}}}}
spec:
  background: false
  rules:
  - name: show
    match: {{any: [{{resources: {{kinds: [Pod]}}}}]}}
    context:
    - name: found
      {entry}
    validate:
      message: "<{shown}>"
      deny: {{}}
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("objects.yaml").write_text(OBJECTS)


def message(entry: str, *arguments: str) -> str:
    """The message of the one row of the policy with that context entry."""
    Path("policy.yaml").write_text(policy(entry))
    ran = pyvern("apply", "policy.yaml", "-r", "objects.yaml", "-p", "--output-format", "json", *arguments)
    (row,) = json.loads(ran.out)["results"]
    return str(row["message"])


@pytest.mark.parametrize(
    ("path", "query", "found"),
    [
        ("/apis/apps/v1/deployments", "items[].metadata.name | join('+', @)", "one+two+one"),
        ("/apis/apps/v1/namespaces/team/deployments", "length(items)", "2"),
        ("/apis/apps/v1/namespaces/team/deployments/two", "metadata.labels.app", "b"),
        ("/apis/apps/v1/deployments?labelSelector=app=a,tier", "length(items)", "1"),
        ("/apis/apps/v1/deployments?labelSelector=app%20in%20(a,b),tier!=web", "length(items)", "2"),
        ("/apis/apps/v1/deployments?fieldSelector=metadata.namespace=other", "length(items)", "1"),
        ("/apis/apps/v1/deployments", "kind", "DeploymentList"),
        ("/apis/example.org/v1/gateways", "items[0].metadata.namespace", "default"),
        ("/api/v1/nodes", "length(items)", "0"),
    ],
)
def test_api_calls_are_answered_from_the_given_resources(path: str, query: str, found: str) -> None:
    assert message(f'apiCall: {{urlPath: "{path}", jmesPath: "{query}"}}') == f"<{found}>"


def test_an_object_that_is_not_given_is_an_error() -> None:
    Path("policy.yaml").write_text(policy("apiCall: {urlPath: /api/v1/namespaces/team/secrets/s}"))
    out = pyvern("apply", "policy.yaml", "-r", "objects.yaml").out
    assert "fail: 1" in out  # a message that cannot be made leaves the failure
    Path("policy.yaml").write_text(
        policy("apiCall: {urlPath: /api/v1/namespaces/team/secrets/s}").replace(
            "deny: {}", 'deny: {conditions: {all: [{key: "{{ found.x }}", operator: Equals, value: 1}]}}'
        )
    )
    ran = pyvern("apply", "policy.yaml", "-r", "objects.yaml")
    assert 'secrets "s" not found' in ran.out
    assert ran.status == 1


@pytest.mark.parametrize(("kind", "text"), [("label", "a in (b"), ("field", "metadata.name")])
def test_a_selector_that_cannot_be_read_is_an_error(kind: str, text: str) -> None:
    asked = policy(f'apiCall: {{urlPath: "/api/v1/pods?{kind}Selector={text}"}}')
    condition = '{key: "{{ found.items }}", operator: Equals, value: 1}'
    Path("policy.yaml").write_text(asked.replace("deny: {}", f"deny: {{conditions: {{all: [{condition}]}}}}"))
    ran = pyvern("apply", "policy.yaml", "-r", "objects.yaml")
    assert f"{kind} selector `{text}` cannot be read" in ran.out
    assert ran.status == 1


def test_a_service_is_never_called() -> None:
    Path("policy.yaml").write_text(
        policy("apiCall: {service: {url: http://127.0.0.1:9/x}}").replace(
            "deny: {}", 'deny: {conditions: {all: [{key: "{{ found }}", operator: Equals, value: 1}]}}'
        )
    )
    ran = pyvern("apply", "policy.yaml", "-r", "objects.yaml")
    assert "error: 1" in ran.out
    assert ran.status == 1


def test_global_context_entries_among_the_resources_are_answered() -> None:
    Path("entry.yaml").write_text(
        "apiVersion: kyverno.io/v2alpha1\nkind: GlobalContextEntry\nmetadata: {name: deployments}\n"
        "spec:\n  kubernetesResource: {group: apps, version: v1, resource: deployments, namespace: team}\n"
        "  projections: [{name: names, jmesPath: '[].metadata.name'}]\n"
    )
    entry = "globalReference: {name: deployments, jmesPath: length(@)}"
    assert message(entry, "-r", "entry.yaml") == "<2>"
    assert message("globalReference: {name: deployments.names}", "-r", "entry.yaml") == '<["one","two"]>'


def test_namespace_labels_come_from_values() -> None:
    Path("values.yaml").write_text(
        "apiVersion: cli.kyverno.io/v1alpha1\nkind: Values\nnamespaceSelector: [{name: team, labels: {tier: gold}}]\n"
    )
    text = policy("variable: {value: yes}").replace(
        "kinds: [Pod]", "kinds: [Pod], namespaceSelector: {matchLabels: {tier: gold}}"
    )
    Path("policy.yaml").write_text(text)
    assert "fail: 0" in pyvern("apply", "policy.yaml", "-r", "objects.yaml").out
    assert "fail: 1" in pyvern("apply", "policy.yaml", "-r", "objects.yaml", "-f", "values.yaml").out


def test_values_change_the_object_and_the_operation() -> None:
    Path("values.yaml").write_text(
        "apiVersion: cli.kyverno.io/v1alpha1\nkind: Values\nglobalValues: {request.operation: UPDATE}\n"
        "policies: [{name: show, resources: [{name: pod, values: {request.object.metadata.labels.x: z}}]}]\n"
    )
    entry = 'variable: {value: "{{ request.operation }} {{ request.object.metadata.labels.x }}"}'
    assert message(entry, "-f", "values.yaml") == "<UPDATE z>"


def test_the_user_comes_from_a_file() -> None:
    Path("user.yaml").write_text(
        "apiVersion: cli.kyverno.io/v1alpha1\nkind: UserInfo\nclusterRoles: [admin]\n"
        "userInfo: {username: 'system:serviceaccount:team:bot'}\n"
    )
    assert message('variable: {value: "{{ serviceAccountName }} {{ request.clusterRoles }}"}', "-u", "user.yaml") == (
        '<bot ["admin"]>'
    )


def test_results_of_namespaced_policies_stand_in_a_report_of_their_own() -> None:
    text = policy("variable: {value: here}").replace("kind: ClusterPolicy", "kind: Policy")
    Path("policy.yaml").write_text(text.replace("{name: show,", "{name: show, namespace: team,", 1))
    document = json.loads(pyvern("apply", "policy.yaml", "-r", "objects.yaml", "-p", "--output-format", "json").out)
    assert (document["kind"], document["metadata"]) == ("PolicyReport", {"name": "show", "namespace": "team"})
    assert [row["policy"] for row in document["results"]] == ["team/show"]


def test_the_version_is_there_before_the_engine() -> None:
    code = (
        "import sys; from cli.main import main\ntry: main(['version'])\nexcept SystemExit: pass\nprint('engine' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "False"


def test_a_policy_without_cel_is_applied_without_loading_cel() -> None:
    baseline = ROOT / "deploy" / "policies" / "pod-security" / "base" / "baseline"
    code = (
        "import sys; from cli.main import main\n"
        f"try: main(['apply', {str(baseline / 'disallow-host-namespaces.yaml')!r}, '-r', '-'])\n"
        "except SystemExit as ended: print(ended.code)\n"
        "print([name for name in sys.modules if 'engine.lang.cel' in name or 'cryptography' in name])"
    )
    pod = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {hostNetwork: true}}"
    done = subprocess.run([sys.executable, "-c", code], input=pod, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-2:] == ["1", "[]"]

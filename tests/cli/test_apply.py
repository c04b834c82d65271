"""`pyvern apply`: texts, counts and exit statuses as Kyverno's command line gives them."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.program import pyvern

POLICY = """
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: require-labels, annotations: {policies.kyverno.io/category: Best Practices}}
spec:
  rules:
  - name: check-team
    match: {any: [{resources: {kinds: [Pod]}}]}
    validate:
      message: label 'team' is required
      pattern: {metadata: {labels: {team: "?*"}}}
"""
MUTATION = """
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: add-team}
spec:
  rules:
  - name: add
    match: {any: [{resources: {kinds: [Pod]}}]}
    mutate: {patchStrategicMerge: {metadata: {labels: {team: core}}}}
"""
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: badpod}\nspec: {containers: [{name: a, image: b}]}\n"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the working directory, with a policy and a Pod that violates it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "pod.yaml").write_text(POD)
    return tmp_path


def report(*arguments: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(pyvern("apply", *arguments, "-p", "--output-format", "json").out)
    return document


@pytest.mark.usefixtures("files")
def test_failures_are_printed_in_kyvernos_words() -> None:
    ran = pyvern("apply", "policy.yaml", "-r", "pod.yaml")
    assert ran.out == (
        "\nApplying 3 policy rule(s) to 1 resource(s)...\n"
        "policy require-labels -> resource default/Pod/badpod failed:\n"
        "1 - check-team validation error: label 'team' is required. "
        "rule check-team failed at path /metadata/labels/\n"
        "\npass: 0, fail: 1, warn: 0, error: 0, skip: 0 \n"
    )
    assert ran.status == 1


@pytest.mark.usefixtures("files")
def test_audit_failures_can_be_warnings_with_an_exit_status_of_their_own() -> None:
    assert pyvern("apply", "policy.yaml", "-r", "pod.yaml", "--audit-warn").status == 0
    ran = pyvern("apply", "policy.yaml", "-r", "pod.yaml", "--audit-warn", "--warn-exit-code", "3")
    assert ran.status == 3
    assert "failed as audit warning:" in ran.out


@pytest.mark.usefixtures("files")
def test_nothing_passed_can_have_an_exit_status() -> None:
    assert pyvern("apply", "policy.yaml", "-r", "pod.yaml", "--audit-warn", "--warn-no-pass", "4").status == 4


@pytest.mark.usefixtures("files")
def test_the_report_refers_to_the_object() -> None:
    document = report("policy.yaml", "-r", "pod.yaml")
    assert (document["kind"], document["metadata"]["name"]) == ("ClusterReport", "merged")
    (result,) = document["results"]
    assert result["resources"] == [{"apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": "badpod"}]
    assert (result["policy"], result["rule"], result["result"]) == ("require-labels", "check-team", "fail")
    assert result["category"] == "Best Practices"
    assert document["summary"] == {"pass": 0, "fail": 1, "warn": 0, "error": 0, "skip": 0}


@pytest.mark.usefixtures("files")
def test_both_forms_of_the_report_say_the_same() -> None:
    text = pyvern("apply", "policy.yaml", "-r", "pod.yaml", "-p").out
    document = yaml.safe_load(text)
    other = report("policy.yaml", "-r", "pod.yaml")
    for one in (document, other):
        for result in one["results"]:
            del result["timestamp"]
    assert document == other


def test_a_mutated_object_is_what_later_policies_see(files: Path) -> None:
    (files / "mutation.yaml").write_text(MUTATION)
    ran = pyvern("apply", "mutation.yaml", "policy.yaml", "-r", "pod.yaml")
    assert "policy add-team applied to default/Pod/badpod:\n" in ran.out
    assert "    team: core\n" in ran.out
    assert "Mutation:\nMutation has been applied successfully.\n" in ran.out
    assert "pass: 2, fail: 0, warn: 0, error: 0, skip: 0 \n" in ran.out
    assert ran.status == 0


def test_mutated_objects_go_to_a_file_or_bare_to_standard_output(files: Path) -> None:
    (files / "mutation.yaml").write_text(MUTATION)
    (files / "out").mkdir()
    (files / "mutation.yaml").write_text(MUTATION)
    pyvern("apply", "mutation.yaml", "-r", "pod.yaml", "-o", "out")
    written = list(yaml.safe_load_all((files / "out" / "badpod-mutated.yaml").read_text()))
    assert written[0]["metadata"]["labels"] == {"team": "core"}
    (bare, *_) = yaml.safe_load_all(pyvern("apply", "mutation.yaml", "-r", "-", "-i", stdin=POD).out)
    assert bare["metadata"]["labels"] == {"team": "core"}


def test_a_name_does_not_lead_out_of_the_output_folder(files: Path) -> None:
    (files / "out").mkdir()
    (files / "mutation.yaml").write_text(MUTATION)
    (files / "escape.yaml").write_text(POD.replace("badpod", "../escaped"))
    ran = pyvern("apply", "mutation.yaml", "-r", "escape.yaml", "-o", "out")
    assert ran.status == 0
    assert [path.name for path in files.rglob("*escaped*")] == [".._escaped-mutated.yaml"]
    assert (files / "out/.._escaped-mutated.yaml").exists()


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("nowhere.yaml", "nowhere.yaml: no such file or folder"),
        ("pod.yaml", "pod.yaml:2:1: kind: `Pod` is no CustomResourceDefinition"),
        ("crd.yaml", "crd.yaml:4:8: spec.versions: must be a list, got `5`"),
    ],
)
def test_definitions_that_cannot_be_used_are_named(files: Path, file: str, reason: str) -> None:
    definition = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: a}\n"
    (files / "crd.yaml").write_text(definition + "spec: {versions: 5, names: {kind: A}}\n")
    (files / "mutation.yaml").write_text(MUTATION)
    ran = pyvern("apply", "mutation.yaml", "-r", "pod.yaml", "--crd-paths", file)
    assert ran.err == f"Error: {reason}\n"
    assert ran.status == 1


VALUES_HEAD = "apiVersion: cli.kyverno.io/v1alpha1\nkind: Values\n"


def test_an_operation_that_there_is_not_is_refused(files: Path) -> None:
    (files / "values.yaml").write_text(f"{VALUES_HEAD}globalValues: {{request.operation: update}}\n")
    ran = pyvern("apply", "policy.yaml", "-r", "pod.yaml", "-f", "values.yaml")
    reason = "`update` is none of CREATE, UPDATE, DELETE, CONNECT"
    assert (ran.status, ran.err) == (1, f"Error: values.yaml:3:16: globalValues.request.operation: {reason}\n")
    assert reason in pyvern("apply", "policy.yaml", "-r", "pod.yaml", "-s", "request.operation=update").err


def test_a_values_file_with_two_documents_is_refused(files: Path) -> None:
    (files / "values.yaml").write_text(f"{VALUES_HEAD}---\n{VALUES_HEAD}")
    ran = pyvern("apply", "policy.yaml", "-r", "pod.yaml", "-f", "values.yaml")
    assert (ran.status, ran.err) == (1, "Error: values.yaml:4: one document is expected, here are 2\n")


def test_a_broken_file_does_not_hide_the_others(files: Path) -> None:
    (files / "broken.yaml").write_text("kind: Pod\nmetadata: {name: x\n")
    ran = pyvern("apply", "policy.yaml", "-r", "broken.yaml,pod.yaml")
    assert "fail: 1" in ran.out
    assert "Error: broken.yaml:3:1: " in ran.err
    assert ran.status == 1


def test_a_broken_file_alone_shows_in_the_exit_status(files: Path) -> None:
    (files / "good.yaml").write_text(POD.replace("name: badpod", "name: good, labels: {team: a}"))
    (files / "broken.yaml").write_text("- 1\n")
    assert pyvern("apply", "policy.yaml", "-r", "good.yaml").status == 0
    ran = pyvern("apply", "policy.yaml", "-r", "good.yaml", "-r", "broken.yaml")
    assert (ran.status, "pass: 1" in ran.out) == (1, True)
    assert "broken.yaml:1:1: must be a map, got `[1]`" in ran.err


def test_an_invalid_policy_is_named_with_its_place_and_counts_as_an_error(files: Path) -> None:
    (files / "bad.yaml").write_text(POLICY.replace("pattern:", "patern:").replace("require-labels", "bad"))
    ran = pyvern("apply", "bad.yaml", "policy.yaml", "-r", "pod.yaml")
    assert "Invalid Policies:\n1. bad: bad.yaml:11:7: spec.rules[0].validate.patern: unknown field" in ran.out
    assert "fail: 1, warn: 0, error: 1" in ran.out
    quiet = pyvern("apply", "bad.yaml", "-r", "pod.yaml", "-p")
    assert "bad.yaml:11:7" in quiet.err
    assert quiet.status == 1


def test_a_kind_of_policy_that_cannot_be_asked_is_an_error_not_a_silence(files: Path) -> None:
    (files / "future.yaml").write_text("apiVersion: policies.kyverno.io/v9\nkind: FuturePolicy\nmetadata: {name: f}\n")
    ran = pyvern("apply", "future.yaml", "-r", "pod.yaml")
    assert "`policies.kyverno.io/v9, FuturePolicy`" in ran.err
    assert ran.status == 1


CONTEXT = """
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: with-context}
spec:
  rules:
  - name: read
    match: {any: [{resources: {kinds: [Pod]}}]}
    context:
    - name: settings
      configMap: {name: settings, namespace: default}
    validate:
      message: "{{ settings.data.mode }}"
      deny: {conditions: {all: [{key: "{{ settings.data.mode }}", operator: Equals, value: strict}]}}
"""
SETTINGS = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {mode: strict}\n"
VALUES = """
apiVersion: cli.kyverno.io/v1alpha1
kind: Values
policies:
- name: with-context
  rules: [{name: read, values: {settings.data.mode: strict}}]
"""


def test_context_comes_from_given_resources_or_values_and_is_never_made_up(files: Path) -> None:
    (files / "context.yaml").write_text(CONTEXT)
    (files / "settings.yaml").write_text(SETTINGS)
    (files / "values.yaml").write_text(VALUES)
    assert "1 - read strict\n" in pyvern("apply", "context.yaml", "-r", "pod.yaml", "-r", "settings.yaml").out
    assert "1 - read strict\n" in pyvern("apply", "context.yaml", "-r", "pod.yaml", "-f", "values.yaml").out
    nothing = pyvern("apply", "context.yaml", "-r", "pod.yaml")
    assert "fail: 0, warn: 0, error: 1" in nothing.out
    assert nothing.status == 1


@pytest.mark.parametrize(
    "source",
    ["imageRegistry: {reference: nginx}", "apiCall: {service: {url: https://example.org}}", "globalReference: {name: nowhere}"],
)
def test_a_default_does_not_hide_context_that_has_no_source(files: Path, source: str) -> None:
    text = CONTEXT.replace("configMap: {name: settings, namespace: default}", source).replace(".data.mode }}", " || 'none' }}")
    (files / "context.yaml").write_text(text)
    ran = pyvern("apply", "context.yaml", "-r", "pod.yaml")
    assert "pass: 0, fail: 0, warn: 0, error: 1, skip: 0" in ran.out
    assert "settings" in ran.out
    assert ran.status == 1


def test_a_word_that_yaml_takes_for_a_boolean_is_shown_as_such(files: Path) -> None:
    (files / "no.yaml").write_text(POLICY.replace("label 'team' is required", "no"))
    out = pyvern("apply", "no.yaml", "-r", "pod.yaml").out
    assert "no.yaml:10:7: spec.rules[0].validate.message: must be a string, got a boolean: `false`\n" in out


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("imageRegistry: {reference: nginx}", 'context that is not known here was asked for: "settings"'),
        ("configMap: {name: nowhere, namespace: default}", "failed to evaluate list settings.data.x: "),
    ],
)
def test_a_list_of_context_that_is_not_there_is_an_error_not_an_empty_list(files: Path, source: str, message: str) -> None:
    text = CONTEXT.partition("    validate:")[0].replace("configMap: {name: settings, namespace: default}", source)
    (files / "context.yaml").write_text(text + "    validate: {message: refused, foreach: [{list: settings.data.x, deny: {}}]}\n")
    (files / "settings.yaml").write_text(SETTINGS)
    ran = pyvern("apply", "context.yaml", "-r", "pod.yaml", "-r", "settings.yaml")
    assert f"1 - read {message}" in ran.out
    assert "pass: 0, fail: 0, warn: 0, error: 1, skip: 0" in ran.out
    assert ran.status == 1


LISTS = """
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Pod, metadata: {name: plain}}
- {apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Pod, metadata: {name: nested}}, 5]}
---
apiVersion: v1
kind: PodList
items:
- metadata: {name: typed}
- metadata: {name: 7}
"""


def test_lists_are_unpacked_and_faults_in_them_have_a_place(files: Path) -> None:
    (files / "lists.yaml").write_text(LISTS)
    ran = pyvern("apply", "policy.yaml", "-r", "lists.yaml")
    assert re.findall(r"default/Pod/(\w+) failed", ran.out) == ["plain", "nested", "typed"]
    assert ran.err.splitlines()[:2] == [
        "Error: lists.yaml:6:95: items[1].items[1]: must be a map, got `5`",
        "Error: lists.yaml:12:14: items[1].metadata.name: must be a string, got `7`",
    ]


def test_pipes_are_read_like_files(files: Path) -> None:
    os.mkfifo("pipe")
    with subprocess.Popen(["cp", "pod.yaml", "pipe"]):
        assert "policy require-labels -> resource default/Pod/badpod failed" in pyvern("apply", "policy.yaml", "-r", "pipe").out


def test_a_policy_within_a_list_is_refused_with_its_own_place(files: Path) -> None:
    policy = "{apiVersion: kyverno.io/v1, kind: ClusterPolicy, metadata: {name: p}, spec: {rulez: []}}"
    (files / "list.yaml").write_text(f"apiVersion: v1\nkind: List\nitems:\n- {policy}\n")
    assert (
        f"list.yaml:4:{policy.index('rulez') + 3}: items[0].spec.rulez: unknown field"
        in pyvern("apply", "list.yaml", "-r", "pod.yaml").out
    )


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("kinds: [Pod]", "kinds: []", "at least one element must be specified in a kind block"),
        ("{resources: {kinds: [Pod]}}", "{}", "match resources not specified"),
    ],
)
def test_a_match_without_kinds_is_refused_with_the_place_of_its_block(files: Path, old: str, new: str, reason: str) -> None:
    (files / "none.yaml").write_text(CONTEXT.replace(old, new))
    out = pyvern("apply", "none.yaml", "-r", "pod.yaml").out
    assert re.search(rf"none\.yaml:8:\d\d: .*{reason}", out)


def test_a_values_file_with_an_unknown_field_is_refused_with_its_place(files: Path) -> None:
    (files / "values.yaml").write_text("apiVersion: cli.kyverno.io/v1alpha1\nkind: Values\npolicies:\n- name: a\n  rulez: []\n")
    ran = pyvern("apply", "policy.yaml", "-r", "pod.yaml", "-f", "values.yaml")
    assert ran.err == "Error: values.yaml:5:3: policies[0].rulez: unknown field `rulez`\n"
    assert ran.status == 1


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "require policy"),
        (["policy.yaml"], "resource file(s) or cluster required"),
        (["-", "-r", "-"], "a stdin pipe can be used for either policies or resources, not both"),
        (
            ["policy.yaml", "-r", "pod.yaml", "-s", "a=b", "-f", "v.yaml"],
            "pass the values either using set flag or values_file flag",
        ),
        (["policy.yaml", "-r", "pod.yaml", "-f", "nowhere.yaml"], "nowhere.yaml: no such file or directory"),
    ],
)
def test_arguments_that_cannot_be_used(arguments: list[str], reason: str) -> None:
    ran = pyvern("apply", *arguments)
    assert ran.err == f"Error: {reason}\n"
    assert ran.status == 1


@pytest.mark.usefixtures("files")
def test_switches_may_be_written_as_go_does() -> None:
    assert pyvern("apply", "policy.yaml", "-r", "pod.yaml", "--policy-report=true").out.startswith("apiVersion: openreports")
    assert pyvern("apply", "policy.yaml", "-r", "pod.yaml", "--policy-report=false").out.startswith("\nApplying")


@pytest.mark.usefixtures("files")
def test_the_table_shows_results() -> None:
    out = pyvern("apply", "policy.yaml", "-r", "pod.yaml", "-t").out
    assert "│ ID │ POLICY         │ RULE       │ RESOURCE           │ RESULT │ REASON │" in out
    assert "│ 1  │ require-labels │ check-team │ default/Pod/badpod │ Fail   │ Fail   │" in out
    assert "\x1b" not in out


@pytest.mark.parametrize("flag", ["--json", "--http-payload", "--envoy-payload"])
def test_what_cannot_be_evaluated_is_refused_with_the_reason(flag: str) -> None:
    ran = pyvern("apply", "policy.yaml", flag, "payload.json")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith(f"Error: {flag}: JSON, HTTP and Envoy payloads are for policies of the group policies.kyverno.io")


@pytest.mark.parametrize("name", ["fix", "migrate", "oci"])
def test_commands_that_are_not_there_say_what_to_do(name: str) -> None:
    ran = pyvern(name, "policy", "x")
    assert ran.status == 1
    assert ran.err.startswith(f"Error: there is no command `{name}`: ")


def test_patched_targets_are_printed_and_written(tmp_path: Path) -> None:
    mutate = {
        "targets": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "s*"}],
        "patchStrategicMerge": {"data": {"seen": "1"}},
    }
    rule = {"name": "mark", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]}, "mutate": mutate}
    policy = {"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "marks"}, "spec": {"rules": [rule]}}
    (tmp_path / "policy.yaml").write_text(json.dumps(policy))
    (tmp_path / "pod.yaml").write_text(POD)
    target = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "sa", "namespace": "default"}}
    (tmp_path / "target.yaml").write_text(json.dumps(target))
    arguments = ("apply", tmp_path / "policy.yaml", "-r", tmp_path / "pod.yaml", "--target-resource", tmp_path / "target.yaml")
    out = pyvern(*arguments).out
    assert out.count("patched targets: default/ConfigMap/sa:\napiVersion: v1\n") == out.count("patched targets") > 0
    assert pyvern(*arguments, "-o", f"{tmp_path}/").status == 0
    assert yaml.safe_load((tmp_path / "sa-mutated.yaml").read_text().split("---")[0])["data"] == {"seen": "1"}

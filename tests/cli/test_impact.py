"""`pyvern impact` on snapshots: what is new compared with the policies in force, in all forms, and its exit status."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.program import Ran, pyvern

Document = dict[str, Any]
PODS = {"any": [{"resources": {"kinds": ["Pod"]}}]}
NAMESPACES = {"any": [{"resources": {"kinds": ["Namespace"]}}]}
TEAM = {"message": "say which team owns it", "pattern": {"metadata": {"labels": {"team": "?*"}}}}


def policy(name: str, *rules: Document, **spec: Any) -> Document:
    return {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": name, "annotations": {"pod-policies.kyverno.io/autogen-controllers": "none"}},
        "spec": {**spec, "rules": list(rules)},
    }


def team(action: str, **more: Any) -> Document:
    return policy("team", {"name": "team", "match": PODS, "validate": {"failureAction": action, **TEAM}}, **more)


def pod(name: str, namespace: str = "shop", **labels: str) -> Document:
    metadata = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [{"name": "a", "image": "b"}]}}


def thing(kind: str, name: str, namespace: str = "", **fields: Any) -> Document:
    metadata = {"name": name, "uid": f"uid-{name}", **({"namespace": namespace} if namespace else {})}
    metadata |= fields.pop("metadata", {})
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **fields}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(file: Path, *documents: Document) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.write_text("---\n".join(yaml.safe_dump(document) for document in documents))
    return file


def impact(here: Path, policies: list[Document], snapshot: list[Document], *flags: object) -> Ran:
    write(here / "policies.yaml", *policies)
    write(here / "snapshot" / "objects.yaml", {"apiVersion": "v1", "kind": "List", "items": snapshot})
    return pyvern("impact", "policies.yaml", "--snapshot", "snapshot", *flags)


def findings(here: Path, policies: list[Document], snapshot: list[Document], *flags: object) -> list[tuple[str, str]]:
    ran = impact(here, policies, snapshot, "-o", "json", *flags)
    found = [one for entry in json.loads(ran.out)["policies"] for one in entry["findings"]]
    return [(one["action"], one["resource"]["name"]) for one in found]


def test_a_new_policy_in_enforce_says_what_would_be_denied(here: Path) -> None:
    ran = impact(here, [team("Enforce")], [pod("good", team="a"), pod("bad")])
    assert "ClusterPolicy team (new)" in ran.out
    assert "1 object would newly be denied" in ran.out
    assert "shop/Pod/bad" in ran.out
    assert "shop/Pod/good" not in ran.out
    assert ran.status == 1


def test_audit_is_told_and_fails_only_where_it_is_named(here: Path) -> None:
    snapshot = [pod("bad")]
    assert findings(here, [team("Audit")], snapshot) == [("audit", "bad")]
    assert impact(here, [team("Audit")], snapshot).status == 0
    assert impact(here, [team("Audit")], snapshot, "--fail-on", "audit").status == 1
    assert impact(here, [team("Enforce")], snapshot, "--fail-on", "delete,mutate").status == 0
    assert impact(here, [team("Enforce")], snapshot, "--fail-on", "none").status == 0


def test_only_what_is_new_against_the_policy_in_force_is_told(here: Path) -> None:
    same = impact(here, [team("Audit")], [pod("bad"), team("Audit")])
    assert "nothing would change" in same.out
    assert "1 object as before" in same.out
    stricter = impact(here, [team("Enforce")], [pod("bad"), team("Audit")])
    assert "ClusterPolicy team (replaces the one in force)" in stricter.out
    assert "shop/Pod/bad  (fails under Audit now)" in stricter.out
    assert findings(here, [team("Audit")], [pod("bad"), team("Enforce")]) == [("resolve", "bad")]


def test_exceptions_of_the_snapshot_and_given_ones_count(here: Path) -> None:
    exception = {
        "apiVersion": "kyverno.io/v2",
        "kind": "PolicyException",
        "metadata": {"name": "legacy", "namespace": "shop"},
        "spec": {
            "match": {"any": [{"resources": {"kinds": ["Pod"], "names": ["old-*"]}}]},
            "exceptions": [{"policyName": "team", "ruleNames": ["team"]}],
        },
    }
    snapshot = [pod("old-1"), pod("new-1")]
    assert findings(here, [team("Enforce")], [*snapshot, exception]) == [("deny", "new-1")]
    file = write(here / "exception.yaml", exception)
    assert findings(here, [team("Enforce")], snapshot, "--exception", file) == [("deny", "new-1")]
    assert findings(here, [team("Enforce"), exception], snapshot) == [("deny", "new-1")]
    lifted = findings(here, [team("Enforce"), exception], [*snapshot, team("Enforce")])
    assert lifted == [("resolve", "old-1")]


def test_namespaces_and_kinds_that_the_installation_leaves_out_are_left_out(here: Path) -> None:
    config = thing("ConfigMap", "kyverno", "kyverno", data={"resourceFilters": "[Pod,shop,till*]"})
    snapshot = [pod("till-1"), pod("bad"), pod("proxy", "kube-system")]
    assert findings(here, [team("Enforce")], snapshot) == [("deny", "bad"), ("deny", "till-1")]
    assert findings(here, [team("Enforce")], [*snapshot, config]) == [("deny", "bad")]


def test_namespaces_are_selected_by_their_labels_and_their_absence_is_told(here: Path) -> None:
    selective = team("Enforce")
    resources = {"kinds": ["Pod"], "namespaceSelector": {"matchLabels": {"tier": "prod"}}}
    selective["spec"]["rules"][0]["match"] = {"any": [{"resources": resources}]}
    prod = thing("Namespace", "shop", metadata={"labels": {"tier": "prod"}})
    assert findings(here, [selective], [pod("bad"), pod("other", "test"), prod]) == [("deny", "bad")]
    assert "note: there are no Namespaces in snapshot" in impact(here, [selective], [pod("bad")]).out


def test_mutations_are_shown_as_minimal_differences(here: Path) -> None:
    mutating = policy(
        "cost", {"name": "cost", "match": PODS, "mutate": {"patchStrategicMerge": {"metadata": {"labels": {"+(cost)": "x"}}}}}
    )
    ran = impact(here, [mutating], [pod("bare"), pod("paid", cost="y")])
    assert "1 object would be mutated" in ran.out
    assert "+    cost: x" in ran.out
    assert "shop/Pod/paid" not in ran.out
    assert "nothing would change" in impact(here, [mutating], [pod("bare"), mutating]).out


def test_a_policy_that_mutates_is_asked_before_one_that_validates(here: Path) -> None:
    mutating = policy(
        "own", {"name": "own", "match": PODS, "mutate": {"patchStrategicMerge": {"metadata": {"labels": {"+(team)": "x"}}}}}
    )
    assert findings(here, [team("Enforce"), mutating], [pod("bare")]) == [("mutate", "bare")]


def stamping(value: str, **spec: Any) -> Document:
    rule = {
        "name": "stamp",
        "match": NAMESPACES,
        "mutate": {
            "targets": [{"apiVersion": "v1", "kind": "Secret", "namespace": "{{request.object.metadata.name}}"}],
            "patchStrategicMerge": {"metadata": {"labels": {"stamp": value}}},
        },
    }
    return policy("stamp", rule, **spec)


def test_targets_of_existing_triggers_change(here: Path) -> None:
    snapshot = [thing("Namespace", "shop"), thing("Secret", "s", "shop", data={"key": "c2VjcmV0"})]
    ran = impact(here, [stamping("one", mutateExistingOnPolicyUpdate=True)], snapshot)
    assert "shop/Secret/s  (at once)" in ran.out
    assert "+    stamp: one" in ran.out
    assert "c2VjcmV0" not in ran.out
    assert "shop/Secret/s  (when a trigger changes)" in impact(here, [stamping("one")], snapshot).out
    assert findings(here, [stamping("one")], [*snapshot, stamping("one")]) == []
    assert findings(here, [stamping("two")], [*snapshot, stamping("one")]) == [("change", "s")]


def quota(pods: str, *, rule: str = "quota", **generate: Any) -> Document:
    target = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "name": "default",
        "namespace": "{{request.object.metadata.name}}",
        "synchronize": True,
        "data": {"spec": {"hard": {"pods": pods}}},
        **generate,
    }
    return policy("quota", {"name": rule, "match": NAMESPACES, "generate": target})


def made(pods: str, namespace: str = "shop") -> Document:
    """A ResourceQuota as the policy `quota` makes it."""
    prefix = "generate.kyverno.io/"
    labels = {
        f"{prefix}policy-name": "quota",
        f"{prefix}policy-namespace": "",
        f"{prefix}rule-name": "quota",
        f"{prefix}trigger-uid": f"uid-{namespace}",
        f"{prefix}trigger-group": "",
        f"{prefix}trigger-version": "v1",
        f"{prefix}trigger-kind": "Namespace",
        f"{prefix}trigger-namespace": "",
        "app.kubernetes.io/managed-by": "kyverno",
    }
    return thing("ResourceQuota", "default", namespace, metadata={"labels": labels}, spec={"hard": {"pods": pods}})


def test_downstreams_are_created_only_where_the_rule_concerns_existing_triggers(here: Path) -> None:
    snapshot = [thing("Namespace", "shop")]
    assert findings(here, [quota("5", generateExisting=True)], snapshot) == [("create", "default")]
    ran = impact(here, [quota("5")], snapshot)
    assert "rule quota: 1 object would trigger it, but not before the next change: generateExisting is not set" in ran.out
    assert ran.status == 0


def test_downstreams_follow_a_changed_rule_and_go_with_a_rule_that_is_gone(here: Path) -> None:
    snapshot = [thing("Namespace", "shop"), made("5"), quota("5")]
    assert findings(here, [quota("5")], snapshot) == []
    ran = impact(here, [quota("9")], snapshot)
    assert "shop/ResourceQuota/default  (at once)" in ran.out
    assert "-    pods: '5'" in ran.out.replace('"', "'")
    assert "+    pods: '9'" in ran.out.replace('"', "'")
    assert findings(here, [quota("5", rule="other")], snapshot) == [("delete", "default")]


def test_what_exists_and_is_not_synchronized_is_left_alone(here: Path) -> None:
    other = thing("ResourceQuota", "default", "shop", spec={"hard": {"pods": "1"}})
    snapshot = [thing("Namespace", "shop"), other]
    assert findings(here, [quota("5", generateExisting=True, synchronize=False)], snapshot) == []
    assert findings(here, [quota("5", generateExisting=True)], snapshot) == [("change", "default")]


def cleanup(schedule: str) -> Document:
    match = {"any": [{"resources": {"kinds": ["Pod"], "names": ["tmp-*"]}}]}
    metadata = {"name": "tmp"}
    return {
        "apiVersion": "kyverno.io/v2",
        "kind": "ClusterCleanupPolicy",
        "metadata": metadata,
        "spec": {"schedule": schedule, "match": match},
    }


def test_a_cleanup_policy_names_what_goes_and_when_first(here: Path) -> None:
    snapshot = [pod("tmp-1"), pod("till")]
    ran = impact(here, [cleanup("0 3 1 1 *")], snapshot)
    assert "1 object would be deleted" in ran.out
    assert "-01-01 at 03:00 UTC)" in ran.out
    assert findings(here, [cleanup("0 3 1 1 *")], [*snapshot, cleanup("0 3 1 1 *")]) == []
    assert findings(here, [cleanup("0 3 1 1 *")], [*snapshot, cleanup("0 3 2 2 *")]) == [("delete", "tmp-1")]


def test_rules_that_ask_who_asks_are_named_and_asked_with_user_info(here: Path) -> None:
    deny = {"key": "{{request.userInfo.username}}", "operator": "NotEquals", "value": "admin"}
    asking = policy(
        "who",
        {"name": "who", "match": PODS, "validate": {"failureAction": "Enforce", "deny": {"conditions": {"any": [deny]}}}},
        background=False,
    )
    ran = impact(here, [asking], [pod("p")])
    assert "note: rule who depends on who asks: say who with --userinfo" in ran.out
    assert ran.status == 0
    info = {
        "apiVersion": "cli.kyverno.io/v1alpha1",
        "kind": "UserInfo",
        "metadata": {"name": "u"},
        "userInfo": {"username": "ann"},
    }
    assert findings(here, [asking], [pod("p")], "--userinfo", write(here / "user.yaml", info)) == [("deny", "p")]


def test_rules_that_err_are_told_as_such(here: Path) -> None:
    broken = policy(
        "err",
        {
            "name": "err",
            "match": PODS,
            "validate": {"message": "x", "pattern": {"spec": {"a": "{{request.object.spec.nowhere}}"}}},
        },
    )
    ran = impact(here, [broken], [pod("p")])
    assert "1 object on which rules would newly err" in ran.out
    assert "nowhere" in ran.out
    assert ran.status == 1


def test_forms(here: Path) -> None:
    policies, snapshot = [team("Enforce")], [pod("bad"), pod("worse")]
    document = json.loads(impact(here, policies, snapshot, "-o", "json").out)
    assert (document["totals"]["deny"], document["objects"], document["exitStatus"], document["failing"]) == (2, 2, 1, ["deny"])
    assert yaml.safe_load(impact(here, policies, snapshot, "-o", "yaml").out) == document
    markdown = impact(here, policies, snapshot, "-o", "markdown").out
    assert "| policy | deny |" in markdown
    assert "| `team` (new) | 2 |" in markdown
    table = impact(here, policies, snapshot, "-o", "table").out
    assert [line.split()[7] for line in table.splitlines() if " deny " in line] == ["shop/Pod/bad", "shop/Pod/worse"]
    short = impact(here, policies, snapshot, "--limit", "1").out
    assert "shop/Pod/bad" in short
    assert "shop/Pod/worse" not in short
    assert "… and 1 more: --limit 0 shows all" in short


def test_policies_come_from_standard_input_and_git(here: Path) -> None:
    write(here / "snapshot.yaml", pod("bad"))
    ran = pyvern("impact", "-", "--snapshot", "snapshot.yaml", stdin=yaml.safe_dump(team("Enforce")))
    assert "shop/Pod/bad" in ran.out
    assert ran.status == 1
    write(here / "repository" / "team.yaml", team("Enforce"))
    git = ("git", "-c", "user.name=t", "-c", "user.email=t@example.com")
    for arguments in (("init", "-q", "-b", "main"), ("add", "."), ("commit", "-qm", "x")):
        subprocess.run([*git, *arguments], cwd=here / "repository", check=True)
    assert "shop/Pod/bad" in pyvern("impact", "repository", "--snapshot", "snapshot.yaml").out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "name the policies"),
        (("p.yaml", "--cluster", "--snapshot", "s.yaml"), "choose one of them"),
        (("p.yaml", "--snapshot", "s.yaml", "--fail-on", "dney"), "--fail-on: `dney` is none of all, none, deny"),
        (("p.yaml", "--snapshot", "s.yaml", "--context", "c"), "--context is for clusters"),
        (("p.yaml", "--snapshot", "s.yaml", "--limit", "-3"), "-3"),
        (("p.yaml", "--bogus"), "--bogus"),
        (("p.yaml", "--snapshot", "s.yaml", "--userinfo", "nowhere.yaml"), "nowhere.yaml"),
    ],
)
def test_arguments_that_cannot_be_used_end_with_status_2(here: Path, arguments: tuple[str, ...], complaint: str) -> None:
    write(here / "p.yaml", team("Enforce"))
    write(here / "s.yaml", pod("bad"))
    ran = pyvern("impact", *arguments)
    assert ran.status == 2
    assert ran.err.startswith("Error: ")
    assert complaint in ran.err


def test_bad_files_are_named_and_the_rest_is_answered(here: Path) -> None:
    broken = team("Enforce")
    broken["metadata"]["name"] = "broken"
    broken["spec"]["rules"][0]["validate"]["failureAction"] = "Refuse"
    (here / "odd.yaml").write_text("kind: [\n")
    write(here / "policies.yaml", team("Enforce"), broken)
    write(here / "snapshot" / "a.yaml", pod("bad"))
    (here / "snapshot" / "b.yaml").write_text("apiVersion: v1\nkind: Pod\nmetadata: 7\n")
    ran = pyvern("impact", "policies.yaml", "odd.yaml", "--snapshot", "snapshot")
    assert ran.status == 2
    assert "shop/Pod/bad" in ran.out
    errors = [line for line in ran.out.splitlines() if line.startswith("error: ")]
    assert any(
        "policies.yaml:" in line and "spec.rules[0].validate.failureAction" in line and "Refuse" in line for line in errors
    )
    assert any("odd.yaml:" in line for line in errors)
    assert any("b.yaml:" in line and "metadata" in line for line in errors)


def test_an_object_counts_once_in_the_sums(here: Path) -> None:
    other = team("Enforce")
    other["metadata"]["name"] = "other"
    document = json.loads(impact(here, [team("Enforce"), other], [pod("bad")], "-o", "json").out)
    assert [entry["counts"]["deny"] for entry in document["policies"]] == [1, 1]
    assert document["totals"]["deny"] == 1

"""`pyvern lint`: findings with their places, and what they are about."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from cli.rbac import SHIPPED, rules_of_roles
from tests.cli.program import Ran, pyvern

ROOT = Path(__file__).resolve().parents[2]


def linted(tmp_path: Path, text: str, *arguments: str) -> Ran:
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    ran = pyvern("lint", file, *arguments)
    return ran._replace(out=ran.out.replace(f"{tmp_path}/", ""))


def policy(rule: str, spec: str = "") -> str:
    head = "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nmetadata:\n  name: p\nspec:\n"
    return head + spec + "  rules:\n  - name: r\n" + "".join(f"    {line}\n" for line in rule.splitlines())


MATCH = "match: {any: [{resources: {kinds: [Pod]}}]}\n"
GOOD = policy(MATCH + "validate: {message: 'no', deny: {}}")


def codes(tmp_path: Path, text: str, *arguments: str) -> list[tuple[str, str]]:
    found = json.loads(linted(tmp_path, text, "-o", "json", *arguments).out)
    return [(finding["code"], finding["path"]) for finding in found]


def test_nothing_to_complain_about(tmp_path: Path) -> None:
    assert linted(tmp_path, GOOD) == (0, "1 policy: nothing to complain about\n", "")


def test_a_finding_has_its_place_a_caret_and_advice(tmp_path: Path) -> None:
    ran = linted(tmp_path, policy(MATCH + "validate:\n  mesage: 'hi {{ to_uper(`1`) }}'\n  deny: {}"))
    assert ran.status == 1
    assert ran.out.splitlines() == [
        "policy.yaml:10:7: error: spec.rules[0].validate.mesage: unknown field `mesage` [unknown-field]",
        "  10 |       mesage: 'hi {{ to_uper(`1`) }}'",
        "     |       ^ did you mean `message`?",
        "policy.yaml:10:22: error: spec.rules[0].validate.mesage: unknown function `to_uper` [unknown-function]",
        "  10 |       mesage: 'hi {{ to_uper(`1`) }}'",
        "     |                      ^ did you mean `to_upper`?",
        "1 policy: 2 errors",
    ]


def test_braces_that_are_not_closed_are_noticed(tmp_path: Path) -> None:
    ran = linted(tmp_path, policy(MATCH + "validate:\n  message: 'x {{ request.name'\n  deny: {}"))
    assert ran.out.splitlines()[0] == (
        "policy.yaml:10:19: warning: spec.rules[0].validate.message: `{{` begins no variable, it is taken as text [unclosed]"
    )
    fine = r"{{ request.object.{{ request.name }} }} \{{ x }} \{{ {{ {a: request.name} }}"
    assert codes(tmp_path, policy(MATCH + f"validate:\n  message: '{fine}'\n  deny: {{}}")) == []


def test_every_unknown_field_is_found(tmp_path: Path) -> None:
    text = policy(
        "match: {any: [{resources: {kind: [Pod], kinds: [Pod]}}]}\nvalidate: {deny: {}, mesage: x}", "  backgrond: true\n"
    )
    assert codes(tmp_path, text) == [
        ("unknown-field", "spec.backgrond"),
        ("unknown-field", "spec.rules[0].match.any[0].resources.kind"),
        ("unknown-field", "spec.rules[0].validate.mesage"),
    ]


def test_places_within_folded_text(tmp_path: Path) -> None:
    text = policy(MATCH + "validate:\n  deny: {}\n  message: >-\n    one\n    {{ lenght(@) }}")
    assert "policy.yaml:13:12: error: spec.rules[0].validate.message: unknown function `lenght`" in linted(tmp_path, text).out


def test_a_foreach_over_a_faulty_list_is_an_error_although_the_engine_just_sees_no_elements(tmp_path: Path) -> None:
    text = policy(MATCH + "validate: {foreach: [{list: 'request.object.spec[', deny: {}}]}")
    assert codes(tmp_path, text) == [("expression", "spec.rules[0].validate.foreach[0].list")]


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        (
            "match: {any: [{resources: {kinds: [Pod], namespaces: [a]}}]}\n"
            "exclude: {any: [{resources: {kinds: ['*'], namespaces: ['*']}}]}",
            "match.any[0]",
        ),
        ("match: {any: [{resources: {kinds: [a/b/c/d/e]}}]}", "match.any[0].resources.kinds[0]"),
        ("match: {any: [{resources: {kinds: [Node], namespaces: [a]}}]}", "match.any[0].resources.namespaces"),
        (MATCH + "preconditions: {all: [{key: a, operator: Equals, value: b}]}", "preconditions.all[0]"),
        (MATCH + "preconditions: {any: [{key: a, operator: Equals, value: b}]}", "preconditions.any"),
        (
            MATCH + "preconditions: {all: [{key: '{{ request.namespace }}', operator: Equals, value: a}, "
            "{key: '{{request.namespace}}', operator: NotEquals, value: a}]}",
            "preconditions.all[0]",
        ),
        (
            MATCH + "preconditions: {all: [{key: '{{ request.namespace }}', operator: AnyIn, value: [a, b]}, "
            "{key: '{{request.namespace}}', operator: AnyNotIn, value: [a, b, c]}]}",
            "preconditions.all[0]",
        ),
        (
            "match: {any: [{resources: {kinds: [Pod], operations: [CREATE]}}]}\n"
            "preconditions: {all: [{key: '{{ request.operation }}', operator: Equals, value: UPDATE}]}",
            "preconditions.all[0]",
        ),
    ],
)
def test_rules_that_never_apply(tmp_path: Path, rule: str, path: str) -> None:
    found = codes(tmp_path, policy(f"{rule}\nvalidate: {{deny: {{}}}}", "  background: false\n"), "--ignore", "deprecated")
    assert ("unreachable", f"spec.rules[0].{path}") in found


@pytest.mark.parametrize(
    "rule",
    [
        "match: {any: [{resources: {kinds: [Pod]}}]}\nexclude: {any: [{resources: {kinds: [Pod], namespaces: [a]}}]}",
        "match: {any: [{resources: {kinds: [Pod], namespaces: [a*]}}]}\nexclude: {any: [{resources: {namespaces: [ab]}}]}",
        MATCH + "preconditions: {all: [{key: '{{ request.namespace }}', operator: AnyIn, value: [a, b]}, "
        "{key: '{{request.namespace}}', operator: NotEquals, value: a}]}",
        MATCH + "preconditions: {all: [{key: '{{ request.namespace }}', operator: Equals, value: 'a*'}, "
        "{key: '{{request.namespace}}', operator: NotEquals, value: ab}]}",
        MATCH + "preconditions: {any: [{key: '{{ request.operation }}', operator: Equals, value: UPDATE}]}",
    ],
)
def test_rules_that_may_apply_are_left_alone(tmp_path: Path, rule: str) -> None:
    assert codes(tmp_path, policy(f"{rule}\nvalidate: {{deny: {{}}}}")) == []


def test_patterns_are_never_asked_about_deletions(tmp_path: Path) -> None:
    text = policy("match: {any: [{resources: {kinds: [Pod], operations: [DELETE]}}]}\nvalidate: {pattern: {spec: {}}}")
    assert codes(tmp_path, text) == [("unreachable", "spec.rules[0].match")]


def test_old_forms_say_what_to_write_instead(tmp_path: Path) -> None:
    text = policy(
        "match: {resources: {kinds: [Pod], name: x}}\n"
        "preconditions: [{key: '{{ request.namespace }}', operator: In, value: [a]}]\nvalidate: {deny: {}}",
        "  validationFailureAction: Audit\n  webhookTimeoutSeconds: 5\n",
    )
    found = json.loads(linted(tmp_path, text, "-o", "json").out)
    assert [(finding["path"], finding["help"]) for finding in found] == [
        ("spec.validationFailureAction", "use `validate.failureAction` of the rules"),
        ("spec.webhookTimeoutSeconds", "use `spec.webhookConfiguration.timeoutSeconds`"),
        ("spec.rules[0].match", "put the block under `match.any`"),
        ("spec.rules[0].match.resources.name", "use `names`"),
        ("spec.rules[0].preconditions", "put it under `all`"),
        ("spec.rules[0].preconditions[0].operator", "use AnyIn or AllIn"),
    ]


def test_warnings_do_not_fail_unless_strict(tmp_path: Path) -> None:
    text = policy(MATCH + "validate: {deny: {}}", "  validationFailureAction: Audit\n")
    assert linted(tmp_path, text).status == 0
    assert linted(tmp_path, text, "--strict").status == 1
    assert linted(tmp_path, text, "--strict", "--ignore", "deprecated").status == 0


GENERATE = policy(
    "match: {any: [{resources: {kinds: [Namespace]}}]}\n"
    "generate: {apiVersion: v1, kind: Secret, name: s, namespace: d, clone: {name: s, namespace: d}}"
)


def test_missing_rights_are_notes_and_can_be_printed_as_roles(tmp_path: Path) -> None:
    assert codes(tmp_path, GENERATE) == [("permission", "spec.rules[0].generate.kind")]
    role = yaml.safe_load(linted(tmp_path, GENERATE, "--rbac").out)
    assert role["metadata"]["labels"] == {"rbac.kyverno.io/aggregate-to-background-controller": "true"}
    assert role["rules"] == [
        {
            "apiGroups": [""],
            "resources": ["secrets"],
            "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"],
        }
    ]


def test_rights_that_other_roles_give_are_not_missing(tmp_path: Path) -> None:
    role = tmp_path / "role.yaml"
    role.write_text(linted(tmp_path, GENERATE, "--rbac").out)
    assert codes(tmp_path, GENERATE, "--role", str(role)) == []


def test_calls_of_the_api_server_need_rights_of_whoever_evaluates(tmp_path: Path) -> None:
    call = "[{name: s, apiCall: {urlPath: '/api/v1/namespaces/{{ request.namespace }}/secrets'}}]"
    text = policy(MATCH + f"context: {call}\nvalidate: {{deny: {{}}}}")
    found = json.loads(linted(tmp_path, text, "-o", "json").out)
    assert [finding["message"] for finding in found] == [
        "the admission-controller may not get, list `secrets`",
        "the reports-controller may not get, list `secrets`",
    ]
    assert codes(tmp_path, text.replace("secrets", "pods")) == []


def test_the_shipped_rights_are_those_of_the_manifests() -> None:
    for controller, rules in SHIPPED.items():
        component = controller.removesuffix("-controller")
        text = (ROOT / f"deploy/components/{component}/cluster-roles.yaml").read_text()
        written = rules_of_roles(yaml.safe_load_all(text))[controller]
        granted = {(group, resource, verb) for group, resources, verbs in written for resource in resources for verb in verbs}
        for group, resources, verbs in rules:
            if group in ("", "rbac.authorization.k8s.io", "resource.k8s.io", "networking.k8s.io") and verbs != (
                "get",
                "list",
                "watch",
            ):
                claimed = {(group, resource, verb) for resource in resources for verb in verbs}
                assert claimed <= granted, (controller, claimed - granted)


def test_broken_files_are_findings_and_do_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: [\n")
    (tmp_path / "b.yaml").write_text(GOOD.replace("deny", "denny"))
    (tmp_path / "c.yaml").write_text("apiVersion: v1\nkind: Pod\nmetadata: {name: passed-by}\n")
    ran = pyvern("lint", tmp_path, "-o", "json")
    assert ran.status == 1
    assert [(finding["code"], Path(finding["file"]).name) for finding in json.loads(ran.out)] == [
        ("invalid", "a.yaml"),
        ("unknown-field", "b.yaml"),
    ]


def test_sarif_names_file_and_place(tmp_path: Path) -> None:
    log = json.loads(linted(tmp_path, GOOD.replace("deny", "denny"), "-o", "sarif").out)
    (run,) = log["runs"]
    result = run["results"][0]
    assert (log["version"], result["ruleId"], result["level"]) == ("2.1.0", "unknown-field", "error")
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == "unknown-field"
    region = result["locations"][0]["physicalLocation"]["region"]
    assert (region["startLine"], region["startColumn"]) == (9, 31)


def test_an_unknown_code_is_an_error(tmp_path: Path) -> None:
    assert "`nothing` is no code" in linted(tmp_path, GOOD, "--ignore", "nothing").err


def test_policies_of_the_pod_security_standards_have_nothing_but_notes() -> None:
    ran = pyvern("lint", ROOT / "deploy/policies/pod-security/base", "-o", "json")
    assert ran.status == 0
    assert {finding["level"] for finding in json.loads(ran.out)} <= {"note"}

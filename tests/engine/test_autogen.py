"""Rules for pod controllers (spec 2.11, 9.5)."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from engine.compiler.autogen import generated_rules
from engine.errors import InvalidPolicy
from engine.request import Object
from tests.conformance.oracle import conformance_dir

TEMPLATES = [
    "apps/v1/DaemonSet",
    "apps/v1/Deployment",
    "batch/v1/Job",
    "apps/v1/ReplicaSet",
    "v1/ReplicationController",
    "apps/v1/StatefulSet",
]


def rule(body: Object | None = None, **more: Any) -> Object:
    return {
        "name": "check",
        "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
        "validate": body or {"pattern": {"metadata": {"labels": {"team": "?*"}}}},
        **more,
    }


def generated(*rules: Object, controllers: str | None = None) -> list[Object]:
    annotations = {} if controllers is None else {"pod-policies.kyverno.io/autogen-controllers": controllers}
    return [made.document for made in generated_rules(annotations, list(rules))]


def test_a_pod_rule_makes_two() -> None:
    templates, cron = generated(rule())
    assert (templates["name"], cron["name"]) == ("autogen-check", "autogen-cronjob-check")
    assert templates["match"]["any"][0]["resources"]["kinds"] == TEMPLATES
    assert cron["match"]["any"][0]["resources"]["kinds"] == ["batch/v1/CronJob"]
    assert templates["validate"]["pattern"] == {"spec": {"template": {"metadata": {"labels": {"team": "?*"}}}}}
    assert cron["validate"]["pattern"] == {
        "spec": {"jobTemplate": {"spec": {"template": {"metadata": {"labels": {"team": "?*"}}}}}}
    }


def test_the_written_rule_is_left_alone() -> None:
    written = rule()
    before = repr(written)
    generated(written)
    assert repr(written) == before


def test_variables_move_into_the_template_everywhere_even_in_messages() -> None:
    body = {"message": "request.object.spec.x", "deny": {"conditions": {"all": [{"key": "{{ request.object.spec.x }}"}]}}}
    templates, cron = generated(rule(body, preconditions={"all": [{"key": "{{ request.oldObject.metadata.labels }}"}]}))
    assert templates["validate"]["message"] == "request.object.spec.template.spec.x"
    assert templates["preconditions"]["all"][0]["key"] == "{{ request.oldObject.spec.template.metadata.labels }}"
    assert cron["validate"]["deny"]["conditions"]["all"][0]["key"] == "{{ request.object.spec.jobTemplate.spec.template.spec.x }}"


@pytest.mark.parametrize(
    ("controllers", "names"),
    [
        ("none", []),
        ("", []),
        ("Deployment", ["apps/v1/Deployment"]),
        ("StatefulSet,Deployment", ["apps/v1/Deployment", "apps/v1/StatefulSet"]),
        ("Deployment,Nope", ["apps/v1/Deployment", "Nope"]),
        ("StatefulSet, Deployment", ["apps/v1/StatefulSet"]),
    ],
)
def test_the_annotation_names_controllers(controllers: str, names: list[str]) -> None:
    made = generated(rule(), controllers=controllers)
    assert [kind for document in made for kind in document["match"]["any"][0]["resources"]["kinds"]] == names


def test_all_is_no_longer_supported() -> None:
    with pytest.raises(InvalidPolicy):
        generated(rule(), controllers="all")


@pytest.mark.parametrize(
    "resources",
    [
        {"kinds": ["Pod"], "name": "x"},
        {"kinds": ["Pod"], "names": ["x*"]},
        {"kinds": ["Pod"], "selector": {"matchLabels": {"a": "b"}}},
        {"kinds": ["Pod"], "annotations": {"a": "b"}},
        {"kinds": ["Pod", "Service"]},
        {"kinds": ["Deployment"]},
    ],
)
def test_a_rule_that_picks_its_pods_stays_alone(resources: Object) -> None:
    picky = rule(match={"any": [{"resources": resources}]})
    assert generated(picky) == []


def test_an_exclude_of_other_kinds_keeps_the_rule_alone() -> None:
    assert generated(rule(exclude={"any": [{"resources": {"kinds": ["Deployment"]}}]})) == []
    (templates, _) = generated(rule(exclude={"any": [{"resources": {"kinds": ["Pod"], "namespaces": ["x"]}}]}))
    assert templates["exclude"]["any"][0]["resources"] == {"kinds": TEMPLATES, "namespaces": ["x"]}


@pytest.mark.parametrize(
    "other",
    [
        {"name": "g", "match": {"any": [{"resources": {"kinds": ["Namespace"]}}]}, "generate": {"kind": "ConfigMap"}},
        {"name": "m", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]}, "mutate": {"patchesJson6902": "[]"}},
        {"name": "f", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]}, "mutate": {"foreach": [{"patchesJson6902": "[]"}]}},
    ],
)
def test_one_rule_that_cannot_be_rewritten_stops_all(other: Object) -> None:
    assert generated(rule(), other) == []


def test_foreach_patterns_look_at_elements_and_stay() -> None:
    body = {"foreach": [{"list": "request.object.spec.containers", "pattern": {"image": "x"}}]}
    templates, _ = generated(rule(body))
    assert templates["validate"]["foreach"] == [
        {"list": "request.object.spec.template.spec.containers", "pattern": {"image": "x"}}
    ]


def test_mutations_are_placed_in_the_template() -> None:
    patch = {"spec": {"dnsPolicy": "Default"}}
    mutate = {"name": "m", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]}, "mutate": {"patchStrategicMerge": patch}}
    templates, _ = generated(mutate)
    assert templates["mutate"]["patchStrategicMerge"] == {"spec": {"template": patch}}


def test_long_names_are_cut() -> None:
    templates, cron = generated(rule(name="x" * 63))
    assert len(templates["name"]) == len(cron["name"]) == 63


def asserted() -> list[tuple[str, Object, list[Object]]]:
    """(test, policy, asserted rules) of the chainsaw tests of generated rules."""
    folder = conformance_dir() / "data" / "kyverno" / "test" / "conformance" / "chainsaw" / "autogen"
    if not folder.is_dir():
        pytest.skip(f"no chainsaw data in {folder}")
    found = []
    for test in sorted(path for path in folder.iterdir() if path.is_dir()):
        policy, check = (yaml.safe_load((test / name).read_text()) for name in ("policy.yaml", "check-autogen.yaml"))
        found.append((test.name, policy, ((check.get("status") or {}).get("autogen") or {}).get("rules") or []))
    return found


def test_status_shows_what_kyvernos_tests_assert() -> None:
    for test, policy, wanted in asserted():
        annotations = policy["metadata"].get("annotations") or {}
        made = [g.document for g in generated_rules(annotations, policy["spec"]["rules"])]
        assert len(made) == len(wanted), test
        for document, expected in zip(made, wanted, strict=True):
            assert _contains(document, expected), f"{test}: {document} does not contain {expected}"


def _contains(value: Any, expected: Any) -> bool:
    if isinstance(expected, dict):
        return isinstance(value, dict) and all(key in value and _contains(value[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return isinstance(value, list) and len(value) == len(expected) and all(map(_contains, value, expected))
    return bool(value == expected)

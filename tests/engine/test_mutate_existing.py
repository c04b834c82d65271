"""Rules with targets: which objects they want, and what becomes of them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from engine import EvaluationError, InvalidPolicy, Outcome, Rule, Status, compile_policy, is_target, mutate_target, targets_of
from tests.policies import cluster_policy, request_for

Json = Any

TRIGGER = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "trigger", "labels": {"app": "web"}}, "data": {"k": "v"}}
SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "one", "namespace": "default", "labels": {"app": "web"}},
    "data": {"a": "1"},
}


def compiled(*targets: dict[str, Json], patch: Json = None, **more: Json) -> Rule:
    rule = {
        "name": "r",
        "match": {"any": [{"resources": {"kinds": ["ConfigMap"]}}]},
        "mutate": {
            "targets": [{"apiVersion": "v1", "kind": "Secret", **target} for target in targets],
            **(patch or {"patchStrategicMerge": {"data": {"b": "{{ request.object.data.k }}"}}}),
        },
        **more,
    }
    (only,) = compile_policy(cluster_policy(rule)).rules
    return only


def patched(rule: Rule, target: Json = SECRET) -> Outcome:
    outcome = mutate_target(rule, request_for(TRIGGER), target)
    assert outcome is not None
    return outcome


def test_targets_are_named_with_their_variables_resolved() -> None:
    rule = compiled({"name": "{{ request.object.data.k }}", "namespace": "default"})
    assert targets_of(rule, request_for(TRIGGER)) == (
        {"apiVersion": "v1", "kind": "Secret", "namespace": "default", "name": "v"},
    )


def test_a_trigger_that_does_not_match_has_no_targets() -> None:
    assert targets_of(compiled({"name": "one"}), request_for(SECRET)) == ()


def test_preconditions_of_the_rule_hold_back_its_targets() -> None:
    never = {"all": [{"key": "a", "operator": "Equals", "value": "b"}]}
    assert targets_of(compiled({"name": "one"}, preconditions=never), request_for(TRIGGER)) == ()


def test_an_unknown_variable_in_a_target_is_an_error() -> None:
    rule = compiled({"name": "{{ request.object.data.nope }}"})
    with pytest.raises(EvaluationError, match="failed to substitute variables in target"):
        targets_of(rule, request_for(TRIGGER))


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ({"name": "one", "namespace": "default"}, True),
        ({"name": "o*", "namespace": "*"}, True),
        ({}, True),
        ({"name": "two"}, False),
        ({"namespace": "other"}, False),
        ({"selector": {"matchLabels": {"app": "web"}}}, True),
        ({"selector": {"matchLabels": {"app": "db"}}}, False),
        ({"kind": "ConfigMap"}, False),
        ({"apiVersion": "v2"}, False),
        ({"uid": "u"}, False),
    ],
)
def test_what_a_selector_document_means(wanted: Json, fits: bool) -> None:
    assert is_target({"apiVersion": "v1", "kind": "Secret", **wanted}, SECRET) is fits


def test_a_target_is_patched_with_what_the_trigger_says() -> None:
    outcome = patched(compiled({"name": "one"}))
    assert (outcome.status, outcome.message) == (Status.PASS, "mutated Secret/one in namespace default")
    assert outcome.patched == {**SECRET, "data": {"a": "1", "b": "v"}}


def test_the_target_is_a_variable_of_its_own() -> None:
    rule = compiled({"name": "one"}, patch={"patchStrategicMerge": {"data": {"b": "{{ target.data.a }}"}}})
    assert patched(rule).patched == {**SECRET, "data": {"a": "1", "b": "1"}}


def test_context_and_preconditions_of_a_target_look_at_it() -> None:
    context = [{"name": "value", "variable": {"jmesPath": "target.data.a"}}]
    only_two = {"all": [{"key": "{{ value }}", "operator": "Equals", "value": "2"}]}
    rule = compiled({"name": "one", "context": context, "preconditions": only_two})
    assert patched(rule)[:2] == (Status.SKIP, "preconditions not met")
    assert patched(rule, {**SECRET, "data": {"a": "2"}}).status is Status.PASS


def test_an_api_version_may_be_a_wildcard() -> None:
    assert is_target({"apiVersion": "*", "kind": "Secret"}, SECRET)
    assert not is_target({"apiVersion": "apps/*", "kind": "Secret"}, SECRET)


def test_another_object_is_no_target() -> None:
    assert mutate_target(compiled({"name": "two"}), request_for(TRIGGER), SECRET) is None


def test_a_target_that_has_it_already_is_skipped() -> None:
    assert patched(compiled({"name": "one"}), {**SECRET, "data": {"b": "v"}})[:2] == (Status.SKIP, "no patches applied")


def test_a_patch_that_does_not_apply_is_an_error() -> None:
    rule = compiled({"name": "one"}, patch={"patchesJson6902": "- {op: replace, path: /data/z, value: x}"})
    assert patched(rule).status is Status.ERROR


def test_foreach_shows_the_latest_target_to_its_next_entry() -> None:
    entries = [
        {"list": "`[1]`", "patchStrategicMerge": {"data": {"b": "2"}}},
        {"list": "`[1]`", "patchStrategicMerge": {"data": {"c": "{{ target.data.b }}"}}},
    ]
    rule = compiled({"name": "one"}, patch={"foreach": entries})
    assert patched(rule).patched == {**SECRET, "data": {"a": "1", "b": "2", "c": "2"}}


def test_a_bad_selector_is_refused() -> None:
    with pytest.raises(InvalidPolicy, match="targets"):
        compiled({"selector": {"matchExpressions": [{"key": "a", "operator": "Like", "values": ["b"]}]}})


def test_a_subresource_is_selected_by_the_object_that_it_is_a_part_of() -> None:
    whole = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "default"}}
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": {"replicas": 1}}
    patch = {"patchStrategicMerge": {"spec": {"replicas": 3}}}
    rule = compiled({"apiVersion": "apps/v1", "kind": "Deployment/scale", "name": "d"}, patch=patch)
    outcome = mutate_target(rule, request_for(TRIGGER), scale, whole=whole, part="scale")
    assert outcome is not None
    assert outcome.patched == {**scale, "spec": {"replicas": 3}}
    assert mutate_target(rule, request_for(TRIGGER), scale, whole=whole, part="status") is None
    assert mutate_target(rule, request_for(TRIGGER), scale) is None


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"patchStrategicMerge": {"metadata": {"name": "other"}}}, "metadata.name of the target from `.*` to `other`"),
        ({"patchStrategicMerge": {"metadata": {"namespace": "other"}}}, "metadata.namespace of the target"),
        ({"patchesJson6902": "- {op: remove, path: /metadata}"}, "metadata.name of the target from `.*` to `None`"),
    ],
)
def test_a_patch_makes_no_other_object_of_its_target(patch: dict[str, Any], message: str) -> None:
    outcome = patched(compiled({"name": "one"}, patch=patch))
    assert outcome.status is Status.ERROR
    assert re.search(message, outcome.message), outcome.message
    assert outcome.patched is None

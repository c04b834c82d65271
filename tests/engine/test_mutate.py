"""JSON Patch and foreach rules, and the verb `mutate`: cascades, failures, patches."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import NO_FACTS, InvalidPolicy, LookupFailed, Policy, PolicySet, Status, Unknown, Verdict, compile_policy, mutate
from engine.document import apply_patch, same
from tests.policies import Row, cluster_policy, request_for, rows

Json = Any

WIDGET: dict[str, Json] = {
    "apiVersion": "example.com/v1",
    "kind": "Widget",
    "metadata": {"name": "w"},
    "spec": {"a": 1, "l": [{"name": "x"}, {"name": "y"}]},
}
CHANGED = ("r", "pass", "mutated Widget/w in namespace default")


def rule(body: Json, name: str = "r", **more: Json) -> dict[str, Json]:
    return {"name": name, "match": {"any": [{"resources": {"kinds": ["Widget"]}}]}, "mutate": body, **more}


def policy(*rules: dict[str, Json], name: str = "p", **spec: Json) -> Policy:
    document = cluster_policy(rules[0])
    document["metadata"]["name"] = name
    document["spec"].update({"rules": list(rules), **spec})
    return compile_policy(document)


def json_patch(text: str) -> dict[str, Json]:
    return {"patchesJson6902": text}


def overlay(**spec: Json) -> dict[str, Json]:
    return {"patchStrategicMerge": {"spec": spec}}


def row(body: Json) -> Row:
    (only,) = rows(policy(rule(body)), request_for(WIDGET))
    return only


def result(body: Json) -> Json:
    """The spec after the rule."""
    verdict = asked(policy(rule(body)))
    return apply_patch(request_for(WIDGET).object, verdict.patch)["spec"]


def asked(*policies: Policy, document: Json = WIDGET) -> Verdict:
    return mutate(PolicySet(policies), request_for(document))


# JSON Patch


def test_a_json_patch_may_be_yaml_or_json() -> None:
    assert result(json_patch("- op: add\n  path: /spec/b\n  value: yes")) == {**WIDGET["spec"], "b": True}
    assert result(json_patch('[{"op": "add", "path": "/spec/b", "value": "yes"}]')) == {**WIDGET["spec"], "b": "yes"}


def test_add_makes_what_is_missing_on_the_way() -> None:
    assert result(json_patch("- {op: add, path: /spec/b/c/-, value: 1}"))["b"] == {"c": [1]}
    assert result(json_patch("- {op: add, path: /spec/b/2, value: 1}"))["b"] == [None, None, 1]
    assert result(json_patch("- {op: add, path: /spec/l/3/n, value: 1}"))["l"][2:] == [None, {"n": 1}]


def test_a_small_patch_cannot_make_a_huge_list() -> None:
    _, status, message = row(json_patch("- {op: add, path: /spec/b/999999999, value: 1}"))
    assert status == "error"
    assert "10000 is the most" in message


def test_an_index_of_many_digits_is_none() -> None:
    _, status, message = row(json_patch(f"- {{op: replace, path: /spec/l/{'9' * 5000}, value: 1}}"))
    assert (status, message.partition(" does")[0]) == ("error", "failed to patch resource: replace operation")


def test_removing_what_is_not_there_changes_nothing() -> None:
    assert row(json_patch("- {op: remove, path: /spec/z/y}")) == ("r", "skip", "no patches applied")


def test_an_operation_that_does_not_apply_is_an_error() -> None:
    missing = "failed to patch resource: replace operation does not apply: doc is missing key: /spec/z: missing value"
    assert row(json_patch("- {op: replace, path: /spec/z, value: 1}")) == ("r", "error", missing)


def test_negative_indices_count_from_the_end() -> None:
    assert result(json_patch("- {op: remove, path: /spec/l/-1}"))["l"] == [{"name": "x"}]


def test_a_move_onto_itself_is_a_change_without_a_patch() -> None:
    verdict = asked(policy(rule(json_patch("- {op: move, path: /spec/a, from: /spec/a}"))))
    assert [found.status for found in verdict.results] == [Status.PASS]
    assert verdict.patch == ()


def test_variables_in_a_json_patch_become_text_of_it() -> None:
    body = json_patch("- op: add\n  path: /spec/b\n  value: {{ request.object.spec.l }}")
    assert result(body)["b"] == WIDGET["spec"]["l"]


@pytest.mark.parametrize(
    ("text", "path", "reason"),
    [
        (
            "- {op: add, path: spec/x, value: 1}",
            "spec.rules[0].mutate.patchesJson6902[0].path",
            "must begin with a forward slash",
        ),
        ("- {op: put, path: /spec/x, value: 1}", "spec.rules[0].mutate.patchesJson6902[0]", "unsupported operation"),
        ("- {op: add, path: /spec/x}", "spec.rules[0].mutate.patchesJson6902[0]", "missing value field"),
        ("op: add", "spec.rules[0].mutate.patchesJson6902", "cannot unmarshal object"),
        ("- [", "spec.rules[0].mutate.patchesJson6902", "yaml"),
    ],
)
def test_a_json_patch_is_checked_with_the_policy(text: str, path: str, reason: str) -> None:
    with pytest.raises(InvalidPolicy, match=reason) as raised:
        policy(rule(json_patch(text)))
    assert raised.value.path == path


# foreach


def foreach(**entry: Json) -> dict[str, Json]:
    return {"foreach": [{"list": "request.object.spec.l", **entry}]}


def test_elements_are_patched_one_after_the_other() -> None:
    body = foreach(patchesJson6902="- {op: add, path: '/spec/seen/-', value: '{{ element.name }}{{ elementIndex }}'}")
    assert result(body)["seen"] == ["x0", "y1"]


def test_the_order_may_be_turned_round() -> None:
    body = foreach(order="Descending", patchesJson6902="- {op: add, path: '/spec/seen/-', value: '{{ element.name }}'}")
    assert result(body)["seen"] == ["y", "x"]


def test_overlays_start_with_the_last_element() -> None:
    assert result(foreach(patchStrategicMerge={"spec": {"last": "{{ element.name }}"}}))["last"] == "x"


def test_preconditions_choose_elements() -> None:
    only_y = {"all": [{"key": "{{ element.name }}", "operator": "Equals", "value": "y"}]}
    assert result(foreach(preconditions=only_y, patchStrategicMerge={"spec": {"hit": "{{ element.name }}"}}))["hit"] == "y"


def test_no_element_that_changes_something_is_a_skip() -> None:
    assert row({"foreach": [{"list": "`[]`", **overlay(b=1)}]}) == ("r", "skip", "0 elements processed")


def test_an_unknown_list_is_an_error() -> None:
    _, status, message = row({"foreach": [{"list": "request.object.spec.nope", **overlay(b=1)}]})
    assert (status, message.partition(":")[0]) == ("error", "failed to evaluate list request.object.spec.nope")


def test_an_element_that_cannot_be_patched_fails_the_rule() -> None:
    _, status, message = row(foreach(patchStrategicMerge={"spec": {"b": "{{ element.nope }}"}}))
    assert status == "error"
    assert message.startswith("failed to mutate elements: variable substitution failed: failed to resolve element.nope")


def test_a_nested_foreach_sees_the_outer_element() -> None:
    inner = {
        "list": "`[1, 2]`",
        "patchesJson6902": "- {op: add, path: '/spec/seen/-', value: '{{ element0.name }}{{ element1 }}'}",
    }
    assert result(foreach(foreach=[inner]))["seen"] == ["x1", "x2", "y1", "y2"]


def test_the_next_entry_sees_what_the_one_before_made() -> None:
    second = {"list": "`[1]`", **overlay(copy="{{ request.object.spec.last }}")}
    body = {"foreach": [*foreach(patchStrategicMerge={"spec": {"last": "{{ element.name }}"}})["foreach"], second]}
    assert result(body)["copy"] == "x"


# The verb


def test_rules_see_what_the_ones_before_made() -> None:
    verdict = asked(policy(rule(overlay(b=1), "first"), rule(overlay(c="{{ request.object.spec.b }}"), "second")))
    assert verdict.allowed
    assert verdict.patch == (
        {"op": "add", "path": "/spec/b", "value": 1},
        {"op": "add", "path": "/spec/c", "value": 1},
    )


def test_policies_cascade_in_the_order_of_their_names() -> None:
    double = "{{ add(request.object.spec.a, request.object.spec.a) }}"
    verdict = asked(policy(rule(overlay(a=double)), name="b"), policy(rule(overlay(a=5)), name="a"))
    assert verdict.patch == ({"op": "replace", "path": "/spec/a", "value": 10},)


def test_what_is_undone_on_the_way_is_not_in_the_patch() -> None:
    verdict = asked(policy(rule(overlay(b=1)), rule(overlay(b=None), "undo")))
    assert verdict.patch == ()
    assert [found.status for found in verdict.results] == [Status.PASS, Status.PASS]


def test_rules_match_the_object_as_it_is_by_then() -> None:
    labelled = {**rule({"patchStrategicMerge": {"metadata": {"labels": {"a": "b"}}}}, "label")}
    selecting = {"any": [{"resources": {"kinds": ["Widget"], "selector": {"matchLabels": {"a": "b"}}}}]}
    verdict = asked(policy(labelled, {**rule(overlay(b=1), "next"), "match": selecting}))
    assert [operation["path"] for operation in verdict.patch] == ["/metadata/labels", "/spec/b"]


FAILING = json_patch("- {op: replace, path: /spec/z, value: 1}")


def test_a_failing_rule_denies_the_request() -> None:
    verdict = asked(policy(rule(overlay(b=1)), rule(FAILING, "bad")), policy(rule(overlay(c=1)), name="q"))
    assert not verdict.allowed
    assert verdict.patch == ()
    assert verdict.message == (
        "mutation policy p error: failed to apply policy p rules [bad: failed to patch resource: "
        "replace operation does not apply: doc is missing key: /spec/z: missing value]"
    )


def test_failure_policy_ignore_undoes_the_policy_and_goes_on() -> None:
    broken = policy(rule(overlay(b=1)), rule(FAILING, "bad"), failurePolicy="Ignore", emitWarning=True)
    verdict = asked(broken, policy(rule(overlay(c=1)), name="q"))
    assert verdict.allowed
    assert verdict.patch == ({"op": "add", "path": "/spec/c", "value": 1},)
    assert [warning.partition(":")[0] for warning in verdict.warnings] == ["policy p.bad"]


def test_apply_rules_one_stops_after_the_first_change() -> None:
    skipped = overlay(**{"(a)": 2, "b": 1})
    verdict = asked(policy(rule(skipped), rule(overlay(c=1), "second"), rule(overlay(d=1), "third"), applyRules="One"))
    assert verdict.patch == ({"op": "add", "path": "/spec/c", "value": 1},)


def test_among_narrows_the_policies() -> None:
    policies = PolicySet([policy(rule(overlay(b=1)), name="a"), policy(rule(overlay(c=1)), name="b")])
    verdict = mutate(policies, request_for(WIDGET), among=lambda one: one.identity.name == "b")
    assert verdict.patch == ({"op": "add", "path": "/spec/c", "value": 1},)


def test_a_deleted_object_is_not_changed() -> None:
    assert mutate(PolicySet([policy(rule(overlay(b=1)))]), request_for(WIDGET, "DELETE")) == Verdict(allowed=True)


def test_all_lookups_of_all_rules_are_asked_for_at_once() -> None:
    def looking(name: str) -> dict[str, Json]:
        context = [{"name": "cm", "configMap": {"name": name, "namespace": "default"}}]
        return rule(overlay(**{name: "{{ cm.data.x }}"}), name, context=context)

    policies = PolicySet([policy(looking("one"), looking("two"))])
    with pytest.raises(Unknown) as raised:
        mutate(policies, request_for(WIDGET))
    assert sorted(lookup.key for lookup in raised.value.lookups) == ["default/one", "default/two"]
    facts = NO_FACTS.plus({lookup: {"data": {"x": lookup.key}} for lookup in raised.value.lookups})
    assert [operation["value"] for operation in mutate(policies, request_for(WIDGET), facts).patch] == [
        "default/one",
        "default/two",
    ]
    failed = NO_FACTS.plus({lookup: LookupFailed(lookup, "no such ConfigMap") for lookup in raised.value.lookups})
    assert not mutate(policies, request_for(WIDGET), failed).allowed


# Properties

scalars = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["x", "y", ""]))
keys = st.sampled_from(["a", "b", "l", "name"])
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8)
anchored = st.sampled_from(["a", "b", "l", "(a)", "+(b)", "<(l)", "(name)", "$patch"])
patches = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(anchored, inner, max_size=3), max_leaves=8
)


@given(spec=st.dictionaries(keys, values, max_size=3), patch=st.dictionaries(anchored, patches, max_size=3))
def test_inputs_stay_and_the_patch_of_the_verdict_makes_the_object_of_the_last_rule(spec: Json, patch: Json) -> None:
    document = {**WIDGET, "spec": spec}
    before = copy.deepcopy((document, patch))
    verdict = asked(policy(rule({"patchStrategicMerge": {"spec": patch}})), document=document)
    assert (document, patch) == before
    (only,) = verdict.results
    if only.status is Status.PASS:
        assert same(apply_patch(request_for(document).object, verdict.patch), only.patched)
        assert verdict.patch
    else:
        assert verdict.patch == ()
        assert verdict.allowed == (only.status is Status.SKIP)


@pytest.mark.parametrize(("elements", "status"), [([{}, {}], Status.ERROR), ([{"a": {}}, {}, 1], Status.PASS)])
def test_a_list_of_empty_elements_is_a_matter_of_each_object_not_of_the_policy(elements: Json, status: Status) -> None:
    """Kyverno loses count of what it takes out of such a list (oracle mutate.json, w931 and w750)."""
    (only,) = asked(policy(rule({"patchStrategicMerge": {"spec": {"a": elements}}})), document={**WIDGET, "spec": {}}).results
    assert only.status is status

"""patchStrategicMerge: merge keys, directives, anchors."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from engine.compiler import compile_policy
from engine.document.strategic import StrategicMergeError, strategic_merge
from tests.policies import Row, cluster_policy, outcomes, request_for

Json = Any


def pod(**spec: Json) -> dict[str, Json]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}


def widget(**spec: Json) -> dict[str, Json]:
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec}


def mutated(document: dict[str, Json], patch: Json) -> Json:
    """The object's spec after a rule with this patch; the row instead of it where the rule did not pass."""
    rule = {
        "name": "r",
        "match": {"any": [{"resources": {"kinds": [document["kind"]]}}]},
        "mutate": {"patchStrategicMerge": patch},
    }
    ((name, outcome),) = outcomes(compile_policy(cluster_policy(rule)), request_for(document))
    row: Row = (name, str(outcome.status), outcome.message)
    return outcome.patched["spec"] if outcome.patched is not None else row


SKIPPED = ("r", "skip", "no patches applied")


def test_lists_of_a_built_in_kind_merge_by_key_with_the_patch_in_front() -> None:
    merged = strategic_merge(
        pod(containers=[{"name": "a", "image": "x"}, {"name": "b"}]),
        {"spec": {"containers": [{"name": "c"}, {"name": "a", "tty": True}]}},
    )
    assert merged["spec"]["containers"] == [{"name": "c"}, {"name": "a", "image": "x", "tty": True}, {"name": "b"}]


def test_lists_of_an_unknown_kind_are_replaced() -> None:
    assert strategic_merge(widget(l=[{"name": "a"}]), {"spec": {"l": [{"name": "b"}]}})["spec"]["l"] == [{"name": "b"}]


def test_ports_merge_by_number_and_protocol() -> None:
    service = {"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80, "protocol": "TCP"}]}}
    merged = strategic_merge(service, {"spec": {"ports": [{"port": 80, "protocol": "UDP"}]}})
    assert merged["spec"]["ports"] == [{"port": 80, "protocol": "UDP"}, {"port": 80, "protocol": "TCP"}]


def test_finalizers_are_a_set() -> None:
    document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"finalizers": ["a", "b"]}}
    assert strategic_merge(document, {"metadata": {"finalizers": ["c", "b"]}})["metadata"]["finalizers"] == ["c", "b", "a"]


def test_null_deletes_and_text_stays_text() -> None:
    assert strategic_merge(widget(a=1, b="x", c=2), {"spec": {"a": None, "b": 2.5}})["spec"] == {"b": "2.5", "c": 2}


@pytest.mark.parametrize(
    ("patch", "containers"),
    [
        ([{"name": "a", "$patch": "delete"}], [{"name": "b"}]),
        ([{"$patch": "replace"}, {"name": "z"}], [{"name": "z"}]),
    ],
)
def test_directives(patch: Json, containers: Json) -> None:
    merged = strategic_merge(pod(containers=[{"name": "a"}, {"name": "b"}]), {"spec": {"containers": patch}})
    assert merged["spec"]["containers"] == containers


def test_a_map_does_not_fit_a_scalar() -> None:
    with pytest.raises(StrategicMergeError, match="expected ScalarNode but got MappingNode"):
        strategic_merge(widget(a=1), {"spec": {"a": {"x": 1}}})


def test_a_merge_writes_to_nothing_and_shares_what_stays() -> None:
    document = pod(containers=[{"name": "a"}, {"name": "b", "env": [{"name": "X"}]}], volumes=[{"name": "v"}])
    patch = {"spec": {"containers": [{"name": "b", "env": [{"name": "Y"}]}]}}
    before = copy.deepcopy((document, patch))
    merged = strategic_merge(document, patch)
    assert (document, patch) == before
    assert merged["spec"]["volumes"] is document["spec"]["volumes"]
    assert merged["spec"]["containers"][1] is document["spec"]["containers"][0]
    assert merged["metadata"] is document["metadata"]


def test_a_patch_that_changes_nothing_gives_the_object_itself() -> None:
    document = pod(containers=[{"name": "a", "image": "x"}], hostNetwork=True)
    patch = {"spec": {"containers": [{"name": "a", "image": "x"}], "hostNetwork": True, "hostPID": None}}
    assert strategic_merge(document, patch) is document


def test_an_addition_is_made_where_the_key_is_absent() -> None:
    assert mutated(widget(a=1), {"spec": {"+(a)": 2, "+(b)": {"+(c)": 3}}}) == {"a": 1, "b": {"c": 3}}


def test_a_null_is_present_for_an_addition() -> None:
    assert mutated(widget(a=None), {"spec": {"+(a)": 2}}) == SKIPPED


@pytest.mark.parametrize("anchor", ["(a)", "<(a)"])
@pytest.mark.parametrize(("value", "met"), [(1, True), (2, False), (">0", True), ("*", True)])
def test_a_condition_decides_about_the_whole_patch(anchor: str, value: Json, met: bool) -> None:
    assert mutated(widget(a=1), {"spec": {anchor: value, "b": 5}}) == ({"a": 1, "b": 5} if met else SKIPPED)


def test_a_condition_on_a_missing_key_is_not_met() -> None:
    assert mutated(widget(b=1), {"spec": {"(a)": "*", "b": 5}}) == SKIPPED


def test_a_condition_may_look_at_a_whole_map() -> None:
    assert mutated(widget(a={"b": 1, "c": 2}), {"spec": {"(a)": {"b": 1}, "d": 5}}) == {"a": {"b": 1, "c": 2}, "d": 5}


def test_elements_are_patched_where_their_conditions_are_met() -> None:
    patch = {"spec": {"containers": [{"(image)": "*:latest", "imagePullPolicy": "Always"}]}}
    document = pod(containers=[{"name": "a", "image": "x:1"}, {"name": "b", "image": "y:latest"}])
    assert mutated(document, patch)["containers"] == [
        {"name": "b", "image": "y:latest", "imagePullPolicy": "Always"},
        {"name": "a", "image": "x:1"},
    ]


def test_an_element_without_a_name_cannot_be_patched() -> None:
    assert mutated(widget(l=[{"k": 1}]), {"spec": {"l": [{"(k)": 1, "v": 9}]}}) == SKIPPED


def test_conditions_of_elements_do_not_stop_the_rest() -> None:
    assert mutated(widget(l=[{"name": "a"}], q=1), {"spec": {"l": [{"(name)": "z", "v": 1}], "q": 2}}) == {
        "l": [{"name": "a"}],
        "q": 2,
    }


def test_a_global_condition_in_a_list_needs_one_element() -> None:
    patch = {"spec": {"l": [{"<(k)": 2}], "q": 2}}
    assert mutated(widget(l=[{"name": "a", "k": 1}, {"name": "b", "k": 2}], q=1), patch)["q"] == 2
    assert mutated(widget(l=[{"name": "a", "k": 1}], q=1), patch) == SKIPPED


def test_an_empty_map_in_a_patch_says_nothing() -> None:
    assert mutated(widget(a=1), {"spec": {"b": {}, "c": {"d": {}}}}) == SKIPPED


def test_two_anchored_elements_in_a_list_lose_their_places() -> None:
    """As recorded: the second element stays with its anchors, the one that matched goes."""
    patch = {"spec": {"l": [{"(name)": "a", "b": 1}, {"(name)": "z", "+(b)": 1}]}}
    assert mutated(widget(l=[{"name": "a"}]), patch) == {"l": [{"(name)": "z", "+(b)": 1}]}


def test_two_anchored_elements_that_match_nothing_are_an_error() -> None:
    patch = {"spec": {"l": [{"(name)": "y", "b": 1}, {"(name)": "z", "b": 1}]}}
    name, status, message = mutated(widget(l=[{"name": "a"}]), patch)
    assert (name, status) == ("r", "error")
    assert "too many elements with anchors" in message


def test_the_policy_stays_as_it_was_after_use() -> None:
    patch = {"spec": {"l": [{"(name)": "*", "m": [{"(name)": "x", "+(v)": 2}]}], "+(q)": {"r": 1}}}
    before = copy.deepcopy(patch)
    document = widget(l=[{"name": "a", "m": [{"name": "x"}]}, {"name": "b", "m": [{"name": "y"}]}])
    first = mutated(document, patch)
    assert mutated(document, patch) == first
    assert patch == before

"""What is to be done so that downstreams are what a rule wants: pure plans, the life-cycle of spec 9.6."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from controllers.cluster.downstream import as_source, overlaid, plan, renewed, restored, satisfies, unlabelled

Document = dict[str, Any]
OURS = {"app.kubernetes.io/managed-by": "kyverno", "generate.kyverno.io/rule-name": "r"}


def config_map(name: str = "c", namespace: str = "blue", labels: Document | None = None, **data: str) -> Document:
    metadata = {"name": name, "namespace": namespace, "labels": {**OURS, **(labels or {})}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def stored(document: Document, **more: Any) -> Document:
    metadata = {**document["metadata"], "uid": "u", "resourceVersion": "7", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {**copy.deepcopy(document), "metadata": metadata, **more}


def actions(*arguments: Any, **options: Any) -> list[tuple[str, str]]:
    return [(step.action, step.object["metadata"]["name"]) for step in plan(*arguments, **options)]


def test_what_is_missing_is_created() -> None:
    assert actions([config_map(a="1")], [], synchronize=False) == [("create", "c")]


def test_what_is_as_wanted_is_left_alone() -> None:
    assert actions([config_map(a="1")], [stored(config_map(a="1"))], synchronize=True) == []


def test_an_edited_object_is_put_back_when_it_is_synchronized() -> None:
    assert actions([config_map(a="1")], [stored(config_map(a="2"))], synchronize=True) == [("update", "c")]
    assert actions([config_map(a="1")], [stored(config_map(a="2"))], synchronize=False) == []


def test_data_that_somebody_added_is_taken_away() -> None:
    (step,) = plan([config_map(a="1")], [stored(config_map(a="1", b="2"))], synchronize=True)
    assert step.object["data"] == {"a": "1"}


def test_labels_of_others_stay() -> None:
    (step,) = plan([config_map(a="1")], [stored(config_map(labels={"team": "x"}, a="2"))], synchronize=True)
    assert step.object["metadata"]["labels"] == {**OURS, "team": "x"}
    assert step.object["metadata"]["resourceVersion"] == "7"


def test_a_lost_label_is_put_back() -> None:
    held = stored(config_map(a="1"))
    del held["metadata"]["labels"]["generate.kyverno.io/rule-name"]
    assert actions([config_map(a="1")], [held], synchronize=True) == [("update", "c")]


def test_defaults_of_the_api_server_are_no_difference() -> None:
    wanted = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}
    held = stored(wanted, spec={"ports": [{"port": 80, "protocol": "TCP"}], "clusterIP": "10.0.0.1"}, status={})
    assert actions([wanted], [held], synchronize=True) == []


def test_a_list_with_more_elements_is_a_difference() -> None:
    wanted = {"apiVersion": "v1", "kind": "X", "metadata": {"name": "s"}, "spec": {"types": ["a"]}}
    assert not satisfies(stored(wanted, spec={"types": ["a", "b"]}), wanted)


def test_a_changed_rule_takes_away_what_it_no_longer_says() -> None:
    wanted = {"apiVersion": "v1", "kind": "X", "metadata": {"name": "s"}, "spec": {"a": 1}}
    held = stored(wanted, spec={"a": 1, "b": 2})
    assert actions([wanted], [held], synchronize=True) == []
    (step,) = plan([wanted], [held], synchronize=True, force=True)
    assert step.object["spec"] == {"a": 1}


def test_what_is_not_wanted_any_more_goes_or_is_let_go() -> None:
    held = [stored(config_map("old", a="1"))]
    assert actions([config_map(a="1")], held, synchronize=True, leftovers="delete") == [("create", "c"), ("delete", "old")]
    assert actions([], held, synchronize=True, leftovers="keep") == []
    (step,) = plan([], held, synchronize=True, leftovers="unlabel")
    assert step.object["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "kyverno"}


def test_the_same_target_named_twice_is_made_once() -> None:
    assert actions([config_map(a="1"), config_map(a="2")], [], synchronize=True) == [("create", "c")]


def test_an_object_that_is_being_deleted_is_not_written() -> None:
    held = stored(config_map(a="2"))
    held["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert actions([config_map(a="1")], [held], synchronize=True) == []


def test_string_data_of_a_secret_is_compared_as_data() -> None:
    wanted = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "n"}, "stringData": {"a": "b"}}
    held = stored({**wanted, "data": {"a": "Yg=="}})
    del held["stringData"]
    assert actions([wanted], [held], synchronize=True) == []


def test_labels_are_texts_whatever_they_were_rendered_as() -> None:
    wanted = config_map(a="1")
    wanted["metadata"]["labels"] = {"index": 0, "on": True, "text": "0"}
    (step,) = plan([wanted], [], synchronize=True)
    assert step.object["metadata"]["labels"] == {"index": "0", "on": "true", "text": "0"}


def test_a_copy_has_no_data_that_its_source_has_not() -> None:
    labels = {"generate.kyverno.io/source-uid": "s"}
    wanted = config_map(labels=labels)
    del wanted["data"]
    assert not satisfies(stored(config_map(labels=labels, a="1")), wanted)


def test_a_restored_object_can_be_created() -> None:
    metadata = restored(stored(config_map(a="1")))["metadata"]
    assert set(metadata) == {"name", "namespace", "labels"}


def test_a_source_is_marked_once() -> None:
    marked = as_source({"metadata": {"name": "s"}})
    assert marked == {"metadata": {"name": "s", "labels": {"generate.kyverno.io/clone-source": ""}}}
    assert as_source(marked) is None


def test_overlaid_keeps_what_the_api_server_has_put_into_a_section() -> None:
    wanted = {"kind": "X", "metadata": {"name": "s"}, "spec": {"a": {"b": 1}}}
    held = stored(wanted, spec={"a": {"b": 2, "c": 3}, "volumeName": "v"})
    assert overlaid(held, wanted)["spec"] == {"a": {"b": 1, "c": 3}, "volumeName": "v"}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1, max_size=1), inner, max_size=3),
    max_leaves=8,
)
SPECS = st.dictionaries(st.sampled_from(["spec", "data", "rules", "x"]), VALUES, max_size=3)


@given(SPECS, SPECS, st.booleans())
def test_a_plan_carried_out_leaves_nothing_to_do_and_inputs_untouched(want: Document, have: Document, force: bool) -> None:
    identity = {"apiVersion": "v1", "kind": "X", "metadata": {"name": "n", "labels": dict(OURS)}}
    wanted, held = {**want, **identity}, stored({**have, **identity})
    before = copy.deepcopy((wanted, held))
    steps = plan([wanted], [held], synchronize=True, leftovers="delete", force=force)
    after = steps[0].object if steps else held
    assert plan([wanted], [after], synchronize=True, leftovers="delete") == ()
    assert (wanted, held) == before


@given(SPECS, SPECS)
def test_nothing_is_deleted_to_be_created_anew(want: Document, have: Document) -> None:
    identity = {"apiVersion": "v1", "kind": "X", "metadata": {"name": "n"}}
    steps = plan([{**want, **identity}], [stored({**have, **identity})], synchronize=True, leftovers="delete")
    assert {step.action for step in steps} <= {"update"}


@given(SPECS, SPECS)
def test_renewing_keeps_the_version_it_was_made_from(want: Document, have: Document) -> None:
    identity = {"kind": "X", "metadata": {"name": "n"}}
    held = stored({**have, **identity})
    assert renewed(held, {**want, **identity})["metadata"]["resourceVersion"] == "7"
    assert unlabelled(held)["metadata"]["uid"] == "u"

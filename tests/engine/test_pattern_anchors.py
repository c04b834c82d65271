"""What anchors make of a pattern: validate.pattern rules on plain objects (spec 2.4, 9.1)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.rule import answer


def judged(pattern: Any, spec: Any, **validate: Any) -> tuple[str, str]:
    resource = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec}
    return answer({"name": "r", "validate": {"message": "no", "pattern": {"spec": pattern}, **validate}}, resource)


def status(pattern: Any, spec: Any) -> str:
    return judged(pattern, spec)[0]


def failed_at(pattern: Any, spec: Any) -> str:
    found, text = judged(pattern, spec)
    assert found == "fail"
    return text.rpartition(" ")[2]


def test_equality_anchor_ignores_a_missing_key() -> None:
    assert status({"=(hostNetwork)": "false"}, {}) == "pass"


def test_equality_anchor_checks_a_present_key() -> None:
    assert failed_at({"=(hostNetwork)": "false"}, {"hostNetwork": True}) == "/spec/hostNetwork/"


def test_equality_anchor_checks_a_present_null() -> None:
    assert status({"=(a)": "?*"}, {"a": None}) == "fail"


@pytest.mark.parametrize("spec", [{}, {"a": 2}])
def test_condition_that_is_not_met_skips_the_rule(spec: dict[str, Any]) -> None:
    assert status({"(a)": 1, "b": 5}, spec) == "skip"


def test_condition_that_is_met_lets_the_rest_decide() -> None:
    assert status({"(a)": 1, "b": 5}, {"a": 1, "b": 5}) == "pass"
    assert failed_at({"(a)": 1, "b": 5}, {"a": 1, "b": 6}) == "/spec/b/"


def test_conditions_select_the_elements_of_a_list() -> None:
    pattern = {"containers": [{"(image)": "*:latest", "pull": "Always"}]}
    good = {"image": "a:latest", "pull": "Always"}
    other = {"image": "a:1"}
    assert status(pattern, {"containers": [good, other]}) == "pass"
    assert status(pattern, {"containers": [other]}) == "skip"
    assert failed_at(pattern, {"containers": [other, {"image": "b:latest"}]}) == "/spec/containers/1/pull/"


def test_negation_anchor_forbids_the_key_whatever_its_value() -> None:
    assert status({"volumes": [{"X(hostPath)": "null"}]}, {"volumes": [{"name": "v"}]}) == "pass"
    assert failed_at({"volumes": [{"X(hostPath)": "null"}]}, {"volumes": [{"hostPath": None}]}) == "/spec/volumes/0/hostPath/"


def test_existence_anchor_wants_one_element_for_each_member() -> None:
    pattern = {"^(env)": [{"name": "A"}, {"name": "B"}]}
    assert status(pattern, {"env": [{"name": "B"}, {"name": "A"}, {"name": "C"}]}) == "pass"
    assert failed_at(pattern, {"env": [{"name": "A"}]}) == "/spec/env/"
    assert status(pattern, {}) == "pass"


def test_global_anchor_that_differs_skips_the_whole_rule() -> None:
    assert status({"<(mode)": "strict", "b": 1}, {"mode": "lax", "b": 2}) == "skip"
    assert status({"<(mode)": "strict", "b": 1}, {"b": 2}) == "fail"


def test_a_failure_while_a_condition_key_is_missing_everywhere_is_an_error() -> None:
    found, text = judged({"=(f)": {"(e)": 5}, "=(d)": 1, "c": 1}, {"f": {}, "d": 1})
    assert found == "error"
    assert text.startswith("validation error: no. rule r execution error: resource value '<nil>' does not match '1'")


def test_anchor_words_in_the_object_do_not_turn_a_failure_into_a_skip() -> None:
    for words in ("conditional anchor mismatch", "global anchor mismatch"):
        assert status({"a": "x", "=(b)": {"c": "y"}}, {"a": words, "b": {"c": words}}) == "fail"
        assert status({"l": [{"(k)": "1", "v": "x"}]}, {"l": [{"k": "1", "v": words}]}) == "fail"


def test_star_wants_a_value_that_is_not_null() -> None:
    assert status({"a": "*"}, {"a": {}}) == "pass"
    assert failed_at({"a": "*"}, {"a": None}) == "/spec/"


def test_wildcard_keys_of_labels_stand_for_the_actual_key() -> None:
    def labelled(pattern: Any, labels: Any) -> tuple[str, str]:
        resource = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": labels}}
        return answer({"name": "r", "validate": {"message": "no", "pattern": {"metadata": {"labels": pattern}}}}, resource)

    assert labelled({"app.*/name": "web"}, {"app.io/name": "web"})[0] == "pass"
    assert labelled({"app.*/name": "web"}, {"app.io/name": "db"})[1].endswith("/metadata/labels/app.io/name/")
    assert labelled({"app.*/name": "web"}, {"x": "db"})[1].endswith("/metadata/labels/app.*/name/")
    assert labelled({"X(secret-*)": "null"}, {"secret-a": "1"})[0] == "fail"
    assert labelled({"*": "?*"}, {"=(q)": "1"})[0] == "fail", "a key of the object is never an anchor"


@pytest.mark.parametrize(
    "pattern",
    [{"^(a)": {"b": 1}}, {"^(a)": []}, {"+(a)": 1}, {"l": [{"+(a)": 1}]}],
    ids=["existence without list", "existence of nothing", "add", "add in a list"],
)
def test_anchors_in_the_wrong_place_are_refused(pattern: Any) -> None:
    assert status(pattern, {}) == "invalid"


def test_labels_that_are_no_text_are_refused() -> None:
    resource = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}
    assert answer({"name": "r", "validate": {"pattern": {"metadata": {"labels": {"a": 1}}}}}, resource)[0] == "invalid"


def test_the_message_ends_with_one_full_stop() -> None:
    assert judged({"a": 1}, {"a": 2}, message="bad") == ("fail", "validation error: bad. rule r failed at path /spec/a/")
    assert judged({"a": 1}, {"a": 2}, message="bad.") == ("fail", "validation error: bad. rule r failed at path /spec/a/")
    assert judged({"a": 1}, {"a": 2}, message="") == ("fail", "validation error: rule r failed at path /spec/a/")


def test_a_message_that_is_no_text_is_a_clear_error() -> None:
    found, text = judged({"a": 1}, {"a": 2}, message="{{ request.object.spec }}")
    assert found == "error"
    assert "no string" in text


def test_variables_are_replaced_before_anchors_are_looked_at() -> None:
    found, text = judged({"(a)": 1, "b": "{{ request.object.spec.nope }}"}, {"a": 2})
    assert found == "error"
    assert text.startswith("variable substitution failed: failed to resolve request.object.spec.nope at path /spec/b")


def test_values_of_variables_keep_their_type() -> None:
    pattern = {"a": "{{ request.object.spec.want }}"}
    for want, value, expected in [
        (True, True, "pass"),
        (1, True, "fail"),
        (True, 1, "fail"),
        (1, 1, "pass"),
        (True, True, "pass"),
    ]:
        assert status(pattern, {"want": want, "a": value}) == expected


def any_of(patterns: list[Any], spec: Any) -> tuple[str, str]:
    resource = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec}
    patterns = [{"spec": pattern} for pattern in patterns]
    return answer({"name": "r", "validate": {"message": "no", "anyPattern": patterns}}, resource)


def test_any_pattern_is_decided_by_the_first_that_matches() -> None:
    assert any_of([{"a": 1}, {"a": 2}], {"a": 2}) == ("pass", "validation rule 'r' anyPattern[1] passed.")


def test_any_pattern_tells_all_failures_and_leaves_out_skips() -> None:
    found = any_of([{"a": 1}, {"(b)": 1, "a": 3}, {"c": 1}], {"a": 2})
    assert found == ("fail", "validation error: no. rule r[0] failed at path /spec/a/ rule r[2] failed at path /spec/c/")


def test_any_pattern_that_only_skips_skips() -> None:
    found, text = any_of([{"(b)": 1}, {"(c)": 1}], {})
    reason = "conditional anchor mismatch: conditional anchor key doesn't exist in the resource"
    assert (found, text) == ("skip", f"rule r[0] skipped: {reason} rule r[1] skipped: {reason}")

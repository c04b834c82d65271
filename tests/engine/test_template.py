"""Variables and references in JSON values (spec 2.10, 9.8)."""

from __future__ import annotations

from typing import Any

import pytest

from engine.clauses.request_variables import bind_request
from engine.clauses.template import compile_template
from engine.compiler import compile_policy
from engine.errors import EvaluationError, InvalidPolicy, Unknown, VariableError
from engine.facts import Lookup
from engine.request import GroupVersionKind, Request
from engine.scope import Scope
from tests.policies import cluster_policy, outcomes, request_for

OBJECT = {
    "metadata": {"name": "web", "labels": {"app": "shop"}},
    "spec": {
        "n": 5,
        "list": ["a", "b"],
        "map": {"x": 1},
        "key": "n",
        "html": "<b>",
        "nested": "{{ request.object.metadata.name }}",
    },
}


def scope(operation: str = "CREATE") -> Scope:
    deleting = operation == "DELETE"
    request = Request(
        operation=operation,
        kind=GroupVersionKind("", "v1", "Thing"),
        object=None if deleting else OBJECT,
        old_object=OBJECT if deleting else None,
    )
    made = Scope(request)
    bind_request(made)
    return made


def rendered(value: Any, **where: str) -> Any:
    return compile_template(value, **where)(scope())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ request.object.spec.n }}", 5),
        ("{{request.object.spec.list}}", ["a", "b"]),
        ("n={{ request.object.spec.n }}", "n=5"),
        ("l={{ request.object.spec.list }}", 'l=["a","b"]'),
        ("m={{ request.object.spec.map }}", 'm={"x":1}'),
        ("{{ request.object.metadata.name }}{{ request.object.spec.n }}", "web5"),
        ("{{ request.object.spec.{{ request.object.spec.key }} }}", 5),
        ("{{ request.object.spec.nope || 'none' }}", "none"),
        ("h={{ request.object.spec.html }}", "h=<b>"),
        ("h={{ [request.object.spec.html] }}", 'h=["\\u003cb\\u003e"]'),
        ("\\{{ request.object.spec.n }}", "{{ request.object.spec.n }}"),
        ("{{ 'a}b' }}", "{{ 'a}b' }}"),
        ("{{ {a: request.object.spec.n} }}", {"a": 5}),
        ("no variables", "no variables"),
    ],
)
def test_a_text_with_variables(text: str, value: Any) -> None:
    assert rendered(text) == value


def test_an_inserted_text_is_searched_again_but_a_whole_value_is_not() -> None:
    assert rendered("{{ request.object.spec.nested }}") == "{{ request.object.metadata.name }}"
    assert rendered("v={{ request.object.spec.nested }}") == "v=web"
    assert rendered("v={{- request.object.spec.nested }}") == "v={{ request.object.metadata.name }}"


def test_keys_of_maps_are_templates_too() -> None:
    assert rendered({"{{ request.object.metadata.name }}": [{"n": "{{ request.object.spec.n }}"}]}) == {"web": [{"n": 5}]}


def test_a_key_that_becomes_no_text_is_an_error() -> None:
    with pytest.raises(EvaluationError, match="expected string after substituting variables in key"):
        rendered({"{{ request.object.spec.n }}": 1})


def test_a_value_without_variables_is_constant_and_shared() -> None:
    value = {"a": [1, {"b": "c"}]}
    template = compile_template(value)
    assert template.constant
    assert template.value is value


def test_parts_without_variables_are_shared_with_the_document() -> None:
    fixed = {"b": "c"}
    assert compile_template({"fixed": fixed, "n": "{{ request.object.spec.n }}"})(scope())["fixed"] is fixed


def test_an_unknown_field_names_expression_and_place() -> None:
    with pytest.raises(VariableError) as caught:
        rendered({"spec": {"a": "{{ request.object.spec.nope }}"}})
    assert str(caught.value) == (
        'failed to resolve request.object.spec.nope at path /spec/a: JMESPath query failed: Unknown key "nope" in path'
    )


def test_a_message_is_empty_where_a_variable_has_no_value() -> None:
    assert compile_template("it is {{ request.object.spec.nope }}").lenient(scope()) == ""


def test_a_syntax_error_is_found_when_compiling() -> None:
    with pytest.raises(InvalidPolicy) as caught:
        compile_template({"key": "{{ a-b }}"}, path="spec.rules[0].validate.deny", at="/validate/deny")
    assert caught.value.path == "spec.rules[0].validate.deny.key"
    assert "failed to resolve a-b at path /validate/deny/key" in caught.value.reason


def test_on_delete_the_old_object_answers_for_the_new() -> None:
    template = compile_template("{{ request.object.metadata.name }}-{{ request.object.spec.{{ request.object.spec.key }} }}")
    assert template(scope("DELETE")) == "web-5"


def test_variables_that_bring_forth_variables_end() -> None:
    made = scope()
    made.bind("loop", "again {{ loop }}")
    made.bind("grow", "{{ grow }} {{ grow }}")
    for name in ("loop", "grow"):
        with pytest.raises(VariableError):
            compile_template(f"x {{{{ {name} }}}}")(made)


def test_missing_data_is_never_swallowed() -> None:
    made = scope()
    made.bind_lazily("cm", lambda inner: inner.fact(Lookup("configMap", "default/cm")))
    with pytest.raises(Unknown):
        compile_template("{{ cm }}").lenient(made)


def test_a_reference_takes_its_siblings_value() -> None:
    assert rendered({"spec": {"a": "$(./../b)", "b": 3, "c": ">$(./../b)", "d": "$(>=./../b)"}})["spec"] == {
        "a": 3,
        "b": 3,
        "c": ">3",
        "d": ">=3",
    }


@pytest.mark.parametrize("text", ["$(./../nope)", "$(/spec/b)", "$(spec.b)"])
def test_a_reference_to_nothing_is_refused(text: str) -> None:
    with pytest.raises(InvalidPolicy, match="got nil resolved variable"):
        compile_template({"spec": {"a": text, "b": 3}})


def test_an_escaped_reference_is_text() -> None:
    assert rendered("\\$(date)") == "$(date)"


def test_the_place_itself_may_have_slashes_in_its_keys() -> None:
    pod = {"metadata": {"name": "a", "labels": {"corp.com/retention": "days_37"}}}
    policy = compile_policy(
        cluster_policy(
            {
                "name": "r",
                "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
                "mutate": {"patchStrategicMerge": {"metadata": {"labels": {"corp.com/retention": "{{ to_upper('{{ @ }}') }}"}}}},
            }
        )
    )
    ((_, outcome),) = outcomes(policy, request_for({"apiVersion": "v1", "kind": "Pod", **pod}))
    assert outcome.patched is not None
    assert outcome.patched["metadata"]["labels"] == {"corp.com/retention": "DAYS_37"}

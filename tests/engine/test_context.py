"""Context entries (spec 2.10)."""

from __future__ import annotations

from typing import Any

import pytest

from engine.clauses.context import compile_context
from engine.clauses.request_variables import bind_request
from engine.clauses.url_path import url_path_problem
from engine.errors import EvaluationError, InvalidPolicy, LookupFailed, Unknown
from engine.facts import Facts, Lookup
from engine.held import Held
from engine.request import GroupVersionKind, Request
from engine.scope import Scope

OBJECT = {"metadata": {"name": "web", "namespace": "prod"}, "spec": {"n": 5, "nil": None, "key": "n"}}


def loaded(*entries: Any, facts: dict[Lookup, Any] | None = None, namespace: str = "") -> Scope:
    root = Scope(Request(operation="CREATE", kind=GroupVersionKind("", "v1", "Thing"), object=OBJECT), facts=Facts(facts or {}))
    bind_request(root)
    scope = root.child()
    compile_context(list(entries), path="spec.rules[0].context", policy_namespace=namespace)(scope)
    return scope


def variable(name: str, **body: Any) -> dict[str, Any]:
    return {"name": name, "variable": body}


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ({"value": [1, "{{ request.object.spec.n }}"]}, [1, 5]),
        ({"jmesPath": "request.object.spec.n"}, 5),
        ({"value": {"a": 1}, "jmesPath": "a"}, 1),
        ({"value": "a,b", "jmesPath": "split(@, ',')"}, ["a", "b"]),
        ({"jmesPath": "request.object.spec.nope", "default": "d"}, "d"),
        ({"jmesPath": "request.object.spec.nil", "default": "{{ request.object.spec.n }}"}, 5),
        ({"jmesPath": "request.object.spec.{{ request.object.spec.key }}"}, 5),
        ({"value": ""}, ""),
        ({"value": 0}, 0),
    ],
)
def test_a_variable(body: dict[str, Any], value: Any) -> None:
    assert loaded(variable("x", **body)).field("x") == value


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"jmesPath": "request.object.spec.nil"}, "failed to add context entry for variable x since it evaluated to nil"),
        (
            {"jmesPath": "request.object.spec.nope"},
            "failed to apply jmespath request.object.spec.nope to variable <nil>: "
            'JMESPath query failed: Unknown key "nope" in path',
        ),
        (
            {"value": "{{ request.nope }}"},
            "failed to substitute variables in context entry x {{ request.nope }}: failed to resolve request.nope at path : "
            'JMESPath query failed: Unknown key "nope" in path',
        ),
    ],
)
def test_a_variable_without_value_is_an_error_when_it_is_read(body: dict[str, Any], text: str) -> None:
    scope = loaded(variable("x", **body), variable("y", value="fine"))
    assert scope.field("y") == "fine"
    with pytest.raises(EvaluationError) as caught:
        scope.field("x")
    assert str(caught.value) == text


def test_an_entry_sees_those_before_it_and_not_those_after() -> None:
    scope = loaded(
        variable("x", value="a"), variable("y", value="{{ x }}b"), variable("z", jmesPath="later"), variable("later", value=1)
    )
    assert scope.field("y") == "ab"
    with pytest.raises(EvaluationError):
        scope.field("z")


def test_a_later_entry_of_the_same_name_uses_the_earlier() -> None:
    assert loaded(variable("x", value="a"), variable("x", jmesPath="to_upper(x)")).field("x") == "A"


def test_an_entry_does_not_see_itself() -> None:
    with pytest.raises(EvaluationError):
        loaded(variable("x", value="{{ x }}")).field("x")


def test_a_config_map_shows_data_and_metadata() -> None:
    entry = {
        "name": "cm",
        "configMap": {"name": "c-{{ request.object.metadata.name }}", "namespace": "{{ request.object.metadata.namespace }}"},
    }
    with pytest.raises(Unknown) as caught:
        loaded(entry).field("cm")
    (lookup,) = caught.value.lookups
    assert (lookup.source, lookup.key) == ("configMap", "prod/c-web")
    found = {"data": {"a": "1"}, "metadata": {"name": "c-web"}, "binaryData": {"b": "AA=="}}
    assert loaded(entry, facts={lookup: found}).field("cm") == {"data": {"a": "1"}, "metadata": {"name": "c-web"}}


def test_a_config_map_that_cannot_be_had_is_an_error() -> None:
    lookup = Lookup("configMap", "default/c")
    scope = loaded({"name": "cm", "configMap": {"name": "c"}}, facts={lookup: LookupFailed(lookup, "not found")})
    with pytest.raises(EvaluationError, match="failed to get configmap default/c: not found"):
        scope.field("cm")


def test_a_namespaced_policy_reads_only_its_namespace() -> None:
    with pytest.raises(InvalidPolicy):
        loaded({"name": "cm", "configMap": {"name": "c", "namespace": "other"}}, namespace="team")
    scope = loaded(
        {"name": "cm", "configMap": {"name": "c", "namespace": "{{ request.object.metadata.namespace }}"}}, namespace="team"
    )
    with pytest.raises(EvaluationError, match="may only read its own namespace"):
        scope.field("cm")
    with pytest.raises(Unknown):
        loaded({"name": "cm", "configMap": {"name": "c"}}, namespace="team").field("cm")


def test_an_api_call_with_query_and_default() -> None:
    entry = {
        "name": "pods",
        "apiCall": {
            "urlPath": "/api/v1/namespaces/{{ request.object.metadata.namespace }}/pods",
            "jmesPath": "items | length(@)",
        },
    }
    lookup = Lookup("apiCall", "/api/v1/namespaces/prod/pods")
    assert loaded(entry, facts={lookup: {"items": [1, 2]}}).field("pods") == 2
    entry["apiCall"]["default"] = 0
    assert loaded(entry, facts={lookup: LookupFailed(lookup, "forbidden")}).field("pods") == 0


def test_a_service_call_carries_method_body_and_headers() -> None:
    call = {
        "method": "POST",
        "data": [{"key": "n", "value": "{{ request.object.spec.n }}"}],
        "service": {"url": "https://example.com/check", "caBundle": "PEM", "headers": [{"key": "X-Team", "value": "web"}]},
    }
    with pytest.raises(Unknown) as caught:
        loaded({"name": "answer", "apiCall": call}).field("answer")
    (lookup,) = caught.value.lookups
    assert lookup == Lookup(
        "service", "https://example.com/check", "POST", '{"n":5}', (("caBundle", "PEM"), ("header:X-Team", "web"))
    )


def test_global_references_and_images_are_looked_up_by_name() -> None:
    for entry, lookup in (
        ({"name": "g", "globalReference": {"name": "entry.part"}}, Lookup("globalReference", "entry.part")),
        ({"name": "i", "imageRegistry": {"reference": "nginx:1"}}, Lookup("imageData", "nginx:1")),
    ):
        assert loaded(entry, facts={lookup: {"a": 1}}).field(entry["name"]) == {"a": 1}


@pytest.mark.parametrize(
    "entry",
    [
        {"variable": {"value": 1}},
        {"name": "request", "variable": {"value": 1}},
        {"name": "element.x", "variable": {"value": 1}},
        {"name": "x"},
        {"name": "x", "variable": {"value": 1}, "configMap": {"name": "c"}},
        {"name": "x", "variable": {"default": 1}},
        {"name": "x", "variable": {"value": None}},
        {"name": "x", "variable": {"jmesPath": "bad(("}},
        {"name": "x", "configMap": {}},
        {"name": "x", "apiCall": {}},
        {"name": "x", "apiCall": {"urlPath": "/api", "service": {"url": "https://example.com"}}},
        {"name": "x", "apiCall": {"urlPath": "/api", "data": [{"key": "a", "value": 1}]}},
        {"name": "x", "apiCall": {"urlPath": "/api/v1/../secrets"}},
        {"name": "x", "globalReference": {}},
        {"name": "x", "imageRegistry": {}},
    ],
)
def test_what_is_refused(entry: Any) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        loaded(entry)
    assert caught.value.path.startswith("spec.rules[0].context[0]")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/v1/namespaces/team/pods", True),
        ("/apis/apps/v1/namespaces/team/deployments/web", True),
        ("/api/v1/namespaces/team", True),
        ("/api/v1/namespaces/team/pods?limit=1", True),
        ("/api/v1/namespaces/other/pods", False),
        ("/api/v1/namespaces/team/../other/pods", False),
        ("/api/v1/namespaces/team%2f..%2fother/pods", False),
        ("/api/v1/namespaces/team//pods", False),
        ("/api/v1/pods", False),
        ("/api/v1/namespaces/teams/pods", False),
        ("api/v1/namespaces/team/pods", False),
    ],
)
def test_paths_a_namespaced_policy_may_call(path: str, allowed: bool) -> None:
    assert (url_path_problem(path, "team") == "") is allowed


def service(**more: Any) -> dict[str, Any]:
    return {"name": "x", "apiCall": {"service": {"url": "https://svc.example/x"}, **more}}


def answered(entry: dict[str, Any], answer: Any, *, max_size: int = 1000) -> Any:
    facts = Facts({Lookup("service", "https://svc.example/x"): answer}, max_size=max_size)
    root = Scope(Request(operation="CREATE", kind=GroupVersionKind("", "v1", "Thing"), object=OBJECT), facts=facts)
    compile_context([entry], path="spec.rules[0].context")(root)
    return root.field("x")


def test_an_answer_may_be_as_long_as_any_variable() -> None:
    long = {"a": "x" * 2000, "b": 1}
    with pytest.raises(EvaluationError, match=r"^failed to add context entry x: context size limit exceeded$"):
        answered(service(default="d"), long)
    assert answered(service(jmesPath="b"), long) == 1
    assert answered(service(), long, max_size=3000) == long


def test_messages_do_not_show_what_came_from_outside() -> None:
    with pytest.raises(EvaluationError) as caught:
        answered(service(jmesPath="nope"), {"password": "secret"})
    assert str(caught.value) == 'failed to apply JMESPath nope for context entry x: Unknown key "nope" in path'


@pytest.mark.parametrize(
    ("kind", "body", "names"),
    [
        ("Pod", {"spec": {"imagePullSecrets": [{"name": "a"}, {"name": "b"}]}}, '["prod/a","prod/b"]'),
        ("Deployment", {"spec": {"template": {"spec": {"imagePullSecrets": [{"name": "a"}]}}}}, '["prod/a"]'),
        ("Pod", {"spec": {"imagePullSecrets": [{}, None, {"name": 7}]}}, ""),
        ("Pod", {"spec": {"imagePullSecrets": "a"}}, ""),
    ],
)
def test_images_are_asked_for_with_the_pull_secrets_of_the_pod(kind: str, body: dict[str, Any], names: str) -> None:
    request = Request(operation="CREATE", kind=GroupVersionKind("", "v1", kind), object=body, namespace="prod")
    root = Scope(request)
    credentials = {"secrets": ["c"], "allowInsecureRegistry": True}
    entry = {"name": "x", "imageRegistry": {"reference": "nginx", "imageRegistryCredentials": credentials}}
    compile_context([entry], path="spec.rules[0].context")(root)
    with pytest.raises(Unknown) as asked:
        root.field("x")
    (lookup,) = asked.value.lookups
    assert dict(lookup.options) == {
        "allowInsecureRegistry": "true",
        "secrets": '["c"]',
        **({"pullSecrets": names} if names else {}),
    }


def kept(query: str, value: Any, name: str = "g") -> Any:
    entry = {"name": "found", "globalReference": {"name": name, "jmesPath": query}}
    return loaded(entry, facts={Lookup("globalReference", name): Held(value)}).field("found")


def test_what_is_kept_between_requests_is_queried_like_anything_else() -> None:
    rows = [{"name": "n", "x": 1}, {"name": "m", "x": 2}]
    assert kept("[].x", rows) == [1, 2]
    assert kept("[?name == '{{ request.object.spec.key }}'].x", rows) == [1]
    assert kept("[].x | sort(@) | time_now_utc()", rows).endswith("Z")
    whole = loaded({"name": "found", "globalReference": {"name": "g"}}, facts={Lookup("globalReference", "g"): Held(rows)})
    assert whole.field("found") == rows


def test_an_error_on_what_is_kept_does_not_show_all_of_it() -> None:
    with pytest.raises(EvaluationError, match=r"failed to apply JMESPath a\.b for context entry found: Unknown key"):
        kept("a.b", {"a": {}})


def test_nothing_found_in_what_is_kept_is_answered_by_the_default() -> None:
    entry = {"name": "found", "apiCall": {"urlPath": "/api/v1/pods", "jmesPath": "x.y", "default": 7}}
    assert loaded(entry, facts={Lookup("apiCall", "/api/v1/pods"): Held({"x": {"y": None}})}).field("found") == 7

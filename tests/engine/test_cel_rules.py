"""validate.cel in ClusterPolicies (spec 2.6)."""

from __future__ import annotations

from typing import Any

import pytest

from engine.compiler import compile_policy
from engine.errors import InvalidPolicy, LookupFailed, Unknown
from engine.facts import Facts, Lookup, resource, resources
from engine.request import Object
from tests.policies import Row, cluster_policy, request_for, rows

POD: Object = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "namespace": "ns", "labels": {"app": "web"}},
    "spec": {"containers": [{"name": "c", "image": "nginx"}]},
}
USER = {"userInfo": {"username": "alice", "groups": ["dev"]}}


def policy(cel: Any, **rule: Any) -> Object:
    validate = {"cel": cel, **({"message": rule.pop("message")} if "message" in rule else {})}
    return cluster_policy({"name": "r", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]}, "validate": validate, **rule})


def ask(cel: Any, operation: str = "CREATE", facts: Facts | None = None, pod: Object = POD, **rule: Any) -> Row:
    compiled = compile_policy(policy(cel, **rule))
    (row,) = rows(compiled, request_for(pod, operation, USER), facts or Facts())
    return row


def one(expression: str, **entry: str) -> Object:
    return {"expressions": [{"expression": expression, **entry}]}


AUDITED = {**one("true"), "auditAnnotations": [{"key": "k", "valueExpression": "1"}]}


def refused(cel: Any, **rule: Any) -> InvalidPolicy:
    with pytest.raises(InvalidPolicy) as caught:
        compile_policy(policy(cel, **rule))
    return caught.value


def test_a_true_expression_passes() -> None:
    assert ask(one("object.metadata.name == 'p'")) == ("r", "pass", "Validation rule 'r' passed.")


def test_the_first_false_expression_speaks() -> None:
    cel = {"expressions": [{"expression": "true"}, {"expression": "false", "message": " second "}, {"expression": "false"}]}
    assert ask(cel) == ("r", "fail", "second")


@pytest.mark.parametrize(
    ("entry", "rule", "text"),
    [
        ({"messageExpression": "'pod ' + object.metadata.name", "message": "m"}, {"message": "rule"}, "pod p"),
        ({"messageExpression": "object.nope", "message": "m"}, {}, "m"),
        ({"messageExpression": "'  '", "message": "m"}, {}, "m"),
        ({"messageExpression": "'two\\nlines'", "message": "m"}, {}, "m"),
        ({"message": "m"}, {"message": "rule"}, "m"),
        ({}, {"message": "no {{ request.object.metadata.name }}"}, "no p"),
        ({}, {}, "failed expression: object == null"),
    ],
)
def test_where_the_message_comes_from(entry: dict[str, str], rule: dict[str, str], text: str) -> None:
    assert ask(one("object == null", **entry), **rule) == ("r", "fail", text)


def test_an_expression_that_cannot_be_evaluated_fails() -> None:
    assert ask(one("object.spec.nope == 1")) == (
        "r",
        "fail",
        "expression 'object.spec.nope == 1' resulted in error: no such key: nope",
    )


def test_on_delete_the_object_is_null() -> None:
    assert ask(one("object == null && oldObject.metadata.name == 'p'"), "DELETE")[1] == "pass"


def test_the_request_has_declared_fields_only() -> None:
    known = "request.operation == 'CREATE' && request.userInfo.username == 'alice' && request.kind.kind == 'Pod'"
    assert ask(one(known))[1] == "pass"
    assert "undefined field 'object'" in refused(one("has(request.object)")).reason


def test_variables_see_those_before_them_and_run_when_read() -> None:
    cel = {
        "variables": [
            {"name": "images", "expression": "object.spec.containers.map(c, c.image)"},
            {"name": "first", "expression": "variables.images[0]"},
            {"name": "broken", "expression": "object.nope"},
        ],
        "expressions": [
            {"expression": "variables.first == 'nginx' && size(variables.images) == 1 && has(variables.first)"},
            {"expression": "variables.broken == 1 || variables['first'] == 'nginx'"},
        ],
    }
    row = ask({**cel, "expressions": cel["expressions"][:1]})
    assert row[1] == "pass"
    assert ask({**cel, "expressions": [{"expression": "variables.broken == 1"}]})[2] == (
        "expression 'variables.broken == 1' resulted in error: "
        'composited variable "broken" fails to evaluate: no such key: nope'
    )


def test_a_variable_is_not_known_before_it_is_defined() -> None:
    error = refused({"variables": [{"name": "a", "expression": "variables.b"}, {"name": "b", "expression": "1"}], **one("true")})
    assert error.path == "spec.rules[0].validate.cel.variables[0].expression"
    assert "undefined field 'b'" in error.reason


@pytest.mark.parametrize(
    ("cel", "path", "reason"),
    [
        (one("object."), "expressions[0].expression", "1:8: syntax error: unexpected end of expression"),
        (one("size(object)"), "expressions[0].expression", "must evaluate to bool"),
        (one("true", messageExpression="1"), "expressions[0].messageExpression", "must evaluate to string"),
        (one("params.x"), "expressions[0].expression", "undeclared reference to 'params'"),
        (AUDITED, "auditAnnotations[0].valueExpression", "must evaluate to string or null_type"),
        ({**one("true"), "paramKind": {"apiVersion": "v1", "kind": "X"}}, "paramRef", "exactly one of name and selector"),
    ],
)
def test_mistakes_name_their_place(cel: Any, path: str, reason: str) -> None:
    error = refused(cel)
    assert error.path == f"spec.rules[0].validate.cel.{path}"
    assert reason in error.reason


def test_match_conditions_of_the_webhook_must_compile() -> None:
    document = policy(one("true"))
    document["spec"]["webhookConfiguration"] = {"matchConditions": [{"name": "c", "expression": "request.keys(@)"}]}
    with pytest.raises(InvalidPolicy) as caught:
        compile_policy(document)
    assert caught.value.path == "spec.webhookConfiguration.matchConditions[0].expression"


def test_preconditions() -> None:
    def with_condition(expression: str) -> Row:
        return ask(one("false", message="m"), celPreconditions=[{"name": "n", "expression": expression}])

    assert with_condition("request.operation == 'UPDATE'") == ("r", "skip", "cel preconditions not met")
    assert with_condition("request.operation == 'CREATE'") == ("r", "fail", "m")
    assert with_condition("object.nope") == ("r", "fail", "expression 'object.nope' resulted in error: no such key: nope")


LIMIT: Object = {"apiVersion": "x.io/v1", "kind": "Limit", "metadata": {"name": "l", "labels": {"a": "b"}}, "max": 3}
PARAM_KIND = {"apiVersion": "x.io/v1", "kind": "Limit"}


def with_params(reference: Object) -> Object:
    entry = one("params.max > 5", messageExpression="'max ' + string(params.max)")
    return {**entry, "paramKind": PARAM_KIND, "paramRef": reference}


def test_a_parameter_is_asked_for_in_the_objects_namespace() -> None:
    cel = with_params({"name": "l", "parameterNotFoundAction": "Deny"})
    lookup = resource("x.io/v1", "Limit", namespace="ns", name="l")
    with pytest.raises(Unknown) as caught:
        ask(cel)
    assert caught.value.lookups == {lookup}
    assert ask(cel, facts=Facts({lookup: LIMIT})) == ("r", "fail", "max 3")
    assert ask(cel, facts=Facts({lookup: None})) == ("r", "error", "error in parameterized resource: no params found")
    assert ask({**cel, "paramRef": {"name": "l", "parameterNotFoundAction": "Allow"}}, facts=Facts({lookup: None}))[1] == "pass"


def test_every_selected_parameter_must_agree() -> None:
    selector = {"matchLabels": {"a": "b"}}
    lookup = resources("x.io/v1", "Limit", namespace="other", selector=selector)
    good = {**LIMIT, "max": 9}
    unselected = {**LIMIT, "metadata": {"name": "u"}}
    cel = with_params({"selector": selector, "namespace": "other", "parameterNotFoundAction": "Deny"})
    assert ask(cel, facts=Facts({lookup: [good, unselected]}))[1] == "pass"
    assert ask(cel, facts=Facts({lookup: [good, LIMIT]})) == ("r", "fail", "max 3")


def test_the_namespace_is_looked_up_or_made_of_what_is_known() -> None:
    cel = one("namespaceObject.metadata.labels.tier == 'gold'")
    lookup = resource("v1", "Namespace", namespace="", name="ns")
    with pytest.raises(Unknown):
        ask(cel)
    assert ask(cel, facts=Facts({lookup: {"metadata": {"name": "ns", "labels": {"tier": "gold"}}}}))[1] == "pass"
    offline = Facts(absent=frozenset({"resource"}))
    assert ask(one("namespaceObject.metadata.name == 'ns'"), facts=offline)[1] == "pass"


def test_an_expression_that_does_not_need_the_namespace_never_asks() -> None:
    assert ask(one("true || namespaceObject.metadata.name == 'x'"))[1] == "pass"


def test_the_authorizer_asks_the_api_server() -> None:
    cel = one("authorizer.group('').resource('pods').namespace('ns').check('delete').allowed()")
    with pytest.raises(Unknown) as caught:
        ask(cel)
    (lookup,) = caught.value.lookups
    assert (lookup.source, lookup.method, lookup.key) == (
        "apiCall",
        "POST",
        "/apis/authorization.k8s.io/v1/subjectaccessreviews",
    )
    assert '"user":"alice"' in lookup.body
    assert ask(cel, facts=Facts({lookup: {"status": {"allowed": True}}}))[1] == "pass"
    assert ask(cel, facts=Facts({lookup: {"status": {"allowed": False}}}))[1] == "fail"


def test_without_a_cluster_the_authorizer_is_an_error() -> None:
    cel = one("authorizer.path('/healthz').check('get').allowed()")
    body = (
        '{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","spec":{"groups":["dev"],'
        '"nonResourceAttributes":{"path":"/healthz","verb":"get"},"user":"alice"}}'
    )
    lookup = Lookup("apiCall", "/apis/authorization.k8s.io/v1/subjectaccessreviews", "POST", body)
    failed = Facts({lookup: LookupFailed(lookup, "no cluster")})
    assert ask(cel, facts=failed) == ("r", "error", "no cluster")


def test_generated_rules_look_into_the_template() -> None:
    document = cluster_policy(
        {
            "name": "r",
            "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
            "validate": {"cel": one("object.spec.containers.all(c, c.image != 'nginx')", message="no nginx")},
        },
        annotations={},
    )
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {"template": {"metadata": {}, "spec": POD["spec"]}},
    }
    assert rows(compile_policy(document), request_for(deployment)) == [("autogen-r", "fail", "no nginx")]

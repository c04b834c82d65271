"""match and exclude against Kyverno's recorded answers (oracle/match.json)."""

from __future__ import annotations

from engine.clauses.match import check_match, compile_match
from engine.errors import InvalidPolicy
from engine.request import Request, User, kind_of
from tests.conformance.oracle import Case, cases, score

RULE = {
    "name": "r6",
    "validate": {"message": "hit", "deny": {"conditions": {"all": [{"key": 1, "operator": "Equals", "value": 1}]}}},
}


DEFAULT_NAMESPACE = {"env": "dev"}
"""Labels of namespace `default` in all cases; the recording put objects without a namespace there, also cluster-scoped ones."""


def request_of(case: Case) -> Request:
    """The question of a case. The recording asked `apply`, which put everything but Namespaces into a namespace."""
    resource, deleting = case["resource"], case["operation"] == "DELETE"
    who = case.get("userinfo")
    info = (who or {}).get("userInfo") or {}
    return Request(
        operation=case["operation"],
        kind=kind_of(resource),
        object=None if deleting else resource,
        old_object=resource if deleting else None,
        namespace="" if resource["kind"] == "Namespace" else resource["metadata"].get("namespace", "default"),
        name=resource["metadata"]["name"],
        user=None
        if who is None
        else User(
            username=info.get("username", ""),
            groups=tuple(info.get("groups") or ()),
            roles=tuple(who.get("roles") or ()),
            cluster_roles=tuple(who.get("clusterRoles") or ()),
        ),
        namespace_labels=DEFAULT_NAMESPACE if case["namespaceLabels"] is None else case["namespaceLabels"],
    )


def answer(case: Case) -> bool | str:
    rule = {**RULE, **{key: case[key] for key in ("match", "exclude") if key in case}}
    try:
        check_match(rule, "spec.rules[0]")
        match = compile_match(rule["match"], rule.get("exclude"), path="spec.rules[0]", policy_namespace="")
    except InvalidPolicy as error:
        return str(error)
    if case["applied"] == "invalid":
        return "accepted"
    request = request_of(case)
    applied = match(request)
    assert not applied or match.covers(request.kind, request.subresource, request.operation)
    return applied


def difference(case: Case) -> str | None:
    expected = case["text"] if case["applied"] == "invalid" else case["applied"]
    found = answer(case)
    return None if found == expected else f"{found!r} instead of {expected!r}"


def test_match_agrees_with_recorded_answers() -> None:
    score("match", cases("match"), difference)

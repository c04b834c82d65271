"""Policies and requests as Kyverno's CLI makes them of a rule and an object: what tests ask the engine with."""

from __future__ import annotations

from typing import Any

from engine.evaluate import outcome_of
from engine.facts import NO_FACTS, Facts
from engine.policy import Policy
from engine.request import Object, Request, User, kind_of
from engine.result import Outcome
from engine.scope import Scope

Row = tuple[str, str, str]
"""(rule, status, message)"""


def cluster_policy(rule: Object, annotations: dict[str, str] | None = None) -> Object:
    """The policy a recorded rule ran in; autogen is off unless annotations are given."""
    if annotations is None:
        annotations = {"pod-policies.kyverno.io/autogen-controllers": "none"}
    return {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": "p", "annotations": annotations},
        "spec": {"background": False, "rules": [rule]},
    }


def request_for(resource: Object, operation: str = "CREATE", userinfo: dict[str, Any] | None = None) -> Request:
    """A request as the recorder's `apply` made it: resources without namespace get `default`, DELETE carries the old object."""
    metadata = {"namespace": "default", **resource["metadata"]}
    resource = {**resource, "metadata": metadata}
    new = None if operation == "DELETE" else resource
    old = resource if operation in ("DELETE", "UPDATE") else None
    document: Object = {"operation": operation, "namespace": metadata["namespace"]}
    document.update({key: value for key, value in (("object", new), ("oldObject", old)) if value is not None})
    user = None
    if userinfo:
        about = userinfo.get("userInfo") or {}
        roles, cluster_roles = userinfo.get("roles") or (), userinfo.get("clusterRoles") or ()
        user = User(about.get("username") or "", tuple(about.get("groups") or ()), tuple(roles), tuple(cluster_roles))
        document["userInfo"] = about
        document.update({key: userinfo[key] for key in ("roles", "clusterRoles") if key in userinfo})
    return Request(
        operation=operation,
        kind=kind_of(resource),
        object=new,
        old_object=old,
        namespace=metadata["namespace"],
        name=metadata["name"],
        user=user,
        document=document,
    )


def outcomes(policy: Policy, request: Request, facts: Facts = NO_FACTS) -> list[tuple[str, Outcome]]:
    """(rule, outcome) of every rule that applies and says something, in rule order."""
    root = Scope(request, facts=facts)
    applying = [rule for rule in policy.rules if rule.match(request) and (request.operation != "DELETE" or rule.on_delete)]
    answers = [(rule.name, outcome_of(rule, root)) for rule in applying]
    return [(name, outcome) for name, outcome in answers if outcome is not None]


def rows(policy: Policy, request: Request, facts: Facts = NO_FACTS) -> list[Row]:
    """The outcomes as a report shows them."""
    return [(name, str(outcome.status), outcome.message) for name, outcome in outcomes(policy, request, facts)]

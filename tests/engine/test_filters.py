"""Exclusions of the ConfigMap: resourceFilters and excluded users (spec 3.3)."""

from __future__ import annotations

import pytest

from engine.clauses.filters import compile_exclusions, compile_filters
from engine.request import GroupVersionKind, Request, User

DEFAULTS = """
[Event,*,*] [*/*,kube-system,*] [Node,*,*] [Node/?*,*,*]
[Pod/binding,*,*] [ReplicaSet,*,*] [Secret,kyverno,kyverno-svc.*]
"""
KINDS = {"Pod": "v1", "Event": "v1", "Node": "v1", "Secret": "v1", "ReplicaSet": "apps/v1", "Namespace": "v1"}


def asks(kind: str, namespace: str = "", name: str = "", subresource: str = "") -> Request:
    group, _, version = KINDS[kind].rpartition("/")
    return Request(
        operation="CREATE",
        kind=GroupVersionKind(group, version, kind),
        object={"metadata": {"name": name}},
        namespace=namespace,
        name=name,
        subresource=subresource,
    )


@pytest.mark.parametrize(
    ("request_", "excluded"),
    [
        (asks("Pod", "default", "web"), False),
        (asks("Pod", "kube-system", "web"), True),
        (asks("Pod", "kube-system", "web", "exec"), True),
        (asks("Pod", "default", "web", "binding"), True),
        (asks("Pod", "default", "web", "ephemeralcontainers"), False),
        (asks("Event", "default", "x"), True),
        (asks("Node", "", "n"), True),
        (asks("Node", "", "n", "status"), True),
        (asks("ReplicaSet", "default", "web"), True),
        (asks("ReplicaSet", "default", "web", "scale"), False),
        (asks("Secret", "kyverno", "kyverno-svc.tls"), True),
        (asks("Secret", "kyverno", "other"), False),
        (asks("Namespace", "kube-system", "kube-system"), True),
        (asks("Namespace", "", "kube-system"), True),
        (asks("Namespace", "", "prod"), False),
    ],
)
def test_default_filters(request_: Request, excluded: bool) -> None:
    filters = compile_filters(DEFAULTS)
    assert filters.problems == ()
    assert filters(request_) is excluded


def test_namespace_and_name_may_be_left_out() -> None:
    assert compile_filters("[Secret]")(asks("Secret", "a", "b"))
    assert compile_filters("[Secret,a]")(asks("Secret", "a", "b"))
    assert not compile_filters("[Secret,a]")(asks("Secret", "b", "b"))


def test_blanks_inside_a_tuple_do_not_matter() -> None:
    assert compile_filters("[ Secret , a , b ]")(asks("Secret", "a", "b"))


def test_a_namespace_is_found_by_name_in_the_place_of_the_name() -> None:
    assert compile_filters("[Namespace,*,prod]")(asks("Namespace", "prod", "prod"))
    assert not compile_filters("[Namespace,*,prod]")(asks("Namespace", "dev", "dev"))
    assert compile_filters("[Namespace,,prod]")(asks("Namespace", "prod", "prod"))


def test_a_generated_name_is_no_name() -> None:
    assert compile_filters("[Pod,*,*]")(asks("Pod", "default"))
    assert not compile_filters("[Pod,*,web]")(asks("Pod", "default"))


def test_bad_tuples_are_named_and_the_others_still_work() -> None:
    filters = compile_filters("[Event,*,*] [a,b,c,d] [,x] [v1/a/b/c/d/e] [] Pod [Node,*,*]")
    assert filters(asks("Event", "default", "x"))
    assert filters(asks("Node", "", "n"))
    assert not filters(asks("Pod", "default", "x"))
    assert filters.problems == (
        "resourceFilters: tuple 2 `[a,b,c,d]`: expected kind, namespace and name, got 4 parts",
        "resourceFilters: tuple 3 `[,x]`: kind is empty",
        "resourceFilters: tuple 4 `[v1/a/b/c/d/e]`: `v1/a/b/c/d/e` is no kind",
        "resourceFilters: tuple 5 `[]`: kind is empty",
        "resourceFilters: text outside of [ ] is ignored: `Pod`",
    )


def test_no_filters_exclude_nothing() -> None:
    assert not compile_filters("")(asks("Pod", "kube-system", "x"))


def by(user: User | None) -> Request:
    return Request(operation="CREATE", kind=GroupVersionKind("", "v1", "Pod"), object={}, user=user)


def test_users_are_excluded_by_any_list() -> None:
    excluded = compile_exclusions(
        groups="system:nodes, ops-*", usernames="bob", roles="kube-system:*", cluster_roles="cluster-admin"
    )
    assert excluded(by(User("bob")))
    assert excluded(by(User("ann", groups=("devs", "ops-eu"))))
    assert excluded(by(User("ann", roles=("kube-system:x",))))
    assert excluded(by(User("ann", cluster_roles=("cluster-admin",))))
    assert not excluded(by(User("ann", groups=("devs",), roles=("a:b",), cluster_roles=("view",))))


def test_a_mark_takes_a_user_back() -> None:
    excluded = compile_exclusions(groups="system:serviceaccounts:*", usernames="!system:serviceaccount:ci:*")
    assert excluded(by(User("system:serviceaccount:a:b", groups=("system:serviceaccounts:a",))))
    assert not excluded(by(User("system:serviceaccount:ci:b", groups=("system:serviceaccounts:ci",))))


def test_nobody_is_not_excluded() -> None:
    assert not compile_exclusions(usernames="*")(by(None))


def test_a_mark_without_a_name_is_named() -> None:
    excluded = compile_exclusions(usernames="bob,!,,")
    assert excluded(by(User("bob")))
    assert excluded.problems == ("excludeUsernames: `!` without a name",)

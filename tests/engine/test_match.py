"""match and exclude through compile_match: what the recorded cases do not cover, and the corners worth a name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clauses.match import compile_match
from engine.errors import InvalidPolicy
from engine.request import GroupVersionKind, Request, User

POD = GroupVersionKind("", "v1", "Pod")
ANN = User(username="ann", groups=("devs",), roles=("default:dev",), cluster_roles=("view",))


def pod(**metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "default", **metadata}}


def request(**changes: Any) -> Request:
    asked: dict[str, Any] = {"operation": "CREATE", "kind": POD, "object": pod(), "namespace": "default", "name": "web"}
    return Request(**{**asked, **changes})


def applies(match: dict[str, Any], exclude: dict[str, Any] | None = None, *, policy_namespace: str = "", **changes: Any) -> bool:
    compiled = compile_match(match, exclude, path="spec.rules[0]", policy_namespace=policy_namespace)
    asked = request(**changes)
    applied = compiled(asked)
    assert not applied or compiled.covers(asked.kind, asked.subresource, asked.operation)
    return applied


def block(**resources: Any) -> dict[str, Any]:
    return {"any": [{"resources": {"kinds": ["Pod"], **resources}}]}


def test_a_kind_does_not_match_its_subresources() -> None:
    assert not applies(block(), subresource="exec")
    assert applies({"any": [{"resources": {"kinds": ["Pod/exec"]}}]}, subresource="exec")


@pytest.mark.parametrize("kinds", [["Pod"], ["v1/Pod"], ["*"], ["Secret", "P*"]])
def test_a_rule_for_pods_matches_their_ephemeral_containers(kinds: list[str]) -> None:
    assert applies(block(kinds=kinds), subresource="ephemeralcontainers")


def test_other_subresources_of_pods_do_not_bring_ephemeral_containers() -> None:
    assert not applies(block(kinds=["Pod/exec"]), subresource="ephemeralcontainers")
    assert not applies(block(kinds=["Node"]), subresource="ephemeralcontainers")


def test_a_name_falls_back_to_generate_name() -> None:
    generated = {"metadata": {"generateName": "web-", "namespace": "default"}}
    assert applies(block(names=["web-*"]), object=generated)
    assert applies(block(name="web-"), object=generated)
    assert not applies(block(names=["web-?*"]), object=generated)


def test_a_namespace_is_matched_by_its_own_name() -> None:
    asked: dict[str, Any] = {
        "kind": GroupVersionKind("", "v1", "Namespace"),
        "object": {"metadata": {"name": "prod-a"}},
        "namespace": "prod-a",
        "name": "prod-a",
    }
    assert applies(block(kinds=["Namespace"], namespaces=["prod-*"]), **asked)
    assert not applies(block(kinds=["Namespace"], namespaces=["dev"]), **asked)


def test_a_namespace_lies_in_no_namespaced_policys_reach() -> None:
    asked: dict[str, Any] = {"kind": GroupVersionKind("", "v1", "Namespace"), "object": {"metadata": {"name": "default"}}}
    assert not applies(block(kinds=["*"]), policy_namespace="default", **asked)


def test_a_namespaced_policy_sees_only_its_namespace() -> None:
    assert applies(block(), policy_namespace="default")
    assert not applies(block(), policy_namespace="other")
    assert not applies(block(kinds=["*"]), policy_namespace="default", namespace="", kind=GroupVersionKind("", "v1", "Node"))


def test_a_namespace_selector_reads_the_labels_of_the_namespace() -> None:
    selected = block(namespaceSelector={"matchLabels": {"env": "p*"}})
    assert applies(selected, namespace_labels={"env": "prod"})
    assert not applies(selected, namespace_labels={"env": "dev"})
    assert not applies(selected, namespace_labels=None)


def test_a_namespace_selector_never_matches_a_namespace() -> None:
    asked: dict[str, Any] = {"kind": GroupVersionKind("", "v1", "Namespace"), "object": {"metadata": {"name": "a"}}}
    assert not applies(block(kinds=["Namespace"], namespaceSelector={}), namespace_labels={}, **asked)


def test_a_delete_is_judged_by_the_object_that_goes() -> None:
    gone = pod(labels={"app": "web"})
    asked: dict[str, Any] = {"operation": "DELETE", "object": None, "old_object": gone}
    assert applies(block(selector={"matchLabels": {"app": "web"}}), **asked)
    assert not applies(block(selector={"matchLabels": {"app": "db"}}), **asked)


def test_a_request_without_objects_matches_nothing() -> None:
    assert not applies(block(kinds=["*"]), operation="CONNECT", object=None)


def test_an_update_out_of_the_rules_reach_is_still_matched() -> None:
    selected = block(selector={"matchLabels": {"app": "web"}})
    asked: dict[str, Any] = {"operation": "UPDATE", "object": pod(), "old_object": pod(labels={"app": "web"})}
    assert applies(selected, **asked)


def test_operations_narrow_a_block() -> None:
    assert not applies(block(operations=["UPDATE", "DELETE"]))
    assert applies(block(operations=["CREATE"]))


def test_criteria_on_users_are_dropped_from_match_when_nobody_asked() -> None:
    mine = {"any": [{"resources": {"kinds": ["Pod"]}, "subjects": [{"kind": "User", "name": "bob"}]}]}
    assert applies(mine, user=None)
    assert not applies(mine, user=ANN)


def test_a_match_block_of_users_alone_matches_nothing_when_nobody_asked() -> None:
    mine = {"any": [{"subjects": [{"kind": "User", "name": "*"}]}]}
    assert not applies(mine, user=None)
    assert applies(mine, user=ANN)


def test_users_excluded_by_name_are_not_excluded_when_nobody_asked() -> None:
    exclude = {"any": [{"resources": {"kinds": ["Pod"]}, "subjects": [{"kind": "User", "name": "ann"}]}]}
    assert applies(block(), exclude, user=None)
    assert not applies(block(), exclude, user=ANN)


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({"roles": ["x:y", "default:dev"]}, True),
        ({"roles": ["*:dev"]}, False),
        ({"clusterRoles": ["view"]}, True),
        ({"clusterRoles": ["v*"]}, False),
        ({"subjects": [{"kind": "Group", "name": "d*"}]}, True),
        ({"subjects": [{"kind": "User", "name": "bob"}, {"kind": "Group", "name": "devs"}]}, True),
        ({"subjects": [{"kind": "User", "name": "devs"}]}, False),
        ({"roles": ["default:dev"], "clusterRoles": ["admin"]}, False),
        ({"subjects": [{"kind": "ServiceAccount", "namespace": "ci", "name": "*"}]}, False),
    ],
)
def test_user_criteria(criteria: dict[str, Any], expected: bool) -> None:
    assert applies({"any": [{"resources": {"kinds": ["Pod"]}, **criteria}]}, user=ANN) is expected


def test_a_service_account_is_its_user_name() -> None:
    builders = {"kind": "ServiceAccount", "namespace": "c?", "name": "b*"}
    match = {"any": [{"resources": {"kinds": ["Pod"]}, "subjects": [builders]}]}
    assert applies(match, user=User(username="system:serviceaccount:ci:builder"))


def test_all_blocks_of_all_must_match() -> None:
    match = {"all": [{"resources": {"kinds": ["Pod"]}}, {"resources": {"kinds": ["*"], "namespaces": ["default"]}}]}
    assert applies(match)
    assert not applies(match, namespace="other")


def test_exclude_all_excludes_only_when_every_block_matches() -> None:
    exclude = {"all": [{"resources": {"kinds": ["Pod"]}}, {"resources": {"kinds": ["Pod"], "namespaces": ["kube-*"]}}]}
    assert applies(block(), exclude)
    assert not applies(block(), exclude, namespace="kube-system")


def test_the_direct_form_is_one_block() -> None:
    match = {"resources": {"kinds": ["Pod"]}, "subjects": [{"kind": "User", "name": "ann"}]}
    assert applies(match, user=ANN)
    assert not applies(match, user=User("bob"))


@pytest.mark.parametrize("empty", [{}, {"any": []}, {"any": [{}]}, {"all": [{"resources": {}}]}])
def test_an_empty_match_matches_nothing(empty: dict[str, Any]) -> None:
    assert not applies(empty)


@pytest.mark.parametrize("empty", [{}, {"any": [{}]}, {"all": [{"resources": {}}]}, None])
def test_an_empty_exclude_excludes_nothing(empty: dict[str, Any] | None) -> None:
    assert applies(block(), empty)


def test_labels_that_are_no_strings_count_as_none() -> None:
    numbered = pod(labels={"app": 1, "tier": "web"})
    assert not applies(block(selector={"matchLabels": {"tier": "web"}}), object=numbered)
    assert applies(block(selector={"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}), object=numbered)


@pytest.mark.parametrize("metadata", [None, [], "x", {"labels": None, "annotations": []}])
def test_an_object_with_broken_metadata_is_no_reason_to_fail(metadata: Any) -> None:
    criteria = block(names=["?*"], annotations={"a": "*"}, selector={"matchLabels": {"a": "*"}})
    assert not applies(criteria, object={"metadata": metadata})


@pytest.mark.parametrize(
    ("match", "path"),
    [
        ([], "spec.rules[0].match"),
        ({"any": {}}, "spec.rules[0].match.any"),
        ({"any": {"resources": {}}}, "spec.rules[0].match.any"),
        ({"any": [1]}, "spec.rules[0].match.any[0]"),
        ({"any": [{"resources": {"kinds": "Pod"}}]}, "spec.rules[0].match.any[0].resources.kinds"),
        ({"any": [{"resources": {"kinds": ["Pod", 1]}}]}, "spec.rules[0].match.any[0].resources.kinds[1]"),
        ({"all": [{"resources": {"operations": ["CREATE", "create"]}}]}, "spec.rules[0].match.all[0].resources.operations[1]"),
        ({"resources": {"annotations": {"a": 1}}}, "spec.rules[0].match.resources.annotations[a]"),
        ({"resources": {"selector": {"matchLabels": {"a b": "c"}}}}, "spec.rules[0].match.resources.selector.matchLabels[a b]"),
        (
            {"resources": {"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "in"}]}}},
            "spec.rules[0].match.resources.namespaceSelector.matchExpressions[0]",
        ),
        ({"subjects": [{"kind": "Robot", "name": "x"}]}, "spec.rules[0].match.subjects[0].kind"),
        ({"any": [{"roles": [1]}]}, "spec.rules[0].match.any[0].roles[0]"),
        ({"any": [{"resources": {"kinds": ["Pod"]}}], "all": [{"resources": {"kinds": ["Pod"]}}]}, "spec.rules[0].match"),
        ({"any": [{"resources": {"kinds": ["Pod"]}}], "resources": {"kinds": ["Pod"]}}, "spec.rules[0].match"),
    ],
)
def test_a_wrong_shape_is_named_with_its_place(match: Any, path: str) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        compile_match(match, None, path="spec.rules[0]")
    assert caught.value.path == path


def test_reach_gives_the_operations_of_each_kind() -> None:
    compiled = compile_match(
        {"any": [{"resources": {"kinds": ["Pod", "Secret"], "operations": ["CREATE"]}}, {"resources": {"kinds": ["Pod"]}}]},
        {"any": [{"resources": {"operations": ["DELETE"]}}, {"resources": {"kinds": ["Secret"], "namespaces": ["a"]}}]},
        path="spec.rules[0]",
    )
    assert {reach.kind.text: (sorted(reach.operations), reach.stated) for reach in compiled.reach} == {
        "Pod": (["CONNECT", "CREATE", "UPDATE"], False),
        "Secret": (["CREATE"], True),
    }
    assert compiled.operations == {"CONNECT", "CREATE", "UPDATE"}
    assert not compiled.covers(POD, "", "DELETE")


def test_a_match_says_what_it_needs_to_know() -> None:
    plain = compile_match(block(), None, path="")
    assert (plain.needs_user, plain.needs_roles, plain.needs_namespace_labels) == (False, False, False)
    exclude = {"any": [{"roles": ["a:b"]}, {"resources": {"namespaceSelector": {}}}]}
    nosy = compile_match(block(), exclude, path="")
    assert (nosy.needs_user, nosy.needs_roles, nosy.needs_namespace_labels) == (True, True, True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
FIELDS = st.sampled_from(
    [
        "any",
        "all",
        "resources",
        "kinds",
        "names",
        "name",
        "namespaces",
        "annotations",
        "selector",
        "namespaceSelector",
        "operations",
        "roles",
        "clusterRoles",
        "subjects",
        "kind",
        "matchLabels",
        "matchExpressions",
        "key",
        "operator",
        "values",
    ]
)
NEAR_MISSES = st.recursive(
    JSON | st.just("CREATE") | st.just("Pod"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(FIELDS, inner, max_size=3),
    max_leaves=12,
)


@given(match=NEAR_MISSES, exclude=NEAR_MISSES)
def test_any_document_compiles_or_is_an_invalid_policy(match: Any, exclude: Any) -> None:
    place = "spec.match"
    try:
        compiled = compile_match(match, exclude, path="spec")
    except InvalidPolicy as error:
        place = error.path
    else:
        compiled(request(user=ANN))
    assert place.startswith("spec.")

"""The grammar of kinds (spec 9.4)."""

from __future__ import annotations

import pytest

from engine.clauses.kinds import compile_kinds, parse_kind
from engine.request import GroupVersionKind

DEPLOYMENT = GroupVersionKind("apps", "v1", "Deployment")
POD = GroupVersionKind("", "v1", "Pod")


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("Pod", ("*", "*", "Pod", "")),
        ("*", ("*", "*", "*", "")),
        ("*/*", ("*", "*", "*", "*")),
        ("Pod/*", ("*", "*", "Pod", "*")),
        ("*/Deployment", ("*", "*", "Deployment", "")),
        ("*/scale", ("*", "*", "*", "scale")),
        ("Pod.status", ("*", "*", "Pod", "status")),
        ("v1/Pod", ("*", "v1", "Pod", "")),
        ("v1beta12/Pod", ("*", "v1beta12", "Pod", "")),
        ("apps/v1/Deployment", ("apps", "v1", "Deployment", "")),
        ("v1/Pod/exec", ("*", "v1", "Pod", "exec")),
        ("apps/v1/Deployment/scale", ("apps", "v1", "Deployment", "scale")),
        ("apps/v1/Deployment.scale", ("apps", "v1", "Deployment", "scale")),
        ("networking.k8s.io/v1/Ingress", ("networking.k8s.io", "v1", "Ingress", "")),
        ("*/*/Deployment", ("*", "*", "*", "Deployment")),
        ("*/v1/Pod", ("*", "*", "v1", "Pod")),
        ("/v1/Pod", ("", "v1", "Pod", "")),
        ("apps/Deployment", ("*", "*", "apps", "Deployment")),
        ("a/b/c/d/e", ("", "", "", "")),
    ],
)
def test_grammar(text: str, parsed: tuple[str, str, str, str]) -> None:
    selector = parse_kind(text)
    assert (selector.group, selector.version, selector.kind, selector.subresource) == parsed
    assert selector.text == text


@pytest.mark.parametrize(
    ("text", "kind", "subresource", "selected"),
    [
        ("Pod", POD, "", True),
        ("pod", POD, "", False),
        ("Pod", POD, "exec", False),
        ("Pod/*", POD, "", True),
        ("Pod/*", POD, "exec", True),
        ("*", DEPLOYMENT, "scale", False),
        ("*/*", DEPLOYMENT, "scale", True),
        ("*/scale", DEPLOYMENT, "scale", True),
        ("Depl*", DEPLOYMENT, "", True),
        ("a*/v?/Deployment", DEPLOYMENT, "", True),
        ("v1/Deployment", DEPLOYMENT, "", True),
        ("v2/Deployment", DEPLOYMENT, "", False),
        ("a/b/c/d/e", POD, "", False),
        ("", POD, "", False),
    ],
)
def test_selection(text: str, kind: GroupVersionKind, subresource: str, selected: bool) -> None:
    assert compile_kinds([parse_kind(text)])(kind, subresource) is selected


def test_any_of_several_kinds_is_enough() -> None:
    fits = compile_kinds(map(parse_kind, ["Secret", "apps/v1/*", "Pod"]))
    assert fits(POD, "")
    assert fits(DEPLOYMENT, "")
    assert not fits(GroupVersionKind("batch", "v1", "Job"), "")


def test_ephemeral_containers_come_with_pods_only_on_request() -> None:
    assert compile_kinds([parse_kind("Pod")])(POD, "ephemeralcontainers")
    assert not compile_kinds([parse_kind("Pod")], ephemeral_containers=False)(POD, "ephemeralcontainers")
    assert not compile_kinds([parse_kind("Pod")])(GroupVersionKind("other.io", "v1", "Pod"), "ephemeralcontainers")

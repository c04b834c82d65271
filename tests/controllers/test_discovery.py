"""What kinds of policies mean in a cluster: aggregated discovery documents, and how a kind finds its resources."""

from __future__ import annotations

from typing import Any

from controllers.cluster.discovery import Discovery, parse
from engine import KindSelector


def group(name: str, **versions: dict[str, str]) -> dict[str, Any]:
    """A group that serves kinds: version -> plural -> kind; its versions are in the server's order of preference."""

    def entry(plural: str, kind: str) -> dict[str, Any]:
        return {"resource": plural, "responseKind": {"kind": kind}, "scope": "Namespaced", "verbs": ["list"]}

    served = [{"version": v, "resources": [entry(*one) for one in kinds.items()]} for v, kinds in versions.items()]
    return {"metadata": {"name": name}, "versions": served}


def found(discovery: Discovery, **selector: str) -> list[tuple[str, str]]:
    return [
        (one.group, one.version)
        for one in discovery.find(KindSelector(**{"group": "*", "version": "*", "subresource": "", "text": "", **selector}))
    ]


def test_a_kind_that_the_first_version_of_its_group_does_not_serve_is_found() -> None:
    discovery = Discovery.of(
        parse(
            {
                "items": [
                    group("policy.linkerd.io", v1beta1={"servers": "Server"}, v1alpha1={"authorizationpolicies": "Rule"}),
                    group("security.istio.io", v1={"authorizationpolicies": "Rule"}, v1beta1={"authorizationpolicies": "Rule"}),
                ]
            }
        )
    )
    assert found(discovery, kind="Rule") == [("policy.linkerd.io", "v1alpha1"), ("security.istio.io", "v1")]
    assert found(discovery, kind="Rule", version="v1beta1") == [("security.istio.io", "v1beta1")]

"""What authors of policies are told about the rights of the controllers, by a real API server."""

from __future__ import annotations

import asyncio
from typing import Any

from controllers.admission.permissions import scan_needs, scan_warnings
from controllers.cluster.client import Client
from controllers.cluster.credentials import Credentials
from controllers.cluster.discovery import Discovery, Resource
from engine import Policy, compile_policy

PODS = Resource("", "v1", "Pod", "pods", "", True, True)
SECRETS = Resource("", "v1", "Secret", "secrets", "", True, True)
SERVED = Discovery.of([PODS, SECRETS])
REPORTS = "system:serviceaccount:kyverno:kyverno-reports-controller"


def policy(*kinds: str, **spec: Any) -> Policy:
    rule = {
        "name": "r",
        "match": {"any": [{"resources": {"kinds": list(kinds)}}]},
        "validate": {"message": "no", "pattern": {"metadata": {"name": "?*"}}},
    }
    metadata = {"name": "p", "annotations": {"pod-policies.kyverno.io/autogen-controllers": "none"}}
    return compile_policy(
        {"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": metadata, "spec": {"rules": [rule], **spec}}
    )


def test_kinds_that_the_reports_controller_may_not_read_are_named(credentials: Credentials) -> None:
    async def ask() -> list[str]:
        async with Client(credentials) as client:
            return await scan_warnings(policy("Pod", "Secret"), SERVED, client, account=REPORTS)

    (warning,) = asyncio.run(ask())
    assert f"({REPORTS}) has no permission to get, list, watch kind Secret" in warning


def test_only_background_policies_are_asked_about() -> None:
    assert [need.text for need in scan_needs(policy("Pod", "Secret"), SERVED)] == ["Pod", "Secret"]
    assert scan_needs(policy("Pod", background=False), SERVED) == ()

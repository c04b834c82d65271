"""What the leader writes: webhook configurations first, then the status of every policy."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from controllers.admission.leader import Reconciler
from controllers.admission.webhooks import Wanted
from controllers.cluster.client import ApiError
from controllers.cluster.discovery import Discovery
from controllers.cluster.metrics import Metrics
from controllers.cluster.policies import Policies
from controllers.cluster.settings import Settings
from controllers.cluster.watch import Listed
from tests.controllers.memory_api import MemoryApi

PATH = "/apis/kyverno.io/v1/clusterpolicies"


def policy(name: str, message: str = "m") -> dict[str, Any]:
    rule = {
        "name": "r",
        "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
        "validate": {"message": message, "deny": {}},
    }
    return {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": name},
        "spec": {"background": False, "rules": [rule]},
    }


def reconciled(*documents: dict[str, Any], refusing: int = 0) -> MemoryApi:
    """The API server after one round."""
    api = MemoryApi()
    stored = tuple(api.put(f"{PATH}/{document['metadata']['name']}", document) for document in documents)
    if refusing:
        api.refusing["clusterpolicies"] = refusing

    async def run() -> None:
        policies = Policies(lambda _entry, _change: None)
        policies.handler("ClusterPolicy")(Listed(stored))
        async with api.serve() as client:
            reconciler = Reconciler(
                client,
                policies=policies,
                inputs=lambda: (Settings(), Discovery(), Wanted(ca_bundle=b"ca")),
                metrics=Metrics(),
                resync=900,
            )
            await reconciler.reconcile()

    asyncio.run(run())
    return api


def ready(api: MemoryApi) -> dict[str, tuple[str, str]]:
    conditions = {item["metadata"]["name"]: item["status"]["conditions"][0] for item in api.all("clusterpolicies")}
    return {name: (condition["status"], condition["message"]) for name, condition in conditions.items()}


def test_policies_are_ready_once_webhooks_are_written() -> None:
    api = reconciled(policy("a"), policy("b"))
    assert len(api.all("validatingwebhookconfigurations")) + len(api.all("mutatingwebhookconfigurations")) > 2
    assert ready(api) == {"a": ("True", "Ready"), "b": ("True", "Ready")}


def test_a_policy_with_a_faulty_rule_says_where_and_why() -> None:
    (status, message) = ready(reconciled(policy("a", message="{{ a( }}")))["a"]
    assert status == "False"
    assert message.startswith("Not Ready: spec.rules[0]")


def test_a_status_that_is_refused_holds_up_no_other() -> None:
    assert reconciled(policy("a"), policy("b"), refusing=422).requests["PUT", "clusterpolicies"] == 2


def test_an_api_server_in_trouble_is_asked_again() -> None:
    with pytest.raises(ApiError, match="503"):
        reconciled(policy("a"), refusing=503)

"""What the leader writes: webhook configurations first, then the status of every policy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from controllers.admission import webhooks
from controllers.admission.leader import Reconciler
from controllers.admission.webhooks import Wanted
from controllers.cluster.client import Client
from controllers.cluster.credentials import Credentials
from controllers.cluster.discovery import Discovery
from controllers.cluster.metrics import Metrics
from controllers.cluster.policies import Policies
from controllers.cluster.settings import Settings
from controllers.cluster.webhook_configurations import COLLECTIONS
from deploy.local.api import Api, Refused
from deploy.local.control_plane import ControlPlane
from tests.cluster import calls
from tests.controllers.line import until

PATH = "/apis/kyverno.io/v1/clusterpolicies"
RBAC = "/apis/rbac.authorization.k8s.io/v1"


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


@pytest.fixture
def store(control_plane: ControlPlane) -> Iterator[Callable[..., None]]:
    """Stores policies, which are gone after the test, and with them all webhooks that the leader wrote."""
    api, names = control_plane.api, list[str]()

    def create(*documents: dict[str, Any]) -> None:
        for document in documents:
            api.ask(PATH, method="POST", body=document)
            names.append(document["metadata"]["name"])

    yield create
    for path in (*(f"{COLLECTIONS[kind]}/{name}" for kind, name in webhooks.OURS), *(f"{PATH}/{name}" for name in names)):
        if api.find(path) is not None:
            api.ask(path, method="DELETE")
    policies_again = partial(refusal, api, PATH, method="POST", body=policy("probe"))
    pods_again = partial(refusal, api, calls.PODS, method="POST", body=calls.pod("probe"))
    calls.until(lambda: policies_again() == pods_again() == 0)  # the API server forgets webhooks a moment later


@asynccontextmanager
async def leading(credentials: Credentials, metrics: Metrics | None = None) -> AsyncIterator[None]:
    """A leader at work on the policies that are stored."""
    async with Client(credentials) as client:
        policies = Policies(lambda _entry, _change: reconciler.nudge())
        reconciler = Reconciler(
            client,
            policies=policies,
            inputs=lambda: (Settings(), Discovery(), Wanted(ca_bundle=(credentials.ca or "").encode())),
            metrics=metrics or Metrics(),
            resync=900,
        )
        tasks = [asyncio.create_task(policies.run(client)), asyncio.create_task(reconciler.run())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


def ready(api: Api) -> dict[str, tuple[str, str]]:
    """Policy -> status and message of its condition, for those that have one."""
    stored = {item["metadata"]["name"]: (item.get("status") or {}).get("conditions") for item in api.ask(PATH)["items"]}
    return {name: (found[0]["status"], found[0]["message"]) for name, found in stored.items() if found}


def written(api: Api) -> set[tuple[str, str]]:
    """(kind, name) of the webhook configurations of ours that exist."""
    return {(kind, name) for kind, name in webhooks.OURS if api.find(f"{COLLECTIONS[kind]}/{name}") is not None}


def test_policies_are_ready_once_webhooks_are_written(
    control_plane: ControlPlane, credentials: Credentials, store: Callable[..., None]
) -> None:
    api = control_plane.api
    store(policy("a"), policy("b"))

    async def run() -> None:
        async with leading(credentials):
            await until(lambda: ready(api))
            assert written(api) == set(webhooks.OURS)
            await until(lambda: ready(api) == {"a": ("True", "Ready"), "b": ("True", "Ready")})

    asyncio.run(run())


def test_a_policy_with_a_faulty_rule_says_where_and_why(
    control_plane: ControlPlane, credentials: Credentials, store: Callable[..., None]
) -> None:
    store(policy("a", message="{{ a( }}"))

    async def run() -> None:
        async with leading(credentials):
            await until(lambda: ready(control_plane.api))

    asyncio.run(run())
    status, message = ready(control_plane.api)["a"]
    assert status == "False"
    assert message.startswith("Not Ready: spec.rules[0]")


def test_a_status_that_is_refused_holds_up_no_other(
    control_plane: ControlPlane, credentials: Credentials, store: Callable[..., None], only_b: str
) -> None:
    store(policy("a"), policy("b"), policy("c"))

    async def run() -> None:
        async with leading(replace(credentials, token=only_b)):
            await until(lambda: ready(control_plane.api) == {"b": ("True", "Ready")})

    asyncio.run(run())


@pytest.fixture
def only_b(control_plane: ControlPlane, namespace: str) -> Iterator[str]:
    """The token of a ServiceAccount that may write webhooks, and of policies the status of `b` alone."""
    api = control_plane.api
    account = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    api.ask(account, method="POST", body={"metadata": {"name": "leader"}})
    rules = [
        {"apiGroups": ["admissionregistration.k8s.io"], "resources": ["*"], "verbs": ["*"]},
        {"apiGroups": ["kyverno.io"], "resources": ["*"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["kyverno.io"], "resources": ["clusterpolicies/status"], "resourceNames": ["b"], "verbs": ["update"]},
    ]
    api.ask(f"{RBAC}/clusterroles", method="POST", body={"metadata": {"name": namespace}, "rules": rules})
    binding = {
        "metadata": {"name": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": namespace},
        "subjects": [{"kind": "ServiceAccount", "name": "leader", "namespace": namespace}],
    }
    api.ask(f"{RBAC}/clusterrolebindings", method="POST", body=binding)
    asked = {"spec": {"expirationSeconds": 3600}}
    yield str(api.ask(f"{account}/leader/token", method="POST", body=asked)["status"]["token"])
    for plural in ("clusterrolebindings", "clusterroles"):
        api.ask(f"{RBAC}/{plural}/{namespace}", method="DELETE")


def test_an_api_server_in_trouble_is_asked_again(
    control_plane: ControlPlane, credentials: Credentials, store: Callable[..., None], trouble: str
) -> None:
    api, metrics = control_plane.api, Metrics()
    store(policy("a"))

    async def run() -> None:
        async with leading(credentials, metrics):
            await until(lambda: b'num_requeues="2"' in metrics.render())
            assert ready(api) == {}
            api.ask(trouble, method="DELETE")
            await until(lambda: ready(api) == {"a": ("True", "Ready")})

    asyncio.run(run())


@pytest.fixture
def trouble(control_plane: ControlPlane) -> Iterator[str]:
    """The path of a webhook of somebody else, out of order, for which the API server answers 500 to writes of statuses."""
    api, path = control_plane.api, f"{COLLECTIONS['ValidatingWebhookConfiguration']}/out-of-order"
    webhook = {
        "name": "out-of-order.example.com",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "rules": [
            {
                "apiGroups": ["kyverno.io"],
                "apiVersions": ["*"],
                "operations": ["UPDATE"],
                "resources": ["clusterpolicies/status"],
            }
        ],
        "failurePolicy": "Fail",
        "sideEffects": "None",  # so that dry runs meet it too
        "admissionReviewVersions": ["v1"],
    }
    api.ask(path.rpartition("/")[0], method="POST", body={"metadata": {"name": "out-of-order"}, "webhooks": [webhook]})
    api.ask(PATH, method="POST", body=policy("probe"))
    try:
        calls.until(lambda: refusal(api, f"{PATH}/probe/status", method="PATCH", body={"status": {}}) == 500)
        api.ask(f"{PATH}/probe", method="DELETE")
        yield path
    finally:
        for left in (path, f"{PATH}/probe"):
            if api.find(left) is not None:
                api.ask(left, method="DELETE")


def refusal(api: Api, path: str, *, method: str, body: dict[str, Any]) -> int:
    """The code with which the API server refuses a write; 0: it does not. Nothing is stored."""
    content_type = "application/merge-patch+json" if method == "PATCH" else "application/json"
    try:
        api.ask(f"{path}?dryRun=All", method=method, body=body, content_type=content_type)
    except Refused as refused:
        return refused.code
    return 0

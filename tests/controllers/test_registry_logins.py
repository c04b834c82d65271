"""Log-ins of registries from Secrets of a real API server."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest

from controllers.cluster.client import Client
from controllers.cluster.credentials import Credentials
from controllers.cluster.registry_logins import Known, Login, Secrets
from deploy.local.control_plane import ControlPlane
from engine import Lookup, LookupFailed


@pytest.fixture
def home(control_plane: ControlPlane, namespace: str) -> str:
    """A namespace with three Secrets: of today's form, of the old form, and of neither."""

    def store(name: str, kind: str, data: dict[str, Any]) -> None:
        encoded = {key: base64.b64encode(json.dumps(value).encode()).decode() for key, value in data.items()}
        body = {"metadata": {"name": name}, "type": kind, "data": encoded}
        control_plane.api.ask(f"/api/v1/namespaces/{namespace}/secrets", method="POST", body=body)

    entry = {"username": "ann", "password": "pw"}
    store("today", "kubernetes.io/dockerconfigjson", {".dockerconfigjson": {"auths": {"a.example": entry}}})
    store("old", "kubernetes.io/dockercfg", {".dockercfg": {"b.example": entry}})
    store("other", "Opaque", {"x": 1})
    return namespace


def known(credentials: Credentials, own: str, *names: str, namespace: str = "", **options: list[str]) -> Known:
    lookup = Lookup(
        "imageData",
        "a.example/x",
        options=tuple((key, json.dumps(value)) for key, value in options.items()),
        namespace=namespace,
    )

    async def run() -> Known:
        async with Client(credentials) as client:
            return await Secrets(client, own=own, names=names).known(lookup)

    return asyncio.run(run())


def test_secrets_of_an_entry_of_the_pod_and_of_the_flag(credentials: Credentials, home: str) -> None:
    found = known(credentials, home, "old", secrets=["today"])
    assert found.at("a.example", "x") == found.at("b.example", "x") == Login("ann", "pw")
    found = known(credentials, "default", pullSecrets=[f"{home}/today", f"{home}/gone"])
    assert found.at("a.example", "x") == Login("ann", "pw")
    assert found.problems == (f'Secret {home}/gone: secrets "gone" not found',)


def test_a_secret_that_an_entry_names_must_be_there_and_usable(credentials: Credentials, home: str) -> None:
    with pytest.raises(LookupFailed, match=f'Secret {home}/gone: secrets "gone" not found'):
        known(credentials, home, secrets=["gone"])
    with pytest.raises(LookupFailed, match=r"neither \.dockerconfigjson nor \.dockercfg"):
        known(credentials, home, secrets=["other"])


def test_a_namespaced_policy_uses_secrets_of_its_own_namespace_only(credentials: Credentials, home: str) -> None:
    assert known(credentials, "kyverno", namespace=home, secrets=["today"]).at("a.example", "x")
    with pytest.raises(LookupFailed, match="Secret default/today"):
        known(credentials, home, namespace="default", secrets=["today"])
    assert known(credentials, "kyverno", namespace="default", pullSecrets=[f"{home}/today"]) == Known()


@pytest.mark.parametrize("name", ["../../default/secrets/x", "a/b", "", "A", "a?x=y", "%2e%2e"])
def test_a_name_that_is_another_path_is_refused(credentials: Credentials, home: str, name: str) -> None:
    with pytest.raises(LookupFailed, match="is no name of a Secret"):
        known(credentials, home, secrets=[name])
    (problem,) = known(credentials, home, pullSecrets=[f"{home}/{name}"]).problems
    assert "is no name of a Secret" in problem

"""A cluster as big as those that context-aware policies are measured with: its objects, and how they are made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from controllers.cluster.client import ApiError, Client
from controllers.cluster.credentials import load

RBAC = "rbac.authorization.k8s.io/v1"
SIZES = {"namespaces": 3200, "ingresses": 10_500, "clusterrolebindings": 200, "rolebindings": 11_000}
RARE = 100
"""Every so many RoleBindings is one for cluster-admin."""
Made = tuple[str, dict[str, Any]]
"""The path of a collection and an object to create there."""


def metadata(name: str, namespace: str = "") -> dict[str, Any]:
    labels = {"app.kubernetes.io/managed-by": "platform", "team": f"team-{sum(map(ord, namespace or name)) % 40}"}
    return {"name": name, "labels": labels, **({"namespace": namespace} if namespace else {})}


def namespace(number: int, _: int) -> Made:
    return "/api/v1/namespaces", {"metadata": metadata(f"load-{number}")}


def ingress(number: int, spaces: int) -> Made:
    space = f"load-{number % spaces}"
    backend = {"service": {"name": f"app-{number}", "port": {"number": 80}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    spec = {"rules": [{"host": f"app-{number}.apps.example.com", "http": {"paths": [path]}}]}
    return f"/apis/networking.k8s.io/v1/namespaces/{space}/ingresses", {
        "metadata": metadata(f"app-{number}", space),
        "spec": spec,
    }


def subjects(number: int, space: str) -> list[dict[str, str]]:
    account = {"kind": "ServiceAccount", "name": f"deployer-{number % 7}", "namespace": space}
    return [account, {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": f"user-{number}@example.com"}]


def cluster_role_binding(number: int, _: int) -> Made:
    body = {"metadata": metadata(f"load-{number}"), "roleRef": role("view"), "subjects": subjects(number, "default")}
    return f"/apis/{RBAC}/clusterrolebindings", body


def role_binding(number: int, spaces: int) -> Made:
    space = f"load-{number % spaces}"
    named = "cluster-admin" if number % RARE == 0 else ("view", "edit", "admin")[number % 3]
    body = {"metadata": metadata(f"binding-{number}", space), "roleRef": role(named), "subjects": subjects(number, space)}
    return f"/apis/{RBAC}/namespaces/{space}/rolebindings", body


def role(name: str) -> dict[str, str]:
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}


KINDS: dict[str, Callable[[int, int], Made]] = {
    "namespaces": namespace,
    "ingresses": ingress,
    "clusterrolebindings": cluster_role_binding,
    "rolebindings": role_binding,
}


def fill(kubeconfig: Path, counts: Mapping[str, int]) -> None:
    """Creates so many objects of each kind; `counts` has the keys of SIZES."""
    asyncio.run(_fill(kubeconfig, counts))


async def _fill(kubeconfig: Path, counts: Mapping[str, int]) -> None:
    limit = asyncio.Semaphore(24)

    async def create(client: Client, path: str, body: dict[str, Any]) -> None:
        async with limit:
            try:
                await client.create(path, body)
            except ApiError as error:
                if not error.conflict:
                    raise

    async with Client(load(str(kubeconfig))) as client:
        for kind, count in counts.items():
            await asyncio.gather(*(create(client, *KINDS[kind](number, counts["namespaces"])) for number in range(count)))

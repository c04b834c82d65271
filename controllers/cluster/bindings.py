"""Roles of the user who asks, from RoleBindings and ClusterRoleBindings (spec 2.1).

Watched only while some policy or setting reads roles: a cluster may have ten thousands of bindings.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

from controllers.cluster.client import Client
from controllers.cluster.watch import Event, Listed, Target, follow

API = "/apis/rbac.authorization.k8s.io/v1"
TARGETS = (Target(f"{API}/rolebindings"), Target(f"{API}/clusterrolebindings"))
Subject = str
"""`User:alice`, `Group:admins`; ServiceAccounts as the user they log in as."""
SERVICE_ACCOUNT = "system:serviceaccount:"


class Bindings:
    """Who holds which role. Of a binding only its subjects and the name of its role are kept."""

    def __init__(self) -> None:
        self._held: tuple[dict[str, tuple[str, str, bool, tuple[Subject, ...]]], ...] = ({}, {})
        self._index: dict[Subject, set[tuple[str, str, bool]]] = {}
        self._stale = True
        self._task: asyncio.Task[None] | None = None
        self._synced = (asyncio.Event(), asyncio.Event())

    def want(self, client: Client, wanted: bool) -> None:
        """Starts or stops the watches."""
        if wanted and self._task is None:
            self._task = asyncio.create_task(self._run(client), name="bindings")
        elif not wanted and self._task is not None:
            self._task.cancel()
            self._task = None
            self._held = ({}, {})
            self._index = {}
            for synced in self._synced:
                synced.clear()

    async def synced(self, patience: float) -> bool:
        """Are all bindings known? Waits for it up to `patience` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                for synced in self._synced:
                    await synced.wait()
        return all(synced.is_set() for synced in self._synced)

    def of(self, username: str, groups: Iterable[str], namespace: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """(roles as `namespace:name`, clusterRoles) of a user.

        A RoleBinding to a ClusterRole counts only for requests in its own namespace.
        """
        if self._stale:
            self._reindex()
        roles: dict[str, None] = {}
        cluster_roles: dict[str, None] = {}
        for subject in (f"User:{username}", *(f"Group:{group}" for group in groups)):
            for where, name, is_cluster_role in sorted(self._index.get(subject, ())):
                if not is_cluster_role:
                    roles[f"{where}:{name}"] = None
                elif where in ("", namespace):
                    cluster_roles[name] = None
        return tuple(roles), tuple(cluster_roles)

    async def _run(self, client: Client) -> None:
        await asyncio.gather(*(follow(client, target, self._handler(index)) for index, target in enumerate(TARGETS)))

    def _handler(self, index: int) -> Any:
        held, synced = self._held[index], self._synced[index]

        def handle(event: Event) -> None:
            self._stale = True
            if isinstance(event, Listed):
                held.clear()
                held.update((_key(item), _row(item)) for item in event.objects)
                synced.set()
            elif event.type == "DELETED":
                held.pop(_key(event.object), None)
            else:
                held[_key(event.object)] = _row(event.object)

        return handle

    def _reindex(self) -> None:
        index: dict[Subject, set[tuple[str, str, bool]]] = {}
        for held in self._held:
            for namespace, role, is_cluster_role, subjects in held.values():
                for subject in subjects:
                    index.setdefault(subject, set()).add((namespace, role, is_cluster_role))
        self._index = index
        self._stale = False


def _key(binding: Mapping[str, Any]) -> str:
    metadata = binding["metadata"]
    return f"{metadata.get('namespace') or ''}/{metadata['name']}"


def _row(binding: Mapping[str, Any]) -> tuple[str, str, bool, tuple[Subject, ...]]:
    namespace = binding["metadata"].get("namespace") or ""
    role = binding.get("roleRef") or {}
    subjects = tuple(_subject(subject, namespace) for subject in binding.get("subjects") or ())
    return namespace, role.get("name") or "", role.get("kind") == "ClusterRole", subjects


def _subject(subject: Mapping[str, Any], namespace: str) -> Subject:
    if subject.get("kind") == "ServiceAccount":
        return f"User:{SERVICE_ACCOUNT}{subject.get('namespace') or namespace}:{subject.get('name')}"
    return f"{subject.get('kind')}:{subject.get('name')}"

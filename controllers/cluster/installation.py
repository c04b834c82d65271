"""What the cluster says of our own installation: who owns our webhooks, and whether anybody follows us."""

from __future__ import annotations

import logging
from typing import Any

from controllers.cluster.client import FAILURES, ApiError, Client
from controllers.cluster.flags import Environment

logger = logging.getLogger("pyvern.installation")


async def owner(client: Client, role: str) -> dict[str, Any] | None:
    """The ownerReference of webhook configurations: ClusterRole `ROLE:webhook`, so that uninstalling it takes them away."""
    name = f"{role}:webhook"
    try:
        found = await client.get(f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{name}")
    except FAILURES as error:
        logger.info("webhook configurations get no owner: ClusterRole %s: %s", name, error)
        return None
    uid = found["metadata"]["uid"]
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "name": name, "uid": uid}


async def going_down(client: Client, environment: Environment) -> bool:
    """Is this more than a restart: Deployment gone, being deleted, scaled to nothing, or without a Pod that could follow?"""
    path = f"/apis/apps/v1/namespaces/{environment.namespace}/deployments/{environment.deployment}"
    try:
        deployment = await client.get(path)
    except ApiError as error:
        if error.not_found:
            return True
        raise
    if deployment["metadata"].get("deletionTimestamp") is not None or not (deployment.get("spec") or {}).get("replicas"):
        return True
    return not (deployment.get("status") or {}).get("replicas")

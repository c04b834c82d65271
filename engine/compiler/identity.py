"""What documents of all kinds are called by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.policy import PolicyIdentity


def identity_of(document: Mapping[str, Any], *, namespace: str = "") -> PolicyIdentity:
    """The identity of a document whose metadata has the right shape; `namespace` as the kind wants it."""
    metadata = document["metadata"]
    return PolicyIdentity(
        api_version=str(document["apiVersion"]),
        kind=str(document["kind"]),
        name=str(metadata.get("name") or ""),
        namespace=namespace,
        uid=str(metadata.get("uid") or ""),
        resource_version=str(metadata.get("resourceVersion") or ""),
        labels=metadata.get("labels") or {},
        annotations=metadata.get("annotations") or {},
    )

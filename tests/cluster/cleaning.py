"""What tests of the cleanup operator share: policies that delete, the right to do so, and how to see that something has gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from deploy.local.api import Api
from tests.cluster.calls import Document
from tests.cluster.generating import MERGE, ROLES

POLICIES = "/apis/kyverno.io/v2/clustercleanuppolicies"
LONG_AGO = "2020-01-01T00:00:00Z"


def cleanup_policy(name: str, *, kind: str = "Pod", target: str = "", **spec: Any) -> Document:
    conditions = {"all": [{"key": "{{ target.metadata.name }}", "operator": "Equals", "value": target}]}
    return {
        "apiVersion": "kyverno.io/v2",
        "kind": "ClusterCleanupPolicy",
        "metadata": {"name": name},
        "spec": {
            "schedule": "0 0 1 1 *",
            "match": {"any": [{"resources": {"kinds": [kind]}}]},
            "conditions": conditions,
            **spec,
        },
    }


def overdue(api: Api, document: Document) -> None:
    """Creates a policy whose last run lies years back; it is due as soon as somebody who leads hears of it anew."""
    api.ask(POLICIES, method="POST", body=document)
    ran = {"status": {"lastExecutionTime": LONG_AGO}}
    api.ask(f"{POLICIES}/{document['metadata']['name']}/status", method="PATCH", body=ran, content_type=MERGE)


@contextmanager
def may_clean_up(api: Api, *resources: str) -> Iterator[None]:
    """The cleanup controller may delete objects of these kinds of the core API."""
    metadata = {"name": "test:cleanup", "labels": {"rbac.kyverno.io/aggregate-to-cleanup-controller": "true"}}
    rules = [{"apiGroups": [""], "resources": list(resources), "verbs": ["delete", "list", "watch"]}]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules}
    api.ask(ROLES, method="POST", body=role)
    yield
    api.ask(f"{ROLES}/test:cleanup", method="DELETE")


def gone(api: Api, path: str) -> Callable[[], bool]:
    """Deleted, or as good as: without a kubelet nobody ends the grace period of a Pod that has a node."""
    return lambda: (api.find(path) or {"metadata": {"deletionTimestamp": "now"}})["metadata"].get("deletionTimestamp") is not None

"""What cleaning up shows to the outside: an event for each object (spec 3.8) and metrics (spec 6.2)."""

from __future__ import annotations

from controllers.cleanup.sweep import Cleaned
from controllers.cluster.events import Event, Events, Reference
from controllers.cluster.metrics import Metrics

SOURCE = "kyverno-cleanup"
DEFAULT_PROPAGATION = "Background"
"""What the API server does when nothing is said; of a few old kinds it is Orphan."""


class Observer:
    """Takes what became of objects."""

    def __init__(self, metrics: Metrics, events: Events) -> None:
        self._metrics = metrics
        self._events = events

    def cleaned(self, cleaned: Cleaned) -> None:
        namespace = cleaned.metadata.get("namespace") or ""
        if cleaned.outcome != "reported" and self._metrics.exposure.counts(namespace):
            policy = cleaned.policy
            propagation = (policy.cleanup.propagation if policy.cleanup is not None else "") or DEFAULT_PROPAGATION
            labels = (
                policy.identity.kind,
                policy.identity.namespace,
                policy.identity.name,
                cleaned.resource.kind,
                namespace,
                propagation,
            )
            what = "deletedobjects" if cleaned.outcome == "deleted" else "errors"
            self._metrics.count(f"kyverno_cleanup_controller_{what}", labels)
        if cleaned.telling:
            self._events.put(event_of(cleaned))


def event_of(cleaned: Cleaned) -> Event:
    """The event on the policy that names the object."""
    resource, metadata = cleaned.resource, cleaned.metadata
    version = f"{resource.group}/{resource.version}" if resource.group else resource.version
    namespace = metadata.get("namespace") or ""
    related = Reference(version, resource.kind, metadata["name"], namespace, metadata.get("uid") or "")
    name = f"{resource.kind}/{namespace}/{metadata['name']}"
    policy = Reference.of_policy(cleaned.policy.identity)
    if cleaned.outcome == "failed":
        note = f"failed to clean up the target resource {name}: {cleaned.error}"
        return Event("Warning", "PolicyError", "None", policy, note, related, SOURCE)
    if cleaned.outcome == "reported":
        note = f"dry run: would clean up the target resource {name}"
        return Event("Normal", "PolicyApplied", "None", policy, note, related, SOURCE)
    note = f"successfully cleaned up the target resource {name}"
    return Event("Normal", "PolicyApplied", "Resource Cleaned Up", policy, note, related, SOURCE)

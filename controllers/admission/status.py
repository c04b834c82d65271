"""status of a policy (spec 1.2): computed here, written by the leader through the status subresource when it differs. Pure."""

from __future__ import annotations

from typing import Any

from controllers.cluster.policies import Entry

Object = dict[str, Any]
COUNTED = ("validate", "generate", "mutate", "verifyimages")


def desired(entry: Entry, now: str) -> Object:
    """The status the policy should have; `now` (RFC 3339) dates a condition that changes."""
    before = entry.document.get("status") or {}
    if entry.error is None:
        condition = {"type": "Ready", "status": "True", "reason": "Succeeded", "message": "Ready"}
    else:
        condition = {"type": "Ready", "status": "False", "reason": "Failed", "message": f"Not Ready: {entry.error}"}
    held: Object = next((c for c in before.get("conditions") or () if c.get("type") == "Ready"), {})
    same = all(held.get(key) == value for key, value in condition.items())
    condition["lastTransitionTime"] = held.get("lastTransitionTime") or now if same else now
    policy = entry.policy
    counts = policy.rule_count if policy is not None else {}
    return {
        "autogen": {"rules": list(policy.autogen)} if policy is not None and policy.autogen else {},
        "conditions": [condition, *_of_others(entry.document)],
        "rulecount": {name: counts.get(name, 0) for name in COUNTED},
        "validatingadmissionpolicy": before.get("validatingadmissionpolicy") or {"generated": False, "message": ""},
    }


def _of_others(document: Object) -> list[Object]:
    """Conditions that other controllers have written about this version of the policy."""
    generation = document["metadata"].get("generation")
    found = (document.get("status") or {}).get("conditions") or ()
    return [c for c in found if c.get("type") != "Ready" and c.get("observedGeneration") in (None, generation)]


def differs(entry: Entry, status: Object) -> bool:
    """Must it be written?"""
    return (entry.document.get("status") or {}) != status

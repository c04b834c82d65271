"""What we manage is changed by us alone where --protectManagedResources says so (spec 3.4)."""

from __future__ import annotations

from engine import Request

REASON = "A kyverno managed resource can only be modified by kyverno"
CLEARING = tuple(f"system:serviceaccount:kube-system:{name}" for name in ("namespace-controller", "generic-garbage-collector"))
"""Who deletes because something else was deleted: what is managed goes with its namespace, and with its owner (Kyverno: not)."""


def guards(request: Request, *, namespace: str) -> bool:
    """Is it about an object that is or would be managed, from somebody who is no controller of our `namespace`?"""
    user = request.user.username if request.user else ""
    if user.startswith(f"system:serviceaccount:{namespace}:kyverno-"):
        return False
    if request.operation == "DELETE" and user in CLEARING:
        return False
    return any(
        ((part.get("metadata") or {}).get("labels") or {}).get("app.kubernetes.io/managed-by") == "kyverno"
        for part in (request.object, request.old_object)
        if part
    )

"""Label values of metrics about policies (spec 6.2)."""

from __future__ import annotations

from engine import Effect, Rule

RULE_TYPES = {
    Effect.VALIDATE: "validate",
    Effect.MUTATE: "mutate",
    Effect.MUTATE_EXISTING: "mutate",
    Effect.GENERATE: "generate",
    Effect.VERIFY_IMAGES: "imageVerify",
}


def policy_labels(rule: Rule, background: bool) -> tuple[str, ...]:
    """Label values in the order of metrics.POLICY; the mode is the rule's written one."""
    identity = rule.policy
    written = rule.document.get("validate") or {}
    mode = str(written.get("failureAction") or "Audit").lower()
    kind = "namespaced" if identity.namespace else "cluster"
    return (mode, kind, "true" if background else "false", identity.namespace or "-", identity.name)

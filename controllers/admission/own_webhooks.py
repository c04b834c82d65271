"""The webhooks that do not depend on policies: for our own kinds and for the heartbeat (spec 3.1)."""

from __future__ import annotations

from controllers.cluster.webhook_configurations import Fixed

FIXED = (
    Fixed(
        "ValidatingWebhookConfiguration",
        "kyverno-policy-validating-webhook-cfg",
        "validate-policy.kyverno.svc",
        "/policyvalidate",
        "Fail",
        "kyverno.io",
        ("v1", "v2beta1"),
        ("clusterpolicies", "policies"),
        ("CREATE", "UPDATE"),
    ),
    Fixed(
        "MutatingWebhookConfiguration",
        "kyverno-policy-mutating-webhook-cfg",
        "mutate-policy.kyverno.svc",
        "/policymutate",
        "Fail",
        "kyverno.io",
        ("v1", "v2beta1"),
        ("clusterpolicies", "policies"),
        ("CREATE", "UPDATE"),
    ),
    Fixed(
        "ValidatingWebhookConfiguration",
        "kyverno-exception-validating-webhook-cfg",
        "kyverno-svc.kyverno.svc",
        "/exceptionvalidate",
        "Fail",
        "kyverno.io",
        ("v2beta1", "v2"),
        ("policyexceptions",),
        ("CREATE", "UPDATE"),
    ),
    Fixed(
        "ValidatingWebhookConfiguration",
        "kyverno-global-context-validating-webhook-cfg",
        "kyverno-svc.kyverno.svc",
        "/globalcontextvalidate",
        "Fail",
        "kyverno.io",
        ("v2alpha1", "v2beta1", "v2"),
        ("globalcontextentries",),
        ("CREATE", "UPDATE"),
    ),
    Fixed(
        "MutatingWebhookConfiguration",
        "kyverno-verify-mutating-webhook-cfg",
        "monitor-webhooks.kyverno.svc",
        "/verifymutate",
        "Ignore",
        "coordination.k8s.io",
        ("v1",),
        ("leases",),
        ("UPDATE",),
        {"matchLabels": {"app.kubernetes.io/name": "kyverno"}},
        True,
    ),
)

"""Webhook configurations, computed from the policies (spec 3.1). Pure: what is wanted, and whether what is there differs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from controllers.admission.acceptable import fitting, named_apart
from controllers.admission.own_webhooks import FIXED
from controllers.cluster import generating
from controllers.cluster.discovery import Discovery
from controllers.cluster.settings import Settings
from controllers.cluster.webhook_configurations import MAX_TIMEOUT, Address, configuration, differs, fixed
from engine import Effect, Policy, Reach, Rule

Object = dict[str, Any]
EVERY_OPERATION = frozenset({"CREATE", "UPDATE", "DELETE", "CONNECT"})
WRITES = frozenset({"CREATE", "UPDATE"})
CHANGES = frozenset({"CREATE", "UPDATE", "DELETE"})
_NAME = re.compile(r"[^a-z0-9.-]+")


@dataclass(frozen=True, slots=True)
class Wanted(Address):
    """What the configurations depend on besides policies, settings and discovery."""

    force_ignore: bool = False
    admission_reports: bool = True
    auto_update: bool = True
    exclude_bootstrap: bool = False


class Side(NamedTuple):
    """One of the two resource configurations: its effects and the operations a rule has when it names none."""

    kind: str
    name: str
    prefix: str
    path: str
    effects: Mapping[Effect, frozenset[str]]


VALIDATING = Side(
    "ValidatingWebhookConfiguration",
    "kyverno-resource-validating-webhook-cfg",
    "validate.kyverno.svc",
    "/validate",
    {
        Effect.VALIDATE: EVERY_OPERATION,
        Effect.VERIFY_IMAGES: WRITES,
        Effect.GENERATE: EVERY_OPERATION,
        Effect.MUTATE_EXISTING: EVERY_OPERATION,
    },
)
MUTATING = Side(
    "MutatingWebhookConfiguration",
    "kyverno-resource-mutating-webhook-cfg",
    "mutate.kyverno.svc",
    "/mutate",
    {Effect.MUTATE: WRITES, Effect.VERIFY_IMAGES: WRITES},
)


OURS = (
    *((side.kind, side.name) for side in (VALIDATING, MUTATING)),
    *((entry.kind, entry.configuration) for entry in FIXED),
)
"""(kind, name) of every configuration."""
NEVER = {
    "name": "never-leases-and-events.pyvern.io",
    "expression": '!(request.resource.group == "coordination.k8s.io" || '
    'request.resource.resource == "events" && request.resource.group in ["", "events.k8s.io"])',
}
"""On webhooks with wildcard rules: leader election and events must never wait for us (design.md 10)."""
BOOTSTRAP = {
    "name": "kyverno-exclude-bootstrap-resources",
    "expression": '!(request.resource.group == "" && request.resource.resource == "nodes" || '
    'request.resource.group == "certificates.k8s.io" && request.resource.resource == "certificatesigningrequests")',
}


def desired(policies: Iterable[Policy], settings: Settings, discovery: Discovery, wanted: Wanted) -> tuple[Object, ...]:
    """All configurations that should exist. Those whose list of webhooks is empty stay, so that nothing flickers."""
    taking_part = sorted((policy for policy in policies if policy.admission), key=lambda policy: policy.identity.key)
    resources = (_resource_side(side, taking_part, settings, discovery, wanted) for side in (VALIDATING, MUTATING))
    return (*resources, *fixed(FIXED, settings.webhooks, wanted))


def _resource_side(side: Side, policies: list[Policy], settings: Settings, discovery: Discovery, wanted: Wanted) -> Object:
    shared: dict[str, _Rules] = {}
    own: list[Object] = []
    for policy in policies:
        rules = [rule for rule in policy.rules if rule.effect in side.effects]
        if not rules:
            continue
        failure_policy = "Ignore" if wanted.force_ignore else policy.webhook.failure_policy
        collected = _Rules() if policy.webhook.fine_grained else shared.setdefault(failure_policy, _Rules())
        for rule in rules:
            for reach in (*rule.match.reach, *_downstreams(rule)):
                collected.add(reach, _operations(side, rule, reach), discovery, namespaced=bool(policy.identity.namespace))
        if policy.webhook.fine_grained and collected:
            own.append(_webhook(side, failure_policy, collected.merged(), settings, wanted, policy))
    if not wanted.auto_update:
        rules_of = {name: _static(side) for name in ("Fail", "Ignore")}
    else:
        rules_of = {name: collected.merged() for name, collected in shared.items() if collected}
    common = [_webhook(side, name, rules_of[name], settings, wanted) for name in ("Fail", "Ignore") if name in rules_of]
    return configuration(side.kind, side.name, [*common, *named_apart(own)], settings.webhooks, wanted)


def _downstreams(rule: Rule) -> Iterable[Reach]:
    """What a synchronized generate rule makes is watched over by the same webhook as its triggers (spec 3.1).

    Only what is copied may gain from a creation: that of a source. Elsewhere it would be a review of each object that the
    background controller makes, with nothing to say (docs/decisions/0019).
    """
    if rule.effect is Effect.GENERATE and generating.synchronizes(rule):
        for target in generating.targets(rule):
            copied = target.get("clone") or target.get("cloneList")
            for kind in generating.kinds_of(target):
                yield Reach(kind, CHANGES if copied else CHANGES - {"CREATE"}, True)


def _operations(side: Side, rule: Rule, reach: Reach) -> frozenset[str]:
    return reach.operations if reach.stated else reach.operations & side.effects[rule.effect]


class _Key(NamedTuple):
    group: str
    version: str
    resource: str
    scope: str


class _Rules:
    """Rules of one webhook while they are collected: per resource the operations."""

    def __init__(self) -> None:
        self._operations: dict[_Key, set[str]] = {}

    def __bool__(self) -> bool:
        return bool(self._operations)

    def add(self, reach: Reach, operations: frozenset[str], discovery: Discovery, *, namespaced: bool) -> None:
        if not operations:
            return
        for key in _resources(reach, discovery, namespaced=namespaced):
            self._operations.setdefault(key, set()).update(operations)

    def merged(self) -> list[Object]:
        """One rule per group, version, scope and operations; sorted, and without resources a wildcard rule covers."""
        grouped: dict[tuple[str, str, str, tuple[str, ...]], set[str]] = {}
        for key, operations in self._operations.items():
            if not self._subsumed(key, operations):
                grouped.setdefault((key.group, key.version, key.scope, tuple(sorted(operations))), set()).add(key.resource)
        return [
            {
                "apiGroups": [group],
                "apiVersions": [version],
                "operations": list(operations),
                "resources": sorted(resources),
                "scope": scope,
            }
            for (group, version, scope, operations), resources in sorted(grouped.items())
        ]

    def _subsumed(self, key: _Key, operations: set[str]) -> bool:
        if key.group == "*":
            names: tuple[str, ...] = ("*/*",)
        else:
            names = ("*/*",) if "/" in key.resource else ("*", "*/*")
        return any(operations <= self._operations.get(_Key("*", "*", name, "*"), set()) for name in names if name != key.resource)


def _resources(reach: Reach, discovery: Discovery, *, namespaced: bool) -> Iterable[_Key]:
    selector = reach.kind
    if selector.kind == "*":
        resource = f"*/{_whole(selector.subresource)}" if selector.subresource else "*"
        scope = "Namespaced" if namespaced else "*"
        group, version = _whole(selector.group), _whole(selector.version)
        yield _Key(group, version, resource, scope)
        if resource == "*" and group in ("", "*"):
            yield _Key(group, version, "pods/ephemeralcontainers", scope)
        return
    for found in discovery.find(selector):
        scope = "Namespaced" if found.namespaced else "Cluster"
        if namespaced and not found.namespaced:
            continue
        yield _Key(found.group, found.version, found.path, scope)
        if (found.group, found.path) == ("", "pods"):
            yield _Key(found.group, found.version, "pods/ephemeralcontainers", scope)


def _whole(part: str) -> str:
    """Webhook rules know only whole wildcards: a partial one is widened, the policy itself stays exact."""
    return "*" if "*" in part or "?" in part else part


def _static(side: Side) -> list[Object]:
    operations = EVERY_OPERATION if side is VALIDATING else WRITES
    return [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": sorted(operations), "resources": ["*/*"], "scope": "*"}]


def _webhook(
    side: Side, failure_policy: str, rules: list[Object], settings: Settings, wanted: Wanted, policy: Policy | None = None
) -> Object:
    suffix = failure_policy.lower()
    name, path = f"{side.prefix}-{suffix}", f"{side.path}/{suffix}"
    conditions = list(settings.webhooks.match_conditions)
    timeout = wanted.timeout
    if policy is not None:
        identity = policy.identity
        name += "-finegrained-" + _NAME.sub("-", identity.key.replace("/", "-"))
        path += f"/finegrained/{identity.key}"
        conditions += policy.webhook.match_conditions
        timeout = policy.webhook.timeout_seconds or timeout
    if any("*" in resource.split("/")[0] for rule in rules for resource in rule["resources"]):
        conditions.append(NEVER)
    if wanted.exclude_bootstrap and failure_policy == "Fail":
        conditions.append(BOOTSTRAP)
    webhook: Object = {
        "name": name,
        "clientConfig": wanted.client_config(path),
        "rules": rules,
        "failurePolicy": failure_policy,
        "matchPolicy": "Equivalent",
        "namespaceSelector": settings.webhooks.namespace_selector,
        "objectSelector": settings.webhooks.object_selector,
        "sideEffects": "NoneOnDryRun" if side is MUTATING or wanted.admission_reports else "None",
        "timeoutSeconds": min(timeout, MAX_TIMEOUT),
        "admissionReviewVersions": ["v1"],
    }
    if conditions:
        webhook["matchConditions"] = fitting(conditions)
    if side is MUTATING:
        webhook["reinvocationPolicy"] = "IfNeeded"
    return webhook


__all__ = ["OURS", "VALIDATING", "Wanted", "desired", "differs"]

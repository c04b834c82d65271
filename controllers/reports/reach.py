"""Which resources a policy has to be asked about in a scan: its kinds or resource rules, as discovery knows them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from controllers.cluster.discovery import Discovery, Resource
from engine import Effect, KindSelector, Policy, report

Key = tuple[str, str]
"""(group, plural)."""
NEEDED = frozenset({"list", "watch"})
OWN_GROUPS = frozenset({"reports.kyverno.io", "wgpolicyk8s.io", "openreports.io"})
UNSCANNED = frozenset({("", "Event"), ("events.k8s.io", "Event")})
RESTLESS = frozenset({("coordination.k8s.io", "Lease"), ("", "Endpoints"), ("discovery.k8s.io", "EndpointSlice")})
"""Kinds that change every few seconds: scanned when a policy names them, not for the sake of a wildcard."""


def takes_part(policy: Policy) -> bool:
    """Is the policy for background scans, and do its results go into reports?"""
    return policy.background and report.reported(policy.identity)


def resources_of(policy: Policy, discovery: Discovery) -> dict[Key, Resource]:
    """The resources that the policy is about; of several versions the preferred one."""
    selectors = [
        selector
        for rule in policy.rules
        if rule.effect is Effect.VALIDATE and not rule.needs_user
        for selector in rule.match.kinds
    ]
    constraints = (policy.document.get("spec") or {}).get("matchConstraints") or {}
    return together([_of_kinds(selectors, discovery), _of_rules(constraints.get("resourceRules") or (), discovery)])


def together(found: Iterable[Iterable[tuple[Key, Resource]] | Mapping[Key, Resource]]) -> dict[Key, Resource]:
    """All of them, each resource once, in its preferred version where several are named."""
    united: dict[Key, Resource] = {}
    for part in found:
        for key, resource in part.items() if isinstance(part, Mapping) else part:
            if key not in united or resource.preferred:
                united[key] = resource
    return united


def _of_kinds(selectors: Iterable[KindSelector], discovery: Discovery) -> Iterator[tuple[Key, Resource]]:
    for selector in selectors:
        if selector.subresource and selector.subresource != "*":
            continue
        wild = "*" in selector.kind or "?" in selector.kind
        for resource in discovery.find(selector):
            if _scanned(resource, wild=wild):
                yield (resource.group, resource.plural), resource


def _of_rules(rules: Iterable[Mapping[str, Any]], discovery: Discovery) -> Iterator[tuple[Key, Resource]]:
    for rule in rules:
        groups, versions = rule.get("apiGroups") or (), rule.get("apiVersions") or ()
        plurals = {name.partition("/")[0] for name in rule.get("resources") or () if "/" not in name or name.endswith("/*")}
        for resource in discovery.resources:
            named = _within(resource.group, groups) and _within(resource.version, versions) and _within(resource.plural, plurals)
            if named and _scanned(resource, wild="*" in plurals):
                yield (resource.group, resource.plural), resource


def _within(value: str, allowed: Iterable[str]) -> bool:
    return any(one in ("*", value) for one in allowed)


def _scanned(resource: Resource, *, wild: bool) -> bool:
    kind = (resource.group, resource.kind)
    if resource.subresource or not resource.verbs >= NEEDED or resource.group in OWN_GROUPS or kind in UNSCANNED:
        return False
    return not (wild and kind in RESTLESS)

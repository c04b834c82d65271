"""May the background controller do what a new policy asks of it (spec 2.7, 2.8)? The API server is asked before it is let in."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from controllers.cluster import generating
from controllers.cluster.client import Client
from controllers.cluster.discovery import Discovery, Resource
from engine import Effect, InvalidPolicy, Policy, Rule

REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
AGGREGATION = 1.0
"""Seconds that the control plane may take until a new role counts: who is refused is asked about once more."""
MAKES, KEEPS = ("create", "get"), ("create", "get", "update", "delete")
CHANGES = ("get", "update")
READS = ("get", "list", "watch")


class Need(NamedTuple):
    """Rights to one resource. `namespace` is empty for cluster-scoped kinds and where it is a variable: then everywhere.

    `name`: rights to the one object of that name are enough (rbac/mutate-policy-with-clusterrole); empty for all objects.
    """

    path: str
    resource: Resource
    namespace: str
    verbs: tuple[str, ...]
    text: str
    effect: Effect
    name: str = ""


async def check_permissions(policy: Policy, discovery: Discovery, client: Client, *, account: str) -> None:
    """Raises `InvalidPolicy` that names the verbs which user `account` lacks, and the API's errors."""
    missing = await _missing(client, account, needs(policy, discovery))
    if missing:
        await asyncio.sleep(AGGREGATION)
        missing = await _missing(client, account, [need._replace(verbs=verbs) for need, verbs in missing])
    for need, verbs in missing:
        raise InvalidPolicy(need.path, _reason(need, verbs, account))


async def scan_warnings(policy: Policy, discovery: Discovery, client: Client, *, account: str) -> list[str]:
    """What the reports controller, user `account`, may not read, so that what exists already gets no report (spec 3.4)."""
    wanted = scan_needs(policy, discovery)
    return [
        f"the reports controller ({account}) has no permission to {', '.join(verbs)} kind {need.text}: "
        "objects that exist already are not reported"
        for need, verbs in await _missing(client, account, wanted)
    ]


def scan_needs(policy: Policy, discovery: Discovery) -> tuple[Need, ...]:
    """What a background scan of the policy reads: the kinds that its validate rules call by name. Pure."""
    selectors = (s for rule in policy.rules if rule.effect is Effect.VALIDATE for s in rule.match.kinds if policy.background)
    named = (selector for selector in selectors if not selector.subresource and not set("*?") & set(selector.kind))
    found = {
        (resource.group, resource.plural): Need("", resource, policy.identity.namespace, READS, resource.kind, Effect.VALIDATE)
        for selector in named
        for resource in discovery.find(selector)
    }
    return tuple(found.values())


def needs(policy: Policy, discovery: Discovery) -> tuple[Need, ...]:
    """What the policy's generate and mutate-existing rules must be allowed to do; kinds not served yet are left out. Pure."""
    found: dict[Need, None] = {}
    for index, rule in enumerate(rule for rule in policy.rules if not rule.origin):
        for need in _of_rule(policy, rule, f"spec.rules[{index}]", discovery):
            found.setdefault(need)
    return tuple(found)


def _of_rule(policy: Policy, rule: Rule, path: str, discovery: Discovery) -> Iterator[Need]:
    if rule.effect is Effect.GENERATE:
        verbs = KEEPS if generating.synchronizes(rule) else MAKES
        for target in generating.targets(rule):
            namespace = _fixed(target.get("namespace"))
            for kind in generating.kinds_of(target):
                for resource in discovery.find(replace(kind, subresource="")):
                    text = f"{kind.group}/{kind.version}/{kind.text}".removeprefix("/")
                    yield Need(f"{path}.generate", resource, namespace, verbs, text, rule.effect)
    elif rule.effect is Effect.MUTATE_EXISTING:
        for number, target in enumerate(rule.document["mutate"]["targets"]):
            api_version, name = str(target.get("apiVersion") or ""), str(target.get("kind") or "")
            namespace = _fixed(target.get("namespace")) or policy.identity.namespace
            for resource in discovery.find(generating.selector(api_version, name)):
                place = f"{path}.mutate.targets[{number}]"
                only = _fixed(target.get("name"))
                yield Need(place, resource, namespace, CHANGES, f"{api_version}/{name}", rule.effect, only)


def _fixed(name: Any) -> str:
    text = str(name or "")
    return "" if any(mark in text for mark in ("{{", "*", "?", "$(")) else text


async def _missing(client: Client, account: str, wanted: Iterable[Need]) -> list[tuple[Need, tuple[str, ...]]]:
    asked = [(need, verb) for need in wanted for verb in need.verbs]
    answers = await asyncio.gather(*(_allowed(client, account, need, verb) for need, verb in asked))
    missing: dict[Need, list[str]] = {}
    for (need, verb), allowed in zip(asked, answers, strict=True):
        if not allowed:
            missing.setdefault(need, []).append(verb)
    return [(need, tuple(verbs)) for need, verbs in missing.items()]


async def _allowed(client: Client, account: str, need: Need, verb: str) -> bool:
    resource = need.resource
    attributes = {
        "verb": verb,
        "group": resource.group,
        "version": resource.version,
        "resource": resource.plural,
        "subresource": resource.subresource,
        "namespace": need.namespace if resource.namespaced else "",
        "name": need.name,
    }
    spec = {"user": account, "groups": _groups(account), "resourceAttributes": attributes}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    answer = await client.call("POST", REVIEWS, body=body, timeout=5)
    return bool(answer["status"].get("allowed"))


def _groups(account: str) -> list[str]:
    parts = account.split(":")
    if parts[:2] != ["system", "serviceaccount"] or len(parts) != 4:
        return ["system:authenticated"]
    return ["system:serviceaccounts", f"system:serviceaccounts:{parts[2]}", "system:authenticated"]


def _reason(need: Need, verbs: tuple[str, ...], account: str) -> str:
    where = f" in namespace {need.namespace}" if need.namespace else ""
    if need.effect is Effect.GENERATE:
        return f"{account} requires permissions {','.join(verbs)} for resource {need.text}{where}"
    return (
        f"auth check fails, additional privileges are required for the service account `{account}`: "
        f"{','.join(verbs)} {need.text}{where}"
    )

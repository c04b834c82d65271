"""What generate and mutate-existing rules say of themselves without being evaluated (spec 2.7, 2.8). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from controllers.cluster.discovery import Discovery, Resource
from controllers.cluster.events import Reference
from engine import Effect, KindSelector, LanguageError, Policy, Rule, compile_selector

PREFIX = "generate.kyverno.io/"
POLICY_NAME = f"{PREFIX}policy-name"
POLICY_NAMESPACE = f"{PREFIX}policy-namespace"
RULE_NAME = f"{PREFIX}rule-name"
TRIGGER_UID = f"{PREFIX}trigger-uid"
SOURCE_UID = f"{PREFIX}source-uid"
CLONE_SOURCE = f"{PREFIX}clone-source"
MANAGED_BY = "app.kubernetes.io/managed-by"
_ASKER = re.compile(rb"request\.(userInfo|roles|clusterRoles)|serviceAccountName|request\[|\{\{ *request *[|}]")


def synchronizes(rule: Rule) -> bool:
    """Does a generate rule keep its downstreams as they should be?"""
    return bool(_generate(rule).get("synchronize"))


def orphans(rule: Rule) -> bool:
    """Do downstreams outlive the rule and the policy?"""
    return bool(_generate(rule).get("orphanDownstreamOnPolicyDelete"))


def clones_one(rule: Rule) -> bool:
    """Does the rule copy single objects? Such copies outlive it (spec 9.6)."""
    return any(target.get("clone") for target in targets(rule))


def server_side(policy: Policy) -> bool:
    """Shall downstreams be written by server-side apply?"""
    return bool((policy.document.get("spec") or {}).get("useServerSideApply"))


def concerns_existing(policy: Policy, rule: Rule) -> bool:
    """Shall a new or changed rule be carried out for the triggers that are there already?"""
    action, field = EXISTING[rule.effect]
    stated = (rule.document.get(action) or {}).get(field)
    spec = policy.document.get("spec") or {}
    if stated is None:
        stated = spec.get(field) or (rule.effect is Effect.GENERATE and spec.get("generateExistingOnPolicyUpdate"))
    return bool(stated)


EXISTING = {
    Effect.GENERATE: ("generate", "generateExisting"),
    Effect.MUTATE_EXISTING: ("mutate", "mutateExistingOnPolicyUpdate"),
}


def knows_asker(rule: Rule) -> bool:
    """Does what the rule makes depend on who asked? It cannot be rendered again when nobody asks."""
    return rule.needs_user or _ASKER.search(orjson.dumps(rule.document)) is not None


def targets(rule: Rule) -> tuple[Mapping[str, Any], ...]:
    """The targets of a generate rule as they are written: one, or one per foreach entry."""
    generate = _generate(rule)
    return tuple(generate.get("foreach") or ()) or ((generate,) if generate else ())


def downstreams(rule: Rule, discovery: Discovery) -> tuple[Resource, ...]:
    """The resources that downstreams of a generate rule can be of. Kinds that are not served are left out."""
    return tuple(dict.fromkeys(resource for kind in downstream_kinds(rule) for resource in discovery.find(kind)))


def downstream_kinds(rule: Rule) -> tuple[KindSelector, ...]:
    """The kinds of downstreams of a generate rule; those that are variables are left out."""
    return tuple(selector(api_version, kind) for api_version, kind in written_kinds(rule))


def written_kinds(rule: Rule) -> tuple[tuple[str, str], ...]:
    """apiVersion and kind of downstreams as a generate rule has them; those that are variables are left out."""
    return tuple(dict.fromkeys(kind for target in targets(rule) for kind in _kinds_of(target)))


def kinds_of(target: Mapping[str, Any]) -> tuple[KindSelector, ...]:
    """The kinds of one target of a generate rule; those that are variables are left out."""
    return tuple(selector(api_version, kind) for api_version, kind in _kinds_of(target))


def _kinds_of(target: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if target.get("cloneList"):
        parts = (str(kind).rpartition("/") for kind in target["cloneList"].get("kinds") or ())
        written = [(api_version, kind) for api_version, _, kind in parts]
    else:
        written = [(str(target.get("apiVersion") or ""), str(target.get("kind") or "").strip())]
    for api_version, kind in written:
        if kind and "{{" not in f"{api_version}{kind}":
            yield api_version, kind


def trigger_of(document: Mapping[str, Any]) -> Reference:
    """The trigger that the labels of a downstream name; it has a uid and no name. Without labels: empty."""
    labels = (document.get("metadata") or {}).get("labels") or {}
    group, version = labels.get(f"{PREFIX}trigger-group") or "", labels.get(f"{PREFIX}trigger-version") or ""
    return Reference(
        f"{group}/{version}" if group else version,
        labels.get(f"{PREFIX}trigger-kind") or "",
        "",
        labels.get(f"{PREFIX}trigger-namespace") or "",
        labels.get(TRIGGER_UID) or "",
    )


def copies(rule: Rule, api_version: str, kind: str, namespace: str, name: str) -> bool:
    """Could the object be a clone source of the rule? Fields with variables fit everything."""
    return any(_copies(target, api_version, kind, namespace, name) for target in targets(rule))


def wants_copied(rule: Rule, source: Reference, labels: Mapping[str, str]) -> bool:
    """Is the object a source that the rule names, or one that its cloneList selects? Variables name nothing here."""
    return any(_names(target, source, labels) for target in targets(rule))


def _names(target: Mapping[str, Any], source: Reference, labels: Mapping[str, str]) -> bool:
    clone, clone_list = target.get("clone"), target.get("cloneList")
    if clone:
        wanted = (target.get("apiVersion"), target.get("kind"), clone.get("namespace") or "", clone.get("name"))
        return wanted == (source.api_version, source.kind, source.namespace, source.name)
    if clone_list:
        kind = f"{source.api_version}/{source.kind}"
        within = kind in (clone_list.get("kinds") or ()) and (clone_list.get("namespace") or "") == source.namespace
        return within and _selects(clone_list.get("selector") or {}, labels)
    return False


def _selects(wanted: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """A selector with variables, or one that is none, selects nothing here: whoever reads the list will tell."""
    if b"{{" in orjson.dumps(wanted):
        return False
    try:
        return compile_selector(wanted)(labels)
    except LanguageError:
        return False


def selector(api_version: str, kind: str) -> KindSelector:
    """The selector of exactly this kind, with apiVersion `*` of any group; `Deployment/scale` names a subresource."""
    group, _, version = ("*", "", "*") if api_version == "*" else api_version.rpartition("/")
    name, _, subresource = kind.partition("/")
    return KindSelector(group, version, name, subresource, kind)


def _generate(rule: Rule) -> Mapping[str, Any]:
    return rule.document.get("generate") or {}


def _copies(target: Mapping[str, Any], api_version: str, kind: str, namespace: str, name: str) -> bool:
    clone, clone_list = target.get("clone"), target.get("cloneList")
    if clone:
        asked = ((target.get("apiVersion"), api_version), (target.get("kind"), kind), (clone.get("name"), name))
        return all(_fits(written, value) for written, value in (*asked, (clone.get("namespace"), namespace)))
    if clone_list:
        return f"{api_version}/{kind}" in (clone_list.get("kinds") or ()) and _fits(clone_list.get("namespace"), namespace)
    return False


def _fits(written: Any, value: str) -> bool:
    return not written or "{{" in str(written) or written == value

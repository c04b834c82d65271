"""The policies of one moment as the scan sees them: what is in force, which rows reports may hold, what a change touches."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from enum import StrEnum

from controllers.cluster.discovery import Discovery, Resource
from controllers.reports.reach import Key, resources_of, takes_part, together
from engine import Effect, Policy, PolicyException, PolicySet, Rule, report

PolicyKey = tuple[str, str, str]
"""(kind, namespace, name)."""
RuleKey = tuple[str, str, str]
"""(source, policy, rule) of a row."""


class Origin(StrEnum):
    """Who finds all rows of a rule: the scan, every admission review of the object, or something that happens once."""

    SCAN = "scan"
    REVIEW = "review"
    OCCASION = "occasion"


Rules = Mapping[RuleKey, Origin]


def rules_of(policies: Iterable[Policy], *, scanning: bool, reporting: Container[Effect]) -> dict[RuleKey, Origin]:
    """The rules in force that may have rows: those with one of the effects `reporting`."""
    index: dict[RuleKey, Origin] = {}
    for policy in policies:
        if not report.reported(policy.identity):
            continue
        source = report.SOURCES.get(policy.identity.kind, report.KYVERNO)
        for rule in policy.rules:
            if rule.effect in reporting:
                index[source, policy.identity.key, rule.name] = _origin(policy, rule, scanning=scanning)
    return index


class InForce:
    """`policies` are asked by scans, `rules` may have rows in reports, `reach` says which resources a policy is about.

    `scanning`: whether stored objects are scanned at all; `reporting`: the effects of rules whose results are reported.
    """

    def __init__(self, *, scanning: bool, reporting: Container[Effect]) -> None:
        self._scanning = scanning and Effect.VALIDATE in reporting
        self._reporting = reporting
        self._exceptions: dict[tuple[str, str], PolicyException] = {}
        self.policies = PolicySet()
        self.rules: Rules = {}
        self.reach: dict[PolicyKey, frozenset[Key]] = {}

    def renew(self, policies: PolicySet, native: Iterable[Policy] = ()) -> None:
        """These policies and exceptions from now on."""
        for policy in native:
            policies = policies.plus(policy)
        self.policies = policies
        self.rules = rules_of(policies, scanning=self._scanning, reporting=self._reporting)

    def aim(self, discovery: Discovery) -> dict[Key, Resource]:
        """What the policies reach, given what the API server serves; returns the resources to follow."""
        scanned = [policy for policy in self.policies if takes_part(policy)] if self._scanning else []
        found = {_key(policy): resources_of(policy, discovery) for policy in scanned}
        self.reach = {policy: frozenset(resources) for policy, resources in found.items()}
        return together(found.values())

    def touched_by(self, changed: Iterable[PolicyKey], before: Mapping[PolicyKey, frozenset[Key]]) -> set[Key]:
        """Resources that these policies reach now, or reached `before`."""
        return {key for policy in changed for reach in (before, self.reach) for key in reach.get(policy, ())}

    def touched_by_exceptions(self, exceptions: Iterable[PolicyException]) -> set[Key]:
        """Resources of the policies named by exceptions that are new, different or gone."""
        before, after = self._exceptions, {(e.identity.namespace, e.identity.name): e for e in exceptions}
        self._exceptions = after
        different = [key for key in before.keys() | after.keys() if before.get(key) is not after.get(key)]
        named = {
            reference.policy
            for key in different
            for exception in (before.get(key), after.get(key))
            if exception is not None
            for reference in exception.references
        }
        return {key for policy, keys in self.reach.items() if _name(policy) in named for key in keys}

    def reading_namespaces(self) -> set[Key]:
        """Resources for which some policy reads labels of namespaces."""
        readers = (p for p in self.policies if any(rule.match.needs_namespace_labels for rule in p.rules))
        return {key for policy in readers for key in self.reach.get(_key(policy), ())}


def _origin(policy: Policy, rule: Rule, *, scanning: bool) -> Origin:
    if rule.effect is not Effect.VALIDATE:
        return Origin.OCCASION
    return Origin.SCAN if scanning and policy.background and not rule.needs_user else Origin.REVIEW


def _key(policy: Policy) -> PolicyKey:
    identity = policy.identity
    return identity.kind, identity.namespace, identity.name


def _name(key: PolicyKey) -> str:
    _, namespace, name = key
    return f"{namespace}/{name}" if namespace else name

"""What generate rules would create, change and delete, planned as the background controller plans it."""

from __future__ import annotations

from cli.impact.difference import difference
from cli.impact.findings import AT_ONCE, Finding, Impact, Subject
from cli.impact.world import World
from cli.live_cluster import Served
from cli.resources import name_of, namespace_of
from controllers.cluster import downstream
from controllers.cluster.downstream import Leftovers, Step
from controllers.cluster.generating import (
    POLICY_NAME,
    POLICY_NAMESPACE,
    PREFIX,
    RULE_NAME,
    TRIGGER_UID,
    clones_one,
    concerns_existing,
    downstream_kinds,
    knows_asker,
    orphans,
    synchronizes,
)
from engine import Effect, Object, Policy, Result, Rule, Status, kind_of

ACTIONS = {"create": "create", "update": "change", "delete": "delete", "unlabel": "change"}


class Downstreams:
    """Plans for the generate rules of one policy. `before` is the policy in force."""

    def __init__(self, world: World, impact: Impact, before: Policy | None) -> None:
        self._world = world
        self._impact = impact
        self._before = {rule.name: rule for rule in before.rules} if before is not None else {}
        self._made: dict[str, dict[str, list[Object]]] = {}
        """Rule name -> uid of the trigger -> what the rule has made. Only rules that are in force have made something."""
        self._names: dict[tuple[str, str], set[tuple[str, str]]] = {}
        self._planned: set[downstream.Identity] = set()

    def of_trigger(self, object_: Object, result: Result) -> None:
        """What one rule wants because of one object. Raises `LookupFailed` where existing objects cannot be read."""
        rule, impact = result.rule, self._impact
        if result.status in (Status.ERROR, Status.FAIL):
            impact.add(Finding("error", Subject.of(object_), (rule.name,), (result.message,)))
            return
        if result.exceptions:
            impact.excepted += 1
        if result.status is not Status.PASS:
            return
        old = self._before.get(rule.name)
        changed = old is not None and old.effect is Effect.GENERATE and old.document != rule.document
        uid = str((object_.get("metadata") or {}).get("uid") or "")
        made = self._made_by(rule).get(uid, []) if old is not None else []
        renewed = changed and bool(made) and synchronizes(rule) and not knows_asker(rule)
        if not (concerns_existing(impact.policy, rule) or renewed):
            if not made:
                impact.later[rule.name] += 1
            return
        leftovers: Leftovers = "unlabel" if changed and synchronizes(rule) else "keep"
        held = {downstream.identity(one): one for one in (*made, *self._named(result.generated))}
        steps = downstream.plan(
            result.generated, list(held.values()), synchronize=synchronizes(rule), leftovers=leftovers, force=changed
        )
        self._add(rule, steps, held, because=f"of {Subject.of(object_)}")

    def of_rules_that_go(self) -> None:
        """Rules that are in force and not in the new policy take what they have made with them, or let it go (spec 9.6)."""
        left = {rule.name for rule in self._impact.policy.rules}
        for rule in self._before.values():
            gone = rule.name not in left and rule.effect is Effect.GENERATE
            if gone and synchronizes(rule) and not clones_one(rule):
                made = [one for of_trigger in self._made_by(rule).values() for one in of_trigger]
                leftovers: Leftovers = "unlabel" if orphans(rule) else "delete"
                steps = downstream.plan([], made, synchronize=True, leftovers=leftovers)
                self._add(rule, steps, {downstream.identity(one): one for one in made}, because="the rule is gone")

    def _add(self, rule: Rule, steps: tuple[Step, ...], held: dict[downstream.Identity, Object], *, because: str) -> None:
        for step in steps:
            key = downstream.identity(step.object)
            if key in self._planned:
                continue
            self._planned.add(key)
            before = held.get(key)
            after = None if step.action == "delete" else step.object
            diff = difference(before, _plain(after) if step.action == "create" else after)
            if diff or step.action in ("create", "delete"):
                subject = Subject.of(step.object)
                self._impact.add(Finding(ACTIONS[step.action], subject, (rule.name,), (because,), when=AT_ONCE, diff=diff))

    def _named(self, wanted: tuple[Object, ...]) -> list[Object]:
        """Objects that have a wanted name already."""
        found = []
        for document in wanted:
            gvk, namespace, name = kind_of(document), namespace_of(document), name_of(document)
            if (namespace, name) in self._names_of(gvk.group, gvk.kind):
                held = self._world.cluster.named(gvk, namespace, name)
                if held is not None:
                    found.append(held)
        return found

    def _names_of(self, group: str, kind: str) -> set[tuple[str, str]]:
        """Namespaces and names of all objects of a kind: one list instead of a question for each wanted object."""
        known = self._names.get((group, kind))
        if known is None:
            served = [one for one in self._world.served if _is(one, group, kind)][:1]
            pages = (page for one in served for page in self._world.pages(one))
            known = {(namespace_of(one), name_of(one)) for page in pages for one in page}
            self._names[group, kind] = known
        return known

    def _made_by(self, rule: Rule) -> dict[str, list[Object]]:
        if rule.name not in self._made:
            identity = rule.policy
            wanted = {POLICY_NAME: identity.name, POLICY_NAMESPACE: identity.namespace, RULE_NAME: rule.name}
            labels = ",".join(f"{key}={value}" for key, value in wanted.items())
            found: dict[str, list[Object]] = {}
            old = self._before.get(rule.name)
            selectors = {kind for one in (rule, old) if one is not None for kind in downstream_kinds(one)}
            for served in self._world.served:
                if any(_is(served, selector.group, selector.kind) for selector in selectors):
                    for page in self._world.pages(served, namespace=identity.namespace, labels=labels):
                        for document in page:
                            uid = document["metadata"]["labels"].get(TRIGGER_UID) or ""
                            found.setdefault(uid, []).append(document)
            self._made[rule.name] = found
        return self._made[rule.name]


def _plain(document: Object | None) -> Object | None:
    """A new object without the labels that say whose it is: every one has them."""
    if document is None:
        return None
    metadata = dict(document["metadata"])
    metadata["labels"] = {key: value for key, value in (metadata.pop("labels", None) or {}).items() if not key.startswith(PREFIX)}
    return {**document, "metadata": {key: value for key, value in metadata.items() if value}}


def _is(served: Served, group: str, kind: str) -> bool:
    return served.kind.kind == kind and group in (served.kind.group, "*")

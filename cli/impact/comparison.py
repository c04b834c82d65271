"""Policies against everything that is there: what they say now that those in force do not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from datetime import UTC, datetime
from typing import NamedTuple

from cli.impact.difference import difference
from cli.impact.downstreams import Downstreams
from cli.impact.findings import NEXT_WRITE, Finding, Impact, Subject
from cli.impact.sides import GOOD, Key, Side, Verdict, key_of
from cli.impact.targets import Targets
from cli.impact.world import World
from cli.live_cluster import Served
from cli.offline_facts import NAMESPACE, OfflineFacts
from engine import Effect, LookupFailed, Object, Policy, Request

WORSE = {"deny": 3, "audit": 2, "error": 1, "": 0}
WAS = {"deny": "denied already", "audit": "fails under Audit now", "error": "errs now", "": ""}


class Excluded(NamedTuple):
    """What the installation takes out of the reach of policies: resourceFilters, namespaces that are not sent to webhooks."""

    filters: Callable[[Request], bool]
    namespace: Callable[[str], bool]


class Comparison:
    """Asks page by page. `unread` collects what could not be read, with the reason."""

    def __init__(
        self, world: World, new: Side, old: Side, impacts: Mapping[Key, Impact], *, facts: OfflineFacts, excluded: Excluded
    ) -> None:
        self._world = world
        self._new = new
        self._old = old
        self._impacts = impacts
        self._facts = facts
        self._excluded = excluded
        self.objects = 0
        self.unread: dict[str, str] = {}
        made = impacts.items()
        self._downstreams = {key: Downstreams(world, impact, old.policies.get(key)) for key, impact in made}
        self._targets = {key: Targets(world, impact, old.policies.get(key)) for key, impact in made}
        self._next = {key: _next_run(impact.policy) for key, impact in made}

    def run(self, resources: list[Served], *, namespace: str, seen: Callable[[int, str], None]) -> None:
        """Looks at all objects of the resources. `seen` hears how many there were so far, and of which kind the last were."""
        for wanted in resources:
            if namespace and not wanted.namespaced:
                continue
            try:
                for page in self._world.pages(wanted, namespace=namespace):
                    facts = copy(self._facts)  # answers are kept for a page
                    for object_ in page:
                        self._look(object_, facts)
                    self.objects += len(page)
                    seen(self.objects, wanted.plural)
            except LookupFailed as failed:
                self.unread[wanted.reference.rstrip(".")] = failed.reason
        for key, downstreams in self._downstreams.items():
            self._reading(f"downstreams of {self._impacts[key].title}", downstreams.of_rules_that_go)
        for targets in self._targets.values():
            targets.finish()

    def _look(self, object_: Object, facts: OfflineFacts) -> None:
        request = self._new.request(object_, "CREATE")
        if self._excluded.filters(request):
            return
        own = request.name if request.kind == NAMESPACE else request.namespace
        if not self._excluded.namespace(own):
            self._admission(object_, facts)
        for key, targets in self._targets.items():
            what = f"targets of {self._impacts[key].title}"
            self._reading(what, targets.of_trigger, object_, self._new, self._old, facts)
        for policy, response in self._new.wanted(object_, facts):
            what = f"downstreams of {self._impacts[key_of(policy)].title}"
            for result in response.results:
                self._reading(what, self._downstreams[key_of(policy)].of_trigger, object_, result)
        self._cleanups(object_, facts)

    def _admission(self, object_: Object, facts: OfflineFacts) -> None:
        """What would be said if the object was written now."""
        before, _, old_errors = self._old.mutated(object_, facts)
        after, by, new_errors = self._new.mutated(object_, facts)
        self._mutations(object_, before, after, by)
        had = {**self._old.judgement(before, facts), **old_errors}
        said = {**self._new.judgement(after, facts), **new_errors}
        for key in dict.fromkeys((*said, *had)):
            self._transition(self._impacts[key], object_, had.get(key, GOOD), said.get(key, GOOD))

    def _reading(self, what: str, act: Callable[..., None], *arguments: object) -> None:
        if what in self.unread:
            return  # it would fail for every object
        try:
            act(*arguments)
        except LookupFailed as failed:
            self.unread[what] = failed.reason

    def _mutations(self, object_: Object, before: Object, after: Object, by: Mapping[Key, tuple[str, ...]]) -> None:
        news = after not in (before, object_)
        diff = difference(object_, after) if news else ()
        if not diff:
            return
        for number, (key, rules) in enumerate(by.items()):
            # With several policies the whole difference is shown once; the others name the object.
            self._impacts[key].add(
                Finding("mutate", Subject.of(object_), rules, when=NEXT_WRITE, diff=diff if number == 0 else ())
            )

    @staticmethod
    def _transition(impact: Impact, object_: Object, had: Verdict, said: Verdict) -> None:
        impact.matched += 1
        impact.excepted += said.excepted
        if said.word == had.word:
            impact.same += bool(said.word)
        elif WORSE[said.word] > WORSE[had.word] or said.word == "error":
            impact.add(Finding(said.word, Subject.of(object_), said.rules, said.messages, was=WAS[had.word]))
        else:
            now = {"audit": "fails under Audit", "error": "errs", "": "passes"}[said.word]
            impact.add(Finding("resolve", Subject.of(object_), had.rules, (now,), was=WAS[had.word]))

    def _cleanups(self, object_: Object, facts: OfflineFacts) -> None:
        doomed = {key_of(policy): policy for policy, _ in self._old.doomed(object_, facts)}
        for policy, response in self._new.doomed(object_, facts):
            key = key_of(policy)
            before = doomed.get(key)
            when, was = self._next[key], ""
            if before is not None:
                was = f"deleted {_next_run(before)} already"
                if _next_run(before) == when:
                    self._impacts[key].same += 1
                    continue
            rules = tuple(result.rule.name for result in response.results)
            self._impacts[key].add(Finding("delete", Subject.of(object_), rules, when=when, was=was))


def _next_run(policy: Policy) -> str:
    """When a cleanup policy runs next; empty for others."""
    if policy.cleanup is None:
        return ""
    moment = datetime.fromtimestamp(policy.cleanup.schedule.next(time.time_ns()) // 10**9, UTC)
    return f"on {moment:%Y-%m-%d at %H:%M} UTC"


def unjudged(policy: Policy, side: Side) -> Iterator[str]:
    """Remarks on rules that cannot be asked."""
    for rule in policy.rules:
        if rule.effect is Effect.VERIFY_IMAGES:
            yield f"rule {rule.name} verifies images, which is not done here"
        elif not side.judged(rule):
            yield f"rule {rule.name} depends on who asks: say who with --userinfo"
        elif rule.error:
            yield f"rule {rule.name} errs on every object: {rule.error}"

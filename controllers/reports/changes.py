"""What changes, and which objects are looked at again because of it: policies, exceptions, namespaces, kinds, lost reports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from controllers.cluster.discovery import Discovery
from controllers.cluster.namespaces import Namespaces
from controllers.cluster.policies import Change, Entry
from controllers.cluster.watch import Event, Listed
from controllers.reports.aggregate import Aggregator
from controllers.reports.in_force import InForce, PolicyKey
from controllers.reports.inventory import Inventory
from engine import Policy, PolicyException, PolicySet
from engine.report import Subject

SETTLE = 0.5
"""Seconds without another change after which policies are followed: `kubectl apply -k` brings one after the other."""
MOST_LOST = 100
"""Lost reports whose objects are read one by one; of more, all objects of their kind and namespace are looked at again."""
LONGEST = 2.5
"""Seconds after which they are followed although they still change: a first report comes within five."""


class Changes:
    """Renews what is in force and tells the inventory what to look at again; nothing before `begin`.

    `policies` and `native` are what is stored at the moment, `discovery` what the API server serves. `renewed` is told of
    the policies in force.
    """

    def __init__(
        self,
        *,
        policies: Callable[[], PolicySet],
        native: Mapping[str, Policy],
        discovery: Callable[[], Discovery],
        in_force: InForce,
        namespaces: Namespaces,
        inventory: Inventory,
        aggregator: Aggregator,
        renewed: Callable[[PolicySet], None] = lambda policies: None,
    ) -> None:
        self._policies = policies
        self._native = native
        self._discovery = discovery
        self._in_force = in_force
        self._namespaces = namespaces
        self._inventory = inventory
        self._aggregator = aggregator
        self._renewed = renewed
        self._changed: set[PolicyKey] = set()
        self._begun = False
        self._timer: asyncio.TimerHandle | None = None
        self._latest = 0.0
        self._lost: dict[str, Subject] = {}
        self._missing = asyncio.Event()

    def begin(self) -> None:
        """All policies are known: the scan starts."""
        self._begun = True
        self._follow()

    def renew(self) -> None:
        """The policies and exceptions of now are in force."""
        self._in_force.renew(self._policies(), self._native.values())
        self._renewed(self._in_force.policies)

    def policy(self, entry: Entry, _: Change) -> None:
        """A policy is new, different or gone."""
        metadata = entry.document["metadata"]
        self._gather([(entry.document.get("kind") or "", metadata.get("namespace") or "", metadata["name"])])

    def native(self, names: Iterable[str]) -> None:
        """These ValidatingAdmissionPolicies, or their bindings."""
        self._gather([("ValidatingAdmissionPolicy", "", name) for name in names])

    def exceptions(self, exceptions: tuple[PolicyException, ...]) -> None:
        """These are all exceptions now."""
        self.renew()
        self._inventory.sweep(self._in_force.touched_by_exceptions(exceptions))

    def namespace(self, event: Event) -> None:
        """Objects of a namespace whose labels are others now, or were not known when they were looked at."""
        name = "" if isinstance(event, Listed) else event.object["metadata"]["name"]
        before = self._namespaces.labels(name)
        self._namespaces.handle(event)
        if isinstance(event, Listed) or before != self._namespaces.labels(name):
            self._inventory.sweep(self._in_force.reading_namespaces(), namespace=name)

    def kinds(self, _: Discovery) -> None:
        """The API server serves other kinds."""
        if self._begun:
            self._aim()

    def shares(self) -> None:
        """Other objects are this replica's now: nobody else rids their reports of what is no longer in force."""
        if self._begun:
            self._aim()

    def lost(self, subject: Subject) -> None:
        """Somebody deleted or changed a report: when its object lives, it is made anew."""
        if not self._begun or not self._inventory.holds(subject.uid):
            return
        if len(self._lost) < MOST_LOST:
            self._lost[subject.uid] = subject
            self._missing.set()
        elif (collection := self._inventory.find(_group(subject), subject.kind)) is not None:
            collection.sweep(subject.namespace)

    async def run(self) -> None:
        """Makes lost reports anew until cancelled."""
        while True:
            await self._missing.wait()
            self._missing.clear()
            while self._lost:
                subject = self._lost.pop(next(iter(self._lost)))
                await self._inventory.revisit(_group(subject), subject.kind, subject.name, subject.namespace)

    def _gather(self, changed: Iterable[PolicyKey]) -> None:
        """Once for all policies that change within a moment: each time all objects that they reach are read."""
        self._changed.update(changed)
        if not self._begun:
            return
        loop = asyncio.get_running_loop()
        if self._timer is None:
            self._latest = loop.time() + LONGEST
        else:
            self._timer.cancel()
        self._timer = loop.call_at(min(loop.time() + SETTLE, self._latest), self._follow)

    def _follow(self) -> None:
        """What the changed policies reach now, and what they reached before, is looked at again."""
        self._timer = None
        self.renew()
        before, followed = self._in_force.reach, set(self._inventory.collections)
        self._aim()
        # Resources that are followed only from now on are about to be listed anyway.
        self._inventory.sweep(self._in_force.touched_by(self._changed, before) & followed)
        self._changed.clear()

    def _aim(self) -> None:
        """Follows what the policies reach now; what is out of reach loses the rows of its scans."""
        wanted = self._in_force.aim(self._discovery())
        self._inventory.want(wanted)
        kinds = {(resource.group, resource.kind) for resource in wanted.values()}
        self._aggregator.prune(lambda subject: (_group(subject), subject.kind) not in kinds)


def _group(subject: Subject) -> str:
    return subject.api_version.rpartition("/")[0]

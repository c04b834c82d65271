"""The stored objects that a generate or mutate-existing rule concerns: what matches it, and what it has made something for."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable

from controllers.background.generation import Downstreams
from controllers.background.ledger import Seen
from controllers.background.objects import Objects, reference
from controllers.cluster import requests
from controllers.cluster.client import ApiError
from controllers.cluster.discovery import Resource
from controllers.cluster.events import Reference
from controllers.cluster.generating import POLICY_NAME, knows_asker, selector, trigger_of
from controllers.cluster.namespaces import NO_LABELS, Namespaces
from controllers.cluster.settings import WebhookDefaults
from engine import Effect, Object, Policy, Request, Rule, compile_selector

logger = logging.getLogger("pyvern.changes")


class Triggers:
    """Finds triggers. `excluded`: requests that the ConfigMap takes out; `hooks`: what no webhook hears of."""

    def __init__(
        self,
        objects: Objects,
        namespaces: Namespaces,
        *,
        excluded: Callable[[Request], bool],
        hooks: Callable[[], WebhookDefaults],
        seen: Callable[[str], Seen | None],
    ) -> None:
        self._objects = objects
        self._namespaces = namespaces
        self._excluded = excluded
        self._hooks = hooks
        self._seen = seen
        self._downstreams = Downstreams(objects)

    async def matching(self, policy: Policy, rule: Rule) -> AsyncIterator[Reference]:
        """Every stored object that the rule matches. Raises the API's errors but for kinds that may not be listed."""
        operation = next((one for one in ("CREATE", "UPDATE") if one in rule.match.operations), "")
        if operation:
            async for _, document in self._matching(policy, rule, operation):
                yield reference(document)

    async def concerned(self, policy: Policy, rule: Rule) -> AsyncIterator[Reference]:
        """The triggers of a synchronized rule: those for which something was made, and those that came after the rule.

        Whatever came after it was heard of, or should have been: requests get lost when nobody answers the webhook, and before
        there is one.
        """
        uids = {trigger_of(one).uid for one in await self._downstreams.existing(rule)} - {""}
        seen = self._seen(policy.identity.key)
        late = seen if seen is not None and self._hears(policy, rule) else None
        if not uids and late is None:
            return
        for resource in self._kinds(rule):
            async for document in self._listed(policy, resource):
                if document["metadata"].get("uid") in uids or (
                    late is not None
                    and late.precedes(document)
                    and self._matches(rule, resource, document, "CREATE")
                    and self._heard(resource, document)
                ):
                    yield reference(document)

    async def lost(self, rule: Rule) -> tuple[Reference, ...]:
        """Triggers of a synchronized rule that are gone while something is still there that was made for them."""
        if rule.on_delete:
            return ()
        made = [trigger_of(one) for one in await self._downstreams.existing(rule)]
        lost: list[Reference] = []
        for api_version, kind in dict.fromkeys((trigger.api_version, trigger.kind) for trigger in made):
            ours = {trigger.uid: trigger for trigger in made if (trigger.api_version, trigger.kind) == (api_version, kind)}
            resources = self._objects.discovery.find(selector(api_version, kind))
            if not resources or not await self._drop_living(resources[0], ours):
                continue
            lost += [trigger for uid, trigger in ours.items() if uid]
        return tuple(lost)

    async def _drop_living(self, resource: Resource, triggers: dict[str, Reference]) -> bool:
        """Leaves those that are gone; False where nobody can know."""
        try:
            async for document in self._objects.list(resource, metadata=True):
                triggers.pop(document["metadata"].get("uid") or "", None)
        except ApiError as error:
            if error.status != 403:
                raise
            return False
        return True

    async def _matching(self, policy: Policy, rule: Rule, operation: str) -> AsyncIterator[tuple[Resource, Object]]:
        for resource in self._kinds(rule):
            async for document in self._listed(policy, resource):
                if self._matches(rule, resource, document, operation):
                    yield resource, document

    async def _listed(self, policy: Policy, resource: Resource) -> AsyncIterator[Object]:
        within = policy.identity.namespace
        if within and not resource.namespaced:
            return
        try:
            async for document in self._objects.list(resource, within, metadata=True):
                yield document
        except ApiError as error:
            if error.status != 403:
                raise
            logger.error("policy %s: existing %s cannot be listed: %s", policy.identity.key, resource.plural, error)

    def _matches(self, rule: Rule, resource: Resource, document: Object, operation: str) -> bool:
        metadata = document["metadata"]
        if rule.effect is Effect.GENERATE and rule.skip_background_requests and POLICY_NAME in (metadata.get("labels") or {}):
            return False  # made by a rule itself: no rule but those that say so may be set off by that
        namespace = metadata.get("namespace") or ""
        labels = self._namespaces.labels(namespace) or NO_LABELS if namespace else None
        request = requests.of_stored(resource, document, operation=operation, namespace_labels=labels, now=time.time_ns())
        return not self._excluded(request) and rule.match(request)

    def _hears(self, policy: Policy, rule: Rule) -> bool:
        """Does a webhook send the rule all new objects that it matches? What expressions keep from it cannot be said here."""
        conditions = (*self._hooks().match_conditions, *policy.webhook.match_conditions)
        return policy.admission and not conditions and "CREATE" in rule.match.operations and not knows_asker(rule)

    def _heard(self, resource: Resource, document: Object) -> bool:
        """Do the selectors of the webhooks select the object?"""
        hooks, metadata = self._hooks(), document["metadata"]
        labels = metadata.get("labels") or {}
        if hooks.object_selector and not compile_selector(hooks.object_selector)(labels):
            return False
        if resource.namespaced:
            labels = self._namespaces.labels(metadata.get("namespace") or "") or NO_LABELS
        elif resource.group or resource.kind != "Namespace":
            return True
        return not hooks.namespace_selector or compile_selector(hooks.namespace_selector)(labels)

    def _kinds(self, rule: Rule) -> tuple[Resource, ...]:
        selectors = [reach.kind for reach in rule.match.reach if not reach.kind.subresource and reach.kind.kind != "*"]
        found = dict.fromkeys(resource for kind in selectors for resource in self._objects.discovery.find(kind))
        return tuple(resource for resource in found if not resource.subresource and "list" in resource.verbs)

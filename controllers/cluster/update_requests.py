"""UpdateRequests (spec 4.2): what is left to do in the background, kept in the cluster until it is done.

A name is derived from what the request is about, so that the same work never waits twice: what comes while an equal request
waits takes its place.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from controllers.cluster.client import METADATA_ONLY, ApiError, Client, Unreachable
from controllers.cluster.events import Reference
from controllers.cluster.generating import POLICY_NAME
from engine import Object

Type = Literal["generate", "mutate"]
Cause = Literal["trigger", "downstream", "source", "existing", "removed", "orphaned"]
"""What happened: to a trigger, a downstream, a clone source; a rule is new to triggers that exist; a rule is gone, and its
downstreams of the kind in `about` shall go or be let go."""
CAUSES: tuple[Cause, ...] = ("trigger", "downstream", "source", "existing", "removed", "orphaned")
CAUSE = "pyvern.io/cause"
CHANGES = "pyvern.io/changes"
"""Annotation: the object was about to change, so that its old resourceVersion is not yet what is meant."""
MUTATE = "mutate.updaterequest.kyverno.io/"
MAX_LABEL = 63
COUNT_EVERY = 5.0
PATIENCE = 30.0
logger = logging.getLogger("pyvern.updates")


@dataclass(frozen=True, slots=True)
class Item:
    """One rule to carry out for one trigger. `delete`: take its downstreams away; `restore`: put the old object back.

    A trigger known from a downstream's labels has a uid and no name.
    """

    rule: str
    trigger: Reference | None = None
    delete: bool = False
    synchronize: bool = False
    restore: bool = False

    def document(self) -> Object:
        fields = {"deleteDownstream": self.delete, "synchronize": self.synchronize, "cacheRestore": self.restore}
        body: Object = {"rule": self.rule, **{name: True for name, value in fields.items() if value}}
        if self.trigger is not None:
            body["trigger"] = self.trigger.document()
        return body


@dataclass(frozen=True, slots=True)
class Stored:
    """What the cluster knows of an UpdateRequest besides its content. `done` are uids of targets that are taken care of."""

    name: str
    version: str = ""
    tries: int = 0
    done: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class UpdateRequest:
    """`policy` is the policy's key. `about` is the object that something happened to. `admission` is the AdmissionRequest.

    `roles` and `cluster_roles` are those of who asked. `key` tells requests of the same kind about the same object apart.
    """

    type: Type
    cause: Cause
    policy: str
    items: tuple[Item, ...]
    about: Reference
    operation: str = ""
    admission: Object | None = None
    roles: tuple[str, ...] = ()
    cluster_roles: tuple[str, ...] = ()
    changes: bool = False
    key: str = ""
    stored: Stored = field(default_factory=lambda: Stored(""))

    @property
    def name(self) -> str:
        """The same for the same work."""
        about = self.about
        subject = about.uid or f"{about.api_version}/{about.kind}/{about.namespace}/{about.name}"
        text = "\n".join((self.type, self.cause, self.policy, subject, self.operation, self.key))
        return f"ur-{hashlib.sha256(text.encode()).hexdigest()[:20]}"

    @property
    def subject(self) -> str:
        """Requests with the same subject are carried out one after the other."""
        return next((item.trigger.uid for item in self.items if item.trigger and item.trigger.uid), "") or self.name

    def document(self, namespace: str) -> Object:
        """The object to be stored. It has no status yet, which counts as Pending."""
        annotations = {CAUSE: self.cause, **({CHANGES: "true"} if self.changes else {})}
        spec: Object = {
            "requestType": self.type,
            "policy": self.policy,
            "rule": self.items[0].rule if self.items else "",
            "resource": self.about.document(),
            "ruleContext": [item.document() for item in self.items],
            "context": self._context(),
        }
        return {
            "apiVersion": "kyverno.io/v2",
            "kind": "UpdateRequest",
            "metadata": {"name": self.name, "namespace": namespace, "labels": self._labels(), "annotations": annotations},
            "spec": spec,
        }

    def _labels(self) -> dict[str, str]:
        name = _label(self.policy.rpartition("/")[2])
        if self.type == "generate":
            return {POLICY_NAME: name}
        about = self.about
        wanted = {
            "policy-name": name,
            "trigger-name": _label(about.name),
            "trigger-namespace": _label(about.namespace),
            "trigger-kind": _label(about.kind),
            "trigger-apiversion": _label(about.api_version.replace("/", "-")),
        }
        return {f"{MUTATE}{key}": value for key, value in wanted.items() if value}

    def _context(self) -> Object:
        if self.admission is None:
            return {"admissionRequestInfo": {"operation": self.operation}} if self.operation else {}
        asker = {"roles": list(self.roles), "clusterRoles": list(self.cluster_roles), "userInfo": self.admission["userInfo"]}
        return {"userInfo": asker, "admissionRequestInfo": {"admissionRequest": self.admission, "operation": self.operation}}


def _label(text: str) -> str:
    return text[:MAX_LABEL].strip("-_.")


def read(document: Object) -> UpdateRequest:
    """A stored UpdateRequest; one that somebody else made counts as one about its trigger."""
    metadata, spec, status = document["metadata"], document["spec"], document.get("status") or {}
    annotations = metadata.get("annotations") or {}
    about = _reference(spec.get("resource") or {})
    context = spec.get("context") or {}
    asker, info = context.get("userInfo") or {}, context.get("admissionRequestInfo") or {}
    cause: Cause = next((cause for cause in CAUSES if annotations.get(CAUSE) == cause), "trigger")
    items = tuple(_item(entry) for entry in spec.get("ruleContext") or ())
    return UpdateRequest(
        type="mutate" if spec["requestType"] == "mutate" else "generate",
        cause=cause,
        policy=spec["policy"],
        items=items or (Item(spec.get("rule") or "", about, delete=bool(spec.get("deleteDownstream"))),),
        about=about,
        operation=info.get("operation") or "",
        admission=info.get("admissionRequest"),
        roles=tuple(asker.get("roles") or ()),
        cluster_roles=tuple(asker.get("clusterRoles") or ()),
        changes=CHANGES in annotations,
        stored=Stored(
            metadata["name"],
            metadata["resourceVersion"],
            int(status.get("retryCount") or 0),
            frozenset(made["uid"] for made in status.get("generatedResources") or () if made.get("uid")),
        ),
    )


def _item(entry: Mapping[str, Any]) -> Item:
    trigger = entry.get("trigger")
    return Item(
        entry["rule"],
        _reference(trigger) if trigger else None,
        delete=bool(entry.get("deleteDownstream")),
        synchronize=bool(entry.get("synchronize")),
        restore=bool(entry.get("cacheRestore")),
    )


def _reference(entry: Mapping[str, Any]) -> Reference:
    fields = (entry.get(key) or "" for key in ("apiVersion", "kind", "name", "namespace", "uid"))
    return Reference(*fields)


def kept(request: Mapping[str, Any]) -> Object:
    """What is kept of an AdmissionRequest: a stored object is read again anyway, who changed which field never matters."""
    document = {key: value for key, value in request.items() if key not in ("roles", "clusterRoles", "object", "oldObject")}
    if request.get("oldObject"):
        document["oldObject"] = _lean(request["oldObject"])
    if request.get("object") and (request.get("subResource") or request["operation"] not in ("CREATE", "UPDATE")):
        document["object"] = _lean(request["object"])
    return document


def _lean(document: Object) -> Object:
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or "managedFields" not in metadata:
        return document
    return {**document, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}


class Writer:
    """Stores UpdateRequests. `put` never blocks; requests with one name that wait are one; too many are dropped and counted.

    `threshold`: how many of one policy may be stored (the ConfigMap's updateRequestThreshold). `counted` is called with True for
    what was dropped.
    """

    def __init__(
        self,
        client: Client,
        *,
        namespace: str,
        threshold: Callable[[], int],
        capacity: int = 10_000,
        counted: Callable[[bool], None] = lambda dropped: None,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._path = collection(namespace)
        self._threshold = threshold
        self._capacity = capacity
        self._counted = counted
        self._waiting: OrderedDict[str, tuple[UpdateRequest, float]] = OrderedDict()
        self._filled = asyncio.Event()
        self._total = (0, float("-inf"))
        self._of_policy: dict[str, tuple[int, float]] = {}

    def put(self, request: UpdateRequest) -> None:
        name = request.name
        held = self._waiting.get(name)
        if held is not None:
            request = merged(held[0], request)
        elif len(self._waiting) >= self._capacity:
            logger.error("too many UpdateRequests wait: one of policy %s is dropped", request.policy)
            self._counted(True)
            return
        self._waiting[name] = request, time.monotonic()
        self._filled.set()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def run(self, writers: int = 8) -> None:
        """Writes until cancelled."""
        await asyncio.gather(*(self._write_all() for _ in range(writers)))

    async def flush(self, patience: float) -> None:
        """Gives what waits a last chance."""
        deadline = time.monotonic() + patience
        while self._waiting and time.monotonic() < deadline:
            await asyncio.sleep(0.02)

    async def _write_all(self) -> None:
        while True:
            while not self._waiting:
                self._filled.clear()
                await self._filled.wait()
            _, (request, since) = self._waiting.popitem(last=False)
            await self._write(request, since)

    async def _write(self, request: UpdateRequest, since: float) -> None:
        attempt = 0
        while time.monotonic() - since < PATIENCE:
            try:
                if await self._full(request):
                    logger.warning(
                        "policy %s has %d UpdateRequests or more: one about %s is dropped",
                        request.policy,
                        self._threshold(),
                        request.about.text,
                    )
                    break
                await self._store(request)
            except ApiError as error:
                if error.status < 500 and error.status not in (404, 409, 429):
                    logger.error("UpdateRequest of policy %s about %s: %s", request.policy, request.about.text, error)
                    break
            except Unreachable as error:
                logger.debug("UpdateRequest of policy %s about %s: %s", request.policy, request.about.text, error)
            else:
                self._counted(False)
                return
            attempt += 1
            await asyncio.sleep(min(3.0, 0.2 * 2**attempt))
        else:
            logger.error("UpdateRequest of policy %s about %s could not be stored", request.policy, request.about.text)
        self._counted(True)

    async def _store(self, request: UpdateRequest) -> None:
        try:
            await self._client.create(self._path, request.document(self._namespace))
        except ApiError as error:
            if not error.conflict:
                raise
            path = f"{self._path}/{request.name}"
            found = await self._client.get(path)
            document = merged(read(found), request).document(self._namespace)
            document["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]
            await self._client.replace(path, document)

    async def _full(self, request: UpdateRequest) -> bool:
        """Has the policy its share? It is counted only when all policies together have as much."""
        threshold = self._threshold()
        count, at = self._total
        now = time.monotonic()
        if now - at > COUNT_EVERY:
            listed = await self._list({"limit": "1"})
            count, at = len(listed.get("items") or ()) + int(listed["metadata"].get("remainingItemCount") or 0), now
        self._total = count + 1, at
        if count < threshold:
            return False
        label, value = next((key, value) for key, value in request._labels().items() if key.endswith("policy-name"))
        held, at = self._of_policy.get(value, (0, float("-inf")))
        if now - at > COUNT_EVERY:
            listed = await self._list({"limit": str(threshold), "labelSelector": f"{label}={value}"})
            held, at = len(listed.get("items") or ()), now
        self._of_policy[value] = held + 1, at
        return held >= threshold

    async def _list(self, params: Mapping[str, str]) -> Object:
        listed: Object = await self._client.call("GET", self._path, params=params, accept=METADATA_ONLY, timeout=10)
        return listed


def merged(before: UpdateRequest, after: UpdateRequest) -> UpdateRequest:
    """Two requests of one name as one: the later one counts, and rules that only the earlier one names are not forgotten."""
    items = {(item.rule, item.trigger): item for item in (*before.items, *after.items)}
    return UpdateRequest(
        after.type,
        after.cause,
        after.policy,
        tuple(items.values()),
        after.about,
        after.operation,
        after.admission,
        after.roles,
        after.cluster_roles,
        after.changes or before.changes,
        after.key,
    )


def collection(namespace: str) -> str:
    """The path of all UpdateRequests."""
    return f"/apis/kyverno.io/v2/namespaces/{namespace}/updaterequests"

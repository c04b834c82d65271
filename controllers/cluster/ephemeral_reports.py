"""EphemeralReports: results on their way to a policy report (spec 3.6, 4.3), written in bounded numbers.

Whoever finds results outside the background scan (admission reviews, UpdateRequests) puts a `Draft`; the reports controller
merges what is stored into the object's report and deletes it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import orjson

from controllers.cluster.client import ApiError, Client, Unreachable
from engine import GroupVersionResource, Object, PolicyIdentity, report
from engine.report import Row, Subject

API = "/apis/reports.kyverno.io/v1"
SOURCE = "audit.kyverno.io/source"
RESOURCE = "audit.kyverno.io/resource"
NAME_ANNOTATION = f"{RESOURCE}.name"
NAMESPACE_ANNOTATION = f"{RESOURCE}.namespace"
LAST_SCAN = "audit.kyverno.io/last-scan-time"
POLICY_LABELS = {
    "ClusterPolicy": "cpol",
    "Policy": "pol",
    "ValidatingPolicy": "vpol",
    "NamespacedValidatingPolicy": "nvpol",
    "MutatingPolicy": "mpol",
    "NamespacedMutatingPolicy": "nmpol",
    "GeneratingPolicy": "gpol",
    "NamespacedGeneratingPolicy": "ngpol",
    "ImageValidatingPolicy": "ivpol",
    "NamespacedImageValidatingPolicy": "nivpol",
    "PolicyException": "polex",
}
LABEL_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?\Z")
COUNT_EVERY = 5.0
"""Seconds for which a count of the stored reports is believed; what is written meanwhile is added to it."""
STEP = 0.1
"""Seconds between two looks at a draft that waits for more of its kind: `flush` may have ended the wait."""
logger = logging.getLogger("pyvern.reports")
Source = Literal["admission", "background-scan"]


@dataclass(frozen=True, slots=True)
class Draft:
    """Rows about one object, not yet written.

    `name` is what the report's name begins with: the uid of the request, or of the object. `resource` is the object's.
    `identities` are the policies and exceptions that the rows come from. `stored`: the object is known to exist, so that it may
    own the report already.
    """

    name: str
    subject: Subject
    resource: GroupVersionResource
    rows: tuple[Row, ...]
    identities: tuple[PolicyIdentity, ...]
    source: Source
    hash: str = ""
    stored: bool = False

    def document(self) -> Object:
        """The EphemeralReport or ClusterEphemeralReport."""
        subject = self.subject
        annotations = {NAME_ANNOTATION: subject.name}
        if subject.namespace:
            annotations[NAMESPACE_ANNOTATION] = subject.namespace
        metadata: Object = {"generateName": f"{self.name}-", "labels": self._labels(), "annotations": annotations}
        if subject.namespace:
            metadata["namespace"] = subject.namespace
        if self.stored and subject.uid:
            metadata["ownerReferences"] = [subject.owner()]
        rows, note = report.trim(list(self.rows))
        if note:
            annotations[report.TRIMMED] = note
        return {
            "apiVersion": "reports.kyverno.io/v1",
            "kind": "EphemeralReport" if subject.namespace else "ClusterEphemeralReport",
            "metadata": metadata,
            "spec": {
                "owner": {"apiVersion": "", "kind": "", "name": "", "uid": ""},
                "summary": report.summary(self.rows),
                "results": rows,
            },
        }

    def _labels(self) -> dict[str, str]:
        group, version, plural = self.resource
        wanted = {
            **report.MANAGED,
            SOURCE: self.source,
            f"{RESOURCE}.uid": self.subject.uid,
            f"{RESOURCE}.hash": self.hash,
            f"{RESOURCE}.group": group,
            f"{RESOURCE}.version": version,
            f"{RESOURCE}.kind": self.subject.kind,
            f"{RESOURCE}.gvr": f"{plural}.{version}.{group}" if group else f"{plural}.{version}",
        }
        labels = {name: value for name, value in wanted.items() if value and LABEL_NAME.match(value)}
        if f"{RESOURCE}.gvr" not in labels:
            labels[f"{RESOURCE}.name"] = plural
        for identity in self.identities:
            prefix = POLICY_LABELS.get(identity.kind)
            if prefix and LABEL_NAME.match(identity.name) and LABEL_NAME.match(identity.resource_version):
                labels[f"{prefix}.kyverno.io/{identity.name}"] = identity.resource_version
        return labels


@dataclass(frozen=True, slots=True)
class Stored:
    """An EphemeralReport that was read. `owned`: it has an owner; `created` is its creationTimestamp."""

    path: str
    subject: Subject
    resource: GroupVersionResource
    rows: tuple[Row, ...]
    source: str
    hash: str
    owned: bool
    created: str


def read(document: Object) -> Stored:
    """What an EphemeralReport says. It speaks of objects of its own namespace only, so that rights to write it are not more than
    rights to write there.
    """
    metadata = document["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    group, version = labels.get(f"{RESOURCE}.group") or "", labels.get(f"{RESOURCE}.version") or ""
    plural = labels.get(f"{RESOURCE}.name") or (labels.get(f"{RESOURCE}.gvr") or "").partition(".")[0]
    subject = Subject(
        f"{group}/{version}" if group else version,
        labels.get(f"{RESOURCE}.kind") or "",
        annotations.get(NAME_ANNOTATION) or "",
        metadata.get("namespace") or "",
        labels.get(f"{RESOURCE}.uid") or "",
    )
    return Stored(
        path=f"{collection(metadata.get('namespace') or '')}/{metadata['name']}",
        subject=subject,
        resource=GroupVersionResource(group, version, plural),
        rows=tuple((document.get("spec") or {}).get("results") or ()),
        source=labels.get(SOURCE) or "",
        hash=labels.get(f"{RESOURCE}.hash") or "",
        owned=bool(metadata.get("ownerReferences")),
        created=metadata.get("creationTimestamp") or "",
    )


def collection(namespace: str) -> str:
    """The path of the reports about objects of a namespace, empty: about cluster-scoped ones."""
    return f"{API}/namespaces/{namespace}/ephemeralreports" if namespace else f"{API}/clusterephemeralreports"


def content_hash(document: Object) -> str:
    """Equal as long as labels, annotations and everything else but metadata, status, scale and the node's name is (spec 4.3)."""
    metadata = document.get("metadata") or {}
    rest = {name: part for name, part in document.items() if name not in ("metadata", "status", "scale")}
    spec = rest.get("spec")
    if isinstance(spec, dict) and "nodeName" in spec:
        rest["spec"] = {name: part for name, part in spec.items() if name != "nodeName"}
    content = [metadata.get("labels") or {}, metadata.get("annotations") or {}, rest]
    return hashlib.md5(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), usedforsecurity=False).hexdigest()


class EphemeralReports:
    """The queue and its writers. `put` never blocks: what is too much is dropped and counted.

    `limit` bounds the reports stored in the cluster: a breaker that opens above it keeps etcd from being flooded when nobody
    merges them. Drafts about the same object that come within `delay` seconds are merged. `counted` is called with True for what
    was dropped.
    """

    def __init__(
        self,
        client: Client,
        *,
        limit: int,
        capacity: int = 1000,
        delay: float = 0.2,
        counted: Callable[[bool], None] = lambda dropped: None,
    ) -> None:
        self._client = client
        self._limit = limit
        self._capacity = capacity
        self._delay = delay
        self._counted = counted
        self._waiting: OrderedDict[tuple[str, ...], tuple[Draft, float]] = OrderedDict()
        self._filled = asyncio.Event()
        self._writing = 0
        self._stored = 0
        self._counted_at = float("-inf")
        self._counting = asyncio.Lock()

    def put(self, draft: Draft) -> None:
        """Rows to be written soon."""
        subject = draft.subject
        about = (draft.source, subject.uid or draft.name, subject.api_version, subject.kind, subject.namespace, subject.name)
        known = self._waiting.get(about)
        if known is not None:
            held, since = known
            rows = tuple(report.merge(held.rows, draft.rows))
            identities = tuple({i.kind + "/" + i.key: i for i in (*held.identities, *draft.identities)}.values())
            both = replace(draft, rows=rows, identities=identities, stored=draft.stored or held.stored)
            self._waiting[about] = both, since
            return
        if len(self._waiting) >= self._capacity:
            self._counted(True)
            return
        self._waiting[about] = draft, time.monotonic()
        self._filled.set()

    async def run(self, writers: int = 4) -> None:
        """Writes until cancelled."""
        await asyncio.gather(*(self._write_all() for _ in range(writers)))

    async def flush(self, patience: float) -> None:
        """Gives what waits a last chance."""
        self._delay = 0.0
        deadline = time.monotonic() + patience
        while (self._waiting or self._writing) and time.monotonic() < deadline:
            await asyncio.sleep(0.05)

    async def _write_all(self) -> None:
        while True:
            while not self._waiting:
                self._filled.clear()
                await self._filled.wait()
            about, (draft, since) = next(iter(self._waiting.items()))
            early = since + self._delay - time.monotonic()
            if early > 0:
                await asyncio.sleep(min(early, STEP))
            else:
                del self._waiting[about]
                await self._write(draft)

    async def _write(self, draft: Draft) -> None:
        self._writing += 1
        try:
            await self._try(draft)
        finally:
            self._writing -= 1

    async def _try(self, draft: Draft) -> None:
        for attempt in range(3):
            try:
                if await self._full():
                    break
                await self._client.call("POST", collection(draft.subject.namespace), body=draft.document(), timeout=10)
            except ApiError as error:
                if error.status < 500 and error.status != 429:
                    logger.debug("report on %s not accepted: %s", draft.subject, error)
                    break
            except Unreachable as error:
                logger.debug("report on %s not written: %s", draft.subject, error)
            else:
                self._stored += 1
                self._counted(False)
                return
            await asyncio.sleep(0.5 * 2**attempt)
        self._counted(True)

    async def _full(self) -> bool:
        async with self._counting:
            if time.monotonic() - self._counted_at > COUNT_EVERY:
                self._stored = await self._count(f"{API}/ephemeralreports") + await self._count(f"{API}/clusterephemeralreports")
                self._counted_at = time.monotonic()
                if self._stored >= self._limit:
                    logger.warning(
                        "%d ephemeral reports are stored, %d are allowed: new ones are dropped", self._stored, self._limit
                    )
        return self._stored >= self._limit

    async def _count(self, path: str) -> int:
        """How many are stored, without reading them: the first of them and how many remain."""
        accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
        answer: Mapping[str, Any] = await self._client.call("GET", path, params={"limit": "1"}, accept=accept, timeout=10)
        return len(answer.get("items") or ()) + int((answer.get("metadata") or {}).get("remainingItemCount") or 0)


def identities_of(results: Iterable[Any]) -> tuple[PolicyIdentity, ...]:
    """The policies and exceptions behind results, each once."""
    found: dict[tuple[str, str, str], PolicyIdentity] = {}
    for result in results:
        for identity in (result.rule.policy, *result.exceptions):
            found[identity.kind, identity.namespace, identity.name] = identity
    return tuple(found.values())

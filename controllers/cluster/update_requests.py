"""UpdateRequests (spec 4.2): what is left to do in the background, kept in the cluster until it is done.

A name is derived from what the request is about, so that the same work never waits twice: what comes while an equal request
waits takes its place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

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
"""Annotation: the object was about to change from this resourceVersion, so that this one is not yet what is meant."""
RENEWED = "pyvern.io/renewed"
"""Annotation, another one each time that the same work is wanted again: the rest of the request may be what it was."""
MUTATE = "mutate.updaterequest.kyverno.io/"
MAX_LABEL = 63


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

    `roles` and `cluster_roles` are those of who asked. `changes` is the
    resourceVersion from which the object was about to change. `key` tells requests of one kind about one object apart.
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
    changes: str = ""
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
        annotations = {CAUSE: self.cause, **({CHANGES: self.changes} if self.changes else {})}
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
            "metadata": {"name": self.name, "namespace": namespace, "labels": self.labels(), "annotations": annotations},
            "spec": spec,
        }

    def labels(self) -> dict[str, str]:
        """Kyverno's (spec 4.2)."""
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
    admission = info.get("admissionRequest")
    if admission is not None and not admission.get("userInfo"):  # the schema wants it in one of two places
        admission = {**admission, "userInfo": asker.get("userInfo") or {}}
    items = tuple(_item(entry) for entry in spec.get("ruleContext") or ())
    return UpdateRequest(
        type="mutate" if spec["requestType"] == "mutate" else "generate",
        cause=cause,
        policy=spec["policy"],
        items=items or (Item(spec.get("rule") or "", about, delete=bool(spec.get("deleteDownstream"))),),
        about=about,
        operation=info.get("operation") or "",
        admission=admission,
        roles=tuple(asker.get("roles") or ()),
        cluster_roles=tuple(asker.get("clusterRoles") or ()),
        changes=annotations.get(CHANGES) or "",
        stored=Stored(
            metadata["name"],
            metadata["resourceVersion"],
            int(status.get("retryCount") or 0),
            frozenset(made["uid"] for made in status.get("generatedResources") or () if made.get("uid")),
        ),
    )


def content(document: Object) -> tuple[Any, ...]:
    """Tells a request that was renewed, or made again after it was gone, from one that only has another status."""
    metadata = document["metadata"]
    annotations = metadata.get("annotations") or {}
    return metadata.get("uid"), metadata["generation"], annotations.get(CHANGES), annotations.get(RENEWED)


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

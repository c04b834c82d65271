"""Results -> reports: the rows of one object's results, merged, counted, and wrapped into documents (spec 1.4, 4.3). Pure.

A row is a result as wgpolicyk8s.io/v1alpha2 writes it, a plain dict; so rows of results and rows read back from a stored report
are the same thing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.policy import PolicyIdentity
from engine.request import Object
from engine.result import Result, Status

Row = dict[str, Any]
MANAGED = {"app.kubernetes.io/managed-by": "kyverno"}
SOURCES = {
    "ValidatingAdmissionPolicy": "ValidatingAdmissionPolicy",
    "MutatingAdmissionPolicy": "MutatingAdmissionPolicy",
    "ValidatingPolicy": "KyvernoValidatingPolicy",
    "NamespacedValidatingPolicy": "KyvernoValidatingPolicy",
    "MutatingPolicy": "KyvernoMutatingPolicy",
    "NamespacedMutatingPolicy": "KyvernoMutatingPolicy",
    "GeneratingPolicy": "KyvernoGeneratingPolicy",
    "NamespacedGeneratingPolicy": "KyvernoGeneratingPolicy",
    "DeletingPolicy": "KyvernoDeletingPolicy",
    "NamespacedDeletingPolicy": "KyvernoDeletingPolicy",
    "ImageValidatingPolicy": "KyvernoImageValidatingPolicy",
    "NamespacedImageValidatingPolicy": "KyvernoImageValidatingPolicy",
}
"""What a row names as its source, by the policy's kind; all others are `kyverno`."""
KYVERNO = "kyverno"
SEVERITIES = frozenset({"critical", "high", "medium", "low", "info"})
STATUSES = ("error", "fail", "pass", "skip", "warn")
BACKGROUND, ADMISSION = "background scan", "admission review"
"""The property `process`: what the policy lets happen, not where the row comes from."""
DISABLED = "reports.kyverno.io/disabled"
SCORED = "policies.kyverno.io/scored"
CATEGORY = "policies.kyverno.io/category"
SEVERITY = "policies.kyverno.io/severity"
MESSAGES = ("message", *(f"{status}Message" for status in STATUSES))
"""Keys of reportProperties that replace the message, of all results or of those with that status."""
SIZE_LIMIT = 1_400_000
"""Bytes of a report's rows: etcd refuses requests over 1.5 MiB, and the document is more than its rows."""
LONGER = re.compile("[<>&\u2028\u2029]")
"""Characters that the API server stores as six bytes each (`\\u003c`)."""
TRIMMED = "reports.pyvern.io/trimmed"


@dataclass(frozen=True, slots=True)
class Subject:
    """The object that a report is about. `namespace` is empty for cluster-scoped objects, `uid` while it is not known."""

    api_version: str
    kind: str
    name: str
    namespace: str = ""
    uid: str = ""

    @classmethod
    def of(cls, document: Object) -> Subject:
        metadata = document.get("metadata") or {}
        return cls(
            str(document.get("apiVersion") or ""),
            str(document.get("kind") or ""),
            str(metadata.get("name") or ""),
            str(metadata.get("namespace") or ""),
            str(metadata.get("uid") or ""),
        )

    def scope(self) -> Object:
        """An ObjectReference."""
        reference = {"apiVersion": self.api_version, "kind": self.kind, "name": self.name, "uid": self.uid}
        return {**reference, "namespace": self.namespace} if self.namespace else reference

    def owner(self) -> Object:
        """An OwnerReference: the report goes when the object goes."""
        return {"apiVersion": self.api_version, "kind": self.kind, "name": self.name, "uid": self.uid}


def reported(identity: PolicyIdentity) -> bool:
    """Does the policy want its results in reports?"""
    return identity.labels.get(DISABLED) != "true" and identity.annotations.get(DISABLED) != "true"


def row(result: Result, *, background: bool, seconds: int) -> Row:
    """One result as a report shows it. `background`: its policy is for background scans too; `seconds`: Unix time."""
    identity = result.rule.policy
    annotations = identity.annotations
    scored = annotations.get(SCORED) != "false"
    status = Status.WARN if result.status is Status.FAIL and not scored else result.status
    properties = {"process": BACKGROUND if background else ADMISSION, **result.properties}
    message = properties.get(f"{status.value}Message") or properties.get("message") or result.message
    for key in MESSAGES:
        properties.pop(key, None)
    if result.exceptions:
        properties["exceptions"] = ",".join(exception.name for exception in result.exceptions)
    made: Row = {
        "source": SOURCES.get(identity.kind, KYVERNO),
        "policy": identity.key,
        "rule": result.rule.name,
        "result": status.value,
        "scored": scored,
        "properties": properties,
        "timestamp": {"seconds": seconds, "nanos": 0},
    }
    if message:
        made["message"] = message
    category, severity = annotations.get(CATEGORY), annotations.get(SEVERITY)
    if category:
        made["category"] = category
    if severity in SEVERITIES:
        made["severity"] = severity
    return made


def key(one: Row) -> tuple[str, str, str, str]:
    """What a row is about, within the report of one object: of rows with one key a report holds the newest."""
    binding = (one.get("properties") or {}).get("binding") or ""
    return one.get("source") or "", one["policy"], one.get("rule") or "", binding


def merge(*groups: Iterable[Row]) -> list[Row]:
    """The newest row of each key, sorted by policy and rule; of equally old ones the one in the later group."""
    newest: dict[tuple[str, str, str, str], Row] = {}
    for group in groups:
        for one in group:
            held = newest.get(key(one))
            if held is None or stamp(one) >= stamp(held):
                newest[key(one)] = one
    return sorted(newest.values(), key=_order)


def unchanged(rows: Iterable[Row], before: Iterable[Row]) -> list[Row]:
    """`rows`, where those that say what a row of `before` says keep its timestamp."""
    held = {key(one): one for one in before}
    kept = []
    for one in rows:
        old = held.get(key(one))
        kept.append(old if old is not None and _content(old) == _content(one) else one)
    return kept


def summary(rows: Iterable[Row]) -> dict[str, int]:
    """How many rows have each result."""
    counts = dict.fromkeys(STATUSES, 0)
    for one in rows:
        counts[one.get("result") or "skip"] += 1
    return counts


def fingerprint(rows: Iterable[Row]) -> str:
    """Equal for rows that say the same, whenever they were made; 16 hexadecimal digits, empty without rows."""
    contents = [_content(one) for one in rows]
    if not contents:
        return ""
    contents.sort()
    return hashlib.blake2b(repr(contents).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def document(subject: Subject, rows: list[Row], *, annotations: Mapping[str, str] | None = None) -> Object:
    """The PolicyReport or ClusterPolicyReport of `subject`, named by its uid. Rows must be sorted (`merge`)."""
    metadata: Object = {"name": subject.uid, "labels": dict(MANAGED), "ownerReferences": [subject.owner()]}
    if subject.namespace:
        metadata["namespace"] = subject.namespace
    shown, note = trim(rows)
    notes = {**(annotations or {}), **({TRIMMED: note} if note else {})}
    if notes:
        metadata["annotations"] = notes
    return {
        "apiVersion": "wgpolicyk8s.io/v1alpha2",
        "kind": "PolicyReport" if subject.namespace else "ClusterPolicyReport",
        "metadata": metadata,
        "scope": subject.scope(),
        "summary": summary(rows),
        "results": shown,
    }


def trim(rows: list[Row], limit: int = SIZE_LIMIT) -> tuple[list[Row], str]:
    """Rows that fit into one request, and what was left out (empty: nothing).

    Long texts are cut first; when even that is too much, rows that pass or are skipped go before those that fail.
    """
    sizes = [_size(one) for one in rows]
    if sum(sizes) <= limit:
        return rows, ""
    allowance = max(limit // len(rows), 512)
    cut = [one if size <= allowance else _cut(one, allowance) for one, size in zip(rows, sizes, strict=True)]
    shortened = sum(size > allowance for size in sizes)
    total, kept = 0, set()
    for index in sorted(range(len(cut)), key=lambda index: (cut[index].get("result") in ("pass", "skip"), index)):
        total += _size(cut[index])
        if total > limit:
            break
        kept.add(index)
    left_out = len(cut) - len(kept)
    note = f"{shortened} results shortened, {left_out} left out: a report must fit into one request"
    return [one for index, one in enumerate(cut) if index in kept], note


def openreports(report: Object) -> Object:
    """The same report for openreports.io: other names for the kinds, the message and the resources."""
    results = []
    for one in report["results"]:
        renamed = {NAMES.get(name, name): value for name, value in one.items()}
        results.append(renamed)
    kind = "Report" if report["kind"] == "PolicyReport" else "ClusterReport"
    return {**report, "apiVersion": "openreports.io/v1alpha1", "kind": kind, "results": results}


def rows_of(report: Object) -> list[Row]:
    """The rows of a stored report, of either API."""
    back = {new: old for old, new in NAMES.items()}
    return [{back.get(name, name): value for name, value in one.items()} for one in report.get("results") or ()]


NAMES = {"message": "description", "resources": "subjects"}


def stamp(one: Row) -> int:
    """Unix time of the row: the greater, the newer."""
    return int((one.get("timestamp") or {}).get("seconds") or 0)


def _order(one: Row) -> tuple[str, str, str, str]:
    source, policy, rule, binding = key(one)
    return policy, rule, source, binding


def _content(one: Row) -> tuple[Any, ...]:
    properties = one.get("properties")
    return (
        *key(one),
        one.get("result") or "",
        one.get("message") or "",
        one.get("scored", False),
        one.get("category") or "",
        one.get("severity") or "",
        tuple(sorted(properties.items())) if properties else (),
    )


def _size(one: Row) -> int:
    """Bytes as stored."""
    return _stored(json.dumps(one, ensure_ascii=False)) + 1


def _stored(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass")) + 5 * len(LONGER.findall(text))


def _cut(one: Row, allowance: int) -> Row:
    """The row with its long texts cut to a share of the allowance each."""
    texts = 1 + len(one.get("properties") or {})
    most = max(64, (allowance - 256) // (2 * texts))
    cut = {**one, "message": _shorter(one.get("message") or "", most)}
    if one.get("properties"):
        cut["properties"] = {name: _shorter(value, most) for name, value in one["properties"].items()}
    return cut


def _shorter(text: str, most: int) -> str:
    size = len(text.encode("utf-8", "surrogatepass"))
    if _stored(text) <= most:
        return text
    kept = text
    while (stored := _stored(kept)) > most:
        kept = kept[: min(len(kept) - 1, len(kept) * most // stored)]
    return f"{kept}... ({size - len(kept.encode('utf-8', 'surrogatepass'))} bytes cut)"

"""Policy reports from a cluster or from saved files, as findings: one row of one report each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from cli.errors import UsageError
from engine import report

RESULTS = ("fail", "warn", "error", "skip", "pass")
KINDS = frozenset({"PolicyReport", "ClusterPolicyReport", "Report", "ClusterReport"})
COLLECTIONS = (
    "/apis/wgpolicyk8s.io/v1alpha2/policyreports",
    "/apis/wgpolicyk8s.io/v1alpha2/clusterpolicyreports",
    "/apis/openreports.io/v1alpha1/reports",
    "/apis/openreports.io/v1alpha1/clusterreports",
)
NONE = "none"
"""Shown where a row has no severity or category."""


class Finding(NamedTuple):
    """What one rule says of one object; `since` is Unix time, 0 where the report does not say."""

    result: str
    policy: str
    rule: str
    kind: str
    namespace: str
    name: str
    message: str
    severity: str
    category: str
    source: str
    since: int
    exceptions: tuple[str, ...] = ()
    """Names of the PolicyExceptions that skipped the rule or took something out of its checks."""

    @property
    def object(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def findings_of(documents: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    """All rows of the reports among the documents; lists are unpacked."""
    for document in documents:
        if str(document.get("kind") or "").endswith("List") and isinstance(document.get("items"), list):
            yield from findings_of(item for item in document["items"] if isinstance(item, Mapping))
        elif document.get("kind") in KINDS:
            scope = document.get("scope") or {}
            for row in report.rows_of(dict(document)):
                yield _finding(row, document, (row.get("resources") or [scope])[0] or {})


def _finding(row: Mapping[str, Any], document: Mapping[str, Any], subject: Mapping[str, Any]) -> Finding:
    result = row.get("result")
    return Finding(
        result=str(result) if result in RESULTS else "skip",
        policy=str(row.get("policy") or ""),
        rule=str(row.get("rule") or ""),
        kind=str(subject.get("kind") or ""),
        namespace=str(subject.get("namespace") or (document.get("metadata") or {}).get("namespace") or ""),
        name=str(subject.get("name") or ""),
        message=str(row.get("message") or ""),
        severity=str(row.get("severity") or NONE),
        category=str(row.get("category") or NONE),
        source=str(row.get("source") or ""),
        since=int((row.get("timestamp") or {}).get("seconds") or 0),
        exceptions=tuple(filter(None, str((row.get("properties") or {}).get("exceptions") or "").split(","))),
    )


def from_files(paths: Sequence[str]) -> list[Finding]:
    """Of files, folders, URLs or `-`. Raises InputError for the first that cannot be read."""
    from cli.documents import load_paths

    loaded = load_paths(paths)
    if loaded.errors:
        raise loaded.errors[0]
    return list(findings_of(document.value for document in loaded.documents if isinstance(document.value, Mapping)))


def from_cluster(kubeconfig: str) -> list[Finding]:
    """Of the cluster that a kubeconfig, $KUBECONFIG or ~/.kube/config names. Raises UsageError."""
    return [
        finding
        for path in COLLECTIONS
        for finding in findings_of({**item, "kind": item.get("kind") or _kind(path)} for item in objects_of(kubeconfig, path))
    ]


def objects_of(kubeconfig: str, path: str) -> list[dict[str, Any]]:
    """A collection of that cluster; nothing where its API is not served. Raises UsageError."""
    import asyncio

    from controllers.cluster.client import FAILURES, ApiError, Client
    from controllers.cluster.credentials import NoCredentials, load
    from controllers.cluster.watch import Target, pages

    async def read() -> list[dict[str, Any]]:
        async with Client(load(kubeconfig), user_agent="pyvern-cli") as client:
            return [item async for page, _ in pages(client, Target(path)) for item in page.objects]

    try:
        return asyncio.run(read())
    except NoCredentials as error:
        raise UsageError(str(error)) from error
    except FAILURES as error:
        if isinstance(error, ApiError) and error.not_found:
            return []
        raise UsageError(f"{path} cannot be read: {error}") from error


def _kind(path: str) -> str:
    plural = path.rpartition("/")[2]
    return {"policyreports": "PolicyReport", "clusterpolicyreports": "ClusterPolicyReport", "reports": "Report"}.get(
        plural, "ClusterReport"
    )

"""Policy reports from a cluster or from saved files, as findings: one row of one report each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from cli.errors import InputError, UsageError
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
    """Of files, folders, URLs or `-`. Raises InputError for the first that cannot be read or is no report."""
    findings, faults = read_files(paths)
    if faults:
        raise faults[0]
    return findings


def read_files(paths: Sequence[str]) -> tuple[list[Finding], list[InputError]]:
    """As `from_files`: what can be read, and what is wrong with the rest."""
    from cli.decode import decode
    from cli.documents import load_paths

    loaded = load_paths(paths)
    findings: list[Finding] = []
    faults = list(loaded.errors)
    for document in loaded.documents:
        if isinstance(document.value, Mapping) and document.value.get("kind") in KINDS:
            try:
                findings += findings_of([decode(document, _well_formed)])
            except InputError as fault:
                faults.append(fault)
    return findings, faults


def _well_formed(value: Any, _: str) -> Mapping[str, Any]:
    """The report, when all that a finding is made of has the type that the API gives it. Raises Misfit."""
    from cli.decode import integer, list_of, mapping

    document = mapping(value, "")
    for field in ("metadata", "scope"):
        mapping(document.get(field) or {}, field)
    for index, row in enumerate(list_of(mapping)(document.get("results") or [], "results")):
        place = f"results[{index}]"
        for field in ("resources", "subjects"):
            list_of(mapping)(row.get(field) or [], f"{place}.{field}")
        for field in ("properties", "timestamp"):
            mapping(row.get(field) or {}, f"{place}.{field}")
        integer((row.get("timestamp") or {}).get("seconds") or 0, f"{place}.timestamp.seconds")
    return document


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

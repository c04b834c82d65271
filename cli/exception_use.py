"""PolicyExceptions held against policy reports, whose rows name them in their property `exceptions`: which are needed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cli.documents import load_paths
from cli.report_read import Finding, from_cluster, objects_of, read_files
from engine import InvalidPolicy, Object, PolicyException, compile_exception

EXCEPTIONS = "/apis/kyverno.io/v2/policyexceptions"
KIND = "PolicyException"


class Given(NamedTuple):
    """Exceptions and what reports say. `reported`: there are reports at all; `now`: Unix nanoseconds."""

    documents: Sequence[Object]
    findings: Sequence[Finding]
    reported: bool
    problems: Sequence[str]
    now: int


@dataclass(frozen=True, slots=True)
class Listed:
    """An exception. `expires`: Unix nanoseconds; `used`: rows of reports that name it, None when they cannot tell.

    `invalid`: why it does not compile, so that it exempts nothing.
    """

    namespace: str
    name: str
    policies: tuple[str, ...] = ()
    expires: int | None = None
    expired: bool = False
    used: int | None = None
    objects: tuple[str, ...] = ()
    invalid: str = ""


def read(files: Sequence[str], reports: Sequence[str], kubeconfig: str) -> Given:
    """Everything there is. Raises `UsageError` where the cluster cannot be read."""
    problems: list[str] = []
    if files:
        documents = _documents(files, problems)
    else:
        documents = [{**one, "kind": one.get("kind") or KIND} for one in objects_of(kubeconfig, EXCEPTIONS)]
    if reports:
        findings, faults = read_files(reports)
        problems += map(str, faults)
    elif files:
        findings = []
    else:
        findings = from_cluster(kubeconfig)
    exceptions = [document for document in documents if document.get("kind") == KIND]
    return Given(exceptions, [one for one in findings if one.exceptions], bool(findings), problems, time.time_ns())


def _documents(paths: Sequence[str], problems: list[str]) -> list[Object]:
    loaded = load_paths(paths)
    problems += map(str, loaded.errors)
    return [document.value for document in loaded.documents if isinstance(document.value, dict)]


def listed(given: Given) -> list[Listed]:
    """The exceptions by namespace and name."""
    compiled: list[PolicyException] = []
    rows: list[Listed] = []
    for document in given.documents:
        metadata = document.get("metadata") or {}
        try:
            compiled.append(compile_exception(document))
        except InvalidPolicy as error:
            rows.append(Listed(str(metadata.get("namespace") or ""), str(metadata.get("name") or ""), invalid=str(error)))
    namesakes = Counter(exception.identity.name for exception in compiled)
    rows += (_listed(one, given, alone=namesakes[one.identity.name] == 1) for one in compiled)
    return sorted(rows, key=lambda one: (one.namespace, one.name))


def _listed(exception: PolicyException, given: Given, *, alone: bool) -> Listed:
    needing = tuple(_object(finding) for finding in given.findings if _is_about(finding, exception, alone=alone))
    known = given.reported and (exception.background or bool(needing))
    return Listed(
        exception.identity.namespace,
        exception.identity.name,
        tuple(dict.fromkeys(reference.policy for reference in exception.references)),
        exception.expires,
        exception.expired(given.now),
        len(needing) if known else None,
        tuple(dict.fromkeys(needing)),
    )


def _is_about(finding: Finding, exception: PolicyException, *, alone: bool) -> bool:
    """Rows name exceptions without their namespaces; where two have one name, the message tells which."""
    if exception.identity.name not in finding.exceptions:
        return False
    if not any(reference.policy == finding.policy and reference.rules(finding.rule) for reference in exception.references):
        return False
    return alone or exception.identity.key in finding.message


def _object(finding: Finding) -> str:
    return f"{finding.kind} {finding.object}"

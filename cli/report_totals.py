"""Findings counted by what people ask for: policy, namespace, severity, category."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from cli.report_read import RESULTS, Finding

SEVERITIES = ("critical", "high", "medium", "low", "info", "none")
CLUSTER = "(cluster)"
DIMENSIONS = ("severity", "category", "namespace", "policy")


class Total(NamedTuple):
    """How many findings have each result, in the order of RESULTS."""

    name: str
    counts: tuple[int, ...]

    @property
    def bad(self) -> int:
        """Failures, warnings and errors."""
        return sum(self.counts[:3])


def totals(findings: Iterable[Finding], dimension: str) -> list[Total]:
    """By `policy`, `namespace`, `severity` or `category`; the worst first, severities by their weight."""
    counts: dict[str, list[int]] = {}
    for finding in findings:
        name = getattr(finding, dimension) or CLUSTER
        counts.setdefault(name, [0] * len(RESULTS))[RESULTS.index(finding.result)] += 1
    found = [Total(name, tuple(numbers)) for name, numbers in counts.items()]
    if dimension == "severity":
        return sorted(found, key=lambda total: SEVERITIES.index(total.name) if total.name in SEVERITIES else len(SEVERITIES))
    return sorted(found, key=lambda total: (-total.bad, total.name))


def overall(findings: Iterable[Finding]) -> Total:
    """All of them together."""
    numbers = [0] * len(RESULTS)
    for finding in findings:
        numbers[RESULTS.index(finding.result)] += 1
    return Total("", tuple(numbers))


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """By result, severity, namespace, object, policy and rule."""

    def place(finding: Finding) -> tuple[object, ...]:
        severity = SEVERITIES.index(finding.severity) if finding.severity in SEVERITIES else len(SEVERITIES)
        return (
            RESULTS.index(finding.result),
            severity,
            finding.namespace,
            finding.kind,
            finding.name,
            finding.policy,
            finding.rule,
        )

    return sorted(findings, key=place)

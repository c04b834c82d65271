"""How results count: the words and sums that tables, reports and exit statuses share (cli-format.md 5, 7)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from engine import Policy, Result, Status


@dataclass(slots=True)
class Counts:
    """Results by status."""

    passed: int = 0
    fail: int = 0
    warn: int = 0
    error: int = 0
    skip: int = 0

    def add(self, status: str, number: int = 1) -> None:
        name = "passed" if status == "pass" else status
        setattr(self, name, getattr(self, name) + number)

    def line(self) -> str:
        """The last line of `apply`; the blank before the line end is Kyverno's."""
        return f"pass: {self.passed}, fail: {self.fail}, warn: {self.warn}, error: {self.error}, skip: {self.skip} "

    def by_name(self) -> dict[str, int]:
        return {"pass": self.passed, "fail": self.fail, "warn": self.warn, "error": self.error, "skip": self.skip}


def status_of(policy: Policy, result: Result, *, audit_warn: bool = False) -> Status:
    """The status as it is reported: a failure of an unscored policy warns, with `audit_warn` one under Audit does too."""
    if result.status is Status.FAIL and (not policy.scored or (audit_warn and not result.enforced)):
        return Status.WARN
    return result.status


def counted(results: Iterable[tuple[Policy, Result]], *, audit_warn: bool = False) -> Counts:
    counts = Counts()
    for policy, result in results:
        counts.add(status_of(policy, result, audit_warn=audit_warn).value)
    return counts

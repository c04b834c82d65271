"""validate.podSecurity: the Pod Security Standards as one rule (spec 2.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.clauses.template import Template
from engine.errors import InvalidPolicy
from engine.result import Outcome, Status
from engine.rules.pod_security import messages
from engine.rules.pod_security.controls import LEVELS, VERSIONS, checks_for
from engine.rules.pod_security.exclusions import Exclusion, compile_exclusions, forgive, unsupported
from engine.rules.pod_security.pod import pod_of
from engine.rules.subject import subject_of
from engine.scope import Scope


class PodSecurityCheck:
    """A compiled podSecurity rule; callable like every check.

    `extra` are exclusions that apply to this request only, those of the PolicyExceptions that match it
    (`compile_exclusions` makes them): they are applied after the rule's own, and a rule that passes only with them is
    what spec 2.5 calls skipped.
    """

    __slots__ = ("_checks", "_exclusions", "_level", "_passed", "_rule", "_version")

    def __init__(self, rule: str, *, level: str, version: str, exclusions: tuple[Exclusion, ...]) -> None:
        self._rule = rule
        self._level = level
        self._version = version
        self._exclusions = exclusions
        self._checks = checks_for(level, version)
        self._passed = Outcome(Status.PASS, messages.passed(rule))

    def __call__(self, scope: Scope, extra: tuple[Exclusion, ...] = ()) -> Outcome:
        pod, spec_path = pod_of(subject_of(scope))
        findings = self._checks.findings(pod)
        if findings and (self._exclusions or extra):
            findings = forgive(findings, pod, checks=self._checks, exclusions=(*self._exclusions, *extra))
        if not findings:
            return self._passed
        message = messages.failed(self._rule, level=self._level, version=self._version, findings=findings, spec_path=spec_path)
        return Outcome(Status.FAIL, message, messages.properties(findings, level=self._level, version=self._version))


def compile_check(spec: Any, *, rule: str, message: Template | None, path: str) -> PodSecurityCheck:
    """Compiles the value of `podSecurity`; raises `InvalidPolicy`. `message` is not used: the text tells the violations."""
    if not isinstance(spec, Mapping):
        raise InvalidPolicy(path, "must be a map")
    level = _one_of(LEVELS, spec.get("level"), f"{path}.level")
    version = _one_of(VERSIONS, spec.get("version"), f"{path}.version")
    exclusions = compile_exclusions(spec.get("exclude"), path=f"{path}.exclude", level=level)
    return PodSecurityCheck(rule, level=level, version=version, exclusions=exclusions)


def _one_of(allowed: Sequence[str], value: Any, path: str) -> str:
    """`value`, or "" where it is absent."""
    if value is None:
        return ""
    if value not in allowed:
        raise unsupported(path, value, allowed)
    return str(value)

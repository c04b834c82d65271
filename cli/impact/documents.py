"""The answer for programs: JSON and YAML."""

from __future__ import annotations

from typing import Any

import orjson

from cli.impact.command import Options
from cli.impact.findings import ACTIONS, Finding, Impact, Report
from engine import yaml_text


def document(report: Report, options: Options) -> dict[str, Any]:
    """The whole answer. Fields without a value are left out of findings; every sum is there."""
    totals = report.totals
    return {
        "source": report.source,
        "objects": report.objects,
        "kinds": report.kinds,
        "totals": {action: totals[action] for action in ACTIONS},
        "policies": [_impact(impact) for impact in report.impacts],
        "unread": [{"what": what, "reason": reason} for what, reason in report.unread.items()],
        "errors": report.faults,
        "failing": report.failing(options.fail_on),
        "exitStatus": report.status(options.fail_on, partial=options.partial),
    }


def json_form(report: Report, options: Options) -> str:
    return orjson.dumps(document(report, options), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def yaml_form(report: Report, options: Options) -> str:
    return yaml_text(document(report, options))


def _impact(impact: Impact) -> dict[str, Any]:
    identity = impact.policy.identity
    return {
        "apiVersion": identity.api_version,
        "kind": identity.kind,
        "name": identity.name,
        **({"namespace": identity.namespace} if identity.namespace else {}),
        "file": impact.file,
        "state": impact.state,
        "counts": {action: impact.counts[action] for action in ACTIONS},
        "unchanged": impact.same,
        "excepted": impact.excepted,
        "notYet": dict(impact.later),
        "notes": list(impact.notes),
        "findings": [_finding(finding) for action in ACTIONS for finding in impact.of(action)],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    subject = finding.subject
    resource = {"apiVersion": subject.api_version, "kind": subject.kind, "namespace": subject.namespace, "name": subject.name}
    fields: dict[str, Any] = {
        "action": finding.action,
        "resource": {key: value for key, value in resource.items() if value},
        "rules": list(finding.rules),
        "messages": list(finding.messages),
        "when": finding.when,
        "was": finding.was,
        "diff": "".join(f"{line}\n" for line in finding.diff),
    }
    return {key: value for key, value in fields.items() if value}

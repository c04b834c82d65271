"""Results for other programs: SARIF 2.1.0 (code scanning) and JUnit XML (test reports)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from cli.errors import InputError
    from cli.evaluation import Answer
    from cli.policies import InvalidDocument
    from cli.resources import Resource
    from engine import Object, Policy, Result, Rule

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS = {"fail": "error", "error": "error", "warn": "warning"}
"""Statuses that are findings, and how bad they are."""
SEVERITIES = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "3.0", "info": "1.0"}
"""policies.kyverno.io/severity as the number that code scanning sorts by."""


class Place(NamedTuple):
    """A place in a file; line and column count from 1, 0 where they are not known."""

    file: str
    line: int = 0
    column: int = 0


class SarifRule(NamedTuple):
    """What a result refers to."""

    id: str
    text: str
    level: str = "error"
    help: str = ""
    severity: str = ""
    tags: tuple[str, ...] = ()


class SarifResult(NamedTuple):
    """One finding. `logical` names the object or the field it is about."""

    rule: str
    level: str
    message: str
    place: Place
    logical: str = ""


def sarif(rules: Iterable[SarifRule], results: Iterable[SarifResult]) -> str:
    """A SARIF log of one run. Files below the working directory are named relative to it."""
    from importlib.metadata import version

    known = list(rules)
    index = {rule.id: position for position, rule in enumerate(known)}
    driver = {"name": "pyvern", "version": version("pyvern"), "rules": [_sarif_rule(rule) for rule in known]}
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": [_sarif_result(r, index) for r in results]}
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False)


def _sarif_rule(rule: SarifRule) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": rule.id,
        "shortDescription": {"text": rule.text or rule.id},
        "defaultConfiguration": {"level": rule.level},
    }
    if rule.help:
        shown["fullDescription"] = {"text": rule.help}
    properties: dict[str, Any] = {}
    if rule.severity:
        properties["security-severity"] = rule.severity
    if rule.tags:
        properties["tags"] = list(rule.tags)
    return shown | ({"properties": properties} if properties else {})


def _sarif_result(result: SarifResult, index: Mapping[str, int]) -> dict[str, Any]:
    import hashlib

    location: dict[str, Any] = {"physicalLocation": {"artifactLocation": {"uri": _uri(result.place.file)}}}
    if result.place.line:
        region = {"startLine": result.place.line}
        if result.place.column:
            region["startColumn"] = result.place.column
        location["physicalLocation"]["region"] = region
    if result.logical:
        location["logicalLocations"] = [{"fullyQualifiedName": result.logical}]
    identity = "\n".join((result.rule, result.place.file, result.logical))
    return {
        "ruleId": result.rule,
        "ruleIndex": index[result.rule],
        "level": result.level,
        "message": {"text": result.message or result.rule},
        "locations": [location],
        "partialFingerprints": {"pyvern/v1": hashlib.sha256(identity.encode()).hexdigest()[:32]},
    }


def _uri(file: str) -> str:
    from urllib.parse import quote

    if file == "-":
        return "stdin"
    path = os.path.relpath(file)
    if path.startswith(os.pardir + os.sep):
        path = os.path.abspath(file)
    uri = quote(path.replace(os.sep, "/"))
    return f"file://{uri}" if os.path.isabs(path) else uri


class Row(NamedTuple):
    """One result of `apply`: what a rule says of an object, and where the object stands."""

    policy: Policy
    result: Result
    object: Object
    status: str
    place: Place

    @property
    def subject(self) -> str:
        """`namespace/Kind/name`."""
        metadata = self.object.get("metadata") or {}
        parts = (metadata.get("namespace"), self.object.get("kind"), metadata.get("name") or metadata.get("generateName"))
        return "/".join(str(part) for part in parts if part)

    @property
    def rule_id(self) -> str:
        """`policy/rule`."""
        return f"{self.policy.identity.key}/{self.result.rule.name}" if self.result.rule.name else self.policy.identity.key


def rows_of(answers: Iterable[Answer], resources: Sequence[Resource], *, audit_warn: bool = False) -> list[Row]:
    """The results of `apply` with the places of their objects, the offending field where a pattern says which."""
    from cli.outcome import status_of
    from engine.explain import failing_path

    known = {_key(resource.object): resource for resource in resources}
    paths: dict[Rule, Callable[[Object], tuple[str, ...]]] = {}
    rows = []
    for answer in answers:
        resource = known.get(_key(answer.object))
        for result in answer.results:
            status = status_of(answer.policy, result, audit_warn=audit_warn).value
            place = Place("")
            if resource is not None and status in LEVELS:
                path = paths.get(result.rule) or paths.setdefault(result.rule, failing_path(result.rule))
                place = _place(resource, path(answer.object))
            rows.append(Row(answer.policy, result, answer.object, status, place))
    return rows


def _key(object_: Object) -> tuple[str, ...]:
    metadata = object_.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    fields = (object_.get("apiVersion"), object_.get("kind"), metadata.get("namespace"), metadata.get("name"))
    return tuple(str(field or "") for field in fields)


def _place(resource: Resource, path: tuple[str, ...]) -> Place:
    from cli.positions import place_of

    steps = "".join(f"[{step}]" if step.isdigit() else f".{step}" for step in path).lstrip(".")
    line, column = place_of(resource.document, steps)
    return Place(resource.document.file, line, column or 1)


def apply_sarif(rows: Iterable[Row], invalid: Iterable[InvalidDocument] = (), errors: Iterable[InputError] = ()) -> str:
    """Failures, errors and warnings of `apply`; a fault in a file is a result too."""
    rules: dict[str, SarifRule] = {}
    results = []
    for row in rows:
        if row.status not in LEVELS:
            continue
        rules.setdefault(row.rule_id, _rule(row))
        message = row.result.message or row.status
        text = f"{row.subject}: {message}"
        results.append(SarifResult(row.rule_id, LEVELS[row.status], text, row.place, row.subject))
    for fault in (*(item.error for item in invalid), *errors):
        rules.setdefault(FAULT.id, FAULT)
        text = f"{fault.path}: {fault.reason}" if fault.path else fault.reason
        results.append(SarifResult(FAULT.id, "error", text, Place(fault.file, fault.line, fault.column), fault.path))
    return sarif(rules.values(), results)


FAULT = SarifRule("pyvern/input", "a file or a policy that cannot be used")


def _rule(row: Row) -> SarifRule:
    annotations = row.policy.identity.annotations
    title = annotations.get("policies.kyverno.io/title") or row.rule_id
    category = annotations.get("policies.kyverno.io/category")
    return SarifRule(
        id=row.rule_id,
        text=title,
        level=LEVELS[row.status],
        help=" ".join(str(annotations.get("policies.kyverno.io/description") or "").split()),
        severity=SEVERITIES.get(str(annotations.get("policies.kyverno.io/severity") or "").lower(), ""),
        tags=(category,) if category else (),
    )


def apply_junit(rows: Iterable[Row], invalid: Iterable[InvalidDocument] = (), errors: Iterable[InputError] = ()) -> str:
    """JUnit XML: a suite for each policy, a case for each rule and object."""
    from xml.etree import ElementTree

    suites: dict[str, list[Row]] = {}
    for row in rows:
        suites.setdefault(row.policy.identity.key, []).append(row)
    root = ElementTree.Element("testsuites", name="pyvern apply")
    for name, members in suites.items():
        suite = ElementTree.SubElement(root, "testsuite", _suite(name, [row.status for row in members]))
        for row in members:
            _junit_case(suite, row)
    faults = [*(item.error for item in invalid), *errors]
    if faults:
        suite = ElementTree.SubElement(root, "testsuite", _suite("input", ["error"] * len(faults)))
        for fault in faults:
            case = ElementTree.SubElement(
                suite, "testcase", classname="input", name=xml_text(fault.file), file=xml_text(fault.file)
            )
            ElementTree.SubElement(case, "error", message=xml_text(fault.reason)).text = xml_text(str(fault))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode")


def _suite(name: str, statuses: Sequence[str]) -> dict[str, str]:
    counted = {"failures": "fail", "errors": "error", "skipped": "skip"}
    counts = {key: str(statuses.count(status)) for key, status in counted.items()}
    return {"name": xml_text(name), "tests": str(len(statuses)), **counts}


def _junit_case(suite: Any, row: Row) -> None:
    from xml.etree import ElementTree

    place = {"file": xml_text(row.place.file), "line": str(row.place.line)} if row.place.file else {}
    name = f"{row.result.rule.name}: {row.subject}" if row.result.rule.name else row.subject
    attributes = {"classname": xml_text(row.policy.identity.key), "name": xml_text(name), **place}
    case = ElementTree.SubElement(suite, "testcase", attributes)
    message = xml_text(row.result.message)
    if row.status == "skip":
        ElementTree.SubElement(case, "skipped", message=message)
    elif row.status in ("fail", "error"):
        where = ":".join(str(part) for part in row.place if part)
        element = ElementTree.SubElement(case, "failure" if row.status == "fail" else "error", message=message)
        element.text = f"{message}\n{xml_text(where)}" if where else message
    elif row.status == "warn":
        ElementTree.SubElement(case, "system-out").text = f"warning: {message}"


def xml_text(text: str) -> str:
    """The text without the characters that XML cannot hold."""
    return "".join(
        character
        for character in text
        if character in "\t\n\r" or "\x20" <= character <= "\ud7ff" or "\ue000" <= character <= "\ufffd" or character > "\uffff"
    )


WRITERS = {"sarif": apply_sarif, "junit": apply_junit}
"""`apply -o` names -> the writer of the whole run."""

"""Native admission policies of Kyverno's CLI tests: rows as recorded of Kyverno, mutated objects as the tests expect."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from engine import (
    BINDINGS,
    Effect,
    Facts,
    GroupVersionResource,
    Lookup,
    Policy,
    PolicySet,
    Request,
    Response,
    Unknown,
    bind,
    compile_policy,
    kind_of,
    respond,
)
from engine.request import Object
from tests.conformance.oracle import Case, conformance_dir, score
from tests.policies import request_for

EFFECTS = frozenset({Effect.VALIDATE, Effect.MUTATE})


def test_rows_are_those_of_kyverno() -> None:
    recorded = json.loads((conformance_dir() / "peer-apply.json").read_bytes())
    wanted = [{"id": name, "rows": rows} for name, rows in recorded.items() if "-admission-policy/" in name]
    score("admission-policies", wanted, _different_rows)


def _different_rows(case: Case) -> str | None:
    rows = sorted(row for folder in [conformance_dir() / "data" / case["id"]] for row in _rows(folder))
    expected = sorted([row[0], row[2], row[3], row[5], row[6]] for row in case["rows"])
    return None if rows == expected else f"{rows} instead of {expected}"


def test_mutated_objects_are_those_expected() -> None:
    score("mutating-admission-policies", _mutations(), _different_object)


def _mutations() -> Iterator[Case]:
    folder = conformance_dir() / "data" / "kyverno/test/cli/test-mutating-admission-policy"
    for file in sorted(folder.rglob("kyverno-test.yaml")):
        for index, row in enumerate(_read(file)[0]["results"]):
            if row.get("patchedResources"):
                yield {"id": f"{file.parent.name}-{index}", "folder": file.parent, "row": row}


def _different_object(case: Case) -> str | None:
    folder, row = case["folder"], case["row"]
    patched = {}
    for request, responses in _answers(folder):
        document = next(
            (result.patched for response in responses for result in response.results if result.patched is not None),
            request.object,
        )
        patched[request.name] = document
    for expected in _read(folder / row["patchedResources"]):
        name = expected["metadata"]["name"]
        expected["metadata"].setdefault("namespace", "default")
        if patched.get(name) != expected and name in (row.get("resources") or [name]):
            return f"{patched.get(name)} instead of {expected}"
    return None


def _rows(folder: Path) -> Iterator[list[str]]:
    for request, responses in _answers(folder):
        for response in responses:
            for result in response.results:
                name = response.policy.identity.name
                yield [name, str(result.status), request.kind.kind, request.name, result.message]


def _answers(folder: Path) -> Iterator[tuple[Request, tuple[Response, ...]]]:
    test = _read(folder / "kyverno-test.yaml")[0]
    documents = [document for name in test["policies"] for document in _read(folder / name)]
    bindings = [document for document in documents if tuple(kind_of(document)[::2]) in BINDINGS]
    policies = PolicySet(_policies(documents, bindings))
    params = [document for name in test.get("paramResources") or () for document in _read(folder / name)]
    values = _read(folder / test["variables"])[0] if test.get("variables") else {}
    labels = {entry["name"]: entry["labels"] for entry in values.get("namespaceSelector") or ()}
    userinfo = _read(folder / test["userinfo"])[0] if test.get("userinfo") else None
    for name in test["resources"]:
        for document in _read(folder / name):
            request = request_for(document, userinfo=userinfo)
            group, version, kind = request.kind
            resource = GroupVersionResource(group, version, f"{kind.lower()}s")
            request = replace(request, resource=resource, namespace_labels=labels.get(request.namespace))
            yield request, _settled(policies, request, params)


def _policies(documents: list[Object], bindings: list[Object]) -> Iterator[Policy]:
    for document in documents:
        if document not in bindings:
            yield bind(compile_policy(document), bindings)


def _settled(policies: PolicySet, request: Request, params: list[Object]) -> tuple[Response, ...]:
    facts = Facts()
    while True:
        try:
            return respond(policies, request, facts, effects=EFFECTS)
        except Unknown as unknown:
            facts = facts.plus({lookup: _answer(lookup, params) for lookup in unknown.lookups})


def _answer(lookup: Lookup, params: list[Object]) -> Any:
    wanted = dict(lookup.options)
    if wanted["kind"] == "Namespace":
        return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": lookup.key.partition("/")[2]}}
    if lookup.method == "LIST":
        return [one for one in params if one["kind"] == wanted["kind"]]
    return next((one for one in params if one["metadata"]["name"] == lookup.key.partition("/")[2]), None)


def _read(file: Path) -> list[Object]:
    return [document for document in yaml.safe_load_all(file.read_text()) if document]

"""The generate rules of Kyverno's CLI tests make the objects that the tests expect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from engine import Facts, Lookup, PolicySet, Unknown, compile_policy, generate, kind_of
from engine.request import Object
from tests.conformance.oracle import conformance_dir
from tests.policies import request_for


def test_expected_objects_are_generated() -> None:
    compared = 0
    for file in sorted((conformance_dir() / "data").rglob("kyverno-test.yaml")):
        for test in filter(None, yaml.safe_load_all(file.read_text())):
            for row in test.get("results") or []:
                if row.get("generatedResource") and not row.get("isGeneratingPolicy"):
                    compared += 1
                    _compare(file.parent, test, row)
    assert compared >= 10


def _compare(folder: Path, test: Object, row: Object) -> None:
    policies = PolicySet(compile_policy(one) for name in test["policies"] for one in _load(folder / name))
    sources = _load(folder / row["cloneSourceResource"]) if row.get("cloneSourceResource") else []
    names = {name.rpartition("/")[2] for name in row["resources"]}
    triggers = [one for name in test["resources"] for one in _load(folder / name) if one["metadata"]["name"] in names]
    generated = [document for trigger in triggers for document in _generated(policies, trigger, sources, row["rule"])]
    for expected in _load(folder / row["generatedResource"]):
        assert _tidy(expected) in [_tidy(document) for document in generated], f"{folder}: {row}"


def _generated(policies: PolicySet, trigger: Object, sources: list[Object], rule: str) -> list[Object]:
    request, facts = request_for(trigger), Facts()
    while True:
        try:
            responses = generate(policies, request, facts)
            break
        except Unknown as unknown:
            facts = facts.plus({lookup: _answer(lookup, sources) for lookup in unknown.lookups})
    results = [result for response in responses for result in response.results if result.rule.name == rule]
    return [document for result in results for document in result.generated]


def _answer(lookup: Lookup, sources: list[Object]) -> Any:
    wanted = dict(lookup.options)
    found = [one for one in sources if (one["apiVersion"], one["kind"]) == (wanted["apiVersion"], wanted["kind"])]
    if lookup.method == "LIST":
        return [one for one in found if one["metadata"].get("namespace", "") == lookup.key]
    key = tuple(lookup.key.split("/"))
    return next((one for one in found if (one["metadata"].get("namespace", ""), one["metadata"]["name"]) == key), None)


def _load(path: Path) -> list[Object]:
    return [one for one in yaml.safe_load_all(path.read_text()) if one]


def _tidy(document: Object) -> Object:
    """As `kyverno test` compares: without the labels of generated objects."""
    labels = (document["metadata"].get("labels") or {}).items()
    kept = {key: value for key, value in labels if not key.startswith("generate.") and "managed-by" not in key}
    metadata = {**document["metadata"], "labels": kept}
    return {**document, "kind": kind_of(document).kind, "metadata": metadata}

"""Every CEL expression of Kyverno's own tests and policies compiles, but for those that exist to be refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from engine.clauses.expressions import ENVIRONMENT
from engine.lang.cel import DYN, located
from engine.lang.errors import ExpressionSyntaxError
from tests.conformance.oracle import Case, conformance_dir, score

KINDS = frozenset({"ClusterPolicy", "Policy", "ValidatingAdmissionPolicy", "MutatingAdmissionPolicy"})
PLACES = frozenset({"expression", "messageExpression", "valueExpression"})
LENIENT = ENVIRONMENT.extended({"params": DYN, "variables": DYN})


def expressions(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """(place, text) of all expressions below a value."""
    if isinstance(value, dict):
        for key, member in value.items():
            if key in PLACES and isinstance(member, str):
                yield f"{path}.{key}", member
            else:
                yield from expressions(member, f"{path}.{key}")
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from expressions(member, f"{path}[{index}]")


def cases() -> Iterator[Case]:
    root = conformance_dir() / "data"
    for file in sorted(root.rglob("*.y*ml")):
        text = file.read_text()
        if "xpression:" not in text:
            continue
        try:
            documents = list(yaml.load_all(text, yaml.CSafeLoader))
        except yaml.YAMLError:
            continue  # templates of tests that are no YAML before they are filled in
        for number, document in enumerate(documents):
            if isinstance(document, dict) and document.get("kind") in KINDS:
                for place, expression in expressions(document.get("spec"), "spec"):
                    yield {"id": f"{file.relative_to(root)}#{number} {place}", "expression": expression}


def difference(case: Case) -> str | None:
    if "Object{" in case["expression"] or "JSONPatch{" in case["expression"]:
        return None  # mutations: their object types come with MutatingAdmissionPolicy
    try:
        LENIENT.compile(case["expression"])
    except ExpressionSyntaxError as error:
        return located(error)
    return None


def test_the_expressions_of_kyvernos_policies_compile() -> None:
    score("cel-expressions", cases(), difference)

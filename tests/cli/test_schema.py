"""`pyvern schema`: JSON schemas that accept what the engine accepts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.schemas import DRAFT, KINDS, combined, converted, schema_of
from tests.cli.program import pyvern
from tests.conformance.oracle import conformance_dir

ROOT = Path(__file__).resolve().parents[2]
POD_SECURITY = sorted((ROOT / "deploy/policies/pod-security/base").rglob("*.yaml"))


def problems(value: Any, schema: Any, root: Any, path: str = "") -> Iterator[str]:
    """A checker for the words that the schemas use."""
    if "$ref" in schema:
        target = root
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step.replace("~1", "/").replace("~0", "~")]
        yield from problems(value, target, root, path)
        return
    for choice in schema.get("allOf", []):
        if not list(problems(value, choice.get("if", {}), root, path)):
            yield from problems(value, choice.get("then", choice if "if" not in choice else {}), root, path)
    types = schema.get("type")
    names = [types] if isinstance(types, str) else types or []
    kinds = {
        "object": dict,
        "array": list,
        "string": str,
        "boolean": bool,
        "integer": int,
        "number": (int, float),
        "null": type(None),
    }
    if names and not any(isinstance(value, kinds[name]) and (name == "boolean" or not isinstance(value, bool)) for name in names):
        yield f"{path}: {value!r} is no {names}"
        return
    if "const" in schema and value != schema["const"]:
        yield f"{path}: {value!r} is not {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is none of {schema['enum']}"
    if isinstance(value, dict):
        known = schema.get("properties", {})
        yield from (f"{path}: {name} is missing" for name in schema.get("required", ()) if name not in value)
        for name, member in value.items():
            if name in known:
                yield from problems(member, known[name], root, f"{path}.{name}")
            elif schema.get("additionalProperties") is False:
                yield f"{path}.{name}: unknown"
    if isinstance(value, list):
        for index, member in enumerate(value):
            yield from problems(member, schema.get("items", {}), root, f"{path}[{index}]")


@pytest.mark.parametrize("file", POD_SECURITY, ids=lambda file: file.stem)
def test_the_schema_accepts_the_pod_security_policies(file: Path) -> None:
    schema = schema_of("ClusterPolicy")
    for document in yaml.safe_load_all(file.read_text()):
        if document["kind"] == "ClusterPolicy":
            assert list(problems(document, schema, schema)) == []


def test_the_schema_refuses_what_an_api_server_drops() -> None:
    (document,) = yaml.safe_load_all(POD_SECURITY[0].read_text())
    document["spec"]["rules"][0]["mach"] = {}
    document["spec"]["background"] = "yes"
    schema = combined(KINDS)
    assert sorted(problems(document, schema, schema)) == [
        ".spec.background: 'yes' is no ['boolean']",
        ".spec.rules[0].mach: unknown",
    ]


def test_no_kubernetes_words_are_left() -> None:
    def words(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            for key, member in value.items():
                yield key
                yield from words(member)
        if isinstance(value, list):
            for member in value:
                yield from words(member)

    for kind in KINDS:
        schema = schema_of(kind)
        assert schema["$schema"] == DRAFT
        assert not [word for word in words(schema) if word.startswith("x-") or word == "nullable"]


def test_structural_schemas_are_converted() -> None:
    schema = {
        "type": "object",
        "properties": {
            "port": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
            "count": {"type": "integer", "format": "int32", "nullable": True},
            "free": {"type": "object", "properties": {"a": {}}, "x-kubernetes-preserve-unknown-fields": True},
            "x-field": {"type": "string"},
        },
    }
    assert converted(schema) == {
        "type": "object",
        "properties": {
            "port": {"type": ["integer", "string"]},
            "count": {"type": ["integer", "null"]},
            "free": {"type": "object", "properties": {"a": {}}},
            "x-field": {"type": "string"},
        },
        "additionalProperties": False,
    }


def test_a_file_for_each_kind(tmp_path: Path) -> None:
    ran = pyvern("schema", "-o", tmp_path / "schemas")
    assert ran.out == f"wrote {len(KINDS) + 1} files to {tmp_path / 'schemas'}\n"
    names = {file.name for file in (tmp_path / "schemas").iterdir()}
    assert names == {"all.json", *(f"{kind.lower()}.json" for kind in KINDS)}
    assert json.loads((tmp_path / "schemas/policy.json").read_text()) == schema_of("Policy")


def test_one_kind_on_standard_output() -> None:
    assert json.loads(pyvern("schema", "clusterpolicy").out) == schema_of("ClusterPolicy")
    assert pyvern("schema", "--list").out.split() == list(KINDS)
    assert pyvern("schema", "Nothing") == (1, "", "Error: `Nothing` is no kind with a schema, --list prints them\n")


def test_the_tests_of_the_conformance_data_fit_their_schema() -> None:
    """Names whose case the reader does not mind, and old forms, are left out: editors may well complain about them."""
    schema = schema_of("Test")
    fitting, other = 0, []
    for file in sorted(conformance_dir().glob("data/**/kyverno-test.yaml")):
        for document in yaml.load_all(file.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            found = list(problems(document, schema, schema)) if isinstance(document, dict) and document.get("metadata") else []
            fitting += not found
            other += [f"{file}: {problem}" for problem in found]
    assert fitting > 300
    assert len(other) <= 8, other


def test_what_create_writes_fits(tmp_path: Path) -> None:
    for kind, arguments in {
        "Test": ("test", "-p", "p.yaml", "-r", "r.yaml", "--pass", "p,r,n,ns,Pod"),
        "Values": ("values", "-g", "a=b", "-n", "x,y=z", "--rule", "p,r,a=b", "--resource", "p,n,a=b"),
        "UserInfo": ("user-info", "-u", "ann", "-g", "dev", "-r", "a:b"),
    }.items():
        schema = schema_of(kind)
        assert list(problems(yaml.safe_load(pyvern("create", *arguments).out), schema, schema)) == []

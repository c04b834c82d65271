"""The custom resource definitions: what a user of Kyverno sees of them, and that every policy of the conformance data fits."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from crds.source.files import files, kinds

ROOT = Path(__file__).parents[2]
CONFORMANCE = Path(os.environ.get("CONFORMANCE_DIR", ROOT.parent / "shared" / "conformance"))
LAST_APPLIED_LIMIT = 262_144  # kubectl apply keeps the whole document in an annotation; annotations end here
WIDE = 1

# (kind, scope, short name, versions with S for storage and - for not served)
NAMES = [
    ("ClusterPolicy", "Cluster", "cpol", "v1 S, v2beta1"),
    ("Policy", "Namespaced", "pol", "v1 S, v2beta1"),
    ("PolicyException", "Namespaced", "polex", "v2 S, v2beta1 deprecated"),
    ("CleanupPolicy", "Namespaced", "cleanpol", "v2 S, v2beta1 deprecated"),
    ("ClusterCleanupPolicy", "Cluster", "ccleanpol", "v2 S, v2beta1 deprecated"),
    ("UpdateRequest", "Namespaced", "ur", "v1beta1 -, v2 S"),
    ("GlobalContextEntry", "Cluster", "gctxentry", "v2alpha1 deprecated, v2beta1 S, v2"),
    ("EphemeralReport", "Namespaced", "ephr", "v1 S"),
    ("ClusterEphemeralReport", "Cluster", "cephr", "v1 S"),
    ("PolicyReport", "Namespaced", "polr", "v1alpha2 S"),
    ("ClusterPolicyReport", "Cluster", "cpolr", "v1alpha2 S"),
]
POLICY_COLUMNS = (
    "ADMISSION, BACKGROUND, READY, AGE, FAILURE POLICY wide, "
    "VALIDATE wide, MUTATE wide, GENERATE wide, VERIFY IMAGES wide, MESSAGE"
)
COLUMNS = {
    "ClusterPolicy": POLICY_COLUMNS,
    "Policy": POLICY_COLUMNS,
    "PolicyException": "",
    "CleanupPolicy": "Schedule, Age",
    "ClusterCleanupPolicy": "Schedule, Age",
    "UpdateRequest": "Policy, RuleType, ResourceKind, ResourceName, ResourceNamespace, status, Age",
    "GlobalContextEntry": "AGE, REFRESH INTERVAL, LAST REFRESH",
    "EphemeralReport": "Source, Group, Kind, Owner, Pass, Fail, Warn, Error, Skip, Age, Uid wide, Hash wide",
    "ClusterEphemeralReport": "Source, Group, Kind, Owner, Pass, Fail, Warn, Error, Skip, Age, Uid, Hash wide",
    "PolicyReport": "Kind, Name, Pass, Fail, Warn, Error, Skip, Age",
    "ClusterPolicyReport": "Kind, Name, Pass, Fail, Warn, Error, Skip, Age",
}
WITHOUT_STATUS = {"PolicyException", "EphemeralReport", "ClusterEphemeralReport", "PolicyReport", "ClusterPolicyReport"}


@cache
def definitions() -> dict[str, Any]:
    loaded = (yaml.safe_load(text) for name, text in files().items() if name != "kustomization.yaml")
    return {definition["spec"]["names"]["kind"]: definition for definition in loaded}


def storage(kind: str) -> Any:
    return next(version for version in definitions()[kind]["spec"]["versions"] if version["storage"])


def test_files_are_what_the_source_makes() -> None:
    written = {path.name: path.read_text() for path in (ROOT / "crds").glob("*.yaml")}
    assert written == files(), "run `make crds`"


def test_every_kind_is_in_the_table() -> None:
    assert [kind.kind for kind in kinds()] == [name for name, *_ in NAMES] == list(COLUMNS)


@pytest.mark.parametrize(("kind", "scope", "short", "versions"), NAMES)
def test_names_and_versions(kind: str, scope: str, short: str, versions: str) -> None:
    spec = definitions()[kind]["spec"]
    assert (spec["scope"], spec["names"]["shortNames"]) == (scope, [short])
    assert definitions()[kind]["metadata"]["name"] == f"{spec['names']['plural']}.{spec['group']}"
    described = []
    for version in spec["versions"]:
        marks = [("S", version["storage"]), ("-", not version["served"]), ("deprecated", version.get("deprecated"))]
        described.append(" ".join([version["name"], *(mark for mark, holds in marks if holds)]))
    assert ", ".join(described) == versions


@pytest.mark.parametrize("kind", COLUMNS)
def test_columns_of_kubectl_get(kind: str) -> None:
    columns = storage(kind).get("additionalPrinterColumns", [])
    assert ", ".join(c["name"] + (" wide" if c.get("priority") == WIDE else "") for c in columns) == COLUMNS[kind]


def test_columns_that_are_no_strings_say_so() -> None:
    types = {c["name"]: c["type"] for c in storage("ClusterPolicy")["additionalPrinterColumns"]}
    assert (types["ADMISSION"], types["AGE"], types["VERIFY IMAGES"], types["MESSAGE"]) == (
        "boolean",
        "date",
        "integer",
        "string",
    )


def test_reports_for_people_are_in_no_category_and_all_others_in_kyverno() -> None:
    for kind, definition in definitions().items():
        expected = None if "PolicyReport" in kind else ["kyverno"]
        assert definition["spec"]["names"].get("categories") == expected, kind


@pytest.mark.parametrize("kind", COLUMNS)
def test_status_subresource(kind: str) -> None:
    for version in definitions()[kind]["spec"]["versions"]:
        assert ("subresources" in version) is (kind not in WITHOUT_STATUS)


def test_kubectl_apply_can_keep_each_definition_in_its_annotation() -> None:
    for kind, definition in definitions().items():
        assert len(json.dumps(definition, separators=(",", ":"))) < LAST_APPLIED_LIMIT - 8_192, kind


def test_there_is_no_cel_rule() -> None:
    """With one, the API server adds a sentence to all schema errors, whose texts chainsaw compares."""
    assert not [name for name, text in files().items() if "x-kubernetes-validations" in text]


@pytest.mark.parametrize(
    ("kind", "path", "default"),
    [
        ("ClusterPolicy", "spec.admission", True),
        ("ClusterPolicy", "spec.background", True),
        ("ClusterPolicy", "spec.emitWarning", False),
        ("ClusterPolicy", "spec.validationFailureAction", "Audit"),
        ("ClusterPolicy", "spec.rules[].skipBackgroundRequests", True),
        ("ClusterPolicy", "spec.rules[].validate.allowExistingViolations", True),
        ("ClusterPolicy", "spec.rules[].validate.cel.generate", False),
        ("ClusterPolicy", "spec.rules[].verifyImages[].mutateDigest", True),
        ("ClusterPolicy", "spec.rules[].verifyImages[].verifyDigest", True),
        ("ClusterPolicy", "spec.rules[].verifyImages[].required", True),
        ("ClusterPolicy", "spec.rules[].verifyImages[].useCache", True),
        ("ClusterPolicy", "status.autogen.rules[].skipBackgroundRequests", True),
        ("GlobalContextEntry", "spec.apiCall.refreshInterval", "10m"),
        ("GlobalContextEntry", "spec.apiCall.retryLimit", 3),
    ],
)
def test_defaults(kind: str, path: str, default: object) -> None:
    schema = storage(kind)["schema"]["openAPIV3Schema"]
    for step in path.split("."):
        name, _, _ = step.partition("[]")
        schema = schema["properties"][name]
        schema = schema["items"] if step.endswith("[]") else schema
    assert schema["default"] == default


def test_every_document_of_the_conformance_data_fits() -> None:
    if not CONFORMANCE.is_dir():
        pytest.skip(f"no conformance data in {CONFORMANCE}; set CONFORMANCE_DIR")
    found = list(_conformance_documents(CONFORMANCE / "data"))
    assert len(found) > 1_000
    faults = {f"{path}: {fault}" for path, schema, document in found for fault in _faults(schema, document, "")}
    assert faults == set()


def _conformance_documents(folder: Path) -> Iterator[tuple[str, Any, Any]]:
    schemas = {
        (f"{definition['spec']['group']}/{version['name']}", kind): version["schema"]["openAPIV3Schema"]
        for kind, definition in definitions().items()
        for version in definition["spec"]["versions"]
    }
    ours = re.compile(rf"^ *kind: ({'|'.join(definitions())})\s*$", re.MULTILINE)
    for path in sorted(folder.rglob("*.yaml")):
        text = path.read_text(encoding="utf-8", errors="replace")
        if not ours.search(text):
            continue
        try:
            documents = list(yaml.load_all(text, Loader=_TextDates))
        except yaml.YAMLError:
            continue  # templates of the test runner
        for document in documents:
            key = (document.get("apiVersion"), document.get("kind")) if isinstance(document, dict) else None
            if key in schemas:
                yield str(path.relative_to(folder)), schemas[key], document


class _TextDates(yaml.CSafeLoader):
    """YAML as Kubernetes reads it: a date is a string."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - the shape PyYAML demands
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }


TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}


def _faults(schema: Any, value: Any, path: str) -> Iterator[str]:
    """What strict field validation and the schema's types and enums would refuse; assertions' own keys are passed over."""
    expected = TYPES.get(schema.get("type"))
    if expected is None or value is None:
        return
    if not isinstance(value, expected):
        yield f"{path}: {value!r} is no {schema['type']}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is none of {schema['enum']}"
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _faults(schema["items"], item, f"{path}[{index}]")
    if isinstance(value, dict) and path != ".metadata":
        for key, item in value.items():
            if isinstance(key, str) and key.startswith(("(", "~")):
                continue  # an expression of the test runner
            inner = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
            if inner is not None:
                yield from _faults(inner, item, f"{path}.{key}")
            elif "x-kubernetes-preserve-unknown-fields" not in schema:
                yield f"{path}.{key}: unknown field"

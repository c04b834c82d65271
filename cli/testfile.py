"""kyverno-test.yaml: finding the files, and the tests that stand in them (cli-format.md 1, 2)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cli.decode import boolean, decode, integer, kubernetes_object, list_of, mapping, one_of, record, text
from cli.errors import InputError, UsageError
from cli.values import INLINE_VALUES, texts
from cli.yaml_load import load_file

FILE_NAME = "kyverno-test.yaml"
DEPRECATED = "deprecated schema: apiVersion, kind and metadata are needed, a name at the top is not"
_FLAGS = (
    "isValidatingAdmissionPolicy",
    "isMutatingAdmissionPolicy",
    "isValidatingPolicy",
    "isDeletingPolicy",
    "isImageValidatingPolicy",
    "isGeneratingPolicy",
    "isMutatingPolicy",
)


def _one_or_more(value: Any, path: str) -> Any:
    return texts(value, path) if isinstance(value, list) else text(value, path)


_row = record(
    ("policy",),
    policy=text,
    rule=text,
    result=one_of("pass", "fail", "skip", "warn", "error"),
    kind=text,
    resources=texts,
    resource=text,
    namespace=text,
    resourceSpecs=list_of(record(group=text, version=text, kind=text, namespace=text, name=text, subresource=text)),
    operation=one_of("CREATE", "UPDATE", "DELETE"),
    patchedResource=text,
    patchedResources=text,
    generatedResource=text,
    generatedResources=texts,
    cloneSourceResource=_one_or_more,
    failOnMissingResources=boolean,
    **dict.fromkeys(_FLAGS, boolean),
)
_mock = record(
    url=text,
    urlPath=text,
    method=one_of("", "GET", "POST"),
    response=record(statusCode=integer, body=mapping),
)
_entry = record(
    ("name",),
    name=text,
    data=mapping,
    resources=list_of(kubernetes_object),
    resourceFiles=texts,
    fieldPath=text,
    projections=list_of(record(("name", "path"), name=text, path=text)),
)
_test = record(
    ("apiVersion", "kind"),
    apiVersion=text,
    kind=text,
    metadata=mapping,
    policies=texts,
    resources=texts,
    targetResources=texts,
    paramResources=texts,
    exceptions=texts,
    variables=text,
    values=INLINE_VALUES,
    userinfo=text,
    context=text,
    clusterResources=texts,
    jsonPayload=text,
    jsonPayloads=texts,
    httpPayloads=texts,
    envoyPayloads=texts,
    apiCallResponses=list_of(_mock),
    globalContextEntries=list_of(_entry),
    results=list_of(_row),
)


@dataclass(frozen=True, slots=True)
class TestFile:
    """One Test document: where it stands, and what it says, in canonical form."""

    __test__ = False  # no class of tests, although pytest might think so

    file: str
    line: int
    content: Mapping[str, Any]

    def path(self, name: str) -> str:
        """A path of the document, which is relative to its folder."""
        return os.path.join(os.path.dirname(self.file), name)

    def paths(self, field: str) -> tuple[str, ...]:
        """The paths of a list field, each once."""
        return tuple(dict.fromkeys(self.path(name) for name in self.content.get(field) or ()))


def find(paths: Iterable[str], file_name: str = FILE_NAME) -> Iterator[str]:
    """The test files of files and folders; hidden folders count. Raises `UsageError` for a path that is not there."""
    for path in paths:
        if os.path.isfile(path):
            yield path
        elif os.path.isdir(path):
            for folder, folders, names in os.walk(path):
                folders.sort()
                if file_name in names:
                    yield os.path.join(folder, file_name)
        else:
            raise UsageError(f"{path}: no such file or folder")


def load(file: str) -> list[TestFile]:
    """The tests of a file. Raises `InputError`: a test that cannot be read ends the run."""
    documents, errors = load_file(file, unique=True)
    if errors:
        raise errors[0]
    tests = []
    for document in documents:
        value = document.value
        if isinstance(value, dict) and (value.get("name") or not value.get("apiVersion") or not value.get("kind")):
            raise InputError(file, DEPRECATED, line=document.line)
        tests.append(TestFile(file, document.line, decode(document, _test)))
    return tests

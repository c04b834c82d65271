"""The world of a test: what its files say of policies, objects, variables and answers (cli-format.md 2 to 5)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from cli.definitions import load_definitions
from cli.errors import InputError
from cli.evaluation import World, these
from cli.fake_cluster import FakeCluster
from cli.kinds import Kinds
from cli.matching import Row
from cli.offline_facts import Mock, OfflineFacts, entry_values, registry_source
from cli.policies import Policies, load_exceptions, load_policies
from cli.resources import Resources, completed, load_resources, namespace_of
from cli.testfile import TestFile
from cli.unknown_policies import of_bindings, of_exceptions, of_rows
from cli.values import (
    NO_CONTEXT,
    NO_VALUES,
    ClusterResources,
    Values,
    load_cluster_resources,
    load_context,
    load_user,
    load_values,
    values_from,
)
from engine import LookupFailed, Object

Say = Callable[[str], None]
CLEANUP_KINDS = frozenset({"CleanupPolicy", "ClusterCleanupPolicy"})
"""Tests pass these by, as Kyverno's do; `apply` asks them."""


class Setup(NamedTuple):
    """A test made ready: its world without an operation, the objects to ask about, and what a comparison needs.

    `invalid` are the names of policies that do not compile, `load` reads the objects of a file that a row names.
    """

    world: World
    objects: list[Object]
    invalid: list[str]
    load: Callable[[str], Sequence[Object]]


def set_up(test: TestFile, rows: Sequence[Row], say: Say, *, registry: bool = False) -> Setup:
    """Loads what the test names; `say` prints progress. Raises `InputError`."""
    content = test.content
    say("  Loading values/variables ...")
    values = _values(test)
    user = None
    if content.get("userinfo"):
        say("  Loading user infos ...")
        user = load_user(test.path(content["userinfo"]))
    say("  Loading policies ...")
    policies = _policies(test, say)
    say("  Loading resources ...")
    cluster_resources = [load_cluster_resources(path) for path in test.paths("clusterResources")]
    kinds = _kinds(test, cluster_resources)
    objects = [item.object for item in _resources(test, kinds, say).items]
    targets, parameters = (_objects(test.paths(field), kinds) for field in ("targetResources", "paramResources"))
    say("  Loading exceptions ...")
    exceptions, faults = load_exceptions(test.paths("exceptions"))
    _must_load(faults)
    for warning in (*of_exceptions(exceptions, policies), *of_bindings(policies), *of_rows(rows, policies)):
        say(f"  Warning: {warning}")
    load = _remembered(lambda file: _objects([test.path(file)], kinds))
    context = load_context(test.path(content["context"])) if content.get("context") else NO_CONTEXT
    known = [*objects, *targets, *parameters]
    known += [completed(object_, kinds) for one in cluster_resources for object_ in one.resources]
    cluster = FakeCluster(known, kinds=kinds) if cluster_resources else None
    if cluster is not None:
        values = _namespaces_of(cluster, objects, values)
    given = (completed(object_, kinds) for object_ in context.resources)
    facts = OfflineFacts(
        stored=FakeCluster([*known, *given, *_sources(rows, load)], kinds=kinds),
        cluster=cluster,
        namespaces=values.namespaces,
        mocks=_mocks(test),
        entries=_entries(test),
        images=context.images or None,
        registry=registry_source(registry),
    )
    asked = [item.policy for item in policies.items if item.policy.identity.kind not in CLEANUP_KINDS]
    world = World(
        policies=asked, facts=facts, targets=these(targets), kinds=kinds, exceptions=exceptions, values=values, user=user
    )
    return Setup(world, objects, [name for name, _ in policies.invalid], load)


def _values(test: TestFile) -> Values:
    content = test.content
    if content.get("values") is not None:
        return values_from(content["values"])
    return load_values(test.path(content["variables"])) if content.get("variables") else NO_VALUES


def _policies(test: TestFile, say: Say) -> Policies:
    policies = load_policies(test.paths("policies"))
    _must_load(policies.errors)
    for name, error in policies.invalid:
        say(f"  Policy {name} is invalid: {error}")
    for document in policies.others:
        kind = f"{document.value['apiVersion']}, {document.value['kind']}"
        raise InputError(document.file, f"`{kind}` is no kind of policy that can be tested", line=document.line, path="kind")
    return policies


def _kinds(test: TestFile, cluster_resources: Sequence[ClusterResources]) -> Kinds:
    paths = [test.path(path) for one in cluster_resources for path in one.crds]
    kinds, errors = load_definitions(paths)
    if errors:
        raise errors[0]
    return kinds


def _resources(test: TestFile, kinds: Kinds, say: Say) -> Resources:
    paths = test.paths("resources")
    if not paths:
        return Resources([], [], [])
    if os.path.isdir(paths[0]):
        folder = paths[0]
        names = sorted(name for name in os.listdir(folder) if name.endswith((".yaml", ".yml")))
        paths = tuple(os.path.join(folder, name) for name in names)
    missing = [path for path in paths[1:] if not os.path.exists(path)]
    for path in missing:
        say(f"  {path}: no such file or folder")
    resources = load_resources([path for path in paths if path not in missing], kinds=kinds, once=True)
    _must_load(resources.errors)
    for warning in resources.warnings:
        say(f"  Warning: {warning}")
    return resources


def _must_load(errors: Sequence[InputError]) -> None:
    if errors:
        raise errors[0]


def _objects(paths: Sequence[str], kinds: Kinds) -> list[Object]:
    resources = load_resources(paths, kinds=kinds)
    _must_load(resources.errors)
    return [item.object for item in resources.items]


def _remembered(load: Callable[[str], Sequence[Object]]) -> Callable[[str], Sequence[Object]]:
    known: dict[str, Sequence[Object]] = {}

    def read(file: str) -> Sequence[Object]:
        if file not in known:
            known[file] = load(file)
        return known[file]

    return read


def _namespaces_of(cluster: FakeCluster, objects: Sequence[Object], values: Values) -> Values:
    """In cluster mode a namespace's labels are those of its Namespace object.

    Kyverno ends the run where that is missing, which makes it fail two tests of its own (test-context-apicall and -configmap).
    """
    labels: dict[str, Mapping[str, str]] = dict(values.namespace_labels)
    for object_ in objects:
        name = namespace_of(object_)
        if not name or name in labels:
            continue
        namespace = cluster.get("", "namespaces", "", name) or {}
        labels[name] = (namespace.get("metadata") or {}).get("labels") or {}
    return replace(values, namespace_labels=labels)


def _sources(rows: Sequence[Row], load: Callable[[str], Sequence[Object]]) -> list[Object]:
    """The objects that rows give as sources of clones."""
    written = [row["cloneSourceResource"] for row in rows if row.get("cloneSourceResource")]
    files = [file for entry in written for file in (entry if isinstance(entry, list) else [entry])]
    return [object_ for file in dict.fromkeys(files) for object_ in load(file)]


def _mocks(test: TestFile) -> list[Mock]:
    mocks: list[Mock] = []
    for index, entry in enumerate(test.content.get("apiCallResponses") or ()):
        url, path = entry.get("url") or "", entry.get("urlPath") or ""
        where = f"apiCallResponses[{index}]"
        if bool(url) == bool(path):
            raise InputError(test.file, "exactly one of url and urlPath is required", line=test.line, path=where)
        if path and not path.startswith("/"):
            raise InputError(test.file, f"`{path}` must start with a slash", line=test.line, path=f"{where}.urlPath")
        response = entry.get("response") or {}
        mock = Mock(url or path, entry.get("method") or "", response.get("statusCode") or 200, response.get("body"))
        if any((mock.target, mock.method) == (other.target, other.method) for other in mocks):
            raise InputError(test.file, f"`{mock.target}` is mocked twice", line=test.line, path=where)
        mocks.append(mock)
    return mocks


def _entries(test: TestFile) -> dict[str, Any] | None:
    """The global context entries by name, None where the test has none."""
    written = test.content.get("globalContextEntries")
    if written is None:
        return None
    entries: dict[str, Any] = {}
    for index, entry in enumerate(written):
        where = f"globalContextEntries[{index}]"
        sources = [field for field in ("data", "resources", "resourceFiles") if entry.get(field) is not None]
        if len(sources) != 1:
            raise InputError(
                test.file, "exactly one of data, resources and resourceFiles is required", line=test.line, path=where
            )
        data = _entry_data(test, entry, sources[0])
        projections = entry.get("projections") or ()
        values = entry_values(entry["name"], data, projections, field_path=entry.get("fieldPath") or "")
        failed = [value for value in values.values() if isinstance(value, LookupFailed)]
        if failed:
            entries[entry["name"]] = failed[0]
        elif projections:
            entries[entry["name"]] = {p["name"]: values[f"{entry['name']}.{p['name']}"] for p in projections}
        else:
            entries |= values
    return entries


def _entry_data(test: TestFile, entry: Mapping[str, Any], source: str) -> Any:
    if source == "data":
        return entry["data"]
    if source == "resources":
        return list(entry["resources"])
    loaded = load_resources([test.path(name) for name in entry["resourceFiles"]])
    _must_load(loaded.errors)
    return [item.object for item in loaded.items]

"""The report of `apply -p`: results of all policies as one document, of namespaced policies apart (cli-format.md 7)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from cli.evaluation import Answer
from cli.outcome import Counts, status_of
from cli.resources import name_of, namespace_of
from engine import Object, Policy, Result, yaml_text
from engine.report import KYVERNO, SOURCES

API_VERSION = "openreports.io/v1alpha1"
MERGED = "merged"
PROCESS = {"process": "background scan"}


def reports(answers: Iterable[Answer], *, audit_warn: bool = False) -> Iterator[dict[str, Any]]:
    """The merged report of the cluster's policies, then one of every namespaced policy that said something."""
    cluster: list[Answer] = []
    namespaced: dict[str, list[Answer]] = {}
    for answer in answers:
        identity = answer.policy.identity
        (namespaced.setdefault(identity.key, []) if identity.namespace else cluster).append(answer)
    if cluster or not namespaced:
        yield _report("ClusterReport", {"name": MERGED}, cluster, audit_warn)
    for of_policy in namespaced.values():
        identity = of_policy[0].policy.identity
        yield _report("PolicyReport", {"name": identity.name, "namespace": identity.namespace}, of_policy, audit_warn)


def _report(kind: str, metadata: dict[str, str], answers: list[Answer], audit_warn: bool) -> dict[str, Any]:
    counts = Counts()
    stamp = time.time_ns()
    timestamp = {"seconds": stamp // 10**9, "nanos": stamp % 10**9}
    shared: dict[int, dict[str, Any]] = {}
    subjects: dict[int, list[dict[str, str]]] = {}
    results = []
    for answer in answers:
        resources = subjects.get(id(answer.object))
        if resources is None:
            resources = subjects[id(answer.object)] = [reference(answer.object)]
        for result in answer.results:
            status = status_of(answer.policy, result, audit_warn=audit_warn)
            counts.add(status.value)
            fields = shared.get(id(result.rule))
            if fields is None:
                fields = shared[id(result.rule)] = _of_rule(answer.policy, result)
            results.append(_row(fields, result, status.value, resources, timestamp))
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": metadata,
        "results": results,
        "summary": counts.by_name(),
    }


def _of_rule(policy: Policy, result: Result) -> dict[str, Any]:
    identity = policy.identity
    fields: dict[str, Any] = {
        "policy": identity.key,
        "rule": result.rule.name,
        "scored": policy.scored,
        "source": SOURCES.get(identity.kind, KYVERNO),
    }
    for name in ("category", "severity"):
        value = identity.annotations.get(f"policies.kyverno.io/{name}")
        if value:
            fields[name] = value
    return fields


def _row(fields: Mapping[str, Any], result: Result, status: str, resources: list[Any], timestamp: Any) -> dict[str, Any]:
    row = {**fields, "result": status, "resources": resources, "timestamp": timestamp}
    if result.message:
        row["message"] = result.message
    row["properties"] = {**PROCESS, **result.properties} if result.properties else PROCESS
    return row


NO_NAMESPACE = "default"
"""What a row says of an object without a namespace, cluster-scoped ones too: readers of Kyverno 1.16's `apply -p` know it so
(peer-apply.json). Only the report does; objects and other texts keep what they have (spec 5.1)."""


def reference(object_: Object) -> dict[str, str]:
    """The object as a result refers to it."""
    metadata = object_.get("metadata") or {}
    found = {
        "apiVersion": str(object_.get("apiVersion") or ""),
        "kind": str(object_.get("kind") or ""),
        "namespace": namespace_of(object_) or NO_NAMESPACE,
        "name": name_of(object_),
        "uid": str(metadata.get("uid") or ""),
    }
    return {key: value for key, value in found.items() if value}


def written(documents: Iterable[dict[str, Any]], form: str) -> str:
    """The reports as YAML documents or as JSON, one after the other."""
    if form == "json":
        return "".join(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n" for document in documents)
    return "---\n".join(yaml_report(document) for document in documents)


def yaml_report(document: dict[str, Any]) -> str:
    """A report as YAML. Its rows repeat each other a lot: what was written once is not written anew."""
    head = {key: value for key, value in document.items() if key not in ("results", "summary")}
    lines = [yaml_text(head)]
    lines.append("results:\n" if document["results"] else "results: []\n")
    lines += _rows(document["results"])
    lines.append(yaml_text({"summary": document["summary"]}))
    return "".join(lines)


def _rows(rows: list[dict[str, Any]]) -> Iterator[str]:
    known: dict[tuple[str, Any], str] = {}
    objects: dict[int, str] = {}
    for row in rows:
        lines = []
        for name in sorted(row):
            value = row[name]
            if isinstance(value, (str, bool)):
                text = known.get((name, value))
                if text is None:
                    text = known[name, value] = _indented({name: value})
            else:
                text = objects.get(id(value))  # the document holds on to the value, so that no other has its id
                if text is None:
                    text = objects[id(value)] = _indented({name: value})
            lines.append(text)
        text = "".join(lines)
        yield f"- {text[2:]}"


def _indented(value: Any) -> str:
    return "".join(f"  {line}\n" if line else "\n" for line in yaml_text(value)[:-1].split("\n"))

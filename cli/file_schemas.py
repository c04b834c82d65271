"""Schemas of the files that the command line itself reads: Test, Values, UserInfo, Context, ClusterResource (cli-format.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]

API_VERSION = "cli.kyverno.io/v1alpha1"


def _text(description: str = "", **more: Any) -> Schema:
    return {**({"description": description} if description else {}), "type": "string", **more}


def _list(items: Schema, description: str = "") -> Schema:
    return {**({"description": description} if description else {}), "type": "array", "items": items}


def _map(values: Schema, description: str = "") -> Schema:
    return {**({"description": description} if description else {}), "type": "object", "additionalProperties": values}


def _record(properties: Mapping[str, Schema], description: str = "", *, required: tuple[str, ...] = ()) -> Schema:
    found: Schema = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    if description:
        found["description"] = description
    if required:
        found["required"] = list(required)
    return found


TEXTS = _list(_text())
ANY: Schema = {}
OBJECT: Schema = {
    "type": "object",
    "required": ["apiVersion", "kind"],
    "properties": {"apiVersion": _text(), "kind": _text()},
}
_YES: Schema = {"type": "boolean"}

_named_values = _record(
    {"name": _text("Name of the resource."), "values": _map(ANY, "Dotted keys and their values.")}, required=("name",)
)
_rule_values = _record(
    {
        "name": _text("Name of the written rule."),
        "values": _map(ANY, "Dotted keys and their values."),
        "foreachValues": _map(_list(ANY), "Values for the elements of foreach."),
    },
    required=("name",),
)
_api_resource = _record(
    {
        "name": _text("Plural, and the subresource after a slash."),
        "kind": _text("Kind."),
        "group": _text("API group."),
        "version": _text("Version of the group."),
        **dict.fromkeys(("singularName", "namespaced", "shortNames", "categories", "verbs", "storageVersionHash"), ANY),
    },
    required=("name", "kind"),
)
_values: dict[str, Schema] = {
    "globalValues": _map(ANY, "Values of all policies: request.operation, and any dotted key."),
    "policies": _list(
        _record(
            {
                "name": _text("Name of the policy."),
                "resources": _list(_named_values, "Values for a resource."),
                "rules": _list(_rule_values, "Values for a rule, which its context entries hide."),
            },
            required=("name",),
        ),
        "Values of single policies.",
    ),
    "namespaceSelector": _list(
        _record({"name": _text("Name of the namespace."), "labels": _map(_text())}, required=("name",)), "Labels of namespaces."
    ),
    "namespaces": _list(OBJECT, "Namespaces, which win over namespaceSelector."),
    "subresources": _list(
        _record({"subresource": _api_resource, "parentResource": _api_resource}, required=("subresource", "parentResource")),
        "Which kinds are sent to which subresources.",
    ),
}
_row = _record(
    {
        "policy": _text("Name of the policy, namespace/name for one in a namespace."),
        "rule": _text("Name of the rule; those generated from it count too."),
        "result": _text("What is expected.", enum=["pass", "fail", "skip", "warn", "error"]),
        "kind": _text("Kind of the resources."),
        "resources": _list(_text(), "Names of resources, or namespace/name."),
        "resource": _text("Deprecated: use resources."),
        "namespace": _text("Deprecated: use namespace/name in resources."),
        "resourceSpecs": _list(
            _record({name: _text() for name in ("group", "version", "kind", "namespace", "name", "subresource")}),
            "Resources by more than their name.",
        ),
        "operation": _text("What is done to the resource.", enum=["CREATE", "UPDATE", "DELETE"]),
        "patchedResource": _text("Deprecated: use patchedResources."),
        "patchedResources": _text("File with the mutated objects that are expected."),
        "generatedResource": _text("File with the generated object that is expected."),
        "generatedResources": _text("File with the generated objects that are expected."),
        "cloneSourceResource": {**ANY, "description": "Files with the sources of clones."},
        "failOnMissingResources": _YES,
        **dict.fromkeys(
            (
                "isValidatingAdmissionPolicy",
                "isMutatingAdmissionPolicy",
                "isValidatingPolicy",
                "isDeletingPolicy",
                "isImageValidatingPolicy",
                "isGeneratingPolicy",
                "isMutatingPolicy",
            ),
            _YES,
        ),
    },
    required=("policy", "result"),
)
_mock = _record(
    {
        "url": _text("URL of a service call."),
        "urlPath": _text("Path of an API call."),
        "method": _text("Method; any if empty.", enum=["", "GET", "POST"]),
        "response": _record({"statusCode": {"type": "integer"}, "body": {"type": "object"}}, "What is answered."),
    }
)
_entry = _record(
    {
        "name": _text("Name of the entry."),
        "data": {"type": "object", "description": "Its value."},
        "resources": _list(OBJECT, "Its value: these objects."),
        "resourceFiles": _list(_text(), "Its value: the objects of these files."),
        "fieldPath": _text("JMESPath expression on the value."),
        "projections": _list(_record({"name": _text(), "path": _text("JMESPath expression.")}, required=("name", "path"))),
    },
    required=("name",),
)


def _paths(description: str) -> Schema:
    return _list(_text(), description)


_FIELDS: dict[str, tuple[str, dict[str, Schema], tuple[str, ...]]] = {
    "Test": (
        "Policies, resources and the results that are expected: kyverno-test.yaml.",
        {
            "policies": _paths("Policy files and folders."),
            "resources": _paths("Resource files and folders."),
            "targetResources": _paths("Existing objects that mutate rules with targets change."),
            "paramResources": _paths("Parameter objects of admission policies."),
            "exceptions": _paths("PolicyException files."),
            "variables": _text("Values file; values wins."),
            "values": _record(_values, "Values, inline."),
            "userinfo": _text("UserInfo file."),
            "context": _text("Context file."),
            "clusterResources": _paths("ClusterResource files: the run has a cluster."),
            "jsonPayload": _text("Deprecated: use jsonPayloads."),
            "jsonPayloads": _paths("JSON documents for policies that judge JSON."),
            "httpPayloads": _paths("HTTP requests."),
            "envoyPayloads": _paths("Envoy requests."),
            "apiCallResponses": _list(_mock, "Answers to API and service calls."),
            "globalContextEntries": _list(_entry, "Values of global context entries."),
            "results": _list(_row, "What is expected."),
        },
        ("results",),
    ),
    "Values": ("Variables that are not known without a cluster.", _values, ()),
    "UserInfo": (
        "Who asks.",
        {
            "roles": _list(_text(), "Roles, as namespace:name."),
            "clusterRoles": _list(_text(), "Cluster roles."),
            "userInfo": _record(
                {"username": _text("Name."), "uid": _text("UID."), "groups": TEXTS, "extra": _map(TEXTS)}, "The user."
            ),
        },
        (),
    ),
    "Context": (
        "What CEL policies may ask for.",
        {"spec": _record({"resources": _list(OBJECT, "Objects."), "images": _list({"type": "object"}, "Data of images.")})},
        (),
    ),
    "ClusterResource": (
        "A cluster made of objects.",
        {"spec": _record({"crds": _paths("CustomResourceDefinition files."), "resources": _list(OBJECT, "Objects.")})},
        (),
    ),
}

FILE_KINDS = tuple(_FIELDS)
"""The kinds of files."""


def file_schema(kind: str) -> Schema:
    """The schema of a file of that kind. Names are those of the documentation; the reader does not mind their case."""
    text, fields, required = _FIELDS[kind]
    head: dict[str, Schema] = {
        "apiVersion": {"description": f"{API_VERSION}", "type": "string"},
        "kind": {"description": "Kind of the file.", "const": kind},
        "metadata": {"type": "object", "properties": {"name": _text()}},
    }
    return _record({**head, **fields}, text, required=("apiVersion", "kind", *required))

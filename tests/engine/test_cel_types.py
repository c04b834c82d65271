"""Expressions of validate.cel against OpenAPI schemas of the objects: what can never succeed is told, everything else is not."""

from __future__ import annotations

from typing import Any

import pytest

from engine import type_faults

GVK = "x-kubernetes-group-version-kind"
DEPLOYMENT = {"group": "apps", "version": "v1", "kind": "Deployment"}
SCHEMAS: dict[str, Any] = {
    "components": {
        "schemas": {
            "Deployment": {
                "type": "object",
                "properties": {
                    "apiVersion": {"type": "string"},
                    "metadata": {"default": {}, "allOf": [{"$ref": "#/components/schemas/Meta"}]},
                    "spec": {"$ref": "#/components/schemas/Spec"},
                },
                GVK: [DEPLOYMENT],
            },
            "Meta": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "created": {"type": "string", "format": "date-time"},
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                },
            },
            "Spec": {
                "type": "object",
                "properties": {
                    "replicas": {"type": "integer"},
                    "paused": {"type": "boolean"},
                    "steps": {"type": "array", "items": {"type": "string"}},
                    "port": {"x-kubernetes-int-or-string": True},
                    "raw": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"a": {}}},
                    "any": {"type": "object"},
                    "self": {"$ref": "#/components/schemas/Spec"},
                    "gone": {"$ref": "#/components/schemas/Nowhere"},
                },
            },
        }
    }
}


def faults(rule: dict[str, Any], **kind: str) -> list[str]:
    return list(type_faults(rule, SCHEMAS, path="spec.rules[0]", **{**DEPLOYMENT, **kind}))


def of(expression: str) -> list[str]:
    return faults({"validate": {"cel": {"expressions": [{"expression": expression}]}}})


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("object.replicas > 1", "1:8: undefined field 'replicas'"),
        ("!has(object.metadata.title)", "1:22: undefined field 'title'"),
        ("object.spec.self.self.nothing == 1", "1:23: undefined field 'nothing'"),
        ("oldObject.spec.replicas.x > 1", "1:25: type 'int' does not support field selection"),
        ("object.spec.replicas", "must evaluate to bool"),
        ("object.spec.paused == object.spec.replicas", "no matching overload"),
    ],
)
def test_what_can_never_succeed_is_told_with_its_place(expression: str, reason: str) -> None:
    (line,) = of(expression)
    assert line.startswith("spec.rules[0].validate.cel.expressions[0].expression: ")
    assert reason in line
    assert line.endswith(f"; apps/v1 Deployment: {expression}")


@pytest.mark.parametrize(
    "expression",
    [
        "object.spec.replicas > 1 && object.spec.self.self.self.paused",
        "object.metadata.labels.anything == 'x' || object.metadata['labels']['a'] == ''",
        "object.metadata.created < timestamp('2026-01-01T00:00:00Z')",
        "object.spec.port == 1 || object.spec.port == 'http'",
        "object.spec.raw.b.c == 1 || object.spec.any.x == 1 || object.spec.gone.y == 1",
        "object.spec.steps.all(step, step.size() > 1)",
        "object.kind == 'Deployment'",
        "request.operation == 'DELETE' || oldObject == null",
    ],
)
def test_what_may_succeed_is_not_told(expression: str) -> None:
    assert of(expression) == []


def test_every_expression_of_a_rule_is_looked_at() -> None:
    rule = {
        "celPreconditions": [{"name": "a", "expression": "object.a"}],
        "validate": {
            "cel": {
                "variables": [
                    {"name": "bad", "expression": "object.b"},
                    {"name": "count", "expression": "object.spec.replicas"},
                ],
                "expressions": [
                    {"expression": "variables.bad.c", "messageExpression": "object.d"},
                    {"expression": "variables.count.e == 1"},
                ],
                "auditAnnotations": [{"key": "k", "valueExpression": "object.f"}],
            }
        },
    }
    assert [line.split(": ")[0].removeprefix("spec.rules[0].") for line in faults(rule)] == [
        "celPreconditions[0].expression",
        "validate.cel.variables[0].expression",
        "validate.cel.expressions[0].messageExpression",
        "validate.cel.expressions[1].expression",
        "validate.cel.auditAnnotations[0].valueExpression",
    ]


def test_a_kind_without_a_schema_is_not_judged() -> None:
    rule = {"validate": {"cel": {"expressions": [{"expression": "object.replicas > 1"}]}}}
    assert faults(rule, kind="Widget") == []
    assert list(type_faults(rule, {}, path="", **DEPLOYMENT)) == []
    assert faults({"validate": {"pattern": {}}}) == []

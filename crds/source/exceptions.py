"""PolicyException, CleanupPolicy and ClusterCleanupPolicy."""

from crds.source.conditions import V1_OPERATORS, V2_OPERATORS, any_all
from crds.source.context import context
from crds.source.definition import CREATED, Column, Kind, Version
from crds.source.kubernetes import conditions
from crds.source.match import match_v2
from crds.source.pod_security import controls
from crds.source.shapes import Schema, array, boolean, record, string, strings

GROUP = "kyverno.io"
_CLEANUP_COLUMNS = (Column("Schedule", ".spec.schedule"), Column("Age", CREATED, "date"))


def kinds() -> tuple[Kind, ...]:
    """The three kinds; v2beta1 also knows the operators In and NotIn."""
    exceptions = (
        Version("v2", {"spec": _exception(V2_OPERATORS)}, storage=True, status=False),
        Version("v2beta1", {"spec": _exception(V1_OPERATORS)}, deprecated=True, status=False),
    )
    cleanups = (
        Version("v2", _cleanup(V2_OPERATORS), columns=_CLEANUP_COLUMNS, storage=True),
        Version("v2beta1", _cleanup(V1_OPERATORS), columns=_CLEANUP_COLUMNS, deprecated=True),
    )
    return (
        Kind(
            GROUP,
            "PolicyException",
            "policyexceptions",
            "polex",
            "Lets some objects pass some rules.",
            exceptions,
            namespaced=True,
        ),
        Kind(
            GROUP,
            "CleanupPolicy",
            "cleanuppolicies",
            "cleanpol",
            "Deletes objects of its namespace on a schedule.",
            cleanups,
            namespaced=True,
        ),
        Kind(
            GROUP,
            "ClusterCleanupPolicy",
            "clustercleanuppolicies",
            "ccleanpol",
            "Deletes objects of the cluster on a schedule.",
            cleanups,
        ),
    )


def _exception(operators: tuple[str, ...]) -> Schema:
    exempted = record(
        {
            "policyName": string("Name of the policy; namespace/name for a Policy."),
            "ruleNames": strings("Names of its rules; wildcards are allowed."),
        },
        required=("policyName", "ruleNames"),
    )
    return record(
        {
            "background": boolean("Applies to background scans too; true when unset."),
            "match": match_v2("Which objects and users the exception is for."),
            "conditions": any_all("The exception applies only when these hold.", operators=operators),
            "exceptions": array(exempted, "Policies and rules that let these objects pass."),
            "podSecurity": controls("Pod Security controls that are left out, for validate.podSecurity rules."),
        },
        "What is let through.",
        required=("exceptions", "match"),
    )


def _cleanup(operators: tuple[str, ...]) -> dict[str, Schema]:
    spec = record(
        {
            "schedule": string("When to run, as a cron expression."),
            "match": match_v2("Which objects are deleted."),
            "exclude": match_v2("Which of them are kept."),
            "context": context(),
            "conditions": any_all("Objects are deleted only when these hold; the object is target.", operators=operators),
            "deletionPropagationPolicy": string(
                "What happens to dependants of the object.",
                enum=("Foreground", "Background", "Orphan"),
            ),
        },
        "What is deleted, and when.",
        required=("match", "schedule"),
    )
    status = record(
        {"conditions": conditions(), "lastExecutionTime": string("When it last ran.", format="date-time")},
        "What is known about the policy.",
    )
    return {"spec": spec, "status": status}

"""Policy reports and the ephemeral reports they are made from (spec 1.4)."""

from crds.source.definition import CREATED, Column, Kind, Version
from crds.source.kubernetes import label_selector, object_reference, owner_reference
from crds.source.shapes import Schema, array, boolean, integer, record, string, string_map

OUTCOMES = ("pass", "fail", "warn", "error", "skip")
SEVERITIES = ("critical", "high", "medium", "low", "info")


def kinds() -> tuple[Kind, ...]:
    """Two kinds of reports, each for a namespace and for the cluster."""
    policy_report = (Version("v1alpha2", _policy_report(), required=(), columns=_report_columns(), storage=True, status=False),)
    return (
        Kind(
            "reports.kyverno.io",
            "EphemeralReport",
            "ephemeralreports",
            "ephr",
            _EPHEMERAL,
            _ephemeral(wide_uid=True),
            namespaced=True,
        ),
        Kind(
            "reports.kyverno.io",
            "ClusterEphemeralReport",
            "clusterephemeralreports",
            "cephr",
            _EPHEMERAL,
            _ephemeral(wide_uid=False),
        ),
        Kind("wgpolicyk8s.io", "PolicyReport", "policyreports", "polr", _REPORT, policy_report, namespaced=True, category=""),
        Kind("wgpolicyk8s.io", "ClusterPolicyReport", "clusterpolicyreports", "cpolr", _REPORT, policy_report, category=""),
    )


_EPHEMERAL = "Results for one object, on their way to a policy report."
_REPORT = "Results of policies for one object."


def _counts(path: str) -> tuple[Column, ...]:
    return tuple(Column(outcome.capitalize(), f"{path}.{outcome}", "integer") for outcome in OUTCOMES)


def _report_columns() -> tuple[Column, ...]:
    return (
        Column("Kind", ".scope.kind"),
        Column("Name", ".scope.name"),
        *_counts(".summary"),
        Column("Age", CREATED, "date"),
    )


def _ephemeral(*, wide_uid: bool) -> tuple[Version, ...]:
    columns = (
        Column("Source", r".metadata.labels['audit\.kyverno\.io/source']"),
        Column("Group", r".metadata.labels['audit\.kyverno\.io/resource\.group']"),
        Column("Kind", r".metadata.labels['audit\.kyverno\.io/resource\.kind']"),
        Column("Owner", r".metadata.annotations['audit\.kyverno\.io/resource\.name']"),
        *_counts(".spec.summary"),
        Column("Age", CREATED, "date"),
        Column("Uid", r".metadata.labels['audit\.kyverno\.io/resource\.uid']", wide=wide_uid),
        Column("Hash", r".metadata.labels['audit\.kyverno\.io/resource\.hash']", wide=True),
    )
    spec = record(
        {"owner": owner_reference("The object."), "summary": _summary(), "results": _results()},
        "Results for the object.",
        required=("owner",),
    )
    return (Version("v1", {"spec": spec}, columns=columns, storage=True, status=False),)


def _policy_report() -> dict[str, Schema]:
    return {
        "scope": object_reference("The object."),
        "scopeSelector": label_selector("Selects the objects, when there is no single one."),
        "summary": _summary(),
        "results": _results(),
    }


def _summary() -> Schema:
    return record({outcome: integer(f"Number of results that say {outcome}.") for outcome in OUTCOMES}, "Number of results.")


def _results() -> Schema:
    result = record(
        {
            "source": string("Program the result comes from."),
            "policy": string("Name of the policy; namespace/name for a Policy."),
            "rule": string("Name of the rule."),
            "result": string("What came out.", enum=OUTCOMES),
            "message": string("Explanation."),
            "scored": boolean("The result counts."),
            "category": string("Category of the policy."),
            "severity": string("Severity of the policy.", enum=SEVERITIES),
            "properties": string_map("More about the result."),
            "resources": array(object_reference("An object."), "Objects the result is for, when not the report's own."),
            "resourceSelector": label_selector("Selects the objects the result is for."),
            "timestamp": record(
                {
                    "seconds": integer("Seconds since 1970.", format="int64"),
                    "nanos": integer("Nanoseconds of the second.", format="int32"),
                },
                "When the result came out.",
                required=("nanos", "seconds"),
            ),
        },
        required=("policy",),
    )
    return array(result, "What each rule said.")

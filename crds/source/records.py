"""UpdateRequest and GlobalContextEntry."""

from crds.source.context import global_call
from crds.source.definition import CREATED, Column, Kind, Version
from crds.source.kubernetes import admission_request, conditions, user_info
from crds.source.shapes import Schema, array, boolean, integer, one_of, record, string, strings

GROUP = "kyverno.io"
_REQUEST_TYPES = ("mutate", "generate", "cel-generate", "cel-mutate")
_STATES = ("Pending", "Failed", "Completed", "Skip")
_ENTRY_COLUMNS = (
    Column("AGE", CREATED, "date"),
    Column("REFRESH INTERVAL", ".spec.apiCall.refreshInterval"),
    Column("LAST REFRESH", ".status.lastRefreshTime", "date"),
)


def kinds() -> tuple[Kind, ...]:
    """Both kinds."""
    entries = (
        Version("v2alpha1", _entry(), columns=_ENTRY_COLUMNS, deprecated=True),
        Version("v2beta1", _entry(), columns=_ENTRY_COLUMNS, storage=True),
        Version("v2", _entry(), columns=_ENTRY_COLUMNS),
    )
    requests = (
        Version("v1beta1", _request(), columns=_request_columns(Column("Rule", ".spec.rule")), served=False),
        Version("v2", _request(), columns=_request_columns(), storage=True),
    )
    return (
        Kind(GROUP, "UpdateRequest", "updaterequests", "ur", "Work for the background controller.", requests, namespaced=True),
        Kind(GROUP, "GlobalContextEntry", "globalcontextentries", "gctxentry", "Data kept ready for all policies.", entries),
    )


def _request_columns(*after_policy: Column) -> tuple[Column, ...]:
    return (
        Column("Policy", ".spec.policy"),
        *after_policy,
        Column("RuleType", ".spec.requestType"),
        Column("ResourceKind", ".spec.resource.kind"),
        Column("ResourceName", ".spec.resource.name"),
        Column("ResourceNamespace", ".spec.resource.namespace"),
        Column("status", ".status.state"),
        Column("Age", CREATED, "date"),
    )


def _object(text: str) -> Schema:
    fields = {
        "apiVersion": string("API version of the object."),
        "kind": string("Kind of the object."),
        "name": string("Name of the object."),
        "namespace": string("Namespace of the object."),
        "uid": string("UID of the object."),
    }
    return record(fields, text)


def _request() -> dict[str, Schema]:
    job = record(
        {
            "rule": string("Name of the rule."),
            "trigger": _object("Object that set off the rule."),
            "deleteDownstream": boolean("Delete what the rule made."),
            "synchronize": boolean("The rule keeps its objects equal to their source."),
            "cacheRestore": boolean("Restore a generated object that was changed or deleted."),
        },
        required=("rule",),
    )
    spec = record(
        {
            "requestType": string("What kind of rule it is for.", enum=_REQUEST_TYPES),
            "policy": string("Name of the policy; namespace/name for a Policy."),
            "rule": string("Deprecated: use ruleContext."),
            "ruleContext": array(job, "Rules to run and the objects that set them off."),
            "resource": _object("Object that set off the request."),
            "deleteDownstream": boolean("Deprecated: use ruleContext."),
            "synchronize": boolean("Deprecated: use ruleContext."),
            "context": record(
                {
                    "userInfo": record(
                        {
                            "roles": strings("Roles of the user.", nullable=True),
                            "clusterRoles": strings("Cluster roles of the user.", nullable=True),
                            "userInfo": user_info("The user."),
                        },
                        "Who asked.",
                    ),
                    "admissionRequestInfo": record(
                        {
                            "admissionRequest": admission_request("The request."),
                            "operation": string("Its operation."),
                        },
                        "What was asked.",
                    ),
                },
                "The admission request that set off the work.",
            ),
        },
        "What is to be done.",
        required=("policy", "requestType"),
    )
    status = record(
        {
            "state": string("How far the work is.", enum=_STATES),
            "message": string("Why it failed."),
            "retryCount": integer("Number of attempts that failed."),
            "generatedResources": array(_object("A generated object."), "Objects that the rules made or changed."),
        },
        "How far the work is.",
        required=("state",),
        default={"state": "Pending"},
    )
    return {"spec": spec, "status": status}


def _entry() -> dict[str, Schema]:
    projection = record(
        {"name": string("Name of the result."), "jmesPath": string("JMESPath expression over the data.")},
        required=("jmesPath", "name"),
    )
    spec = record(
        {
            "kubernetesResource": record(
                {
                    "group": string("API group; empty for the core group."),
                    "version": string("API version.", minLength=1),
                    "resource": string("Plural name of the resource.", minLength=1),
                    "namespace": string("Namespace; all when unset."),
                },
                "Objects of a kind, kept by a watch.",
                required=("resource", "version"),
            ),
            "apiCall": global_call("The answer of a call, repeated on a schedule."),
            "projections": array(projection, "Results of expressions over the data, computed when it changes."),
        },
        "Where the data comes from.",
        oneOf=one_of("kubernetesResource", "apiCall"),
    )
    status = record(
        {
            "ready": boolean("Deprecated: use the condition Ready."),
            "conditions": conditions(),
            "lastRefreshTime": string("When the data was last fetched.", format="date-time"),
        },
        "What is known about the entry.",
    )
    return {"spec": spec, "status": status}

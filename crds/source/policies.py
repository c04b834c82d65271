"""ClusterPolicy and Policy."""

from crds.source.checks import SPELLINGS, overrides
from crds.source.definition import CREATED, READY, READY_MESSAGE, Column, Kind, Version
from crds.source.kubernetes import conditions, match_conditions
from crds.source.rule import rule_v1, rule_v2beta1
from crds.source.shapes import Schema, array, boolean, integer, record, string, undescribed

GROUP = "kyverno.io"
_FAILURE_POLICIES = ("Ignore", "Fail")
_COUNTED = ("validate", "mutate", "generate", "verifyimages")
_COLUMNS = (
    Column("ADMISSION", ".spec.admission", "boolean"),
    Column("BACKGROUND", ".spec.background", "boolean"),
    Column("READY", READY),
    Column("AGE", CREATED, "date"),
    Column("FAILURE POLICY", ".spec.failurePolicy", wide=True),
    Column("VALIDATE", ".status.rulecount.validate", "integer", wide=True),
    Column("MUTATE", ".status.rulecount.mutate", "integer", wide=True),
    Column("GENERATE", ".status.rulecount.generate", "integer", wide=True),
    Column("VERIFY IMAGES", ".status.rulecount.verifyimages", "integer", wide=True),
    Column("MESSAGE", READY_MESSAGE),
)


def kinds() -> tuple[Kind, ...]:
    """Both kinds, in both versions."""
    versions = (_version("v1", rule_v1(), storage=True), _version("v2beta1", rule_v2beta1()))
    return (
        Kind(GROUP, "ClusterPolicy", "clusterpolicies", "cpol", "Rules for objects of the whole cluster.", versions),
        Kind(GROUP, "Policy", "policies", "pol", "Rules for objects of the policy's own namespace.", versions, namespaced=True),
    )


def _version(name: str, rule: Schema, *, storage: bool = False) -> Version:
    fields = {"spec": _spec(rule), "status": _status(undescribed(rule))}
    return Version(name, fields, columns=_COLUMNS, storage=storage)


def _timeout(text: str) -> Schema:
    return integer(text, format="int32", minimum=1, maximum=30)


def _spec(rule: Schema) -> Schema:
    return record(
        {
            "rules": array(rule, "Rules, in the order in which they run."),
            "applyRules": string("Run all rules, or stop after the first that applies; All when unset.", enum=("All", "One")),
            "admission": boolean("Run the rules on admission requests.", default=True),
            "background": boolean("Run the rules on existing objects.", default=True),
            "emitWarning": boolean("Return failures of audited rules as warnings.", default=False),
            "useServerSideApply": boolean("Write generated objects by server-side apply."),
            "webhookConfiguration": record(
                {
                    "failurePolicy": string("What an error means for the request; Fail when unset.", enum=_FAILURE_POLICIES),
                    "timeoutSeconds": _timeout("Time limit of the webhook."),
                    "matchConditions": match_conditions("CEL expressions that decide whether the webhook is called."),
                },
                "Settings of the admission webhook.",
            ),
            "validationFailureAction": string("Deprecated: use failureAction of the rule.", enum=SPELLINGS, default="Audit"),
            "validationFailureActionOverrides": overrides()
            | {"description": "Deprecated: use failureActionOverrides of the rule."},
            "failurePolicy": string("Deprecated: use webhookConfiguration.failurePolicy.", enum=_FAILURE_POLICIES),
            "webhookTimeoutSeconds": _timeout("Deprecated: use webhookConfiguration.timeoutSeconds."),
            "mutateExistingOnPolicyUpdate": boolean("Deprecated: use mutateExistingOnPolicyUpdate of the rule."),
            "generateExisting": boolean("Deprecated: use generateExisting of the rule."),
            "generateExistingOnPolicyUpdate": boolean("Deprecated: use generateExisting of the rule."),
            "schemaValidation": boolean("Deprecated: has no effect."),
        },
        "What the policy does.",
    )


def _status(rule: Schema) -> Schema:
    return record(
        {
            "conditions": conditions(),
            "ready": boolean("Deprecated: use the condition Ready."),
            "autogen": record({"rules": array(rule, "Rules made for Pod controllers.")}, "What was derived from the rules."),
            "rulecount": record(
                {counted: integer(f"Number of {counted} rules.") for counted in _COUNTED},
                "Number of rules by type.",
                required=_COUNTED,
            ),
            "validatingadmissionpolicy": record(
                {
                    "generated": boolean("One was made from this policy."),
                    "message": string("Why none was made."),
                },
                "ValidatingAdmissionPolicy made from this policy.",
                required=("generated", "message"),
            ),
        },
        "What is known about the policy.",
    )

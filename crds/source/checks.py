"""The validate block (spec 2.4 to 2.6)."""

from crds.source.conditions import any_all
from crds.source.context import context
from crds.source.images import FAILURE_ACTIONS, attestors
from crds.source.kubernetes import label_selector
from crds.source.pod_security import pod_security
from crds.source.shapes import Schema, any_json, array, boolean, record, string, strings

SPELLINGS = ("audit", "enforce", "Audit", "Enforce")


def validate(*, deny_conditions: Schema) -> Schema:
    """The validate block; ``deny_conditions`` is the shape of ``deny.conditions``, which the versions differ in."""
    return record(
        {
            "message": string("Shown on failure; may have variables."),
            "failureAction": string("What a failure means.", enum=FAILURE_ACTIONS),
            "failureActionOverrides": overrides(),
            "allowExistingViolations": boolean("Let updates of objects pass which failed before.", default=True),
            "pattern": any_json("Pattern that the object fits."),
            "anyPattern": any_json("Patterns of which the object fits at least one."),
            "deny": record({"conditions": deny_conditions}, "Refuses the object when its conditions hold."),
            "foreach": _foreach(),
            "podSecurity": pod_security(),
            "cel": _cel(),
            "manifests": _manifests(),
            "assert": any_json("Deprecated: an assertion tree; has no effect."),
        },
        "Checks objects.",
    )


def overrides() -> Schema:
    """Failure actions by namespace."""
    override = record(
        {
            "action": string("What a failure means there.", enum=SPELLINGS),
            "namespaces": strings("Namespaces; wildcards are allowed."),
            "namespaceSelector": label_selector("Selects namespaces by their labels."),
        }
    )
    return array(override, "Other failure actions for some namespaces.")


def _foreach() -> Schema:
    entry = record(
        {
            "list": string("JMESPath expression for the elements."),
            "elementScope": boolean(
                "Whether the element is what is checked; the object otherwise. True for elements that are maps."
            ),
            "context": context(),
            "preconditions": any_all("Elements for which these do not hold are left out.", open_ended=True),
            "pattern": any_json("Pattern that the element fits."),
            "anyPattern": any_json("Patterns of which the element fits at least one."),
            "deny": record({"conditions": any_json("Conditions.")}, "Refuses the object when its conditions hold."),
            "foreach": any_json("Nested loops, of the same shape."),
        }
    )
    return array(entry, "Checks each element of a list.")


def _cel() -> Schema:
    return record(
        {
            "expressions": array(
                record(
                    {
                        "expression": string("CEL expression that is true for good objects."),
                        "message": string("Shown on failure."),
                        "messageExpression": string("CEL expression for the message."),
                        "reason": string("Reason in the answer to the client."),
                    },
                    required=("expression",),
                ),
                "Expressions that all hold.",
            ),
            "variables": array(
                record(
                    {"name": string("Read as variables.NAME."), "expression": string("CEL expression.")},
                    required=("expression", "name"),
                    **{"x-kubernetes-map-type": "atomic"},
                ),
                "Named expressions.",
            ),
            "auditAnnotations": array(
                record(
                    {"key": string("Key of the annotation."), "valueExpression": string("CEL expression for its value.")},
                    required=("key", "valueExpression"),
                ),
                "Annotations for the audit log and reports.",
            ),
            "paramKind": record(
                {"apiVersion": string("API version of the kind."), "kind": string("Kind.")},
                "Kind of the parameter object.",
                **{"x-kubernetes-map-type": "atomic"},
            ),
            "paramRef": record(
                {
                    "name": string("Name of the parameter object."),
                    "namespace": string("Namespace of the parameter objects."),
                    "selector": label_selector("Selects parameter objects by their labels."),
                    "parameterNotFoundAction": string("Allow or Deny, when there is none."),
                },
                "Which parameter objects apply.",
                **{"x-kubernetes-map-type": "atomic"},
            ),
            "generate": boolean("Make a ValidatingAdmissionPolicy from the rule.", default=False),
        },
        "Checks objects with CEL expressions.",
    )


def _manifests() -> Schema:
    pattern = record(
        {
            "group": string(),
            "version": string(),
            "kind": string(),
            "name": string(),
            "namespace": string(),
        }
    )
    return record(
        {
            "attestors": attestors("Who signed the manifest."),
            "annotationDomain": string("Domain of the annotations with the signature."),
            "ignoreFields": array(
                record({"fields": strings("Paths of the fields."), "objects": array(pattern, "Objects this is for.")}),
                "Fields that may differ from the signed manifest.",
            ),
            "dryRun": record(
                {"enable": boolean("Ask the API server."), "namespace": string("Namespace for the dry run.")},
                "Compare with what the API server would store.",
            ),
            "repository": string("Where the signatures are."),
        },
        "Checks the signature of the object's manifest.",
    )

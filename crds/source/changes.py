"""The mutate and generate blocks (spec 2.7 and 2.8)."""

from crds.source.conditions import any_all
from crds.source.context import context
from crds.source.kubernetes import label_selector
from crds.source.shapes import Schema, any_json, array, boolean, record, string, strings


def mutate() -> Schema:
    """The mutate block."""
    patches: dict[str, Schema] = {
        "patchStrategicMerge": any_json("Strategic merge patch; anchors are allowed."),
        "patchesJson6902": string("JSON Patch, as YAML or JSON text."),
    }
    loop = record(
        {
            "list": string("JMESPath expression for the elements."),
            "order": string("Which element comes first.", enum=("Ascending", "Descending")),
            "context": context(),
            "preconditions": any_all("Elements for which these do not hold are left out.", open_ended=True),
            **patches,
            "foreach": any_json("Nested loops, of the same shape."),
        }
    )
    target = record(
        {
            **_address(),
            "uid": string("UID of the object."),
            "selector": label_selector("Selects objects by their labels."),
            "context": context(),
            "preconditions": any_json("Objects for which these do not hold are left out."),
        }
    )
    return record(
        {
            **patches,
            "foreach": array(loop, "Changes for each element of a list."),
            "targets": array(target, "Other, existing objects that are changed instead; wildcards are allowed."),
            "mutateExistingOnPolicyUpdate": boolean("Change existing targets when the policy is written."),
        },
        "Changes objects.",
    )


def generate() -> Schema:
    """The generate block."""
    loop = record(
        {
            "list": string("JMESPath expression for the elements."),
            "context": context(),
            "preconditions": any_all("Elements for which these do not hold are left out.", open_ended=True),
            **_downstream(),
        }
    )
    return record(
        {
            **_downstream(),
            "foreach": array(loop, "Objects for each element of a list."),
            "synchronize": boolean("Keep the objects equal to their source."),
            "orphanDownstreamOnPolicyDelete": boolean("Keep the objects when the policy goes away."),
            "generateExisting": boolean("Generate for existing triggers when the policy is written."),
        },
        "Makes objects.",
    )


def _address() -> dict[str, Schema]:
    return {
        "apiVersion": string("API version of the object."),
        "kind": string("Kind of the object."),
        "name": string("Name of the object."),
        "namespace": string("Namespace of the object."),
    }


def _downstream() -> dict[str, Schema]:
    return {
        **_address(),
        "uid": string("UID of the object."),
        "data": any_json("Content of the object."),
        "clone": record(
            {"name": string("Name of the source."), "namespace": string("Namespace of the source.")},
            "Copy of another object of the same kind.",
        ),
        "cloneList": record(
            {
                "namespace": string("Namespace of the sources."),
                "kinds": strings("Kinds of the sources, as version/Kind or group/version/Kind."),
                "selector": label_selector("Selects sources by their labels."),
            },
            "Copies of several objects.",
        ),
    }

"""Shapes that Kubernetes itself defines and that several kinds embed."""

from crds.source.shapes import Schema, any_object, array, boolean, integer, map_of, record, string, string_map, strings

OPERATIONS = ("CREATE", "CONNECT", "UPDATE", "DELETE")


def label_selector(text: str) -> Schema:
    """meta/v1 LabelSelector."""
    expression = record(
        {
            "key": string("Label key."),
            "operator": string("In, NotIn, Exists or DoesNotExist."),
            "values": strings("Values for In and NotIn.", **{"x-kubernetes-list-type": "atomic"}),
        },
        required=("key", "operator"),
    )
    return record(
        {
            "matchExpressions": array(expression, "Requirements that all hold.", **{"x-kubernetes-list-type": "atomic"}),
            "matchLabels": string_map("Labels and their values, all of which are present."),
        },
        text,
        **{"x-kubernetes-map-type": "atomic"},
    )


def conditions(text: str = "What is known about the object's state, one entry per aspect.") -> Schema:
    """meta/v1 Condition list."""
    condition = record(
        {
            "type": string("Aspect, for example Ready.", maxLength=316),
            "status": string("True, False or Unknown.", enum=("True", "False", "Unknown")),
            "reason": string(
                "One word for programs.", minLength=1, maxLength=1024, pattern="^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"
            ),
            "message": string("A sentence for people.", maxLength=32768),
            "lastTransitionTime": string("When the status last changed.", format="date-time"),
            "observedGeneration": integer("Generation of the spec that was looked at.", format="int64", minimum=0),
        },
        required=("lastTransitionTime", "message", "reason", "status", "type"),
    )
    return array(condition, text)


def object_reference(text: str) -> Schema:
    """core/v1 ObjectReference."""
    return record(
        {
            "apiVersion": string("API version of the object."),
            "kind": string("Kind of the object."),
            "name": string("Name of the object."),
            "namespace": string("Namespace of the object."),
            "uid": string("UID of the object."),
            "resourceVersion": string("Version of the object that was looked at."),
            "fieldPath": string("Part of the object that is meant."),
        },
        text,
        **{"x-kubernetes-map-type": "atomic"},
    )


def owner_reference(text: str) -> Schema:
    """meta/v1 OwnerReference."""
    return record(
        {
            "apiVersion": string("API version of the owner."),
            "kind": string("Kind of the owner."),
            "name": string("Name of the owner."),
            "uid": string("UID of the owner."),
            "controller": boolean("The owner is the managing controller."),
            "blockOwnerDeletion": boolean("The owner waits for this object in foreground deletion."),
        },
        text,
        required=("apiVersion", "kind", "name", "uid"),
        **{"x-kubernetes-map-type": "atomic"},
    )


def subject() -> Schema:
    """rbac/v1 Subject."""
    return record(
        {
            "kind": string("User, Group or ServiceAccount."),
            "name": string("Name; wildcards are allowed."),
            "namespace": string("Namespace of a ServiceAccount."),
            "apiGroup": string("API group of the subject's kind."),
        },
        required=("kind", "name"),
        **{"x-kubernetes-map-type": "atomic"},
    )


def match_conditions(text: str) -> Schema:
    """admissionregistration/v1 MatchCondition list."""
    condition = record(
        {"name": string("Name for messages."), "expression": string("CEL expression that yields a boolean.")},
        required=("expression", "name"),
    )
    return array(condition, text)


def user_info(text: str) -> Schema:
    """authentication/v1 UserInfo."""
    return record(
        {
            "username": string("User name."),
            "uid": string("UID of the user."),
            "groups": strings("Groups of the user.", **{"x-kubernetes-list-type": "atomic"}),
            "extra": map_of(array(string(), **{"x-kubernetes-list-type": "atomic"}), "What the authenticator adds."),
        },
        text,
    )


def admission_request(text: str) -> Schema:
    """admission/v1 AdmissionRequest."""

    def identity(last: str, about: str) -> Schema:
        return record({"group": string(), "version": string(), last: string()}, about, required=("group", last, "version"))

    return record(
        {
            "uid": string("Identifies this request."),
            "kind": identity("kind", "Kind of the object in the review."),
            "resource": identity("resource", "Resource of the review."),
            "subResource": string("Subresource, when there is one."),
            "requestKind": identity("kind", "Kind in the original request."),
            "requestResource": identity("resource", "Resource in the original request."),
            "requestSubResource": string("Subresource in the original request."),
            "name": string("Name of the object; empty when the server generates it."),
            "namespace": string("Namespace of the object."),
            "operation": string("CREATE, UPDATE, DELETE or CONNECT."),
            "userInfo": user_info("Who asks."),
            "object": any_object("The new object."),
            "oldObject": any_object("The stored object, on UPDATE and DELETE."),
            "dryRun": boolean("Nothing will be stored."),
            "options": any_object("Options of the operation."),
        },
        text,
        required=("kind", "operation", "resource", "uid"),
    )

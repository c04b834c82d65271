"""Match and exclude blocks (spec 2.1)."""

from crds.source.kubernetes import OPERATIONS, label_selector, subject
from crds.source.shapes import Schema, array, not_together, record, string, string_map, strings


def match_v1(text: str) -> Schema:
    """kyverno.io/v1: any, all, or the older direct form."""
    return record(
        _lists(_filter(_resources())) | _who() | {"resources": _resources()},
        text,
        **{"not": not_together("any", "all")},
    )


def match_v2(text: str) -> Schema:
    """kyverno.io/v2 and v2beta1: any or all."""
    return record(_lists(_filter(_resources())), text, **{"not": not_together("any", "all")})


def _lists(block: Schema) -> dict[str, Schema]:
    return {
        "any": array(block, "Blocks of which at least one applies."),
        "all": array(block, "Blocks which all apply."),
    }


def _filter(resources: Schema) -> Schema:
    return record(_who() | {"resources": resources})


def _who() -> dict[str, Schema]:
    return {
        "roles": strings("Roles of the user, as namespace:name."),
        "clusterRoles": strings("Cluster roles of the user."),
        "subjects": array(subject(), "Users, groups and service accounts."),
    }


def _resources() -> Schema:
    return record(
        {
            "kinds": strings(
                "Kinds as Kind, version/Kind or group/version/Kind, with an optional subresource; wildcards are allowed."
            ),
            "name": string("Deprecated: use names."),
            "names": strings("Names; wildcards are allowed."),
            "namespaces": strings("Namespaces; wildcards are allowed."),
            "annotations": string_map("Annotations; wildcards are allowed in keys and values."),
            "selector": label_selector("Selects by the object's labels; wildcards are allowed in matchLabels."),
            "namespaceSelector": label_selector("Selects by the labels of the object's namespace."),
            "operations": array(string(enum=OPERATIONS), "Operations of the request; all when empty."),
        },
        "What the object looks like; each given field applies.",
    )

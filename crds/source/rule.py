"""One rule of a ClusterPolicy or Policy (spec 1.2).

That a rule has exactly one of validate, mutate, generate and verifyImages is left to the policy webhook: a schema's `oneOf` could
only say "none valid", and it would be said first.
"""

from crds.source.changes import generate, mutate
from crds.source.checks import validate
from crds.source.conditions import any_all
from crds.source.context import context
from crds.source.images import verify_images
from crds.source.kubernetes import match_conditions
from crds.source.match import match_v1, match_v2
from crds.source.shapes import Schema, any_json, array, boolean, map_of, record, string, string_map


def rule_v1() -> Schema:
    """kyverno.io/v1: with the direct form of match, bare lists of conditions and the older fields of verifyImages."""
    return _rule(
        match=match_v1("Which objects and users the rule is for."),
        exclude=match_v1("Which of them are left out."),
        preconditions=any_json("The rule is skipped unless these hold: any and all lists, or a bare list of conditions."),
        checks=validate(deny_conditions=any_json("Any and all lists, or a bare list of conditions.")),
        images=verify_images(deprecated_fields=True),
    )


def rule_v2beta1() -> Schema:
    """kyverno.io/v2beta1: the same without them."""
    return _rule(
        match=match_v2("Which objects and users the rule is for."),
        exclude=match_v2("Which of them are left out."),
        preconditions=any_all("The rule is skipped unless these hold."),
        checks=validate(deny_conditions=any_all("Any and all lists of conditions.")),
        images=verify_images(deprecated_fields=False),
    )


def _rule(*, match: Schema, exclude: Schema, preconditions: Schema, checks: Schema, images: Schema) -> Schema:
    extractor = record(
        {
            "path": string("Slash-separated path of the object with the image; * stands for any key or index."),
            "value": string("Field under the path that has the image."),
            "name": string("Name under images; custom when unset."),
            "key": string("Field under the path that tells images apart."),
            "jmesPath": string("Applied to the value."),
        },
        required=("path",),
    )
    return record(
        {
            "name": string("Name, unique in the policy.", maxLength=63),
            "match": match,
            "exclude": exclude,
            "context": context(),
            "preconditions": preconditions,
            "celPreconditions": match_conditions(
                "The rule is skipped unless these CEL expressions hold; only with validate.cel."
            ),
            "validate": checks,
            "mutate": mutate(),
            "generate": generate(),
            "verifyImages": images,
            "imageExtractors": map_of(array(extractor), "Where objects of other kinds have their images, by kind."),
            "skipBackgroundRequests": boolean("Ignore requests of the background controller.", default=True),
            "reportProperties": string_map("Properties for the rule's results in reports."),
        },
        required=("match", "name"),
    )

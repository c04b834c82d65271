"""Conditions: key, operator, value, message (spec 2.3)."""

from typing import Any

from crds.source.shapes import PRESERVE, Schema, any_json, array, record, string

_CURRENT = (
    "Equals",
    "NotEquals",
    "AnyIn",
    "AllIn",
    "AnyNotIn",
    "AllNotIn",
    "GreaterThanOrEquals",
    "GreaterThan",
    "LessThanOrEquals",
    "LessThan",
    "DurationGreaterThanOrEquals",
    "DurationGreaterThan",
    "DurationLessThanOrEquals",
    "DurationLessThan",
)
V1_OPERATORS = (*_CURRENT[:2], "In", "NotIn", *_CURRENT[2:])
V2_OPERATORS = _CURRENT


def any_all(text: str, *, operators: tuple[str, ...] = V1_OPERATORS, open_ended: bool = False) -> Schema:
    """``any`` and ``all`` lists of conditions.

    ``open_ended`` also lets other keys through, as the foreach preconditions of Kyverno do.
    """
    condition = record(
        {
            "key": any_json("What is compared; usually a variable."),
            "operator": string("How it is compared.", enum=operators),
            "value": any_json("What it is compared with: a value, a list or a variable."),
            "message": string("Shown when the condition decides."),
        }
    )
    extra: dict[str, Any] = {PRESERVE: True} if open_ended else {}
    return record(
        {
            "any": array(condition, "At least one of these holds."),
            "all": array(condition, "Each of these holds."),
        },
        text,
        **extra,
    )

"""What a reader of a policy should be told."""

from __future__ import annotations

from typing import Literal, NamedTuple

Level = Literal["error", "warning", "note"]

CODES: dict[str, tuple[Level, str]] = {
    "invalid": ("error", "the policy does not compile"),
    "unknown-field": ("error", "a field that the kind does not have"),
    "unknown-function": ("error", "a JMESPath function that does not exist"),
    "expression": ("error", "a JMESPath expression that does not parse"),
    "unclosed": ("warning", "braces that begin no variable"),
    "unreachable": ("warning", "a rule that can never apply"),
    "deprecated": ("warning", "an old form that has a better one"),
    "warning": ("warning", "what the policy webhook warns about"),
    "permission": ("note", "a right that a controller needs for the policy and does not have"),
}
"""Code -> level and what findings of that code are about."""


class Finding(NamedTuple):
    """One finding at `path` of the document. `offset`: the fault's place within the text that stands there, from 0."""

    code: str
    path: str
    message: str
    offset: int | None = None
    help: str = ""

    @property
    def level(self) -> Level:
        return CODES[self.code][0]

"""One step of an explanation: a tree that a terminal and a program read alike."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


class _Absent:
    """Marks a value that is not there, which is something else than null."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Any = _Absent()


@dataclass(frozen=True, slots=True)
class Step:
    """What was asked, where it stands in the policy, and what came out.

    `holds`: yes, no, or None where there is nothing to decide (a value that is only shown). `wanted` and `found` are JSON
    values, `ABSENT` where there is none to show. `note` says in words what the values do not.
    """

    title: str
    holds: bool | None = None
    path: str = ""
    wanted: Any = ABSENT
    found: Any = ABSENT
    note: str = ""
    steps: tuple[Step, ...] = field(default=())

    def document(self) -> dict[str, Any]:
        """The step as JSON; what it does not say is left out."""
        shown: dict[str, Any] = {"step": self.title}
        if self.holds is not None:
            shown["holds"] = self.holds
        if self.path:
            shown["path"] = self.path
        for name in ("wanted", "found"):
            value = getattr(self, name)
            if value is not ABSENT:
                shown[name] = value
        if self.note:
            shown["note"] = self.note
        if self.steps:
            shown["steps"] = [step.document() for step in self.steps]
        return shown

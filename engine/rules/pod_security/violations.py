"""What a check found: fields with values that the standard forbids or values that it requires."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.rules.pod_security.pod import Container

Value = str | bool | int | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Violation:
    """One field. `value` is what it holds, "" where the field itself is at fault, None where a value is missing."""

    field: str
    value: Value | None = None
    container: Container | None = None

    @property
    def values(self) -> tuple[str, ...]:
        """The forbidden values as an exclusion's `values` are compared with them; none where a value is missing."""
        if isinstance(self.value, tuple):
            return self.value
        return () if self.value is None or self.value == "" else (_text(self.value),)

    def describe(self, field: str) -> str:
        """The entry of the message, with `field` as the object's reader knows it."""
        if self.value is None:
            return f"{field}: Required value"
        if self.value == "":
            return f"{field}: Forbidden"
        return f"{field} is forbidden, forbidden values found: {_text(self.value)}"


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{' '.join(value)}]"
    return str(value)


@dataclass(slots=True)
class Finding:
    """A check that a Pod does not pass. `images` are those of the containers at fault, also of later excluded ones."""

    check: str
    control: str
    reason: str
    violations: list[Violation] = field(default_factory=list)
    images: tuple[str, ...] = ()

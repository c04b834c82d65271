"""`exclude` of a podSecurity rule and `podSecurity` of a PolicyException: what they forgive, and which of them are valid."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.errors import InvalidPolicy
from engine.lang.wildcard import Matcher, compile_wildcard
from engine.rules.pod_security.controls import CONTROLS, Checks
from engine.rules.pod_security.pod import Pod
from engine.rules.pod_security.violations import Finding, Violation

_INDEX = re.compile(r"\[[0-9]+\]")
_ANNOTATIONS = "metadata.annotations["


@dataclass(frozen=True, slots=True)
class Exclusion:
    """One entry, compiled. Without `images` it is about the Pod itself; `covers` decides by field and values."""

    control: str
    images: tuple[Matcher, ...]
    covers: Callable[[Violation], bool]


def forgive(findings: list[Finding], pod: Pod, *, checks: Checks, exclusions: Iterable[Exclusion]) -> list[Finding]:
    """What is left of `findings`; they are changed in place.

    Each violation of the excluded part of the Pod takes one violation of the same field out of the finding: with images that of
    the same container, without images the first one of any index, which need not be the one with the excluded value. A
    place that becomes free is filled with the last violation. All of that is recorded in oracle podsecurity.json.
    """
    left = {finding.check: finding for finding in findings}
    for exclusion in exclusions:
        concerned = [(name, check) for name, check in checks.of_control(exclusion.control) if name in left]
        if not concerned:
            continue
        part = _part(pod, exclusion)
        key = _same if exclusion.images else field_pattern
        for name, check in concerned:
            violations = left[name].violations
            for forgiven in check(part) or ():
                if exclusion.covers(forgiven):
                    _take_out(violations, key(forgiven.field), key)
            if not violations:
                del left[name]
    return list(left.values())


def _part(pod: Pod, exclusion: Exclusion) -> Pod:
    if not exclusion.images:
        return pod.without_containers()
    return pod.with_only(tuple(one for one in pod.containers if any(matches(one.image) for matches in exclusion.images)))


def _take_out(violations: list[Violation], wanted: str, key: Callable[[str], str]) -> None:
    for index, violation in enumerate(violations):
        if key(violation.field) == wanted:
            last = violations.pop()
            if index < len(violations):
                violations[index] = last
            return


def _same(field: str) -> str:
    return field


def field_pattern(field: str) -> str:
    """`field` as `restrictedField` names it: `spec.containers[*].securityContext.privileged`."""
    return _INDEX.sub("[*]", field)


def compile_exclusions(entries: Any, *, path: str, level: str = "") -> tuple[Exclusion, ...]:
    """Compiles and validates a list of exclusions (spec 2.5); `path` is its place in the policy or exception.

    `level` is the rule's level where it is known: baseline has no controls of level restricted. Raises `InvalidPolicy`; several
    faults are named together, in brackets.
    """
    if entries is None:
        return ()
    if not isinstance(entries, list):
        raise InvalidPolicy(path, "must be a list")
    _raise(fault for index, entry in enumerate(entries) for fault in _schema_faults(entry, f"{path}[{index}]"))
    shown = path.replace(".validate.podSecurity", ".podSecurity")
    _raise(fault for index, entry in enumerate(entries) for fault in _faults(entry, f"{shown}[{index}]", level))
    return tuple(_exclusion(entry) for entry in entries)


def _exclusion(entry: Mapping[str, Any]) -> Exclusion:
    images = tuple(map(compile_wildcard, entry.get("images") or ()))
    return Exclusion(entry["controlName"], images, _covers(entry.get("restrictedField") or "", entry.get("values") or ()))


def _covers(field: str, values: Iterable[str]) -> Callable[[Violation], bool]:
    """Does an exclusion of `field` ("": any) with `values` (wildcards) forgive a violation with all its values?"""
    if not field:
        return lambda violation: True
    patterns = tuple(map(compile_wildcard, values))
    is_field = compile_wildcard(field.replace('"', "")) if field.startswith(_ANNOTATIONS) else field.__eq__

    def covers(violation: Violation) -> bool:
        if not is_field(field_pattern(violation.field)):
            return False
        return all(any(matches(value) for matches in patterns) for value in violation.values)

    return covers


def _schema_faults(entry: Any, path: str) -> Iterable[InvalidPolicy]:
    """What the structural schema of the resource refuses."""
    if not isinstance(entry, Mapping):
        yield InvalidPolicy(path, "must be a map")
        return
    name = entry.get("controlName")
    if name is None:
        yield InvalidPolicy(f"{path}.controlName", "Required value")
    elif name not in CONTROLS:
        yield unsupported(f"{path}.controlName", name, CONTROLS)
    for field in ("images", "values"):
        value = entry.get(field)
        if value is not None and not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            yield InvalidPolicy(f"{path}.{field}", "must be a list of strings")
    if not isinstance(entry.get("restrictedField") or "", str):
        yield InvalidPolicy(f"{path}.restrictedField", "must be a string")


def _faults(entry: Mapping[str, Any], path: str, level: str) -> Iterable[InvalidPolicy]:
    name = entry["controlName"]
    control = CONTROLS[name]
    if control.restricted and level == "baseline":
        yield InvalidPolicy(f"{path}.controlName", f'Invalid value: "{name}": Invalid control name defined at the given level')
    if control.scope == "pod" and entry.get("images"):
        detail = "exclude.images must not be specified for the pod level control"
        yield InvalidPolicy(f"{path}.controlName", f'Invalid value: "{name}": {detail}')
    if control.scope == "container" and not entry.get("images"):
        detail = "exclude.images must be specified for the container level control"
        yield InvalidPolicy(f"{path}.controlName", f'Invalid value: "{name}": {detail}')
    if entry.get("restrictedField") and not entry.get("values"):
        yield InvalidPolicy(f"{path}.values", "Forbidden: values is required")
    if entry.get("values") and not entry.get("restrictedField"):
        yield InvalidPolicy(f"{path}.restrictedField", "Forbidden: restrictedField is required")


def unsupported(path: str, value: Any, supported: Iterable[str]) -> InvalidPolicy:
    """The fault of a value outside an enumeration, in the API server's words."""
    shown = ", ".join(f'"{item}"' for item in supported)
    return InvalidPolicy(path, f'Unsupported value: "{value}": supported values: {shown}')


def _raise(faults: Iterable[InvalidPolicy]) -> None:
    found = list(faults)
    if len(found) == 1:
        raise found[0]
    if found:
        raise InvalidPolicy("", f"[{', '.join(map(str, found))}]", place=found[0].path)

"""What a podSecurity rule tells: the message, and the report properties that name controls and images."""

from __future__ import annotations

import json
from collections.abc import Sequence

from engine.lang.image_ref import InvalidImage, parse_image
from engine.rules.pod_security.violations import Finding

METADATA = "metadata."
TEMPLATE_METADATA = "spec.template.metadata."


def passed(rule: str) -> str:
    return f"Validation rule '{rule}' passed."


def failed(rule: str, *, level: str, version: str, findings: Sequence[Finding], spec_path: str) -> str:
    """The message; `spec_path` is where the object keeps the Pod's spec (`spec.template.spec`), `version` as written."""
    groups = "".join(map(_group, findings, [spec_path] * len(findings)))
    return f"Validation rule '{rule}' failed. It violates PodSecurity \"{level}:{version}\": {groups}"


def _group(finding: Finding, spec_path: str) -> str:
    fields = ", ".join(violation.describe(_shown(violation.field, spec_path)) for violation in finding.violations)
    return f"(Forbidden reason: {finding.reason}, field error list: [{fields}])"


def _shown(field: str, spec_path: str) -> str:
    """A Pod's field as a path in the object. Annotations are always shown as a template's, on Pods too (oracle)."""
    if field.startswith(METADATA):
        return TEMPLATE_METADATA + field[len(METADATA) :]
    return spec_path + field[len("spec") :]


def properties(findings: Sequence[Finding], *, level: str, version: str) -> dict[str, str]:
    """The report properties (spec 2.5)."""
    controls = [{"ID": one.check, "Name": one.control, "Images": _references(one.images)} for one in findings]
    return {
        "standard": level,
        "version": version,
        "controls": ",".join(finding.check for finding in findings),
        "controlsJSON": json.dumps(controls, separators=(",", ":"), ensure_ascii=False),
    }


def _references(images: Sequence[str]) -> list[str] | None:
    references = {reference for image in images if (reference := _reference(image))}
    return sorted(references) or None


def _reference(image: str) -> str:
    try:
        return parse_image(image).reference
    except InvalidImage:
        return ""  # the verdict does not depend on it; the kubelet will refuse the image

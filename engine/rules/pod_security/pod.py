"""The Pod that a check looks at: one view on Pods and on the templates of pod controllers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine.errors import EvaluationError

Json = Mapping[str, Any]

TEMPLATES: dict[str, tuple[str, ...]] = {
    "Pod": (),
    **dict.fromkeys(
        ("DaemonSet", "Deployment", "Job", "ReplicaSet", "ReplicationController", "StatefulSet"),
        ("spec", "template"),
    ),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
"""Kind -> where its Pod (metadata and spec) stands."""
CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")
NOTHING: Json = {}


@dataclass(frozen=True, slots=True, eq=False)
class Container:
    """`path` is the place in a Pod (`spec.containers[0]`); `security` is None where securityContext is absent."""

    path: str
    name: str
    image: str
    fields: Json
    security: Json | None


@dataclass(frozen=True, slots=True, eq=False)
class Pod:
    """What the checks read. `containers` are of all three lists: init, regular, ephemeral."""

    annotations: Json
    spec: Json
    security: Json
    containers: tuple[Container, ...]

    @property
    def windows(self) -> bool:
        """Declared to run on Windows, where some restrictions have no meaning."""
        return mapping(self.spec.get("os"), "spec.os").get("name") == "windows"

    def with_only(self, containers: tuple[Container, ...]) -> Pod:
        """These containers in a Pod that says nothing itself: what an exclusion with images looks at."""
        return Pod(NOTHING, NOTHING, NOTHING, containers)

    def without_containers(self) -> Pod:
        """This Pod with one container that says nothing: what an exclusion without images looks at."""
        return replace(self, containers=(_SILENT,))


_SILENT = Container("spec.containers[0]", "", "", NOTHING, None)


def pod_of(document: Any) -> tuple[Pod, str]:
    """The Pod in `document` and the path of its spec (`spec.template.spec`); raises EvaluationError for other kinds."""
    kind = document.get("kind") if isinstance(document, Mapping) else None
    template = TEMPLATES.get(kind) if isinstance(kind, str) else None
    if template is None:
        raise EvaluationError(f"podSecurity checks Pods and pod controllers, not `{kind}`")
    path = ""
    for step in template:
        path = f"{path}.{step}" if path else step
        document = mapping(document.get(step), path)
    metadata = mapping(document.get("metadata"), "metadata")
    spec = mapping(document.get("spec"), "spec")
    containers = tuple(
        _container(item, f"spec.{name}[{index}]")
        for name in CONTAINER_LISTS
        for index, item in enumerate(items(spec.get(name), f"spec.{name}"))
    )
    security = mapping(spec.get("securityContext"), "spec.securityContext")
    annotations = mapping(metadata.get("annotations"), "metadata.annotations")
    return Pod(annotations, spec, security, containers), f"{path}.spec" if path else "spec"


def _container(item: Any, path: str) -> Container:
    fields = mapping(item, path)
    security = fields.get("securityContext")
    if security is not None:
        security = mapping(security, f"{path}.securityContext")
    return Container(path, str(fields.get("name") or ""), str(fields.get("image") or ""), fields, security)


def mapping(value: Any, path: str) -> Json:
    """`value` as a map, an absent one as an empty map; raises EvaluationError for anything else."""
    if value is None:
        return NOTHING
    if not isinstance(value, Mapping):
        raise EvaluationError(f"{path}: must be a map")
    return value


def items(value: Any, path: str) -> list[Any]:
    """`value` as a list, an absent one as an empty list; raises EvaluationError for anything else."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise EvaluationError(f"{path}: must be a list")
    return value

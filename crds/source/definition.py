"""From a kind's schemas to the document of its custom resource definition (apiextensions.k8s.io/v1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from crds.source.shapes import Schema, record, string

READY = '.status.conditions[?(@.type == "Ready")].status'
READY_MESSAGE = '.status.conditions[?(@.type == "Ready")].message'
CREATED = ".metadata.creationTimestamp"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of ``kubectl get``; ``wide`` ones are printed with ``-o wide`` only."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False

    def document(self) -> Schema:
        """The entry of additionalPrinterColumns."""
        return {"name": self.name, "type": self.type, "jsonPath": self.path} | ({"priority": 1} if self.wide else {})


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a kind. ``fields`` are the top-level fields beside apiVersion, kind and metadata."""

    name: str
    fields: dict[str, Schema]
    required: tuple[str, ...] = ("spec",)
    columns: Sequence[Column] = ()
    served: bool = True
    storage: bool = False
    deprecated: bool = False
    status: bool = True


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind with all its versions."""

    group: str
    kind: str
    plural: str
    short: str
    text: str
    versions: tuple[Version, ...]
    namespaced: bool = False
    category: str = "kyverno"

    @property
    def name(self) -> str:
        """Name of the definition."""
        return f"{self.plural}.{self.group}"

    @property
    def file(self) -> str:
        """Name of the definition's file."""
        return f"{self.group}_{self.plural}.yaml"

    def document(self) -> dict[str, Any]:
        """The whole definition."""
        names: dict[str, Any] = {
            "kind": self.kind,
            "listKind": f"{self.kind}List",
            "plural": self.plural,
            "singular": self.kind.lower(),
            "shortNames": [self.short],
        }
        if self.category:
            names["categories"] = [self.category]
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {
                "name": self.name,
                "labels": {
                    "app.kubernetes.io/component": "crds",
                    "app.kubernetes.io/instance": "kyverno",
                    "app.kubernetes.io/part-of": "kyverno-crds",
                },
            },
            "spec": {
                "group": self.group,
                "names": names,
                "scope": "Namespaced" if self.namespaced else "Cluster",
                "conversion": {"strategy": "None"},
                "versions": [self._version(version) for version in self.versions],
            },
        }

    def _version(self, version: Version) -> Schema:
        schema = record(
            {
                "apiVersion": string("Group and version of the schema."),
                "kind": string("Kind of the object."),
                "metadata": {"type": "object"},
                **version.fields,
            },
            self.text,
            required=version.required,
        )
        document: Schema = {"name": version.name, "served": version.served, "storage": version.storage}
        if version.deprecated:
            document["deprecated"] = True
        if version.columns:
            document["additionalPrinterColumns"] = [column.document() for column in version.columns]
        if version.status:
            document["subresources"] = {"status": {}}
        return document | {"schema": {"openAPIV3Schema": schema}}

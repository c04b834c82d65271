"""In which API reports are written: PolicyReports, openreports, or only EphemeralReports (flags)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from controllers.cluster import ephemeral_reports
from controllers.cluster.watch import Target
from engine import Object, report
from engine.report import Row, Subject

OURS = "app.kubernetes.io/managed-by=kyverno"
SCANNED = "-scan"


@dataclass(frozen=True, slots=True)
class Form:
    """One API: where reports of namespaced and of cluster-scoped objects are, and how they look."""

    api: str
    plurals: tuple[str, str]
    wrap: Callable[[Object], Object]
    rows: Callable[[Object], list[Row]]
    targets: tuple[Target, Target]
    suffix: str = ""

    def path(self, uid: str, namespace: str) -> str:
        """Of an object's report, or without uid of the collection."""
        within = f"/namespaces/{namespace}/{self.plurals[0]}" if namespace else f"/{self.plurals[1]}"
        return f"{self.api}{within}/{uid}{self.suffix}" if uid else f"{self.api}{within}"

    def uid(self, name: str) -> str:
        """The uid of the object that the report of that name is about."""
        return name.removesuffix(self.suffix)

    def document(self, subject: Subject, rows: list[Row], annotations: Mapping[str, str]) -> Object:
        """A whole report."""
        made = self.wrap(report.document(subject, rows, annotations=annotations))
        made["metadata"]["name"] += self.suffix
        return made


def _form(
    api: str,
    plurals: tuple[str, str],
    wrap: Callable[[Object], Object],
    rows: Callable[[Object], list[Row]],
    *,
    selector: str = OURS,
    suffix: str = "",
) -> Form:
    first, second = (Target(f"{api}/{plural}", label_selector=selector, metadata=True) for plural in plurals)
    return Form(api, plurals, wrap, rows, (first, second), suffix)


def _same(made: Object) -> Object:
    return made


def _ephemeral(made: Object) -> Object:
    metadata, scope = made["metadata"], made["scope"]
    labels = {
        **metadata["labels"],
        ephemeral_reports.SOURCE: "background-scan",
        f"{ephemeral_reports.RESOURCE}.uid": scope["uid"],
        f"{ephemeral_reports.RESOURCE}.kind": scope["kind"],
    }
    notes = {**(metadata.get("annotations") or {}), ephemeral_reports.NAME_ANNOTATION: scope["name"]}
    if scope.get("namespace"):
        notes[ephemeral_reports.NAMESPACE_ANNOTATION] = scope["namespace"]
    owner = {"apiVersion": "", "kind": "", "name": "", "uid": ""}
    return {
        "apiVersion": "reports.kyverno.io/v1",
        "kind": "EphemeralReport" if scope.get("namespace") else "ClusterEphemeralReport",
        "metadata": {**metadata, "labels": labels, "annotations": notes},
        "spec": {"owner": owner, "summary": made["summary"], "results": made["results"]},
    }


def _ephemeral_rows(stored: Object) -> list[Row]:
    return list((stored.get("spec") or {}).get("results") or ())


POLICY_REPORTS = _form("/apis/wgpolicyk8s.io/v1alpha2", ("policyreports", "clusterpolicyreports"), _same, report.rows_of)
OPEN_REPORTS = _form("/apis/openreports.io/v1alpha1", ("reports", "clusterreports"), report.openreports, report.rows_of)
EPHEMERAL_REPORTS = _form(
    ephemeral_reports.API,
    ("ephemeralreports", "clusterephemeralreports"),
    _ephemeral,
    _ephemeral_rows,
    selector=f"{OURS},{ephemeral_reports.SOURCE}=background-scan",
    suffix=SCANNED,
)

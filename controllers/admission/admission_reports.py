"""Results of admission requests on their way to reports (spec 3.6): one EphemeralReport for each request that was let pass."""

from __future__ import annotations

from controllers.cluster.ephemeral_reports import Draft, EphemeralReports, content_hash, identities_of
from controllers.cluster.policies import Policies
from engine import Effect, PolicyIdentity, Request, Verdict, report
from engine.report import Subject


class AdmissionReports:
    """Drafts a report of a verdict. `reporting`: the types of rules whose results count; `allowed`: the results that do."""

    def __init__(
        self, writer: EphemeralReports, policies: Policies, *, reporting: frozenset[Effect], allowed: frozenset[str]
    ) -> None:
        self._writer = writer
        self._policies = policies
        self._reporting = reporting
        self._allowed = allowed

    def put(self, request: Request, verdict: Verdict) -> None:
        """Takes a verdict; those about dry runs, blocked requests, deletions, events and subresources have no report."""
        if request.object is None or request.dry_run or not verdict.allowed or request.operation not in ("CREATE", "UPDATE"):
            return
        if request.kind.kind == "Event" or request.subresource or request.resource is None:
            return
        results = [
            result for result in verdict.results if result.rule.effect in self._reporting and report.reported(result.rule.policy)
        ]
        seconds = request.now // 10**9
        rows = [report.row(result, background=self._background(result.rule.policy), seconds=seconds) for result in results]
        rows = [row for row in rows if row["result"] in self._allowed]
        subject = Subject.of(request.object)
        if not rows or not (subject.uid or subject.name):
            return
        self._writer.put(
            Draft(
                name=request.uid,
                subject=subject,
                resource=request.resource,
                rows=tuple(report.merge(rows)),
                identities=identities_of(results),
                source="admission",
                hash=content_hash(request.object),
                stored=request.operation == "UPDATE",
            )
        )

    def _background(self, identity: PolicyIdentity) -> bool:
        policy = self._policies.find(identity.name, identity.namespace)
        return policy is not None and policy.background

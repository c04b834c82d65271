"""The command line of the admission controller: Kyverno's flags (spec 6.1)."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from controllers.cluster import flags as command_line
from controllers.cluster.flags import (
    COMMON,
    Flag,
    Parse,
    boolean,
    port,
    seconds,
)
from controllers.cluster.operator_flags import JUDGE, OPERATOR, WEBHOOKS

FLAGS: Sequence[Flag] = (
    *(flag._replace(default=10_000_000) if flag.name == "maxAPICallResponseLength" else flag for flag in OPERATOR),
    *WEBHOOKS,
    *JUDGE,
    Flag("caSecretName", str, "kyverno-svc.kyverno.svc.kyverno-tls-ca", "Secret of the certificate authority"),
    Flag("tlsSecretName", str, "kyverno-svc.kyverno.svc.kyverno-tls-pair", "Secret of the serving certificate"),
    Flag("webhookServerHost", str, "", "address to listen on; all by default"),
    Flag("webhookServerPort", port, 9443, "port to listen on"),
    Flag("autoUpdateWebhooks", boolean, True, "compute webhook rules from the policies; otherwise everything is sent"),
    Flag("forceFailurePolicyIgnore", boolean, False, "no webhook ever blocks when we do not answer"),
    Flag("excludeBootstrapResources", boolean, False, "Fail webhooks leave nodes and certificate requests out"),
    Flag("admissionReports", boolean, True, "reports on admission requests"),
    Flag("maxAdmissionReports", int, 10_000, "ephemeral reports in the cluster; above it new ones are dropped"),
    Flag("maxAuditWorkers", int, 8, "ephemeral reports written at the same time"),
    Flag("maxAuditCapacity", int, 1000, "ephemeral reports waiting to be written; more are dropped"),
    Flag(
        "backgroundServiceAccountName",
        str,
        "system:serviceaccount:kyverno:kyverno-background-controller",
        "user name of the background controller, whose own requests start no rules",
    ),
    Flag("reportsServiceAccountName", str, "", "user name of the reports controller; what it may not read is warned about"),
    Flag("protectManagedResources", boolean, False, "only we may change what we manage, as far as webhooks are asked about it"),
    Flag("shutdownDrain", seconds, 5.0, "time between failing readiness and refusing requests"),
)
ACCEPTED: Mapping[str, Parse] = {
    **COMMON,
    "openreportsEnabled": boolean,
    "webhookRegistrationTimeout": seconds,
    "generateValidatingAdmissionPolicy": boolean,
    "generateMutatingAdmissionPolicy": boolean,
    "dumpPatches": boolean,
    "controllerRuntimeMetricsAddress": str,
}
"""Kyverno's flags that manifests carry and that change nothing here (yet): checked for their form, otherwise without effect."""


def parser() -> argparse.ArgumentParser:
    """All flags of this controller."""
    return command_line.parser("controllers.admission", FLAGS, ACCEPTED)


def read(arguments: Sequence[str]) -> argparse.Namespace:
    """The flags; unknown ones end the process with a message."""
    return command_line.read(parser(), arguments)


__all__ = ["FLAGS", "parser", "read", "seconds"]

"""The command line of the admission controller: Kyverno's flags (spec 6.1)."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from controllers.cluster import flags as command_line
from controllers.cluster import outside
from controllers.cluster.flags import (
    COMMON,
    Flag,
    Parse,
    algorithm,
    boolean,
    effects,
    interval,
    logging_format,
    port,
    results,
    seconds,
)

FLAGS: Sequence[Flag] = (
    Flag("kubeconfig", str, "", "kubeconfig file; without it the Pod's ServiceAccount, $KUBECONFIG or ~/.kube/config"),
    Flag("caSecretName", str, "kyverno-svc.kyverno.svc.kyverno-tls-ca", "Secret of the certificate authority"),
    Flag("tlsSecretName", str, "kyverno-svc.kyverno.svc.kyverno-tls-pair", "Secret of the serving certificate"),
    Flag("tlsKeyAlgorithm", algorithm, "ECDSA", "keys of new certificates: RSA, ECDSA, Ed25519"),
    Flag("disableCertManagerController", boolean, False, "never renew certificates"),
    Flag("renewBefore", seconds, 0.0, "time before its end at which a certificate is renewed; 0: at two thirds of its life"),
    Flag("serverIP", str, "", "webhooks call https://serverIP instead of the Service; may carry a port"),
    Flag("servicePort", port, 443, "port of the Service"),
    Flag("webhookServerHost", str, "", "address to listen on; all by default"),
    Flag("webhookServerPort", port, 9443, "port to listen on"),
    Flag("webhookTimeout", int, 10, "timeoutSeconds of webhooks"),
    Flag("autoUpdateWebhooks", boolean, True, "compute webhook rules from the policies; otherwise everything is sent"),
    Flag("forceFailurePolicyIgnore", boolean, False, "no webhook ever blocks when we do not answer"),
    Flag("excludeBootstrapResources", boolean, False, "Fail webhooks leave nodes and certificate requests out"),
    Flag("admissionReports", boolean, True, "reports on admission requests"),
    Flag("maxAdmissionReports", int, 10_000, "ephemeral reports in the cluster; above it new ones are dropped"),
    Flag("maxAuditWorkers", int, 8, "ephemeral reports written at the same time"),
    Flag("maxAuditCapacity", int, 1000, "ephemeral reports waiting to be written; more are dropped"),
    Flag("enableReporting", effects, effects(command_line.REPORTING), "types of rules whose results are reported"),
    Flag("allowedResults", results, results(command_line.RESULTS), "results that are reported"),
    Flag(
        "backgroundServiceAccountName",
        str,
        "system:serviceaccount:kyverno:kyverno-background-controller",
        "user name of the background controller, whose own requests start no rules",
    ),
    Flag("reportsServiceAccountName", str, "", "user name of the reports controller; what it may not read is warned about"),
    Flag("protectManagedResources", boolean, False, "only we may change what we manage, as far as webhooks are asked about it"),
    Flag("enablePolicyException", boolean, False, "PolicyExceptions count"),
    Flag("exceptionNamespace", str, "", "their namespace; * for all"),
    Flag("metricsPort", port, 8000, "port of /metrics"),
    Flag("metricsHost", str, "", "address of /metrics"),
    Flag("disableMetrics", boolean, False, "no /metrics"),
    Flag("omitEvents", str, "", "event reasons that are not written, comma-separated"),
    Flag("maxQueuedEvents", int, 1000, "events waiting to be written; more are dropped"),
    Flag("eventsRateLimitQPS", int, 50, "events written per second"),
    Flag("eventsRateLimitBurst", int, 100, "events written at once"),
    Flag("clientRateLimitQPS", float, 300.0, "requests to the API server per second on average; 0: no limit"),
    Flag("clientRateLimitBurst", int, 300, "requests to the API server at once"),
    *(flag._replace(default=10_000_000) if flag.name == "maxAPICallResponseLength" else flag for flag in outside.FLAGS),
    Flag("leaderElectionRetryPeriod", interval, 2.0, "time between two tries to lead"),
    Flag("resyncPeriod", seconds, 900.0, "time between two full comparisons of webhook configurations"),
    Flag("shutdownDrain", seconds, 5.0, "time between failing readiness and refusing requests"),
    Flag("loggingFormat", logging_format, "text", "text or json"),
    Flag("v", int, 2, "verbosity; 4 and above also logs debug messages"),
    Flag("dumpPayload", boolean, False, "log admission requests, without the contents of secrets"),
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

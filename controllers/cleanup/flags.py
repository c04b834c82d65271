"""The command line of the cleanup controller: Kyverno's flags (spec 6.1)."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from controllers.cluster import flags as command_line
from controllers.cluster import outside
from controllers.cluster.flags import COMMON, Flag, Parse, algorithm, boolean, interval, logging_format, port, seconds

FLAGS: Sequence[Flag] = (
    Flag("kubeconfig", str, "", "kubeconfig file; without it the Pod's ServiceAccount, $KUBECONFIG or ~/.kube/config"),
    Flag("ttlReconciliationInterval", seconds, 60.0, "time between two questions for the kinds whose objects may be deleted"),
    Flag("caSecretName", str, "kyverno-cleanup-controller.kyverno.svc.kyverno-tls-ca", "Secret of the certificate authority"),
    Flag("tlsSecretName", str, "kyverno-cleanup-controller.kyverno.svc.kyverno-tls-pair", "Secret of the serving certificate"),
    Flag("tlsKeyAlgorithm", algorithm, "ECDSA", "keys of new certificates: RSA, ECDSA, Ed25519"),
    Flag("disableCertManagerController", boolean, False, "never renew certificates"),
    Flag("renewBefore", seconds, 0.0, "time before its end at which a certificate is renewed; 0: at two thirds of its life"),
    Flag("serverIP", str, "", "webhooks call https://serverIP instead of the Service; may carry a port"),
    Flag("servicePort", port, 443, "port of the Service"),
    Flag("cleanupServerHost", str, "", "address to listen on; all by default"),
    Flag("cleanupServerPort", port, 9443, "port to listen on"),
    Flag("webhookTimeout", int, 10, "timeoutSeconds of webhooks"),
    Flag("autoDeleteWebhooks", boolean, False, "accepted; the webhooks go with their Deployment in any case"),
    Flag("protectManagedResources", boolean, False, "what we manage is not cleaned up"),
    Flag("metricsPort", port, 8000, "port of /metrics"),
    Flag("metricsHost", str, "", "address of /metrics"),
    Flag("disableMetrics", boolean, False, "no /metrics"),
    Flag("omitEvents", str, "", "event reasons that are not written, comma-separated"),
    Flag("maxQueuedEvents", int, 1000, "events waiting to be written; more are dropped"),
    Flag("eventsRateLimitQPS", int, 50, "events written per second"),
    Flag("eventsRateLimitBurst", int, 100, "events written at once"),
    Flag("clientRateLimitQPS", float, 300.0, "requests to the API server per second on average; 0: no limit"),
    Flag("clientRateLimitBurst", int, 300, "requests to the API server at once"),
    *outside.FLAGS,
    Flag("leaderElectionRetryPeriod", interval, 2.0, "time between two tries to lead"),
    Flag("resyncPeriod", seconds, 900.0, "time between two full comparisons of webhook configurations"),
    Flag("shutdownDrain", seconds, 3.0, "time between failing readiness and refusing requests"),
    Flag("dumpPayload", boolean, False, "log admission requests, without the contents of secrets"),
    Flag("loggingFormat", logging_format, "text", "text or json"),
    Flag("v", int, 2, "verbosity; 4 and above also logs debug messages"),
)
ACCEPTED: Mapping[str, Parse] = {
    **COMMON,
    "enablePolicyException": boolean,
    "exceptionNamespace": str,
    "enableReporting": str,
    "allowedResults": str,
    "openreportsEnabled": boolean,
}
"""Kyverno's flags that manifests carry and that change nothing here (yet): checked for their form, otherwise without effect."""


def parser() -> argparse.ArgumentParser:
    """All flags of this controller."""
    return command_line.parser("controllers.cleanup", FLAGS, ACCEPTED)


def read(arguments: Sequence[str]) -> argparse.Namespace:
    """The flags; unknown ones end the process with a message."""
    return command_line.read(parser(), arguments)

"""Flags that several controllers have (spec 6.1): of every operator, of those that judge by policies, of those with webhooks."""

from __future__ import annotations

from collections.abc import Sequence

from controllers.cluster import outside
from controllers.cluster.flags import (
    REPORTING,
    RESULTS,
    Flag,
    algorithm,
    boolean,
    effects,
    interval,
    logging_format,
    port,
    results,
    seconds,
)

OPERATOR: Sequence[Flag] = (
    Flag("kubeconfig", str, "", "kubeconfig file; without it the Pod's ServiceAccount, $KUBECONFIG or ~/.kube/config"),
    Flag("metricsPort", port, 8000, "port of /metrics and of the probes over plain HTTP"),
    Flag("metricsHost", str, "", "address of /metrics and of the probes"),
    Flag("disableMetrics", boolean, False, "no /metrics; the probes stay"),
    Flag("omitEvents", str, "", "event reasons that are not written, comma-separated"),
    Flag("maxQueuedEvents", int, 1000, "events waiting to be written; more are dropped"),
    Flag("eventsRateLimitQPS", int, 50, "events written per second"),
    Flag("eventsRateLimitBurst", int, 100, "events written at once"),
    Flag("clientRateLimitQPS", float, 300.0, "requests to the API server per second on average; 0: no limit"),
    Flag("clientRateLimitBurst", int, 300, "requests to the API server at once"),
    *outside.FLAGS,
    Flag("leaderElectionRetryPeriod", interval, 2.0, "time between two tries to lead"),
    Flag("loggingFormat", logging_format, "text", "text or json"),
    Flag("v", int, 2, "verbosity; 4 and above also logs debug messages"),
)
JUDGE: Sequence[Flag] = (
    Flag("enableReporting", effects, effects(REPORTING), "types of rules whose results are reported"),
    Flag("allowedResults", results, results(RESULTS), "results that are reported"),
    Flag("enablePolicyException", boolean, False, "PolicyExceptions count"),
    Flag("exceptionNamespace", str, "", "their namespace; * for all"),
)
WEBHOOKS: Sequence[Flag] = (
    Flag("tlsKeyAlgorithm", algorithm, "ECDSA", "keys of new certificates: RSA, ECDSA, Ed25519"),
    Flag("disableCertManagerController", boolean, False, "never renew certificates"),
    Flag("renewBefore", seconds, 0.0, "time before its end at which a certificate is renewed; 0: at two thirds of its life"),
    Flag("serverIP", str, "", "webhooks call https://serverIP instead of the Service; may carry a port"),
    Flag("servicePort", port, 443, "port of the Service"),
    Flag("webhookTimeout", int, 10, "timeoutSeconds of webhooks"),
    Flag("resyncPeriod", seconds, 900.0, "time between two full comparisons of webhook configurations"),
    Flag("dumpPayload", boolean, False, "log admission requests, without the contents of secrets"),
)

"""The command line of the reports controller: Kyverno's flags (spec 6.1)."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from controllers.cluster import flags as command_line
from controllers.cluster import outside
from controllers.cluster.flags import (
    COMMON,
    Flag,
    Parse,
    boolean,
    effects,
    interval,
    logging_format,
    port,
    positive,
    results,
    seconds,
)

FLAGS: Sequence[Flag] = (
    Flag("kubeconfig", str, "", "kubeconfig file; without it the Pod's ServiceAccount, $KUBECONFIG or ~/.kube/config"),
    Flag("backgroundScan", boolean, True, "scan stored objects"),
    Flag("backgroundScanInterval", interval, 3600.0, "time between two scans of everything"),
    Flag("backgroundScanWorkers", positive, 2, "objects judged at the same time, of all kinds together"),
    Flag("aggregationWorkers", positive, 10, "reports written at the same time"),
    Flag(
        "maxBackgroundReports",
        int,
        10000,
        "ephemeral reports of scans (--policyReports=false) stored at most; 0: any",
    ),
    Flag("admissionReports", boolean, True, "take over results of admission requests"),
    Flag("aggregateReports", boolean, True, "merge ephemeral reports into reports"),
    Flag("policyReports", boolean, True, "write PolicyReports; otherwise results stay in ephemeral reports"),
    Flag("openreportsEnabled", boolean, False, "write reports of openreports.io instead of wgpolicyk8s.io"),
    Flag("validatingAdmissionPolicyReports", boolean, True, "scan with ValidatingAdmissionPolicies labelled for reports"),
    Flag("skipResourceFilters", boolean, True, "resourceFilters of the ConfigMap do not limit scans"),
    Flag("enableReporting", effects, effects(command_line.REPORTING), "types of rules whose results are reported"),
    Flag("allowedResults", results, results(command_line.RESULTS), "results that are reported"),
    Flag("reportsCRDsSanityChecks", boolean, True, "do not start without the report CRDs"),
    Flag("enablePolicyException", boolean, False, "PolicyExceptions count"),
    Flag("exceptionNamespace", str, "", "their namespace; * for all"),
    Flag("metricsPort", port, 8000, "port of /metrics and of the probes"),
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
ACCEPTED: Mapping[str, Parse] = {
    **COMMON,
    "resyncPeriod": seconds,
    "mutatingAdmissionPolicyReports": boolean,
    "controllerRuntimeMetricsAddress": str,
}
"""Kyverno's flags that manifests carry and that change nothing here (yet): checked for their form, otherwise without effect."""


def parser() -> argparse.ArgumentParser:
    """All flags of this controller."""
    return command_line.parser("controllers.reports", FLAGS, ACCEPTED)


def read(arguments: Sequence[str]) -> argparse.Namespace:
    """The flags; unknown ones end the process with a message."""
    return command_line.read(parser(), arguments)

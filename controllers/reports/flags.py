"""The command line of the reports controller: Kyverno's flags (spec 6.1)."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from controllers.cluster import flags as command_line
from controllers.cluster.flags import (
    COMMON,
    Flag,
    Parse,
    boolean,
    interval,
    positive,
    seconds,
)
from controllers.cluster.operator_flags import JUDGE, OPERATOR

FLAGS: Sequence[Flag] = (
    *OPERATOR,
    *JUDGE,
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
    Flag("reportsCRDsSanityChecks", boolean, True, "do not start without the report CRDs"),
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

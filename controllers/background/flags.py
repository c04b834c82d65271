"""The command line of the background controller: Kyverno's flags (spec 6.1)."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from controllers.cluster import flags as command_line
from controllers.cluster.flags import COMMON, Flag, Parse, boolean, seconds
from controllers.cluster.operator_flags import JUDGE, OPERATOR

FLAGS: Sequence[Flag] = (
    *OPERATOR,
    *JUDGE,
    Flag("genWorkers", int, 10, "UpdateRequests carried out at the same time"),
    Flag("maxBackgroundReports", int, 10000, "ephemeral reports stored; more are dropped"),
)
ACCEPTED: Mapping[str, Parse] = {
    **COMMON,
    "resyncPeriod": seconds,
    "openreportsEnabled": boolean,
    "controllerRuntimeMetricsAddress": str,
}
"""Kyverno's flags that manifests carry and that change nothing here (yet): checked for their form, otherwise without effect."""


def parser() -> argparse.ArgumentParser:
    """All flags of this controller."""
    return command_line.parser("controllers.background", FLAGS, ACCEPTED)


def read(arguments: Sequence[str]) -> argparse.Namespace:
    """The flags; unknown ones end the process with a message."""
    return command_line.read(parser(), arguments)

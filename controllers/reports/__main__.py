"""`python -m controllers.reports`: runs the reports controller with Kyverno's flags."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from controllers.cluster import process
from controllers.cluster.flags import Environment
from controllers.reports import flags

if TYPE_CHECKING:
    from controllers.cluster.credentials import Credentials
    from controllers.reports.operator import Reports


def main() -> int:
    """The exit status: 0 after an orderly end, 1 when it could not start."""
    return process.run("reports", flags.read(sys.argv[1:]), _make)


def _make(read: argparse.Namespace, environment: Environment, credentials: Credentials) -> Reports:
    from controllers.reports.operator import Reports  # after logging is set up: it takes most of the start

    return Reports(read, environment, credentials)


if __name__ == "__main__":
    sys.exit(main())

"""`python -m controllers.admission`: runs the admission controller with Kyverno's flags."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from controllers.admission import flags
from controllers.cluster import process
from controllers.cluster.flags import Environment

if TYPE_CHECKING:
    from controllers.admission.operator import Admission
    from controllers.cluster.credentials import Credentials


def main() -> int:
    """The exit status: 0 after an orderly end, 1 when it could not start."""
    return process.run("admission", flags.read(sys.argv[1:]), _make)


def _make(read: argparse.Namespace, environment: Environment, credentials: Credentials) -> Admission:
    from controllers.admission.operator import Admission  # after logging is set up: it takes most of the start

    return Admission(read, environment, credentials)


if __name__ == "__main__":
    sys.exit(main())

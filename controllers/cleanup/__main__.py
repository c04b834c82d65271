"""`python -m controllers.cleanup`: runs the cleanup controller with Kyverno's flags."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from controllers.cleanup import flags
from controllers.cluster import process
from controllers.cluster.flags import Environment

if TYPE_CHECKING:
    from controllers.cleanup.operator import Cleanup
    from controllers.cluster.credentials import Credentials


def main() -> int:
    """The exit status: 0 after an orderly end, 1 when it could not start."""
    return process.run("cleanup", flags.read(sys.argv[1:]), _make)


def _make(read: argparse.Namespace, environment: Environment, credentials: Credentials) -> Cleanup:
    from controllers.cleanup.operator import Cleanup  # after logging is set up: it takes most of the start

    return Cleanup(read, environment, credentials)


if __name__ == "__main__":
    sys.exit(main())

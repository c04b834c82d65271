"""`python -m controllers.background`: runs the background controller with Kyverno's flags."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from controllers.background import flags
from controllers.cluster import process
from controllers.cluster.flags import Environment

if TYPE_CHECKING:
    from controllers.background.operator import Background
    from controllers.cluster.credentials import Credentials


def main() -> int:
    """The exit status: 0 after an orderly end, 1 when it could not start."""
    return process.run("background", flags.read(sys.argv[1:]), _make)


def _make(read: argparse.Namespace, environment: Environment, credentials: Credentials) -> Background:
    from controllers.background.operator import Background  # after logging is set up: it takes most of the start

    return Background(read, environment, credentials)


if __name__ == "__main__":
    sys.exit(main())

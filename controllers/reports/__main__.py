"""`python -m controllers.reports`: runs the reports controller with Kyverno's flags."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from controllers.cluster import logs
from controllers.cluster.flags import Environment
from controllers.reports import flags

logger = logging.getLogger("pyvern")


def main() -> int:
    """The exit status: 0 after an orderly end, 1 when it could not start or failed."""
    read = flags.read(sys.argv[1:])
    logs.configure(read.loggingFormat, read.v)
    import uvloop

    from controllers.cluster.credentials import NoCredentials, load
    from controllers.reports.operator import MissingKinds, Reports

    try:
        reports = Reports(read, Environment.read(os.environ, controller="reports"), load(read.kubeconfig))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(reports.run())
    except (NoCredentials, MissingKinds) as error:
        logger.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m controllers.cleanup`: runs the cleanup controller with Kyverno's flags."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from controllers.cleanup import flags
from controllers.cluster import logs
from controllers.cluster.flags import Environment

logger = logging.getLogger("pyvern")


def main() -> int:
    """The exit status: 0 after an orderly end, 1 when it could not start or failed."""
    read = flags.read(sys.argv[1:])
    logs.configure(read.loggingFormat, read.v)
    import uvloop

    from controllers.cleanup.operator import Cleanup
    from controllers.cluster.credentials import NoCredentials, load
    from controllers.cluster.server import PortTaken

    try:
        cleanup = Cleanup(read, Environment.read(os.environ, controller="cleanup"), load(read.kubeconfig))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(cleanup.run())
    except (NoCredentials, PortTaken) as error:
        logger.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

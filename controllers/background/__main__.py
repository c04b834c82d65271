"""`python -m controllers.background`: runs the background controller with Kyverno's flags."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from controllers.background import flags
from controllers.cluster import logs
from controllers.cluster.flags import Environment, seconds

logger = logging.getLogger("pyvern")


def main() -> int:
    """The exit status: 0 after an orderly end, 1 when it could not start or failed."""
    read = flags.read(sys.argv[1:])
    logs.configure(read.loggingFormat, read.v)
    import uvloop

    from controllers.background.operator import Background
    from controllers.cluster.credentials import NoCredentials, load

    environment = Environment.read(os.environ, controller="background")
    repair_every = seconds(os.environ.get("BACKGROUND_SCAN_INTERVAL") or "1h")
    try:
        background = Background(read, environment, load(read.kubeconfig), repair_every=repair_every)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(background.run())
    except NoCredentials as error:
        logger.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

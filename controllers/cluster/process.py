"""The process of a controller: flags in, exit status out."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from controllers.cluster import logs
from controllers.cluster.failure import CannotStart
from controllers.cluster.flags import Environment

if TYPE_CHECKING:
    from controllers.cluster.credentials import Credentials

logger = logging.getLogger("pyvern")


class Runs(Protocol):
    """An operator."""

    async def run(self) -> None: ...


def run(controller: str, flags: argparse.Namespace, make: Callable[[argparse.Namespace, Environment, Credentials], Runs]) -> int:
    """Lives until the operator that `make` builds has ended: 0 after an orderly end, 1 when it could not start.

    Any other error of the operator goes through: it is a bug, or the reason why the kubelet must start the process again.
    """
    logs.configure(flags.loggingFormat, flags.v)
    import uvloop

    from controllers.cluster.credentials import load

    try:
        operator = make(flags, Environment.read(os.environ, controller=controller), load(flags.kubeconfig))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(operator.run())
    except CannotStart as error:
        logger.error("%s", error)
        return 1
    return 0

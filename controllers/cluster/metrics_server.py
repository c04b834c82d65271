"""GET /metrics over plain HTTP, as Prometheus wants it, and the probes of controllers that serve nothing else."""

from __future__ import annotations

import logging
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from controllers.cluster.metrics import Metrics

logger = logging.getLogger("pyvern.metrics")


class MetricsServer:
    """One port. A port that is taken is an error in the log, no reason to stop. `ready` answers the readiness probe.

    Without `rendering` (--disableMetrics) the probes alone are there.
    """

    def __init__(self, metrics: Metrics, *, host: str, port: int, ready: Callable[[], bool], rendering: bool = True) -> None:
        self._metrics = metrics
        self._host = host or None
        self._port = port
        self._ready = ready
        self._rendering = rendering
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        application = web.Application()
        if self._rendering:
            application.router.add_get("/metrics", self._render)
        application.router.add_get("/health/liveness", self._live)
        application.router.add_get("/health/readiness", self._readiness)
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            logger.error("no metrics: port %d: %s; use --metricsPort", self._port, error.strerror)

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _render(self, request: web.Request) -> web.Response:
        """All metrics, or those that `?name[]=` asks for, as Prometheus' own servers do."""
        names = request.query.getall("name[]", [])
        return web.Response(body=self._metrics.render(names), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _live(self, _: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _readiness(self, _: web.Request) -> web.Response:
        return web.Response(text="ok") if self._ready() else web.Response(status=503, text="not ready")

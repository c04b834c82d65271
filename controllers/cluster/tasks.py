"""Background tasks of one process: named, ended together, and never failing in silence."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

logger = logging.getLogger("pyvern.tasks")


class Tasks:
    """Tasks that live as long as the process. `failed` is called with the error of the first one that ends with one."""

    def __init__(self, failed: Callable[[BaseException], None]) -> None:
        self._failed = failed
        self._living: set[asyncio.Task[None]] = set()

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=name)
        self._living.add(task)
        task.add_done_callback(self._ended)

    async def end(self, *names: str, patience: float = 10.0) -> None:
        """Cancels the tasks of these names, without names all but the caller, and waits for them."""
        chosen = [task for task in self._living if task is not asyncio.current_task() and (not names or task.get_name() in names)]
        for task in chosen:
            task.cancel()
        if chosen:
            await asyncio.wait(chosen, timeout=patience)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._living.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("%s failed", task.get_name(), exc_info=error)
            self._failed(error)

"""What waits to be written about one object."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from engine.report import Row, Subject


@dataclass(slots=True)
class Job:
    """Rows about one object. `scan` is None when no scan has spoken; `others` come from elsewhere.

    `done` are resolved when the rows are written or given up; `attempt` counts failed tries. `since`: Unix time before which no
    admission review was about the object as it is now.
    """

    subject: Subject
    scan: list[Row] | None = None
    others: list[Row] = field(default_factory=list)
    done: list[asyncio.Future[None]] = field(default_factory=list)
    attempt: int = 0
    since: int = 0

    def take_over(self, failed: Job) -> None:
        """What an earlier job could not write, as far as nothing newer is known."""
        self.scan = failed.scan if self.scan is None else self.scan
        self.others[:0] = failed.others
        self.done.extend(failed.done)
        self.attempt = max(self.attempt, failed.attempt)
        self.since = max(self.since, failed.since)

    def settle(self) -> None:
        """Nothing is left to do."""
        for done in self.done:
            if not done.done():
                done.set_result(None)

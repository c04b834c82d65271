"""Moments of the API: RFC 3339 in UTC, here Unix nanoseconds."""

from __future__ import annotations

import datetime
import time

SECOND = 1_000_000_000


def parse(text: str) -> int | None:
    """Unix nanoseconds of a timestamp; None for what is none."""
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return int(moment.timestamp()) * SECOND


def show(moment: int) -> str:
    """A metav1.Time: whole seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment // SECOND))

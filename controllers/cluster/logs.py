"""Structured logs on stderr: `text` for people, `json` for machines."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import orjson

QUIET = ("kopf", "aiohttp", "asyncio", "_granian", "granian")


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "level": record.levelname.lower(),
            "ts": _time(record),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(entry).decode()


class TextFormatter(logging.Formatter):
    """Time, level, logger, message; control characters of users' input are escaped, so that nobody can forge lines."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage().encode("unicode_escape").decode() if _control(record.getMessage()) else record.getMessage()
        line = f"{_time(record)} {record.levelname:<7} {record.name}: {message}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure(form: str, verbosity: int) -> None:
    """Sends everything to stderr; `verbosity` as Kyverno's -v: 4 and above means debug messages."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbosity >= 4 else logging.INFO)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.DEBUG if verbosity >= 6 else logging.WARNING)


def _time(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"


def _control(text: str) -> bool:
    return not text.isprintable()

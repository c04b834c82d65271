"""A small client for the API server: what the scripts of this folder ask, with the standard library."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any


class Refused(Exception):
    """The API server answered with an error. Fields: `code` (HTTP) and `message`."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Api:
    """One API server, one bearer token."""

    def __init__(self, url: str, *, ca: Path, token: str) -> None:
        self.url = url
        self._token = token
        self._tls = ssl.create_default_context(cafile=str(ca))

    def ask(self, path: str, *, method: str = "GET", body: Any = None, content_type: str = "application/json") -> Any:
        """The parsed JSON answer. Errors: Refused; OSError when the server cannot be reached."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": content_type, "Accept": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, context=self._tls, timeout=30) as answer:
                raw = answer.read()
        except urllib.error.HTTPError as error:
            raise Refused(error.code, _message(error.read())) from error
        return json.loads(raw) if raw[:1] in b"{[" else raw.decode()

    def delete(self, path: str) -> None:
        """Delete; what is not there is no error. Errors: Refused, OSError."""
        try:
            self.ask(path, method="DELETE")
        except Refused as refused:
            if refused.code != 404:
                raise

    def find(self, path: str) -> Any | None:
        """Like `ask`, but None for what does not exist and while the server does not answer."""
        try:
            return self.ask(path)
        except (Refused, OSError):
            return None


def _message(raw: bytes) -> str:
    try:
        return str(json.loads(raw)["message"])
    except (ValueError, KeyError, TypeError):
        return raw.decode(errors="replace")[:300]

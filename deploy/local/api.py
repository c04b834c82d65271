"""A small client for the API server: what the scripts of this folder ask, with the standard library."""

from __future__ import annotations

import base64
import json
import os
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


def write_kubeconfig(file: Path, *, url: str, ca: bytes, user: str, token: str) -> None:
    """A kubeconfig with one context (JSON, which is YAML); readable by its owner only."""
    name = f"{user}@pyvern-local"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "pyvern-local", "cluster": {"server": url, "certificate-authority-data": base64.b64encode(ca).decode()}}
        ],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": "pyvern-local", "user": user}}],
        "current-context": name,
    }
    temporary = file.with_name(f".{file.name}.new")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
        json.dump(document, opened, indent=1)
    temporary.replace(file)

"""Where the API server is and how to log in: a kubeconfig file or the Pod's own ServiceAccount.

Own code instead of kubernetes_asyncio.config, which takes 52 MB of memory to read two files (docs/decisions/0001).
"""

from __future__ import annotations

import base64
import os
import ssl
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from controllers.cluster.failure import CannotStart

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_LIFE = 60.0
"""Seconds after which a token file is read again: kubelet renews projected tokens long before they expire."""


class NoCredentials(CannotStart):
    """The configuration that says where the cluster is cannot be used; the text says what to do about it."""


@dataclass(slots=True)
class Credentials:
    """One API server and one identity. `token_file` wins over `token` and is read again when it grows old."""

    server: str
    ca: str | None = None
    insecure: bool = False
    token: str = ""
    token_file: Path | None = None
    client_certificate: str = ""
    client_key: str = ""
    tls_server_name: str | None = None
    _read_at: float = field(default=float("-inf"), repr=False)

    def authorization(self) -> str | None:
        """The value of the Authorization header, None for certificate logins."""
        if self.token_file is not None and time.monotonic() - self._read_at > TOKEN_LIFE:
            self.token = self.token_file.read_text().strip()
            self._read_at = time.monotonic()
        return f"Bearer {self.token}" if self.token else None

    def forget_token(self) -> None:
        """After a 401: the next request reads the token file again."""
        self._read_at = float("-inf")

    def ssl_context(self) -> ssl.SSLContext:
        """TLS towards the API server, with the client certificate if there is one."""
        context = ssl.create_default_context(cadata=self.ca) if self.ca else ssl.create_default_context()
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.client_certificate:
            with tempfile.NamedTemporaryFile("w", suffix=".pem") as chain:
                chain.write(f"{self.client_certificate}\n{self.client_key}\n")
                chain.flush()
                context.load_cert_chain(chain.name)
        return context


def load(path: str = "", environment: Mapping[str, str] = os.environ) -> Credentials:
    """Credentials from `path`, else from the Pod's ServiceAccount, else from $KUBECONFIG or ~/.kube/config.

    Raises `NoCredentials`.
    """
    if path:
        return from_kubeconfig(Path(path))
    if environment.get("KUBERNETES_SERVICE_HOST") and (SERVICE_ACCOUNT / "token").exists():
        return in_cluster(environment)
    fallback = environment.get("KUBECONFIG", "").split(":")[0] or str(Path.home() / ".kube" / "config")
    return from_kubeconfig(Path(fallback))


def in_cluster(environment: Mapping[str, str], folder: Path = SERVICE_ACCOUNT) -> Credentials:
    """Credentials of the Pod's ServiceAccount."""
    host = environment["KUBERNETES_SERVICE_HOST"]
    port = environment.get("KUBERNETES_SERVICE_PORT", "443")
    name = f"[{host}]" if ":" in host else host
    return Credentials(server=f"https://{name}:{port}", ca=(folder / "ca.crt").read_text(), token_file=folder / "token")


def from_kubeconfig(path: Path) -> Credentials:
    """Credentials of the current context of a kubeconfig file."""
    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise NoCredentials(f"kubeconfig {path}: {error.strerror or error}; use --kubeconfig or $KUBECONFIG") from error
    except yaml.YAMLError as error:
        raise NoCredentials(f"kubeconfig {path}: no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise NoCredentials(f"kubeconfig {path}: no mapping")
    wanted = document.get("current-context") or ""
    context = _named(document, "contexts", wanted, "context", path)
    cluster = _named(document, "clusters", context.get("cluster"), "cluster", path)
    user = _named(document, "users", context.get("user"), "user", path) if context.get("user") else {}
    if not cluster.get("server"):
        raise NoCredentials(f"kubeconfig {path}: cluster `{context.get('cluster')}` has no server")
    for unsupported in ("exec", "auth-provider"):
        if unsupported in user:
            raise NoCredentials(
                f"kubeconfig {path}: user `{context.get('user')}` logs in by `{unsupported}`, which is not supported; "
                "use a token (kubectl create token) or a client certificate"
            )
    token_file = user.get("tokenFile")
    return Credentials(
        server=str(cluster["server"]).rstrip("/"),
        ca=_text(cluster, "certificate-authority", path),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        token=str(user.get("token") or ""),
        token_file=path.parent / token_file if token_file else None,
        client_certificate=_text(user, "client-certificate", path) or "",
        client_key=_text(user, "client-key", path) or "",
        tls_server_name=cluster.get("tls-server-name"),
    )


def _named(document: Mapping[str, Any], section: str, name: Any, key: str, path: Path) -> Mapping[str, Any]:
    for entry in document.get(section) or ():
        if entry.get("name") == name:
            return entry.get(key) or {}
    raise NoCredentials(f"kubeconfig {path}: {key} `{name}` is not in `{section}`")


def _text(entry: Mapping[str, Any], key: str, path: Path) -> str | None:
    data = entry.get(f"{key}-data")
    if data:
        return base64.b64decode(data).decode()
    name = entry.get(key)
    return (path.parent / name).read_text() if name else None

"""kopf, imported lean and set up so that it writes nothing onto anybody's objects (design.md 6).

INVARIANT (memory): kopf imports kubernetes_asyncio with all its models when it is installed, 37 MB for two type checks that
never hit here. It is hidden while kopf is imported; nobody else in the operators imports it (docs/decisions/0001).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from controllers.cluster.credentials import Credentials

HIDDEN = ("kubernetes_asyncio", "kubernetes", "pykube")
FINALIZER = "pyvern.io/never-used"


@contextmanager
def _hidden(names: tuple[str, ...]) -> Iterator[None]:
    """Makes `import NAME` fail as if NAME were not installed."""
    absent = [name for name in names if name not in sys.modules]
    for name in absent:
        sys.modules[name] = None  # type: ignore[assignment]  # what the import system takes for "not installed"
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


with _hidden(HIDDEN):
    import kopf


def operator_settings() -> kopf.OperatorSettings:
    """Settings under which kopf keeps no state in the cluster and manages no webhooks."""
    settings = kopf.OperatorSettings()
    settings.persistence.finalizer = FINALIZER
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.admission.managed = None
    settings.networking.request_timeout = 30
    settings.watching.server_timeout = 290
    settings.watching.client_timeout = 330
    settings.process.ultimate_exiting_timeout = 60
    return settings


def connection(credentials: Credentials) -> kopf.ConnectionInfo:
    """How kopf's own client logs in."""
    credentials.forget_token()
    credentials.authorization()
    return kopf.ConnectionInfo(
        server=credentials.server,
        ca_data=credentials.ca,
        insecure=credentials.insecure or None,
        token=credentials.token or None,
        certificate_data=credentials.client_certificate or None,
        private_key_data=credentials.client_key or None,
    )


__all__ = ["connection", "kopf", "operator_settings"]

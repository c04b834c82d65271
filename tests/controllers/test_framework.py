"""kopf is imported lean, and set up so that it writes onto nobody's objects."""

from __future__ import annotations

import subprocess
import sys

from controllers.cluster.framework import operator_settings

PROBE = """
import sys
import controllers.admission.operator
heavy = [name for name in ("kubernetes_asyncio", "kubernetes", "pykube", "cryptography") if name in sys.modules]
rss = int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1]) // 1024
print(heavy, rss)
sys.exit(bool(heavy) or rss > 70)
"""


def test_the_operator_imports_neither_a_kubernetes_client_nor_cryptography() -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_kopf_keeps_no_state_in_the_cluster() -> None:
    settings = operator_settings()
    assert settings.persistence.finalizer != "kopf.zalando.org/KopfFinalizerMarker"
    assert settings.peering.standalone
    assert not settings.posting.enabled
    assert settings.admission.managed is None
    assert settings.scanning.disabled

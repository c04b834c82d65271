"""The command line of the cleanup controller: Kyverno's flags (spec 6.1)."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from controllers.cluster import flags as command_line
from controllers.cluster.flags import COMMON, Flag, Parse, boolean, port, seconds
from controllers.cluster.operator_flags import OPERATOR, WEBHOOKS

FLAGS: Sequence[Flag] = (
    *OPERATOR,
    *WEBHOOKS,
    Flag("ttlReconciliationInterval", seconds, 60.0, "time between two questions for the kinds whose objects may be deleted"),
    Flag("caSecretName", str, "kyverno-cleanup-controller.kyverno.svc.kyverno-tls-ca", "Secret of the certificate authority"),
    Flag("tlsSecretName", str, "kyverno-cleanup-controller.kyverno.svc.kyverno-tls-pair", "Secret of the serving certificate"),
    Flag("cleanupServerHost", str, "", "address to listen on; all by default"),
    Flag("cleanupServerPort", port, 9443, "port to listen on"),
    Flag("autoDeleteWebhooks", boolean, False, "accepted; the webhooks go with their Deployment in any case"),
    Flag("protectManagedResources", boolean, False, "what we manage is not cleaned up"),
    Flag("shutdownDrain", seconds, 3.0, "time between failing readiness and refusing requests"),
)
ACCEPTED: Mapping[str, Parse] = {
    **COMMON,
    "enablePolicyException": boolean,
    "exceptionNamespace": str,
    "enableReporting": str,
    "allowedResults": str,
    "openreportsEnabled": boolean,
}
"""Kyverno's flags that manifests carry and that change nothing here (yet): checked for their form, otherwise without effect."""


def parser() -> argparse.ArgumentParser:
    """All flags of this controller."""
    return command_line.parser("controllers.cleanup", FLAGS, ACCEPTED)


def read(arguments: Sequence[str]) -> argparse.Namespace:
    """The flags; unknown ones end the process with a message."""
    return command_line.read(parser(), arguments)

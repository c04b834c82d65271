"""The rendered files: one definition a file, and the kustomization that lists them."""

from functools import cache
from typing import Any

import yaml

from crds.source import exceptions, policies, records, reports
from crds.source.definition import Kind

HEADER = "# Made by `make crds` from crds/source; edit there.\n"


def kinds() -> tuple[Kind, ...]:
    """Every kind, in the order of the kustomization."""
    return policies.kinds() + exceptions.kinds() + records.kinds() + reports.kinds()


@cache
def files() -> dict[str, str]:
    """File name to text."""
    definitions = {kind.file: _text(kind.document()) for kind in kinds()}
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": sorted(definitions),
    }
    return definitions | {"kustomization.yaml": _text(kustomization)}


class _Plain(yaml.SafeDumper):
    """Repeats shared nodes instead of writing anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(document: dict[str, Any]) -> str:
    return HEADER + yaml.dump(document, Dumper=_Plain, sort_keys=False, width=130, allow_unicode=True)

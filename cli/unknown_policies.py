"""Exceptions, bindings and rows of tests that name a policy which is not among those given: a typing error, most likely.

They are warned about, once each, and are no error: a folder of exceptions may serve policies of several repositories. What comes
from a cluster is not asked, for most of it belongs to other policies than those of a run. Kyverno says nothing of any.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from cli.policies import Policies, is_policy_kind
from cli.resources import name_of, namespace_of
from engine import PolicyException, kind_of


def of_exceptions(exceptions: Iterable[PolicyException], policies: Policies) -> Iterator[str]:
    """One warning for each exception and policy. An exception names a policy, or NAMESPACE/NAME of a namespaced one."""
    known = _names(policies)
    for exception in exceptions:
        for name in dict.fromkeys(reference.policy for reference in exception.references):
            if name not in known:
                yield f"exception {exception.identity.key} names policy `{name}`, which is not given"


def of_bindings(policies: Policies) -> Iterator[str]:
    """One warning for each binding from a file."""
    known = _names(policies)
    for binding in policies.bindings:
        name = str((binding.value.get("spec") or {}).get("policyName") or "")
        if name and name not in known:
            kind = kind_of(binding.value).kind
            yield f"{binding.file}:{binding.line}: {kind} {name_of(binding.value)} names policy `{name}`, which is not given"


def of_rows(rows: Iterable[Mapping[str, object]], policies: Policies) -> Iterator[str]:
    """One warning for each policy that rows of a test name. A row takes NAMESPACE/NAME and the bare name alike."""
    known = {name.rpartition("/")[2] for name in _names(policies)}
    for name in dict.fromkeys(str(row.get("policy") or "") for row in rows):
        if name and name.rpartition("/")[2] not in known:
            yield f"results name policy `{name}`, which is not given"


def _names(policies: Policies) -> set[str]:
    """What the given policies may be called, those that do not compile or cannot be asked among them."""
    documents = [item.document for item in policies.items] + [one for one in policies.others if is_policy_kind(one)]
    keys = {"/".join(filter(None, (namespace_of(one.value), name_of(one.value)))) for one in documents}
    return keys | {one.name for one in policies.invalid}

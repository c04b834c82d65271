"""What Kubernetes accepts as a label key and as a label value, with the API server's wording for what it does not.

Each function returns the problems of one text, empty when it is valid. The wording is that of Kubernetes 1.34
(k8s.io/apimachinery, util/validation), because policies that name labels are refused with it.
"""

from __future__ import annotations

import re

NAME_LIMIT = 63
SUBDOMAIN_LIMIT = 253

NAME = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
VALUE = f"({NAME})?"
SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"

_name = re.compile(NAME)
_subdomain = re.compile(SUBDOMAIN)

_NAME_RULE = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
_NAME_EXAMPLES = f"(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{NAME}')"
_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    f"with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '{VALUE}')"
)
_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end "
    f"with an alphanumeric character (e.g. 'example.com', regex used for validation is '{SUBDOMAIN}')"
)


def key_problems(key: str) -> list[str]:
    """Problems of a label key: a name of at most 63 bytes, optionally behind a DNS subdomain and `/`."""
    prefix, slash, name = key.rpartition("/")
    if "/" in prefix:
        return [
            f"a qualified name {_NAME_RULE} {_NAME_EXAMPLES} "
            "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        ]
    problems = []
    if slash and not prefix:
        problems.append("prefix part must be non-empty")
    elif slash:
        if len(prefix.encode()) > SUBDOMAIN_LIMIT:
            problems.append(f"prefix part must be no more than {SUBDOMAIN_LIMIT} bytes")
        if not _subdomain.fullmatch(prefix):
            problems.append(f"prefix part {_SUBDOMAIN_RULE}")
    if not name:
        problems.append("name part must be non-empty")
    elif len(name.encode()) > NAME_LIMIT:
        problems.append(f"name part must be no more than {NAME_LIMIT} bytes")
    if not _name.fullmatch(name):
        problems.append(f"name part {_NAME_RULE} {_NAME_EXAMPLES}")
    return problems


def value_problems(value: str) -> list[str]:
    """Problems of a label value: empty, or at most 63 bytes that look like a name."""
    problems = []
    if len(value.encode()) > NAME_LIMIT:
        problems.append(f"must be no more than {NAME_LIMIT} bytes")
    if value and not _name.fullmatch(value):
        problems.append(_VALUE_RULE)
    return problems

"""Encodings and hashes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable
from typing import Any

from engine.lang.errors import ExpressionError
from engine.lang.jmes import json_text
from engine.lang.jmes.functions.signature import function
from engine.lang.jmes.functions.x509 import x509_decode
from engine.lang.jmes.values import from_bytes, printable, to_bytes

MAX_YAML_NODES = 150_000
"""What `parse_yaml` reads: more than a ConfigMap of a megabyte holds, and less than holds up a webhook for a second."""
_NO_BASE64 = re.compile(r"[^A-Za-z0-9+/=]")


def base64_encode(text: str) -> str:
    return base64.b64encode(to_bytes(text)).decode("ascii")


def base64_decode(text: str) -> str:
    """Standard alphabet with padding; line ends are skipped. Bytes that are no UTF-8 are kept for the functions around it."""
    compact = text.replace("\n", "").replace("\r", "")
    try:
        return from_bytes(base64.b64decode(compact, validate=True))
    except (binascii.Error, ValueError):
        found = _NO_BASE64.search(compact)
        offset = found.start() if found else len(compact.rstrip("=")) // 4 * 4
        raise ExpressionError(f"illegal base64 data at input byte {offset}") from None


def parse_json(text: str) -> Any:
    try:
        return json_text.loads(printable(text))
    except ValueError as error:
        raise ExpressionError(str(error)) from None


def parse_yaml(text: str) -> Any:
    from engine.lang import yaml_value  # PyYAML takes a tenth of the time to start, and few policies need it

    try:
        return yaml_value.load(printable(text), nodes=MAX_YAML_NODES)
    except yaml_value.TooManyValues as error:
        raise ExpressionError(f"JMESPath function 'parse_yaml': {error}") from None
    except yaml_value.InvalidYAML as error:
        raise ExpressionError(str(error)) from None


def _hash(algorithm: Callable[..., Any]) -> Callable[[str], str]:
    # These are fingerprints that policies compare, as in Kyverno, and protect nothing.
    return lambda text: str(algorithm(to_bytes(text), usedforsecurity=False).hexdigest())


ENCODING = {
    "base64_decode": function("string -> string", base64_decode, "decodes base 64", raw=True),
    "base64_encode": function("string -> string", base64_encode, "encodes as base 64"),
    "md5": function("string -> string", _hash(hashlib.md5), "MD5 of a string in hexadecimal"),
    "parse_json": function("string -> any", parse_json, "the value that JSON text writes"),
    "parse_yaml": function("string -> any", parse_yaml, "the value of the first document of YAML text"),
    "sha1": function("string -> string", _hash(hashlib.sha1), "SHA-1 of a string in hexadecimal"),
    "sha256": function("string -> string", _hash(hashlib.sha256), "SHA-256 of a string in hexadecimal"),
    "x509_decode": function("string -> object", x509_decode, "the fields of a PEM certificate or certificate request (RSA keys)"),
}

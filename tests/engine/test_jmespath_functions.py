"""Kyverno's JMESPath functions, beyond what the recorded answers ask."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
from typing import Any

import pytest
import re2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from engine.lang.errors import ExpressionError
from engine.lang.jmes import Document, compile_expression


def call(name: str, *values: Any, seed: int = 1) -> Any:
    """`name` on values that come from the document, so that nothing is known when the expression compiles."""
    arguments = ", ".join(f"a{index}" for index in range(len(values)))
    document = {f"a{index}": value for index, value in enumerate(values)}
    return compile_expression(f"{name}({arguments})")(Document(document, now=0, seed=seed))


def test_a_pattern_known_early_answers_as_one_known_late() -> None:
    for expression in ("regex_match('^a.c$', v)", "pattern_match('a?c', v)", "regex_replace_all('b', v, 'x')"):
        name, rest = expression.split("(", 1)
        late = compile_expression(f"{name}(p, {rest.split(', ', 1)[1]}")
        early = compile_expression(expression)
        for text in ("abc", "ac", "b"):
            assert early({"v": text}) == late({"p": rest.split("'")[1], "v": text})


def test_a_faulty_pattern_is_an_error_of_the_evaluation() -> None:
    expression = compile_expression("regex_match('[', v)")
    with pytest.raises(ExpressionError, match="error parsing regexp: missing"):
        expression({"v": "x"})


def test_an_empty_match_behind_a_match_is_none() -> None:
    assert call("regex_replace_all", "x*", "abxd", "-") == "-a-b-d-"


def test_bytes_that_are_no_text_survive_until_the_result() -> None:
    raw = base64.b64encode(b"\xff\x00\xfe").decode()
    assert call("base64_decode", raw) == "\ufffd\x00\ufffd"
    assert compile_expression("base64_encode(base64_decode(@))")(raw) == raw
    assert compile_expression("sha256(base64_decode(@))")(raw) == hashlib.sha256(b"\xff\x00\xfe").hexdigest()
    assert compile_expression("to_string({a: base64_decode(@)})")(raw) == '{"a":"\\ufffd\\u0000\\ufffd"}'


def test_letters_map_one_to_one() -> None:
    assert call("to_upper", "ß ﬁ ŉ ᾳ") == "ß ﬁ ŉ ᾼ"
    assert call("to_lower", "ΑΣ İ") == "ασ i"
    assert call("equal_fold", "\u212a", "k") is True


def test_contains_in_a_list_does_not_confuse_types() -> None:
    assert call("contains", [1, "1"], True) is False
    assert call("contains", [[1]], "x") is False
    with pytest.raises(ExpressionError, match="cannot be looked for"):
        call("contains", [[1]], [1])


def test_quantities_keep_the_notation_of_the_left_side() -> None:
    assert call("add", "1Gi", "1G") == "2073741824"
    assert call("add", "0", "1Ki") == "1Ki"
    assert call("divide", "3", 2) == "1"
    assert call("divide", "3.0", 2) == "1500m"


def test_durations_and_quantities_do_not_mix() -> None:
    with pytest.raises(ExpressionError, match="JMESPath function 'add': Types mismatch"):
        call("add", "1h", "1")


def test_sum_needs_something_to_add() -> None:
    with pytest.raises(ExpressionError, match="at least one element"):
        call("sum", [])


@pytest.mark.parametrize("numbers", [(1e308, 10.0, "multiply"), (10**400, 1, "add"), (-1e308, 1e308, "subtract")])
def test_numbers_beyond_float64_are_errors(numbers: tuple[float, float, str]) -> None:
    left, right, name = numbers
    with pytest.raises(ExpressionError):
        call(name, left, right)


def test_computed_whole_numbers_are_integers() -> None:
    for found in (call("add", 1, 2), call("divide", 6, 3), call("round", 2.5, 0), call("to_number", "4.0")):
        assert isinstance(found, int)


@pytest.mark.parametrize(
    "pattern",
    ["[a-z0-9]{8}", r"\d+-\w*", "(foo|ba[rz])?x", r"[^a-z]\S.", "(?i)abc", r"\pL{2}", "[[:alpha:]]", r"\Qa.b\E", "a|b|", "[]a]"],
)
def test_random_text_matches_its_pattern(pattern: str) -> None:
    for seed in range(5):
        assert re2.fullmatch(pattern, call("random", pattern, seed=seed)) is not None


@pytest.mark.parametrize("pattern", ["", "[", "(a", "a)", r"[^\x00-\x{10FFFF}]", r"\8"])
def test_random_text_of_an_impossible_pattern_is_an_error(pattern: str) -> None:
    with pytest.raises(ExpressionError):
        call("random", pattern)


def test_random_text_has_a_bound() -> None:
    with pytest.raises(ExpressionError):
        call("random", "((a{1000}){1000}){1000}")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: y", {"a": True}),
        ("a: 0b101", {"a": 5}),
        ("a: 08", {"a": 8}),
        ("a: '012'", {"a": "012"}),
        ("a: !!str yes", {"a": "yes"}),
        ("a: !!int '5'", {"a": 5}),
        ("a: !!binary aGk=", {"a": "hi"}),
        ("a: 1.5e3", {"a": 1500}),
        ("1.5: x", {"1.5": "x"}),
        ("~: x", {"null": "x"}),
        ("a: 1\na: 2", {"a": 2}),
        ("base: &b {x: 1, z: 2}\nd:\n  z: 3\n  <<: *b", {"base": {"x": 1, "z": 2}, "d": {"x": 1, "z": 3}}),
        ("a: !custom 1", {"a": "1"}),
        ("a: !!python/object:os.system 1", {"a": "1"}),
        ("y: 1", {"true": 1}),
        ("--- |\n  x\n", "x\n"),
    ],
)
def test_yaml_has_the_types_of_kubernetes(text: str, value: Any) -> None:
    assert call("parse_yaml", text) == value


@pytest.mark.parametrize(
    "text",
    [
        "&a [*a]",
        "? [1]\n: x",
        "a: *b",
        "a: .nan",
        "<<: 1",
        "\n".join(
            [
                "a: &a [x, x, x, x, x, x, x, x]",
                *(f"{b}: &{b} [{', '.join([f'*{a}'] * 8)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
            ]
        ),
    ],
)
def test_yaml_that_is_none_or_has_no_json_is_an_error(text: str) -> None:
    with pytest.raises(ExpressionError):
        call("parse_yaml", text)


@pytest.mark.parametrize("text", ["{", "[1,]", "{'a': 1}", "NaN", "1e999", "[" * 100_000, '"\t"', ""])
def test_json_is_read_strictly(text: str) -> None:
    with pytest.raises(ExpressionError):
        call("parse_json", text)


def test_private_hosts_are_not_external() -> None:
    assert call("is_external_url", "http://[::ffff:10.0.0.1]/") is False
    assert call("is_external_url", "http://user:pass@8.8.8.8/") is True


def test_host_names_are_asked_of_the_root() -> None:
    class Names(Document):
        def addresses(self, host: str) -> tuple[str, ...]:
            return {"public.example.com": ("8.8.8.8",), "mixed.example.com": ("8.8.8.8", "10.0.0.1")}[host]

    expression = compile_expression("is_external_url(@)")
    assert expression(Names("https://public.example.com/x")) is True
    assert expression(Names("https://mixed.example.com/x")) is False


def subject() -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "one"), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme")])


def request_pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    names = x509.SubjectAlternativeName([x509.DNSName("one.example.com")])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject()).add_extension(names, critical=False)
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def test_a_certificate_request_is_decoded() -> None:
    found = call("x509_decode", request_pem(rsa.generate_private_key(65537, 2048)))
    assert found["Subject"]["CommonName"] == "one"
    assert found["Subject"]["Organization"] == ["Acme"]
    assert found["DNSNames"] == ["one.example.com"]
    assert found["SignatureAlgorithm"] == 4
    assert found["PublicKey"]["E"] == 65537
    assert found["Extensions"][0]["Id"] == [2, 5, 29, 17]
    json.dumps(found)


def test_only_rsa_keys_are_decoded() -> None:
    with pytest.raises(ExpressionError, match="certificate should use rsa algorithm"):
        call("x509_decode", request_pem(ec.generate_private_key(ec.SECP256R1())))


def test_a_certificate_with_many_extensions_is_decoded() -> None:
    key = rsa.generate_private_key(65537, 2048)
    start = datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    usage = dict.fromkeys(("digital_signature", "key_agreement", "decipher_only"), True)
    unused = ("content_commitment", "key_encipherment", "data_encipherment", "key_cert_sign", "crl_sign", "encipher_only")
    builder = x509.CertificateBuilder().subject_name(subject()).issuer_name(subject()).public_key(key.public_key())
    builder = builder.serial_number(5).not_valid_before(start).not_valid_after(start + datetime.timedelta(days=1))
    for extension, critical in [
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (x509.KeyUsage(**usage, **dict.fromkeys(unused, False)), True),
        (x509.ExtendedKeyUsage([x509.OID_SERVER_AUTH, x509.ObjectIdentifier("1.2.3.4")]), False),
        (x509.NameConstraints([x509.DNSName("example.com")], None), True),
        (x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("2.23.140.1.2.1"), None)]), False),
        (
            x509.CRLDistributionPoints(
                [x509.DistributionPoint([x509.UniformResourceIdentifier("http://crl/x")], None, None, None)]
            ),
            False,
        ),
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.5"), b"\x05\x00"), True),
    ]:
        builder = builder.add_extension(extension, critical=critical)
    pem = builder.sign(key, hashes.SHA512()).public_bytes(serialization.Encoding.PEM).decode()
    found = call("x509_decode", f"some words\n{pem}")
    assert (found["MaxPathLen"], found["MaxPathLenZero"], found["IsCA"]) == (0, True, True)
    assert found["KeyUsage"] == 1 | 16 | 256
    assert (found["ExtKeyUsage"], found["UnknownExtKeyUsage"]) == ([1], [[1, 2, 3, 4]])
    assert (found["PermittedDNSDomains"], found["PermittedDNSDomainsCritical"]) == (["example.com"], True)
    assert found["PolicyIdentifiers"] == [[2, 23, 140, 1, 2, 1]]
    assert found["CRLDistributionPoints"] == ["http://crl/x"]
    assert found["UnhandledCriticalExtensions"] == [[1, 2, 3, 5]]
    assert found["SignatureAlgorithm"] == 6
    assert found["NotBefore"] == "2024-01-02T03:04:05Z"
    assert found["SerialNumber"] == 5

"""The Kubernetes libraries and extensions of CEL, beyond the specification's cases."""

from __future__ import annotations

from typing import Any

import pytest

from engine.lang.cel import CelError, CostExceeded, Environment
from engine.lang.cel.library.authorizer import AUTHORIZER, Access, Authorizer, Decision

ENVIRONMENT = Environment({"x": "dyn", "authorizer": AUTHORIZER})


def evaluate(text: str, x: Any = None) -> Any:
    return ENVIRONMENT.compile(text)({"x": x})


@pytest.mark.parametrize(
    "text",
    [
        # lists
        "[1, 2, 2].isSorted() && !['b', 'a'].isSorted() && [].isSorted()",
        "[1, 2, 3].sum() == 6 && [1.5, 2.5].sum() == 4.0 && [].sum() == 0",
        "[duration('1m'), duration('1s')].sum() == duration('61s')",
        "[3, 1, 2].min() == 1 && ['a', 'c', 'b'].max() == 'c'",
        "[1, 2, 2].indexOf(2) == 1 && [1, 2, 2].lastIndexOf(2) == 2 && [1].indexOf('1') == -1",
        "[1, 1.0, 'a', 'a'].distinct() == [1, 'a']",
        "lists.range(3) == [0, 1, 2] && [1, 2, 3].slice(1, 3) == [2, 3] && [1, 2].reverse() == [2, 1]",
        "[1, 2].first().value() == 1 && ![].last().hasValue()",
        # regular expressions
        "'abc 123'.find('[0-9]+') == '123' && 'abc'.find('[0-9]+') == ''",
        "'1 2 3'.findAll('[0-9]') == ['1', '2', '3'] && '1 2 3'.findAll('[0-9]', 2) == ['1', '2'] && '1'.findAll('1', 0) == []",
        # URLs
        "url('https://u:p@example.com:8443/a b/c?q=1&q=2&e').getHost() == 'example.com:8443'",
        "url('https://example.com:8443/').getHostname() == 'example.com' && url('https://[::1]:80/').getPort() == '80'",
        "url('https://[::1]:80/').getHost() == '[::1]:80' && url('https://[::1]:80/').getHostname() == '::1'",
        "url('https://h/a b').getEscapedPath() == '/a%20b' && url('/path').getScheme() == '' && url('https://h').getPort() == ''",
        "url('https://h/?k=a&k=b%20c').getQuery() == {'k': ['a', 'b c']}",
        "isURL('https://a/b') && isURL('/a') && !isURL('a/b') && !isURL('http://a b') && !isURL('::') && !isURL('')",
        "url('https://a') == url('https://a') && url('https://a') != url('https://b')",
        # quantities
        "quantity('1Gi').isGreaterThan(quantity('1G')) && quantity('1000m') == quantity('1')",
        "quantity('50M').add(quantity('20')).sub(10).compareTo(quantity('50000010')) == 0",
        "quantity('5').asInteger() == 5 && !quantity('5.5').isInteger() && quantity('1.5').asApproximateFloat() == 1.5",
        "isQuantity('1.3Gi') && !isQuantity('1 Gi') && quantity('-1').sign() == -1 && string(quantity('1024Ki')) == '1Mi'",
        # versions
        "semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.0.0-rc').compareTo(semver('1.0.0')) == -1",
        "semver('v1.2', true) == semver('1.2.0') && semver('01.02.3', true).minor() == 2 && !isSemver('v1.2')",
        "isSemver('v1', true) && semver('1.2.3').major() == 1 && semver('1.2.3').patch() == 3",
        # networks
        "ip('10.0.0.1').family() == 4 && ip.isCanonical('::1') && !ip.isCanonical('::0001')",
        "cidr('10.0.0.0/8').containsIP('10.1.2.3') && cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && isCIDR('::/0')",
        "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && string(cidr('10.1.2.3/8').ip()) == '10.1.2.3'",
        "!isCIDR('10.0.0.0/33') && !isCIDR('10.0.0.0') && !isIP('010.0.0.1')",
        # formats
        "!format.dns1123Label().validate('my-name').hasValue()",
        "format.named('dns1123Label').value().validate('My_Name').value().size() == 1",
        "!format.named('nope').hasValue()",
        "format.dns1123LabelPrefix().validate('name-') == optional.none()",
        "!format.uuid().validate('123e4567-e89b-12d3-a456-426614174000').hasValue()",
        "!format.date().validate('2024-02-29').hasValue() && format.date().validate('2023-02-29').hasValue()",
        "!format.datetime().validate('2024-01-01T00:00:00Z').hasValue() && format.byte().validate('***').hasValue()",
        "!format.labelValue().validate('').hasValue() && format.qualifiedName().validate('a/b/c').hasValue()",
        # JSON Patch keys
        "jsonpatch.escapeKey('k8s.io/a~b') == 'k8s.io~1a~0b'",
        # sets, base64, math
        "sets.contains([1, 2], [1u]) && sets.equivalent([1, 1], [1]) && !sets.intersects([1], [2])",
        "math.greatest([1, 2.5, 2u]) == 2.5 && math.least(3, 1, 2) == 1 && math.sqrt(16) == 4.0",
        "string(1000000.0) == '1e+06' && string(0.5) == '0.5' && string(100.0) == '100'",
    ],
)
def test_libraries(text: str) -> None:
    assert evaluate(text) is True


@pytest.mark.parametrize(
    "text",
    [
        "[].min()",
        "[1, 'a'].isSorted()",
        "['a', 1].sum()",
        "quantity('x')",
        "quantity('1.5').asInteger()",
        "semver('1.2')",
        "url('nope')",
        "ip('fe80::1%eth0')",
        "x.find('(')",
        "[1].slice(0, 2)",
        "timestamp(0).getHours('Nowhere/City')",
        "math.greatest([])",
        "lists.range(10000000000)",
    ],
)
def test_libraries_refuse(text: str) -> None:
    program = ENVIRONMENT.compile(text.replace("'('", "x"))
    with pytest.raises((CelError, CostExceeded)):
        program({"x": "("})


def test_the_authorizer_asks_what_the_expression_built() -> None:
    asked: list[Access] = []

    def decide(access: Access) -> Decision:
        asked.append(access)
        return Decision(allowed=access.verb == "get", reason="because")

    def ask(text: str) -> Any:
        return ENVIRONMENT.compile(text)({"x": None, "authorizer": Authorizer(decide)})

    built = "authorizer.group('apps').resource('deployments').subresource('scale').namespace('ns').name('n')"
    assert ask(f"{built}.check('get').allowed()") is True
    assert ask("authorizer.serviceAccount('ns', 'sa').path('/healthz').check('post').allowed()") is False
    assert ask("authorizer.path('/x').check('get').reason()") == "because"
    assert asked[0] == Access(group="apps", resource="deployments", subresource="scale", namespace="ns", name="n", verb="get")
    assert asked[1] == Access(service_account=("ns", "sa"), path="/healthz", verb="post")

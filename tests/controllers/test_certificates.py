"""Certificates: what is made, when it is replaced, who wins when several replicas write."""

from __future__ import annotations

import asyncio
import base64
import datetime
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from controllers.cluster.certificate_store import Store, decide_apart
from controllers.cluster.certificates import bundle, decide, due, new_ca, new_leaf, newest, pair_of, serves
from controllers.cluster.client import Client
from controllers.cluster.credentials import Credentials
from controllers.cluster.lease import now_utc
from controllers.cluster.pair import MANAGED_BY, Decision, Material, Names, Pair, Question, UnusableCertificate

START = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
NAMES = Names("kyverno-svc", "kyverno", "ca", "pair", server_ip="127.0.0.1:9443")


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [("ECDSA", ec.EllipticCurvePublicKey), ("RSA", rsa.RSAPublicKey), ("Ed25519", ed25519.Ed25519PublicKey)],
)
def test_every_algorithm_makes_a_chain_for_all_names(algorithm: str, key: type) -> None:
    names = Names("kyverno-svc", "kyverno", "ca", "pair", algorithm=algorithm, server_ip="127.0.0.1:9443")
    ca = new_ca(names, START)
    leaf = new_leaf(names, ca, START)
    assert isinstance(newest(leaf).public_key(), key)
    assert serves(leaf, ca.certificate, names)
    assert names.hosts == ("kyverno-svc", "kyverno-svc.kyverno", "kyverno-svc.kyverno.svc", "127.0.0.1")
    assert not serves(leaf, new_ca(names, START).certificate, names)


def test_two_thirds_of_a_life_are_enough() -> None:
    ca = newest(new_ca(NAMES, START))
    assert not due(ca, START + 240 * DAY)
    assert due(ca, START + 245 * DAY)


@pytest.mark.parametrize(
    ("before", "first"),
    [(0, 244), (15 * 86_400, 350), (400 * 86_400, 244)],  # of 365 days: nothing said, 15 days, more than the whole life
)
def test_renewal_may_be_asked_for_some_time_before_the_end(before: float, first: int) -> None:
    ca = newest(new_ca(NAMES, START))
    assert [due(ca, START + day * DAY, before) for day in (first - 2, first + 1)] == [False, True]


def test_an_old_authority_stays_trusted_while_it_lives() -> None:
    old, new = new_ca(NAMES, START).certificate, new_ca(NAMES, START + 300 * DAY).certificate
    assert len(x509.load_pem_x509_certificates(bundle(new, old, START + 300 * DAY))) == 2
    assert len(x509.load_pem_x509_certificates(bundle(new, old, START + 400 * DAY))) == 1


def secret(name: str, pair: Pair, labels: Mapping[str, str] = MANAGED_BY) -> dict[str, Any]:
    data = {"tls.crt": base64.b64encode(pair.certificate).decode(), "tls.key": base64.b64encode(pair.key).decode()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": dict(labels)},
        "type": "kubernetes.io/tls",
        "data": data,
    }


def decided(
    ca: Pair, leaf: Pair, now: datetime.datetime, *, trusted: bytes = b"", labels: Mapping[str, str] = MANAGED_BY
) -> Decision:
    """What is done at that time about Secrets with these pairs."""
    stored = secret("ca", ca, labels), secret("pair", leaf, labels)
    return decide(Question(NAMES, now.isoformat(), renew=True, trusted=trusted, ca=stored[0], leaf=stored[1]))


def test_a_due_certificate_is_renewed_and_the_old_one_still_trusted() -> None:
    ca = new_ca(NAMES, START)
    before = decided(ca, new_leaf(NAMES, ca, START), START)
    assert (before.new_ca, before.new_leaf) == (None, None)
    leaf = decided(ca, before.material.leaf, START + 110 * DAY).material
    assert leaf.leaf != before.material.leaf
    assert leaf.ca_bundle == before.material.ca_bundle
    after = decided(ca, leaf.leaf, START + 250 * DAY)
    assert after.new_ca is not None
    assert serves(after.material.leaf, after.material.ca_bundle, NAMES)
    assert serves(leaf.leaf, after.material.ca_bundle, NAMES)


def test_a_users_own_certificate_is_served_as_it_is() -> None:
    ca = new_ca(NAMES, START)
    leaf = new_leaf(NAMES, ca, START)
    kept = decided(ca, leaf, START + 140 * DAY, labels={})
    assert (kept.new_ca, kept.new_leaf, kept.material) == (None, None, Material(leaf, ca.certificate))


@asynccontextmanager
async def stores(credentials: Credentials, namespace: str, count: int = 1) -> AsyncIterator[tuple[Client, list[Store]]]:
    """What as many replicas know of the Secrets of one namespace."""

    async def decide_here(question: Question) -> Decision:
        return decide(question)

    names = Names("kyverno-svc", namespace, "ca", "pair", server_ip="127.0.0.1:9443")
    async with Client(credentials) as client:
        yield client, [Store(client, names, now_utc, decide=decide_here) for _ in range(count)]


def served(material: Material, namespace: str, *, trusted: bytes = b"") -> bool:
    names = Names("kyverno-svc", namespace, "ca", "pair", server_ip="127.0.0.1:9443")
    return serves(material.leaf, trusted or material.ca_bundle, names)


def test_replicas_that_start_together_agree(credentials: Credentials, namespace: str) -> None:
    async def run() -> None:
        async with stores(credentials, namespace, 5) as (_, replicas):
            found = await asyncio.gather(*(store.ensure(renew=False) for store in replicas))
            assert len({material.leaf for material in found}) == 1

    asyncio.run(run())


def test_stored_certificates_that_are_due_are_replaced(credentials: Credentials, namespace: str) -> None:
    async def run() -> None:
        async with stores(credentials, namespace) as (client, (store,)):
            names = Names("kyverno-svc", namespace, "ca", "pair", server_ip="127.0.0.1:9443")
            ca = new_ca(names, now_utc() - 250 * DAY)
            old = new_leaf(names, ca, now_utc() - 110 * DAY)
            for name, pair in (("ca", ca), ("pair", old)):
                await client.create(secrets(namespace), secret(name, pair))
            kept = await store.ensure(renew=False)
            assert kept.leaf == old
            after = await store.ensure(renew=True)
            assert after.leaf != old
            assert serves(old, after.ca_bundle, names)
            assert served(after, namespace)
            assert pair_of(await client.get(f"{secrets(namespace)}/pair")) == after.leaf

    asyncio.run(run())


def test_a_deleted_secret_is_made_again(credentials: Credentials, namespace: str) -> None:
    async def run() -> None:
        async with stores(credentials, namespace) as (client, (store,)):
            await store.ensure(renew=False)
            await client.delete(f"{secrets(namespace)}/ca")
            assert served(await store.ensure(renew=False), namespace)

    asyncio.run(run())


def test_garbage_in_our_secret_is_replaced_but_a_users_secret_never(credentials: Credentials, namespace: str) -> None:
    async def run() -> None:
        async with stores(credentials, namespace) as (client, (store,)):
            path = f"{secrets(namespace)}/pair"
            await store.ensure(renew=False)
            await client.merge(path, {"data": {"tls.crt": "bm9uc2Vuc2U=", "tls.key": ""}})
            assert served(await store.ensure(renew=False), namespace)
            await client.delete(path)
            users = await client.create(secrets(namespace), {**secret("pair", Pair(b"", b"")), "metadata": {"name": "pair"}})
            with pytest.raises(UnusableCertificate):
                await store.ensure(renew=False)
            assert await client.get(path) == users

    asyncio.run(run())


def test_secrets_carry_the_label_of_ownership(credentials: Credentials, namespace: str) -> None:
    async def run() -> None:
        async with stores(credentials, namespace) as (client, (store,)):
            await store.ensure(renew=False)
            stored = [await client.get(f"{secrets(namespace)}/{name}") for name in ("ca", "pair")]
            assert [one["metadata"]["labels"] for one in stored] == [MANAGED_BY, MANAGED_BY]
            assert pair_of(stored[1]) is not None

    asyncio.run(run())


def test_the_old_authority_stays_trusted_after_its_secret_is_deleted(credentials: Credentials, namespace: str) -> None:
    async def run() -> None:
        async with stores(credentials, namespace) as (client, (store,)):
            before = await store.ensure(renew=False)
            for name in ("ca", "pair"):
                await client.delete(f"{secrets(namespace)}/{name}")
            after = await store.ensure(renew=False)
            assert served(before, namespace, trusted=after.ca_bundle)
            assert served(after, namespace)

    asyncio.run(run())


def test_a_process_of_its_own_makes_and_keeps_certificates(credentials: Credentials, namespace: str) -> None:
    async def run() -> None:
        async with Client(credentials) as client:
            store = Store(client, Names("kyverno-svc", namespace, "ca", "pair", server_ip="127.0.0.1:9443"), now_utc)
            made = await store.ensure(renew=True)
            assert served(made, namespace)
            assert await store.ensure(renew=True) == made

    asyncio.run(run())


def secrets(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/secrets"


def test_what_that_process_refuses_is_told() -> None:
    stored = {"metadata": {"name": "pair"}, "data": {}}
    question = Question(NAMES, START.isoformat(), renew=True, trusted=b"", ca=None, leaf=stored)
    with pytest.raises(UnusableCertificate, match="secret pair is not ours"):
        asyncio.run(decide_apart(question))

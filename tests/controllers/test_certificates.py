"""Certificates: what is made, when it is replaced, who wins when several replicas write."""

from __future__ import annotations

import asyncio
import datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from controllers.cluster.certificate_store import Store, decide_apart
from controllers.cluster.certificates import bundle, decide, due, new_ca, new_leaf, newest, pair_of, serves
from controllers.cluster.client import ApiError, Client
from controllers.cluster.pair import MANAGED_BY, Decision, Names, Question, UnusableCertificate

START = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
NAMES = Names("kyverno-svc", "kyverno", "ca", "pair", server_ip="127.0.0.1:9443")


class Secrets(Client):
    """The Secrets of one namespace, as the API server keeps them: versions, conflicts, nothing else."""

    def __init__(self) -> None:
        self.stored: dict[str, dict[str, Any]] = {}
        self.version = 0

    async def get(self, path: str, **_: str) -> Any:
        await asyncio.sleep(0)
        try:
            return self.stored[path.rsplit("/", 1)[1]]
        except KeyError:
            raise ApiError(404, "NotFound", path) from None

    async def create(self, path: str, body: Any) -> Any:
        await asyncio.sleep(0)
        if body["metadata"]["name"] in self.stored:
            raise ApiError(409, "AlreadyExists", path)
        return self._keep(body)

    async def replace(self, path: str, body: Any) -> Any:
        await asyncio.sleep(0)
        if self.stored[path.rsplit("/", 1)[1]]["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", path)
        return self._keep(body)

    def _keep(self, body: Any) -> Any:
        self.version += 1
        kept = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        self.stored[body["metadata"]["name"]] = kept
        return kept


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime.datetime:
        return self.now


async def decide_here(question: Question) -> Decision:
    return decide(question)


def store_of(secrets: Secrets, clock: Clock) -> Store:
    return Store(secrets, NAMES, clock, decide=decide_here)


@pytest.fixture
def clock() -> Clock:
    return Clock()


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


def test_an_old_authority_stays_trusted_while_it_lives() -> None:
    old, new = new_ca(NAMES, START).certificate, new_ca(NAMES, START + 300 * DAY).certificate
    assert len(x509.load_pem_x509_certificates(bundle(new, old, START + 300 * DAY))) == 2
    assert len(x509.load_pem_x509_certificates(bundle(new, old, START + 400 * DAY))) == 1


def test_replicas_that_start_together_agree(clock: Clock) -> None:
    secrets = Secrets()

    async def start() -> list[Any]:
        return await asyncio.gather(*(store_of(secrets, clock).ensure(renew=False) for _ in range(5)))

    assert len({material.leaf for material in asyncio.run(start())}) == 1


def test_a_due_certificate_is_renewed_and_the_old_one_still_trusted(clock: Clock) -> None:
    secrets = Secrets()
    store = store_of(secrets, clock)
    before = asyncio.run(store.ensure(renew=True))
    clock.now = START + 110 * DAY
    leaf = asyncio.run(store.ensure(renew=True))
    assert leaf.leaf != before.leaf
    assert leaf.ca_bundle == before.ca_bundle
    clock.now = START + 250 * DAY
    after = asyncio.run(store.ensure(renew=True))
    assert serves(after.leaf, after.ca_bundle, NAMES)
    assert serves(leaf.leaf, after.ca_bundle, NAMES)


def test_a_deleted_secret_is_made_again(clock: Clock) -> None:
    secrets = Secrets()
    store = store_of(secrets, clock)
    asyncio.run(store.ensure(renew=False))
    del secrets.stored["ca"]
    material = asyncio.run(store.ensure(renew=False))
    assert serves(material.leaf, material.ca_bundle, NAMES)


def test_garbage_in_our_secret_is_replaced_but_a_users_secret_never(clock: Clock) -> None:
    secrets = Secrets()
    store = store_of(secrets, clock)
    asyncio.run(store.ensure(renew=False))
    secrets.stored["pair"]["data"] = {"tls.crt": "bm9uc2Vuc2U=", "tls.key": ""}
    material = asyncio.run(store.ensure(renew=False))
    assert serves(material.leaf, material.ca_bundle, NAMES)
    secrets.stored["pair"] = {"metadata": {"name": "pair", "resourceVersion": "1"}, "data": {}}
    with pytest.raises(UnusableCertificate):
        asyncio.run(store.ensure(renew=False))


def test_a_users_own_certificate_is_served_as_it_is(clock: Clock) -> None:
    secrets = Secrets()
    store = store_of(secrets, clock)
    before = asyncio.run(store.ensure(renew=False))
    for name in ("ca", "pair"):
        secrets.stored[name]["metadata"]["labels"] = {}
    clock.now = START + 140 * DAY
    assert asyncio.run(store.ensure(renew=True)) == before


def test_secrets_carry_the_label_of_ownership(clock: Clock) -> None:
    secrets = Secrets()
    asyncio.run(store_of(secrets, clock).ensure(renew=False))
    assert {tuple(s["metadata"]["labels"].items()) for s in secrets.stored.values()} == {tuple(MANAGED_BY.items())}
    assert pair_of(secrets.stored["pair"]) is not None


def test_the_old_authority_stays_trusted_after_its_secret_is_deleted(clock: Clock) -> None:
    secrets = Secrets()
    store = store_of(secrets, clock)
    before = asyncio.run(store.ensure(renew=False))
    secrets.stored.clear()
    after = asyncio.run(store.ensure(renew=False))
    assert serves(before.leaf, after.ca_bundle, NAMES)
    assert serves(after.leaf, after.ca_bundle, NAMES)


def test_a_process_of_its_own_makes_and_keeps_certificates(clock: Clock) -> None:
    secrets = Secrets()
    store = Store(secrets, NAMES, clock)
    made = asyncio.run(store.ensure(renew=True))
    assert serves(made.leaf, made.ca_bundle, NAMES)
    assert asyncio.run(store.ensure(renew=True)) == made


def test_what_that_process_refuses_is_told(clock: Clock) -> None:
    secret = {"metadata": {"name": "pair"}, "data": {}}
    question = Question(NAMES, START.isoformat(), renew=True, trusted=b"", ca=None, leaf=secret)
    with pytest.raises(UnusableCertificate, match="secret pair is not ours"):
        asyncio.run(decide_apart(question))

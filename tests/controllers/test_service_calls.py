"""Calls of services on behalf of policies: what comes back, and what a bad service can do (nothing)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controllers.cluster.outbound import Outbound
from controllers.cluster.reach import Reach
from controllers.cluster.service_calls import ServiceCalls
from controllers.cluster.shared_answers import SharedAnswers
from deploy.local.certificates import write_keys
from engine import Lookup, LookupFailed
from tests.services import Service, service


@pytest.fixture(scope="module")
def served() -> Iterator[Service]:
    with service() as running:
        yield running


def called(lookup: Lookup, *, reach: Reach | None = None, timeout: float = 5.0, limit: int = 2_000_000) -> Any:
    async def run() -> Any:
        async with Outbound(reach or Reach.of("")) as outbound:
            return await ServiceCalls(outbound, max_response=limit, timeout=timeout).answer(lookup)

    return asyncio.run(run())


def refused(lookup: Lookup, **how: Any) -> str:
    with pytest.raises(LookupFailed) as failed:
        called(lookup, **how)
    return failed.value.reason


def test_a_get_and_a_post(served: Service) -> None:
    assert called(Lookup("service", f"{served.base}/echo?a=1")) == {"method": "GET", "query": {"a": "1"}, "body": ""}
    lookup = Lookup("service", f"{served.base}/echo", "POST", '{"images":["nginx"]}', (("header:X-Team", "blue"),))
    assert called(lookup)["body"] == '{"images":["nginx"]}'
    _, _, headers, _ = served.calls[-1]
    assert (headers["Content-Type"], headers["X-Team"]) == ("application/json", "blue")
    assert "Authorization" not in headers


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/404", "HTTP 404 Not Found: no luck with 404"),
        ("/500", "HTTP 500 Internal Server Error: no luck with 500"),
        ("/page", "the answer is no JSON"),
        ("/large", "the answer is longer than 2000000 bytes"),
        ("/reset", "the server hung up without an answer"),
        ("/moved?to=http://example.com/", "HTTP 302: redirects to another host are not followed"),
        ("/moved?to=http://169.254.169.254/", "HTTP 302: redirects to another host are not followed"),
        ("/moved?to=/moved?to=/moved?to=/moved?to=/moved", "more than 3 redirects"),
    ],
)
def test_answers_that_are_of_no_use(served: Service, path: str, reason: str) -> None:
    told = refused(Lookup("service", served.base + path))
    assert told.startswith(f"GET {served.base}{path.partition('?')[0]}")
    assert reason in told


def test_redirects_within_the_host_are_followed(served: Service) -> None:
    assert called(Lookup("service", f"{served.base}/moved?to=/echo"))["method"] == "GET"
    assert "a POST is not redirected" in refused(Lookup("service", f"{served.base}/moved?to=/echo", "POST", "{}"))


@pytest.mark.parametrize("path", ["/hang", "/trickle"])
def test_a_service_that_does_not_end_is_given_up(served: Service, path: str) -> None:
    assert refused(Lookup("service", served.base + path), timeout=0.5).endswith(f"{path}: no answer within 0.5 s")


def test_nobody_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert "onnect" in refused(Lookup("service", f"http://127.0.0.1:{port}/x"))
    assert refused(Lookup("service", "http://nowhere.invalid/x")) == "GET http://nowhere.invalid/x: the host name is not known"


def test_names_that_resolve_to_refused_addresses_are_not_connected_to(served: Service) -> None:
    before = len(served.calls)
    port = served.base.rpartition(":")[2]
    loopback = Reach.of("127.0.0.0/8,::1")
    for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]"):
        told = refused(Lookup("service", f"http://{host}:{port}/echo"), reach=loopback)
        assert "not called: " in told
        assert "--httpBlocklist" in told
    assert len(served.calls) == before


def test_certificates_are_verified(tmp_path: Path) -> None:
    write_keys(tmp_path, service_address="10.0.0.1")
    other = tmp_path / "other"
    write_keys(other, service_address="10.0.0.1")
    with service(tmp_path) as secure:
        url = f"{secure.base}/echo"
        mine, foreign = ((("caBundle", (folder / "ca.crt").read_text()),) for folder in (tmp_path, other))
        assert called(Lookup("service", url, options=mine))["method"] == "GET"
        for lookup in (Lookup("service", url), Lookup("service", url, options=foreign)):
            assert "the certificate is not trusted" in refused(lookup)
        assert "caBundle holds no PEM certificates" in refused(Lookup("service", url, options=(("caBundle", "x"),)))
        assert len(secure.calls) == 1


@pytest.mark.parametrize("header", ["Content-Length", "transfer-encoding", "Host"])
def test_headers_that_frame_messages_are_refused(served: Service, header: str) -> None:
    lookup = Lookup("service", f"{served.base}/echo", "POST", "{}", ((f"header:{header}", "7"),))
    assert f"header `{header.lower()}` must not be set" in refused(lookup)


def test_headers_cannot_start_new_lines(served: Service) -> None:
    before = len(served.calls)
    refused(Lookup("service", f"{served.base}/echo", options=(("header:X", "a\r\nAuthorization: b"),)))
    assert len(served.calls) == before


def test_urls_in_messages_keep_their_secrets(served: Service) -> None:
    told = refused(Lookup("service", served.base.replace("//", "//ann:secret@") + "/404?token=secret"))
    assert "secret" not in told
    assert f"{served.base}/404?…: HTTP 404" in told


def test_equal_gets_are_one_call_and_their_answer_holds_for_a_moment(served: Service) -> None:
    counted: list[str] = []
    lookup = Lookup("service", f"{served.base}/slow?shared")
    post = Lookup("service", f"{served.base}/echo", "POST", "{}")

    async def run() -> tuple[int, int, int]:
        async with Outbound(Reach.of("")) as outbound:
            ask = ServiceCalls(outbound, max_response=1000, timeout=5).answer
            shared = SharedAnswers(ask, keep={"service": 0.5}, counted=lambda _, how, seconds: counted.append(how))

            async def answers(asked: Lookup, count: int) -> int:
                before = len(served.calls)
                await asyncio.gather(*(shared.answer(asked, until=None) for _ in range(count)))
                return len(served.calls) - before

            first = await answers(lookup, 20)
            kept = await answers(lookup, 1)
            await asyncio.sleep(0.6)
            return first, kept, await answers(lookup, 1) + await answers(post, 3)

    assert asyncio.run(run()) == (1, 0, 4)
    assert counted.count("joined") == 19
    assert counted.count("kept") == 1


def test_one_who_has_no_time_does_not_end_the_call_of_others(served: Service) -> None:
    lookup = Lookup("service", f"{served.base}/slow?patience")

    async def run() -> list[Any]:
        async with Outbound(Reach.of("")) as outbound:
            ask = ServiceCalls(outbound, max_response=1000, timeout=5).answer
            shared = SharedAnswers(ask, keep={})
            now = asyncio.get_running_loop().time()
            return await asyncio.gather(shared.answer(lookup, until=now + 0.05), shared.answer(lookup, until=now + 5))

    hasty, patient = asyncio.run(run())
    assert isinstance(hasty, LookupFailed)
    assert hasty.reason.endswith("the time that was left")
    assert patient == {"slow": True}

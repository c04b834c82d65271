"""Data of images, from a real registry: manifests, indexes, configurations, and who may read them."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from controllers.cluster.image_data import ImageData
from controllers.cluster.outbound import Outbound
from controllers.cluster.reach import Reach
from controllers.cluster.registry import Registry
from controllers.cluster.registry_logins import InvalidLogin, Known, Login, read_config, refuse_providers
from deploy.local.certificates import write_keys
from engine import Lookup, LookupFailed
from tests.registry import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    INDEX,
    PASSWORD,
    USER,
    Filled,
    Tokens,
    basic,
    by_password,
    digest,
    registry,
)
from tests.services import service

CONFIG = {"architecture": "amd64", "os": "linux", "config": {"User": "1000", "Labels": {"team": "blue"}}}
LOGIN = Login(USER, PASSWORD)
INSECURE = (("allowInsecureRegistry", "true"),)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    with registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


def asked(
    *references: str, login: tuple[str, Login] | None = None, reach: str = "", options: Any = INSECURE, limit: int = 2_000_000
) -> Any:
    """The answers to several lookups of one client, the last one returned."""

    async def logins(lookup: Lookup) -> Known:
        refuse_providers(lookup, dict(lookup.options))
        return Known((login,) if login else ())

    async def run() -> Any:
        async with Outbound(Reach.of(reach)) as outbound:
            images = ImageData(Registry(outbound, max_blob=limit, timeout=10), logins, timeout=10)
            for reference in references:
                answer = await images.answer(Lookup("imageData", reference, options=options))
            return answer

    return asyncio.run(run())


def refused(reference: str, **how: Any) -> str:
    with pytest.raises(LookupFailed) as failed:
        asked(reference, **how)
    return failed.value.reason


@pytest.mark.parametrize("media_type", [DOCKER_MANIFEST, "application/vnd.oci.image.manifest.v1+json"])
def test_an_image_by_tag(stored: Filled, media_type: str) -> None:
    made = stored.push("team/app", "v1", config=CONFIG, media_type=media_type, annotations={"a": "b"})
    found = asked(f"{stored.host}/team/app:v1")
    assert {key: found[key] for key in ("image", "resolvedImage", "registry", "repository", "identifier", "digest")} == {
        "image": f"{stored.host}/team/app:v1",
        "resolvedImage": f"{stored.host}/team/app@{made}",
        "registry": stored.host,
        "repository": "team/app",
        "identifier": "v1",
        "digest": made,
    }
    assert found["configData"] == CONFIG
    assert found["manifest"]["mediaType"] == media_type
    assert found["manifest"]["annotations"] == {"a": "b"}
    assert found["manifestList"] is None


@pytest.mark.parametrize("media_type", [INDEX, DOCKER_LIST])
def test_an_image_of_many_platforms_answers_with_the_manifest_of_linux_amd64(stored: Filled, media_type: str) -> None:
    arm = stored.push("many", "arm", config={**CONFIG, "architecture": "arm64"})
    amd = stored.push("many", "amd", config=CONFIG)
    index = stored.index("many", "all", {"arm64": arm, "amd64": amd}, media_type)
    found = asked(f"{stored.host}/many:all")
    assert found["digest"] == index
    assert found["configData"]["architecture"] == "amd64"
    assert [entry["digest"] for entry in found["manifestList"]["manifests"]] == [arm, amd]
    stored.index("many", "arm-only", {"arm64": arm})
    assert "no manifest for linux/amd64" in refused(f"{stored.host}/many:arm-only")


def test_an_image_by_digest_and_the_default_tag(stored: Filled) -> None:
    made = stored.push("plain", "latest", config=CONFIG)
    assert asked(f"{stored.host}/plain")["identifier"] == "latest"
    assert asked(f"{stored.host}/plain:whatever@{made}")["identifier"] == made


def test_a_reference_without_a_registry_is_of_the_default_registry(stored: Filled) -> None:
    stored.push("plain", "latest", config=CONFIG)

    async def nobody(_: Lookup) -> Known:
        return Known()

    async def run() -> Any:
        async with Outbound(Reach.of("")) as outbound:
            registry = Registry(outbound, max_blob=1000, timeout=10)
            images = ImageData(registry, nobody, timeout=10, insecure=True, default=lambda: stored.host)
            return await images.answer(Lookup("imageData", "plain"))

    assert asyncio.run(run())["registry"] == stored.host


def test_what_has_a_digest_is_kept_and_a_tag_is_asked_for_again(tmp_path: Path) -> None:
    with registry(tmp_path) as own:
        made = own.push("app", "v1", config=CONFIG)
        by_digest = Lookup("imageData", f"{own.host}/app@{made}", options=INSECURE)

        async def nobody(_: Lookup) -> Known:
            return Known()

        async def run() -> tuple[Any, Any]:
            async with Outbound(Reach.of("")) as outbound:
                images = ImageData(Registry(outbound, max_blob=1000, timeout=10), nobody, timeout=10)
                before = await images.answer(by_digest)
                shutil.rmtree(tmp_path / "storage")
                after = await images.answer(by_digest)
                with pytest.raises(LookupFailed, match="404"):
                    await images.answer(Lookup("imageData", f"{own.host}/app:v1", options=INSECURE))
                return before, after

        before, after = asyncio.run(run())
        assert before == after


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("nothing:v1", "HTTP 404 Not Found"),
        ("Upper/Case:v1", "invalid reference format"),
    ],
)
def test_what_is_not_there_is_named(stored: Filled, path: str, reason: str) -> None:
    told = refused(f"{stored.host}/{path}")
    assert reason in told
    assert f"{stored.host}/{path}" in told


def test_loopback_and_metadata_registries_are_not_asked(stored: Filled) -> None:
    assert "--httpBlocklist" in refused(f"{stored.host}/team/app:v1", reach="127.0.0.0/8")
    assert "never called" in refused("169.254.169.254/latest/meta-data:v1")


def test_without_tls_only_where_the_policy_says_so(stored: Filled) -> None:
    stored.push("team/app", "v1", config=CONFIG)
    assert f"GET https://{stored.host}" in refused(f"{stored.host}/team/app:v1", options=())


def test_a_configuration_that_is_too_long(stored: Filled) -> None:
    stored.push("large", "v1", config={**CONFIG, "comment": "x" * 10_000})
    assert "longer than 1000 bytes" in refused(f"{stored.host}/large:v1", limit=1000)


def test_a_registry_with_passwords(tmp_path: Path) -> None:
    with registry(tmp_path, auth=by_password(tmp_path / "auth"), authorization=basic()) as closed:
        closed.push("app", "v1", config=CONFIG)
        reference = f"{closed.host}/app:v1"
        assert "a log-in is needed" in refused(reference)
        assert "HTTP 401" in refused(reference, login=(closed.host, Login(USER, "wrong")))
        assert "a log-in is needed" in refused(reference, login=("ghcr.io", LOGIN))
        assert asked(reference, login=(closed.host, LOGIN))["configData"] == CONFIG


def test_a_registry_with_tokens(tmp_path: Path) -> None:
    write_keys(tmp_path, service_address="10.0.0.1")
    tokens = Tokens(tmp_path)
    with service(paths={"/token": tokens.answer}) as issuer:
        auth = {
            "token": {
                "realm": f"{issuer.base}/token",
                "service": "registry",
                "issuer": "tests",
                "rootcertbundle": str(tmp_path / "ca.crt"),
            }
        }
        with registry(tmp_path / "registry", auth=auth) as closed:
            for name in ("open/app", "team/app"):
                token = tokens.token(f"repository:{name}:pull", actions="pull,push")
                Filled(closed.host, authorization=f"Bearer {token}").push(name, "v1", config=CONFIG)
            assert asked(f"{closed.host}/open/app:v1")["configData"] == CONFIG
            told = refused(f"{closed.host}/team/app:v1")
            assert f"log-in at {issuer.base}/token?…: HTTP 401" not in told  # the realm as it was given has no query
            assert f"log-in at {issuer.base}/token: HTTP 401" in told
            tokens.asked.clear()
            references = [f"{closed.host}/team/app:v1"] * 3
            assert asked(*references, login=(closed.host, LOGIN))["configData"] == CONFIG
            assert tokens.asked == [{"scope": "repository:team/app:pull", "service": "registry", "authorization": basic()}], (
                "one token serves all questions"
            )


def test_an_answer_that_is_not_what_its_digest_says_is_not_believed(tmp_path: Path) -> None:
    with registry(tmp_path) as own:
        own.push("app", "v1", config=CONFIG)
        blob = digest(json.dumps(CONFIG).encode())
        place = tmp_path / "storage/docker/registry/v2/blobs/sha256" / blob[7:9] / blob[7:] / "data"
        place.write_bytes(json.dumps({**CONFIG, "os": "other"}).encode())
        assert "does not have the digest" in refused(f"{own.host}/app:v1")


def test_who_wants_tls_gets_it_although_another_read_the_same_registry_without(stored: Filled) -> None:
    stored.push("team/app", "v1", config=CONFIG)
    reference = f"{stored.host}/team/app:v1"

    async def with_login(_: Lookup) -> Known:
        return Known(((stored.host, LOGIN),))

    async def run() -> None:
        async with Outbound(Reach.of("")) as outbound:
            images = ImageData(Registry(outbound, max_blob=1_000_000, timeout=10), with_login, timeout=10)
            await images.answer(Lookup("imageData", reference, options=INSECURE))
            await images.answer(Lookup("imageData", reference, options=()))

    with pytest.raises(LookupFailed, match=f"GET https://{stored.host}/"):
        asyncio.run(run())


def hostile(answer: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None) -> str:
    """What is told of a registry that answers everything with this."""

    async def handler(_: web.Request) -> web.StreamResponse:
        return web.json_response(answer, status=status, headers=headers)

    with service(paths={"/v2/app/manifests/v1": handler}) as bad:
        return refused(f"{bad.base.removeprefix('http://')}/app:v1")


@pytest.mark.parametrize("entries", [[1], 7, [{"platform": ["linux"]}], {"platform": "linux"}])
def test_an_index_that_makes_no_sense_is_told(entries: Any) -> None:
    assert "no manifest for linux/amd64" in hostile({"mediaType": INDEX, "manifests": entries})


@pytest.mark.parametrize("made_up", ["sha256:../../secret", "sha256:a HTTP/1.1\r\nX: y", "", 7])
def test_a_digest_that_is_none_is_not_asked_for(made_up: Any) -> None:
    told = hostile({"mediaType": DOCKER_MANIFEST, "config": {"digest": made_up}})
    assert told.endswith("a manifest without a digest where one must be")


def test_a_log_in_at_no_url_is_told() -> None:
    told = hostile({}, status=401, headers={"WWW-Authenticate": 'Bearer realm="http://[nowhere"'})
    assert "HTTP 401: the registry's log-in has no URL" in told


@pytest.mark.parametrize("provider", ["amazon", "azure", "google", "github"])
def test_providers_that_are_not_built_are_refused(provider: str) -> None:
    told = refused("example.com/app:v1", options=(("providers", json.dumps([provider])),))
    assert told == f"imageRegistryCredentials.providers: `{provider}` is not supported; name Secrets with log-ins instead"


def docker_config(**auths: Any) -> str:
    return json.dumps({"auths": auths})


def test_logins_of_a_docker_configuration() -> None:
    secret = base64.b64encode(b"ann:pa:ss").decode()
    places = read_config(
        json.dumps(
            {
                "auths": {
                    "https://index.docker.io/v1/": {"auth": secret},
                    "ghcr.io": {"username": "u", "password": "p"},
                    "ghcr.io/team": {"registrytoken": "t"},
                    "*.example.com": {"auth": secret},
                }
            }
        )
    )
    known = Known(tuple(places))
    assert known.at("index.docker.io", "library/nginx") == Login("ann", "pa:ss")
    assert known.at("ghcr.io", "other/app") == Login("u", "p")
    assert known.at("ghcr.io", "team/app") == Login(token="t")
    assert known.at("ghcr.io", "teams/app") == Login("u", "p")
    assert known.at("a.example.com", "x") == Login("ann", "pa:ss")
    assert known.at("a.b.example.com", "x") is None
    assert known.at("example.com", "x") is None
    assert "ss" not in repr(known)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "no JSON"),
        ('{"auths": []}', "auths is no object"),
        (docker_config(a={"identitytoken": "t"}), "identitytoken"),
        (docker_config(a={"auth": "%%%"}), "neither username"),
        (docker_config(a=7), "no object"),
    ],
)
def test_logins_that_cannot_be_used_are_told(text: str, reason: str) -> None:
    with pytest.raises(InvalidLogin, match=reason):
        read_config(text)

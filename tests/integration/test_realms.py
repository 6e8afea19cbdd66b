"""Realms that authenticate by other means than Authorization: JWT with a secret, and PKI."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.config import UpstreamConfig
from proxy.ground.authorization import Allowed
from proxy.ground.errors import Unauthenticated
from proxy.inference.actions import InferenceAction
from testbed.elasticsearch import start
from tests.support.certificates import certificate
from tests.support.security import TIMEOUT
from tests.support.upstreams import open_privileges
from tests.support.users import ROLES, USERS, basic
from tests.support.waiting import eventually

SIGNING_KEY: Final = "a-signing-key-for-hs256-of-more-than-32-bytes"
REALMS: Final = "xpack.security.authc.realms"
SSL: Final = "xpack.security.http.ssl"
SETTINGS: Final[dict[str, Any]] = {
    "xpack.license.self_generated.type": "trial",  # basic licences have neither realm
    "xpack.security.transport.ssl.enabled": False,
    f"{SSL}.enabled": True,
    f"{SSL}.key": "certs/http.key",
    f"{SSL}.certificate": "certs/http_ca.crt",
    f"{SSL}.client_authentication": "optional",
    f"{SSL}.certificate_authorities": ["certs/known.crt", "certs/trusted.crt"],
    f"{REALMS}.file.file1.order": 0,
    f"{REALMS}.native.native1.order": 1,
    f"{REALMS}.jwt.jwt1.order": 2,
    f"{REALMS}.jwt.jwt1.token_type": "access_token",
    f"{REALMS}.jwt.jwt1.client_authentication.type": "shared_secret",
    f"{REALMS}.jwt.jwt1.allowed_issuer": "issuer",
    f"{REALMS}.jwt.jwt1.allowed_audiences": ["elasticsearch"],
    f"{REALMS}.jwt.jwt1.allowed_subjects": ["jane"],
    f"{REALMS}.jwt.jwt1.allowed_signature_algorithms": ["HS256"],
    f"{REALMS}.jwt.jwt1.claims.principal": "sub",
    f"{REALMS}.pki.pki1.order": 3,
    f"{REALMS}.pki.pki1.certificate_authorities": ["certs/trusted.crt"],
}
SECRETS: Final = {
    f"{REALMS}.jwt.jwt1.hmac_key": SIGNING_KEY,
    f"{REALMS}.jwt.jwt1.client_authentication.shared_secret": "secret-of-an-application",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With the certificates `upstream`, `known` to it, and `trusted` by its PKI realm."""
    folder = tmp_path_factory.mktemp("certificates")
    for serial, name in enumerate(("upstream", "known", "trusted"), 1):
        certificate(folder / f"{name}.pem", serial).chmod(0o600)
    return folder


@pytest.fixture(scope="module")
def elasticsearch(folder):
    def part(name: str, *, key: bool = False) -> str:
        text: str = (folder / f"{name}.pem").read_text()
        at = text.index("-----BEGIN PRIVATE KEY")
        return text[at:] if key else text[:at]

    files = {
        "certs/http_ca.crt": part("upstream"),
        "certs/http.key": part("upstream", key=True),
        "certs/known.crt": part("known"),
        "certs/trusted.crt": part("trusted"),
    }
    running = start(
        secured=True,
        users=USERS,
        roles=ROLES,
        settings=SETTINGS,
        files=files,
        secure_settings=SECRETS,
        say=lambda _: None,
    )
    yield running
    running.stop()


def get(url: str, folder: Path, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    context = ssl.create_default_context(cafile=folder / "upstream.pem")
    request = urllib.request.Request(url, headers=headers or {})
    try:
        with urllib.request.urlopen(request, context=context, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


# JWT


def token(subject: str) -> str:
    def encoded(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    now = int(time.time())
    claims = {"iss": "issuer", "aud": "elasticsearch", "sub": subject, "iat": now, "exp": now + 600}
    parts = [
        encoded(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims)
    ]
    signature = hmac.digest(SIGNING_KEY.encode(), ".".join(parts).encode(), hashlib.sha256)
    return ".".join([*parts, encoded(signature)])


@pytest.fixture
def mapped(elasticsearch, folder):
    """`jane` may manage inference."""
    context = ssl.create_default_context(cafile=folder / "upstream.pem")
    rule = {"enabled": True, "roles": ["inference_manager"], "rules": {"field": {"username": "*"}}}
    request = urllib.request.Request(
        f"{elasticsearch.url}/_security/role_mapping/all",
        method="PUT",
        data=json.dumps(rule).encode(),
        headers={"Authorization": basic("admin"), "Content-Type": "application/json"},
    )

    def done() -> bool:
        try:
            with urllib.request.urlopen(request, context=context, timeout=30) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError:
            return False  # the index `.security` is not ready

    eventually(done, TIMEOUT)


async def judge(privileges, *headers: tuple[str, str]):
    sent = CIMultiDictProxy(CIMultiDict(headers))
    return await privileges.check(sent, "/_inference/x", InferenceAction.PUT)


async def test_a_jwt_counts_with_the_secret_of_its_client_only(elasticsearch, folder, mapped):
    upstream = UpstreamConfig(url=elasticsearch.url, ca_file=folder / "upstream.pem")
    bearer = ("Authorization", f"Bearer {token('jane')}")
    secret = ("ES-Client-Authentication", "SharedSecret secret-of-an-application")
    wrong = ("ES-Client-Authentication", "SharedSecret wrong")
    async with open_privileges(upstream) as privileges:
        for _ in range(2):  # what is remembered belongs to the secret, too
            verdict = await judge(privileges, bearer, secret)
            assert isinstance(verdict, Allowed)
            assert verdict.user == "jane"
            for headers in ([bearer], [bearer, wrong]):
                with pytest.raises(Unauthenticated):
                    await judge(privileges, *headers)


# PKI


def environ(folder: Path, name: str) -> dict[str, str]:
    return {
        "HFPROXY_UPSTREAM_CERTIFICATE": str(folder / f"{name}.pem"),
        "HFPROXY_UPSTREAM_CA_FILE": str(folder / "upstream.pem"),
    }


@pytest.mark.parametrize("flags", [(), ("--no-lane",)])
def test_a_proxy_whose_certificate_is_a_user_does_not_start(
    elasticsearch, folder, serve, tmp_path, flags
):
    proxy = serve(
        *flags,
        *("--store", f"sqlite:{tmp_path}/endpoints.db"),
        upstream=elasticsearch.url,
        env=environ(folder, "trusted"),
        wait=False,
    )
    assert proxy.wait() == 1
    assert "[upstream.certificate] is [trusted]: the upstream takes the proxy's" in proxy.output
    assert "Traceback" not in proxy.output


@pytest.mark.parametrize("flags", [(), ("--no-lane",)])
def test_a_certificate_that_is_nobody_is_used(elasticsearch, folder, serve, tmp_path, flags):
    proxy = serve(
        *flags,
        *("--store", f"sqlite:{tmp_path}/endpoints.db"),
        upstream=elasticsearch.url,
        env=environ(folder, "known"),
    )
    url = f"http://127.0.0.1:{proxy.port}"
    for target in ("/_security/_authenticate", "/_inference/_all"):
        assert get(url + target, folder)[0] == 401
        assert get(url + target, folder, {"Authorization": basic("admin")})[0] == 200


@pytest.mark.parametrize("name", ["trusted", "known"])
def test_check_tells(elasticsearch, folder, run, tmp_path, name):
    store = f"sqlite:{tmp_path}/endpoints.db"
    flags = ("--upstream", elasticsearch.url, "--store", store)
    result = run("check", *flags, env=environ(folder, name))
    assert ("[upstream.certificate] is [trusted]" in result.stdout) == (name == "trusted")
    assert ("takes the proxy's certificate for nobody" in result.stdout) == (name == "known")

"""The files that TLS is configured with."""

from __future__ import annotations

import ssl

import pytest

from proxy.config import ConfigError, TlsConfig, UpstreamConfig
from proxy.upstream.tls import own_certificate, upstream_tls
from tests.support.certificates import certificate


@pytest.mark.parametrize("url", [None, "http://es:9200"])
def test_without_https_there_is_no_context(url):
    assert upstream_tls(UpstreamConfig(url=url)) is None


@pytest.mark.parametrize(
    ("config", "checks_names", "mode"),
    [
        ({}, True, ssl.CERT_REQUIRED),
        ({"verify": False}, False, ssl.CERT_NONE),
        ({"fingerprint": "ab" * 32}, False, ssl.CERT_NONE),  # the handshake checks it instead
    ],
)
def test_an_upstream_is_verified_unless_it_is_known_otherwise(config, checks_names, mode):
    context = upstream_tls(UpstreamConfig(url="https://es:9200", **config))
    assert context is not None
    assert (context.check_hostname, context.verify_mode) == (checks_names, mode)


def test_a_key_needs_a_certificate(tmp_path):
    with pytest.raises(ConfigError, match=r"\[tls.key\] needs \[tls.certificate\]"):
        own_certificate("tls", TlsConfig(key=tmp_path / "key.pem"))
    assert own_certificate("tls", TlsConfig()) is None


def test_files_that_cannot_be_used_are_named(tmp_path):
    pem = certificate(tmp_path / "cert.pem")
    other = certificate(tmp_path / "other.pem")
    missing = tmp_path / "missing.pem"
    for config, text in [
        (UpstreamConfig(certificate=pem, key=other), rf"cannot use \[{pem}\] with \[{other}\]: "),
        (UpstreamConfig(certificate=missing), rf"cannot use \[{missing}\]: No such file"),
    ]:
        own = own_certificate("upstream", config)
        assert own is not None
        with pytest.raises(ConfigError, match=r"\[upstream.certificate\] " + text):
            own.load_into(ssl.create_default_context())
    with pytest.raises(ConfigError, match=rf"\[upstream.ca_file\] cannot use \[{missing}\]: "):
        upstream_tls(UpstreamConfig(url="https://es:9200", ca_file=missing))


@pytest.mark.parametrize("section", ["tls", "upstream"])
@pytest.mark.parametrize("setting", ["key", "certificate"])
def test_a_key_that_others_can_write_is_refused(tmp_path, section, setting):
    pem = certificate(tmp_path / "cert.pem")
    key = tmp_path / "key.pem"
    key.write_bytes(pem.read_bytes())
    config = TlsConfig(certificate=pem, key=key if setting == "key" else None)
    own = own_certificate(section, config)
    assert own is not None
    secret = key if setting == "key" else pem
    secret.chmod(0o666)
    with pytest.raises(ConfigError, match=rf"\[{section}.{setting}\].*chmod o-w"):
        own.load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    secret.chmod(0o444)
    own.load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))

"""Certificates, keys and the configuration file, as `check` sees them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from proxy.commands.checks.files import check_files
from proxy.config import load_settings
from tests.support.certificates import certificate

NOW = datetime.now(UTC)


def found(now: datetime = NOW, **environ: str) -> list[str]:
    settings = load_settings(None, {f"HFPROXY_{key}": text for key, text in environ.items()})
    return [str(one) for one in check_files(settings, lambda: now)]


def test_without_files_the_settings_are_all() -> None:
    assert found() == [
        "ok      configuration: every setting is valid (defaults, environment and flags)"
    ]


def test_a_certificate_that_expires_soon_is_a_warning(tmp_path: Path) -> None:
    pem = certificate(tmp_path / "cert.pem")  # for an hour
    pem.chmod(0o600)
    _, line = found(TLS_CERTIFICATE=str(pem))
    assert line.startswith(f"warning [tls.certificate] [{pem}] fits its key, but one expires on ")
    assert line.endswith(": renew it")


@pytest.mark.parametrize(
    ("moved", "words"),
    [(timedelta(hours=2), "has expired on"), (-timedelta(hours=20), "is not valid before")],
)
@pytest.mark.parametrize("key", ["TLS_CERTIFICATE", "UPSTREAM_CA_FILE", "EGRESS_CA_FILE"])
def test_one_that_is_not_valid_is_an_error(
    tmp_path: Path, moved: timedelta, words: str, key: str
) -> None:
    pem = certificate(tmp_path / "cert.pem")
    line = found(NOW + moved, **{key: str(pem)})[1]
    assert line.startswith("error ")
    assert words in line


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("TLS_CERTIFICATE", "[tls.certificate] [{pem}] fits its key, valid until "),
        ("UPSTREAM_CA_FILE", "[upstream.ca_file] [{pem}] holds 1 certificate, valid until "),
    ],
)
def test_one_that_lasts_is_fine(tmp_path: Path, key: str, told: str) -> None:
    pem = certificate(tmp_path / "cert.pem", hours=99 * 24)
    pem.chmod(0o600)
    _, line = found(NOW, **{key: str(pem)})
    assert line.startswith(f"ok      {told.format(pem=pem)}")


def test_a_bundle_with_one_that_has_expired_is_a_warning(tmp_path: Path) -> None:
    pem = certificate(tmp_path / "ca.pem")
    pem.write_bytes(pem.read_bytes() + certificate(tmp_path / "b.pem").read_bytes())
    line = found(NOW + timedelta(hours=2), UPSTREAM_CA_FILE=str(pem))[1]
    assert line.startswith(f"warning [upstream.ca_file] [{pem}] holds 2 certificates, but one has")


def test_files_that_do_not_fit_or_are_not_there_are_errors(tmp_path: Path) -> None:
    pem, other = certificate(tmp_path / "cert.pem"), certificate(tmp_path / "other.pem")
    for key in (pem, other):
        key.chmod(0o600)
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing of use")
    for environ, told in [
        ({"TLS_CERTIFICATE": str(pem), "TLS_KEY": str(other)}, "[tls.certificate] cannot use"),
        ({"TLS_KEY": str(pem)}, "[tls.key] needs [tls.certificate]"),
        ({"UPSTREAM_CERTIFICATE": "/none"}, "[upstream.certificate] cannot use [/none]: No such"),
        ({"UPSTREAM_CA_FILE": "/none"}, "[upstream.ca_file] cannot read [/none]: No such"),
        ({"UPSTREAM_CA_FILE": str(empty)}, f"[upstream.ca_file] [{empty}] holds no certificate"),
        ({"EGRESS_ALLOW": "http://x"}, "[egress.allow] [http://x] is no host name"),
    ]:
        line = found(NOW, **environ)[1]
        assert line.startswith(f"error   {told}"), line


def test_a_key_that_everybody_can_read_is_a_warning(tmp_path: Path) -> None:
    pem = certificate(tmp_path / "cert.pem")
    pem.chmod(0o644)
    line = found(TLS_CERTIFICATE=str(pem))[-1]
    assert line == (
        f"warning [tls.certificate] [{pem}] can be read by every user of this machine: "
        f"chmod o-r {pem}"
    )


@pytest.mark.parametrize(
    ("text", "count"), [("upstream: {password: x, username: y}", 1), ("workers: 1", 0)]
)
def test_so_is_a_configuration_with_a_secret(tmp_path: Path, text: str, count: int) -> None:
    file = tmp_path / "proxy.yml"
    file.write_text(text)
    file.chmod(0o644)
    lines = [str(one) for one in check_files(load_settings(file, {}))]
    assert lines[0] == f"ok      configuration: every setting is valid ([{file}])"
    assert sum("can be read by every user" in line for line in lines) == count


def test_what_is_not_understood_is_a_warning() -> None:
    settings = load_settings(None, {"ELASTICSEARCH_PASSWD": "x"})
    _, line = map(str, check_files(settings))
    assert line.startswith("warning configuration: the environment variable [ELASTICSEARCH_PASSWD]")

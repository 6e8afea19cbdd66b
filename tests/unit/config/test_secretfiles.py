"""Files with secrets, as people and container platforms make them."""

from __future__ import annotations

import os

import pytest

from proxy.config import Config, ConfigError, StoreConfig, TlsConfig, UpstreamConfig
from proxy.config.secretfiles import other_writer, read_secret, readable_by_all

USER, GROUP = 10001, 2000


def status(mode, uid, gid):
    return os.stat_result((0o100000 | mode, 1, 1, 1, uid, gid, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("mode", "uid", "gid"),
    [
        (0o440, 0, GROUP),  # Kubernetes, with defaultMode 0440 and fsGroup
        (0o444, 0, 0),  # a secret of Docker
        (0o644, 0, 0),
        (0o444, 1000, 1000),  # a file of the host, mounted
        (0o660, 0, GROUP),  # what Kubernetes makes of the files on a volume with fsGroup
        (0o660, USER, GROUP),
        (0o644, USER, USER),  # openssl rand -hex 32 > file
        (0o600, USER, USER),
        (0o400, USER, USER),
    ],
)
def test_a_file_that_nobody_else_can_write_is_taken(mode, uid, gid):
    assert other_writer(status(mode, uid, gid), USER, {GROUP}) is None


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "who", "remedy"),
    [
        (0o666, USER, GROUP, "every user", "o-w"),
        (0o646, 0, 0, "every user", "o-w"),
        (0o664, USER, 3000, r"the group [3000], which is not the proxy's", "g-w"),
        (0o460, 0, 0, r"the group [0], which is not the proxy's", "g-w"),
        (0o644, 1000, GROUP, "the user [1000], who is neither root nor the proxy's", "u-w"),
    ],
)
def test_a_file_that_somebody_else_can_write_is_not(mode, uid, gid, who, remedy):
    assert other_writer(status(mode, uid, gid), USER, {GROUP}) == (who, remedy)


def test_root_takes_the_files_of_any_owner():
    assert other_writer(status(0o600, 1000, 1000), 0, {0}) is None
    assert other_writer(status(0o606, 1000, 1000), 0, {0}) == ("every user", "o-w")


def test_a_secret_is_read_through_links_as_kubernetes_makes_them(tmp_path):
    (tmp_path / "..2024").mkdir()
    (tmp_path / "..2024" / "key").write_bytes(b"secret")
    (tmp_path / "..2024" / "key").chmod(0o444)
    (tmp_path / "..data").symlink_to("..2024")
    (tmp_path / "key").symlink_to("..data/key")
    assert read_secret("store.encryption_key_file", tmp_path / "key", 4) == b"secr"
    (tmp_path / "..2024" / "key").chmod(0o446)
    with pytest.raises(ConfigError, match=r"written by every user: chmod o-w .*/key$"):
        read_secret("store.encryption_key_file", tmp_path / "key", 4)


def test_a_warning_names_each_file_that_everybody_can_read(tmp_path):
    names = ("key", "previous", "tls.pem", "upstream.key", "endpoints.db")
    files = {name: tmp_path / name for name in names}
    for file in files.values():
        file.touch()
        file.chmod(0o640)
    config = Config(
        tls=TlsConfig(certificate=files["tls.pem"]),
        upstream=UpstreamConfig(certificate=files["tls.pem"], key=files["upstream.key"]),
        store=StoreConfig(
            kind=f"sqlite:{files['endpoints.db']}",
            encryption_key_file=files["key"],
            previous_key_file=files["previous"],
        ),
    )
    assert list(readable_by_all(config)) == []
    for file in files.values():
        file.chmod(0o644)
    settings = [
        *("store.encryption_key_file", "store.previous_key_file", "store.kind"),
        *("tls.certificate", "upstream.key"),
    ]
    found = list(readable_by_all(config))
    assert [warning.partition("]")[0][1:] for warning in found] == settings
    assert found[0] == (
        f"[store.encryption_key_file] [{files['key']}] can be read by every user of this machine: "
        f"chmod o-r {files['key']}"
    )
    files["key"].unlink()
    assert len(list(readable_by_all(config))) == 4

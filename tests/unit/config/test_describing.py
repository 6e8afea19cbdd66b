"""What is shown of a configuration."""

from __future__ import annotations

import dataclasses

import pytest

from proxy.config import Config, describe, load_config
from proxy.config.values import KEYS


def load(*, flags):
    return load_config(None, {}, flags)


CREDENTIALS = ("upstream.api_key", "upstream.password", "upstream.service_token")


@pytest.mark.parametrize("credential", CREDENTIALS)
class TestSecrets:
    """The proxy has one kind of credentials at a time."""

    SECRETS = ("store.encryption_key", "store.previous_key")

    def test_the_description_masks_them_all(self, credential):
        secrets = {credential, *self.SECRETS}
        described = describe(load(flags=dict.fromkeys(secrets, "s3cret")))
        assert "s3cret" not in str(described)
        assert {key for key, value in described.items() if value == "********"} == secrets
        assert describe(Config())[credential] is None

    def test_no_printed_configuration_shows_them(self, credential):
        config = load(flags=dict.fromkeys((credential, *self.SECRETS), "s3cret"))
        assert "s3cret" not in repr(config)


class TestMarks:
    def test_every_secret_is_among_those_above(self):
        marked = {key.name for key in KEYS.values() if key.secret}
        assert marked == {*CREDENTIALS, *TestSecrets.SECRETS}

    def test_what_a_proxy_is_told_by_its_url_is_masked(self):
        config = load(flags={"egress.proxy": "http://me:s3c@ret@proxy.test:3128"})
        assert describe(config)["egress.proxy"] == "http://********@proxy.test:3128"
        assert "s3c" not in repr(config)
        plain = load(flags={"egress.proxy": "http://proxy.test:3128"})
        assert describe(plain)["egress.proxy"] == "http://proxy.test:3128"

    def test_whatever_sounds_secret_is_marked_as_one(self):
        def walk(value, prefix=""):
            for entry in dataclasses.fields(value):
                inner = getattr(value, entry.name)
                if dataclasses.is_dataclass(inner):
                    yield from walk(inner, f"{prefix}{entry.name}.")
                else:
                    yield f"{prefix}{entry.name}", entry

        for key, entry in walk(Config()):
            name = key.rpartition(".")[2].removesuffix("_timeout")
            if name.endswith(("_key", "password", "token")):
                assert entry.metadata["secret"], key
                assert not entry.repr, key

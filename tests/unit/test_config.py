from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config import ALIASES, Config, ConfigError, describe, load_config, split_address

UPSTREAM = "http://es:9200"


def load(text: str = "", environ=None, flags=None, folder: Path | None = None) -> Config:
    path = None
    if folder is not None:
        path = folder / "proxy.yml"
        path.write_text(text, encoding="utf-8")
    return load_config(path, environ or {}, flags)


def refused(environ=None, flags=None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(environ=environ, flags=flags)
    return str(caught.value)


class TestSources:
    def test_nothing_at_all_is_a_configuration(self):
        config = load()
        assert config == Config()
        assert config.store_kind.startswith("sqlite:")

    def test_an_upstream_keeps_the_endpoints_unless_told_otherwise(self):
        assert load(environ={"ELASTICSEARCH_URL": UPSTREAM}).store_kind == "elasticsearch"
        environ = {"ELASTICSEARCH_URL": UPSTREAM, "HFPROXY_STORE_KIND": "sqlite:/x"}
        assert load(environ=environ).store_kind == "sqlite:/x"

    def test_the_file_is_overruled_by_the_environment_and_that_by_flags(self, tmp_path):
        text = "listen: h:1\nworkers: 1\nprovider: {timeout: 1}\n"
        environ = {"HFPROXY_WORKERS": "2", "HFPROXY_PROVIDER_TIMEOUT": "2.5"}
        config = load(text, environ, {"provider.timeout": 3, "listen": None}, tmp_path)
        assert (config.listen, config.workers, config.provider.timeout) == ("h:1", 2, 3.0)

    def test_usual_names_are_known_and_our_own_win(self):
        environ = {"ELASTICSEARCH_URL": UPSTREAM, "ELASTIC_API_KEY": "k"}
        assert load(environ=environ).upstream.api_key == "k"
        environ["HFPROXY_UPSTREAM_API_KEY"] = "own"
        assert load(environ=environ).upstream.api_key == "own"

    def test_empty_usual_names_mean_nothing(self):
        assert load(environ=dict.fromkeys(ALIASES, "")).upstream.url is None

    def test_an_empty_file_and_empty_sections_mean_nothing(self, tmp_path):
        assert load("", folder=tmp_path) == Config()
        assert load("# nothing\nworkers:\nprovider: {}\n", folder=tmp_path) == Config()

    @pytest.mark.parametrize("key", sorted(describe(Config())))
    def test_every_key_has_its_environment_variable(self, key):
        values = {"listen": "h:1", "workers": "3", "lane": "false", "log.level": "debug"}
        values |= {"admin.listen": "h:2"}
        values |= {"log.format": "json", "store.kind": "sqlite:x", "upstream.url": UPSTREAM}
        values |= {"upstream.verify": "false", "egress.allow": "a, b", "compatibility": "9.5"}
        value = values.get(key, "77")
        config = load(environ={f"HFPROXY_{key.replace('.', '_').upper()}": value})
        assert describe(config)[key] != describe(Config())[key]

    def test_lists_come_as_lists_or_with_commas(self, tmp_path):
        assert load("egress: {allow: [a, b]}", folder=tmp_path).egress.allow == ("a", "b")
        assert load("egress: {allow: a}", folder=tmp_path).egress.allow == ("a",)
        assert load(environ={"HFPROXY_EGRESS_ALLOW": "a, b"}).egress.allow == ("a", "b")

    def test_an_empty_list_is_empty(self):
        assert load(environ={"HFPROXY_EGRESS_ALLOW": ""}).egress.allow == ()


class TestMistakes:
    def test_unknown_keys_are_named_with_the_known_ones(self, tmp_path):
        for text in ("upstrem: {url: x}", "provider: {timeot: 1}", "1: 2", "upstream: http://x"):
            with pytest.raises(ConfigError, match=r"unknown key \[.*\]; known keys are admin"):
                load(text, folder=tmp_path)
        assert refused({"HFPROXY_WORKER": "1"}) == "unknown environment variable [HFPROXY_WORKER]"

    @pytest.mark.parametrize(
        ("flags", "message"),
        [
            ({"workers": "x"}, "[workers] must be of type int"),
            ({"workers": 0}, "[workers] must be 1 or more"),
            ({"lane": "yes"}, "[lane] must be of type bool"),
            ({"provider.timeout": "1s"}, "[provider.timeout] must be of type float"),
            ({"upstream.url": ["x"]}, "[upstream.url] must be of type str"),
            ({"egress.allow": 5}, "[egress.allow] must be a list of texts"),
            ({"listen": "9200"}, "[9200] is not HOST:PORT"),
            ({"listen": "h:70000"}, "[h:70000] is not HOST:PORT"),
            ({"compatibility": "7"}, "[compatibility] must be one of 8.19, 9.2, 9.5, 9.6"),
            ({"log.format": "xml"}, "[log.format] must be text or json"),
            ({"log.level": "loud"}, "[log.level] must be debug, info, warning or error"),
            ({"store.kind": "redis"}, "[store.kind] must be elasticsearch or sqlite:PATH"),
            ({"store.kind": "elasticsearch"}, "[store.kind] elasticsearch needs [upstream.url]"),
        ],
    )
    def test_a_bad_value_is_told_in_one_line(self, flags, message):
        assert refused(flags=flags) == message

    @pytest.mark.parametrize(
        "url",
        [
            "es:9200",
            "ftp://es",
            "http://",
            "http://es/path",
            "http://es?q",
            "http://es#f",
            "//es",
            "http://es:99999",
            "http://es:x",
        ],
    )
    def test_an_upstream_is_a_bare_http_address(self, url):
        message = "[upstream.url] must be http(s)://HOST:PORT, with no path"
        assert refused(flags={"upstream.url": url}) == message

    def test_an_upstream_holds_no_user_and_is_not_quoted(self):
        message = refused(flags={"upstream.url": "http://user:s3cret@es:9200"})
        assert "user name" in message
        assert "s3cret" not in message

    @pytest.mark.parametrize("text", ["[", "- a", "x", "a: b: c", "\x00"])
    def test_a_file_that_is_none_is_told(self, tmp_path, text):
        with pytest.raises(ConfigError):
            load(text, folder=tmp_path)

    def test_a_missing_file_is_told(self, tmp_path):
        with pytest.raises(ConfigError, match="No such file"):
            load_config(tmp_path / "none.yml", {})
        with pytest.raises(ConfigError, match="Is a directory"):
            load_config(tmp_path, {})

    def test_a_broken_file_is_not_quoted(self, tmp_path):
        with pytest.raises(ConfigError) as caught:
            load('upstream:\n  password: "s3cret\n', folder=tmp_path)
        assert "s3cret" not in str(caught.value)

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("provider.concurrency", 0),
            ("provider.max_batch_inputs", 0),
            ("provider.max_response_bytes", -1),
            ("provider.timeout", "nan"),
            ("provider.retry_initial_delay", -1),
            ("limits.inference_body", 0),
            ("store.freshness", "nan"),
        ],
    )
    def test_numbers_have_bounds(self, key, value):
        assert key in refused(flags={key: value})


class TestAddresses:
    @pytest.mark.parametrize(
        ("address", "pair"),
        [
            ("h:1", ("h", 1)),
            ("127.0.0.1:65535", ("127.0.0.1", 65535)),
            ("[::1]:9200", ("::1", 9200)),
            (":9200", ("127.0.0.1", 9200)),
            ("h:0", ("h", 0)),
        ],
    )
    def test_have_a_host_and_a_port(self, address, pair):
        assert split_address(address) == pair

    @pytest.mark.parametrize("address", ["", "h", "h:", "h:x", "h:-1", "h:65536", "h:1.5"])
    def test_must_have_both(self, address):
        with pytest.raises(ConfigError, match="is not HOST:PORT"):
            split_address(address)

    def test_a_port_is_made_of_plain_digits(self):
        with pytest.raises(ConfigError):
            split_address("h:²")

    @given(st.text(max_size=12))
    def test_any_text_is_an_address_or_refused(self, text):
        try:
            host, port = split_address(text.replace("²", ""))
        except (ConfigError, ValueError):
            return
        assert host
        assert 0 <= port <= 65535


class TestSecrets:
    SECRETS = (
        "upstream.api_key",
        "upstream.password",
        "store.encryption_key",
        "store.previous_key",
    )

    def test_the_description_masks_them_all(self):
        config = load(flags=dict.fromkeys(self.SECRETS, "s3cret"))
        described = describe(config)
        assert "s3cret" not in str(described)
        assert {key for key, value in described.items() if value == "********"} == {*self.SECRETS}
        assert describe(Config())["upstream.api_key"] is None

    def test_what_a_proxy_is_told_by_its_url_is_masked(self):
        config = load(flags={"egress.proxy": "http://me:s3c@ret@proxy.test:3128"})
        assert describe(config)["egress.proxy"] == "http://********@proxy.test:3128"
        assert "s3c" not in repr(config)
        plain = load(flags={"egress.proxy": "http://proxy.test:3128"})
        assert describe(plain)["egress.proxy"] == "http://proxy.test:3128"

    def test_no_printed_configuration_shows_them(self):
        config = load(flags=dict.fromkeys(self.SECRETS, "s3cret"))
        assert "s3cret" not in repr(config)

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
                assert entry.metadata.get("secret"), key
                assert not entry.repr, key

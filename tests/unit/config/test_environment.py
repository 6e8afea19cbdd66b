"""Names that people have in their environment already."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config import ALIASES, Config, ConfigError, describe, load_config, load_settings


def load(**environ: str) -> Config:
    return load_config(None, environ)


def refused(**environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(**environ)
    return str(caught.value)


def remarks(**environ: str) -> list[str]:
    return list(load_settings(None, environ).remarks)


@pytest.mark.parametrize("name", ALIASES)
def test_each_sets_its_key_and_the_proxys_own_variable_is_stronger(name: str) -> None:
    key = ALIASES[name]
    value, own = ("http://a:1", "http://b:2") if key == "upstream.url" else ("/one", "/other")
    set_by_it = load(**{name: value})
    stronger = f"HFPROXY_{key.replace('.', '_').upper()}"
    assert describe(set_by_it)[key] != describe(Config())[key]
    assert load(**{name: value, stronger: own}) == load(**{stronger: own})


class TestHosts:
    @pytest.mark.parametrize(
        "text",
        [
            "http://a:9200,http://b:9200",
            "http://a:9200/, http://b:9200/",
            '["http://a:9200","http://b:9200"]',
            "['http://a:9200', 'http://b:9200/']",
        ],
    )
    def test_are_a_list_with_commas_or_in_brackets(self, text: str) -> None:
        assert load(ELASTICSEARCH_HOSTS=text).upstream.urls == ["http://a:9200", "http://b:9200"]

    @pytest.mark.parametrize("text", ['["http://a:9200"', "[1]", "[{a: b}]"])
    def test_any_other_list_is_refused(self, text: str) -> None:
        told = "[ELASTICSEARCH_HOSTS] must be a list with commas, or a JSON list of texts"
        assert refused(ELASTICSEARCH_HOSTS=text) == told


def test_authorities_are_one_file() -> None:
    name = "ELASTICSEARCH_SSL_CERTIFICATEAUTHORITIES"
    assert load(**{name: '["/ca.pem"]'}).upstream.ca_file == Path("/ca.pem")
    told = f"[{name}] must be one file: put all certificates into it"
    assert refused(**{name: "/a.pem,/b.pem"}) == told


class TestContradictions:
    @pytest.mark.parametrize(
        ("first", "second", "own"),
        [
            ("ELASTICSEARCH_URL", "ELASTICSEARCH_HOSTS", "HFPROXY_UPSTREAM_URL"),
            ("ELASTIC_API_KEY", "ELASTICSEARCH_API_KEY", "HFPROXY_UPSTREAM_API_KEY"),
        ],
    )
    def test_two_names_with_two_values_are_both_named(
        self, first: str, second: str, own: str
    ) -> None:
        environ = {first: "http://a:1", second: "http://b:1"}
        told = f"[{first}] and [{second}] contradict each other: unset one of them, or set [{own}]"
        assert refused(**environ) == told
        assert load(**environ, **{own: "http://c:1"}) == load(**{own: "http://c:1"})

    def test_two_names_with_one_value_agree(self) -> None:
        config = load(ELASTICSEARCH_URL="http://a:1/", ELASTICSEARCH_HOSTS='["http://a:1"]')
        assert config.upstream.urls == ["http://a:1"]

    def test_a_flag_ends_them(self) -> None:
        environ = {"ELASTICSEARCH_URL": "http://a:1", "ELASTICSEARCH_HOSTS": "http://b:1"}
        config = load_config(None, environ, {"upstream.url": "http://c:1"})
        assert config.upstream.url == "http://c:1"

    def test_two_kinds_of_credentials_are_both_named(self) -> None:
        told = refused(ELASTIC_API_KEY="k", ELASTICSEARCH_USERNAME="u", ELASTICSEARCH_PASSWORD="p")
        assert told.startswith("[ELASTIC_API_KEY] and [ELASTICSEARCH_USERNAME] contradict")

    def test_credentials_give_way_to_the_proxys_own(self) -> None:
        own = {"HFPROXY_UPSTREAM_API_KEY": "k"}
        config = load(ELASTICSEARCH_USERNAME="u", ELASTICSEARCH_PASSWORD="p", **own)
        assert config == load(**own)

    def test_a_password_of_the_proxys_own_completes_a_user(self) -> None:
        config = load(ELASTICSEARCH_USERNAME="u", HFPROXY_UPSTREAM_PASSWORD="p")
        assert (config.upstream.username, config.upstream.password) == ("u", "p")


class TestNotUnderstood:
    @pytest.mark.parametrize(
        ("name", "meant"),
        [
            ("ELASTICSEARCH_SSL_VERIFICATIONMODE", "HFPROXY_UPSTREAM_VERIFY"),
            ("ELASTICSEARCH_HOST", "ELASTICSEARCH_HOSTS"),
            ("ELASTICSEARCH_PASSWD", "ELASTICSEARCH_PASSWORD"),
            ("ELASTICSEARCH_SERVICE_ACCOUNT_TOKEN", "ELASTICSEARCH_SERVICEACCOUNTTOKEN"),
            ("ELASTIC_USERNAME", "ELASTICSEARCH_USERNAME"),
        ],
    )
    def test_what_looks_meant_is_told(self, name: str, meant: str) -> None:
        (line,) = remarks(**{name: "s3cret"})
        assert line == (
            f"the environment variable [{name}] is not understood, and has no effect; "
            f"did you mean [{meant}]?"
        )

    @pytest.mark.parametrize("name", ["ELASTICSEARCH_CLOUD_ID", "ELASTICSEARCH_CA"])
    def test_what_is_like_nothing_is_told_too(self, name: str) -> None:
        (line,) = remarks(**{name: "x"})
        assert line.endswith("has no effect")

    @pytest.mark.parametrize("name", ["ES_HOST", "ES_HOSTS", "ES_USERNAME", "ES_PASSWORD"])
    def test_short_names_are_told(self, name: str) -> None:
        (line,) = remarks(**{name: "x"})
        assert line.startswith(f"the environment variable [{name}] is not understood")

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("ELASTICSEARCH_VERSION", "9.2.4"),
            ("ELASTICSEARCH_HOST", ""),
            ("ELASTIC_PASSWORD", "of the command setup"),
            ("ELASTICSEARCH_CACHE", "x"),
            ("ES_JAVA_OPTS", "-Xmx1g"),
            ("ES_PATH_CONF", "/etc/elasticsearch"),
            ("ELASTIC_APM_SERVER_URL", "http://apm:8200"),
            ("ELASTICSEARCH_SERVICE_HOST", "10.0.0.1"),
            ("ELASTICSEARCH_MASTER_SERVICE_HOST", "10.0.0.1"),
            ("ELASTICSEARCH_PORT", "tcp://10.0.0.1:9200"),
            ("ELASTICSEARCH_PORT_9200_TCP_ADDR", "10.0.0.1"),
            ("PATH", "/bin"),
        ],
    )
    def test_nothing_is_said_of_others(self, name: str, text: str) -> None:
        assert remarks(**{name: text}) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("HFPROXY_SERVICE_HOST", "10.0.0.1"),
        ("HFPROXY_SERVICE_PORT", "9201"),
        ("HFPROXY_SERVICE_PORT_HTTP", "9201"),
        ("HFPROXY_PORT", "tcp://10.0.0.1:9201"),
        ("HFPROXY_PORT_9201_TCP", "tcp://10.0.0.1:9201"),
        ("HFPROXY_PORT_9201_TCP_PROTO", "tcp"),
    ],
)
def test_a_service_of_kubernetes_may_have_the_name_of_the_prefix(name: str, text: str) -> None:
    assert load(**{name: text}) == Config()


def test_a_port_is_no_setting() -> None:
    assert refused(HFPROXY_PORT="9201").startswith("unknown environment variable [HFPROXY_PORT]")

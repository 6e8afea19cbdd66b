"""Where values come from, and what is said of those that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config import ALIASES, Config, ConfigError, describe, load_config

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
        unknown = refused(flags={"upstrem.url": "x"})
        assert unknown.endswith("workers; did you mean [upstream.url]?")
        assert refused({"HFPROXY_WORKER": "1"}) == "unknown environment variable [HFPROXY_WORKER]"

    @pytest.mark.parametrize(
        ("flags", "message"),
        [
            ({"workers": "x"}, "[workers] must be of type int"),
            ({"lane": "yes"}, "[lane] must be of type bool"),
            ({"provider.timeout": "1s"}, "[provider.timeout] must be of type float"),
            ({"upstream.url": ["x"]}, "[upstream.url] must be of type str"),
            ({"egress.allow": 5}, "[egress.allow] must be a list of texts"),
        ],
    )
    def test_a_bad_value_is_told_in_one_line(self, flags, message):
        assert refused(flags=flags) == message

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

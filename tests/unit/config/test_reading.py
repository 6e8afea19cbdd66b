"""Where values come from, and what is said of those that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config import ALIASES, Config, ConfigError, describe, load_config, load_settings

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
        values |= {"semantic.enabled": "true", "provider.coalescing": "true"}
        values |= {"provider.prices": "a=1, b=2/3", "provider.shared_rate_limits": "true"}
        values |= {"provider.server_info": "false", "provider.model_guard": "warn"}
        values |= {"provider.prefixes": '{"e5": {"search": "query: "}}'}
        environ = {"HFPROXY_UPSTREAM_URL": UPSTREAM} if key.startswith("semantic.") else {}
        environ[f"HFPROXY_{key.replace('.', '_').upper()}"] = values.get(key, "77")
        config = load(environ=environ)
        assert describe(config)[key] != describe(Config())[key]

    def test_lists_come_as_lists_or_with_commas(self, tmp_path):
        assert load("egress: {allow: [a, b]}", folder=tmp_path).egress.allow == ("a", "b")
        assert load("egress: {allow: a}", folder=tmp_path).egress.allow == ("a",)
        assert load(environ={"HFPROXY_EGRESS_ALLOW": "a, b"}).egress.allow == ("a", "b")

    def test_an_empty_list_is_empty(self):
        assert load(environ={"HFPROXY_EGRESS_ALLOW": ""}).egress.allow == ()


class TestOrigins:
    def test_each_key_says_where_its_value_comes_from(self, tmp_path):
        file = tmp_path / "proxy.yml"
        file.write_text("log: {level: debug}\nupstream: {url: http://es:9200}\n")
        environ = {"HFPROXY_LIMITS_CALLS": "5", "ELASTIC_API_KEY": "k"}
        origins = load_settings(file, environ, {"workers": 2, "listen": None}).origins
        assert origins["log.level"] == "file"
        assert origins["limits.calls"] == "environment HFPROXY_LIMITS_CALLS"
        assert origins["upstream.api_key"] == "environment ELASTIC_API_KEY"
        assert origins["workers"] == "flag"
        assert origins["listen"] == "default"
        assert origins.keys() == describe(Config()).keys()


class TestCredentials:
    @pytest.mark.parametrize(
        "text",
        [
            "upstream: {api_key: a, username: b}",
            "upstream: {api_key: a, password: b}",
            "upstream: {service_token: a, username: b}",
            "upstream: {service_token: a, api_key: b}",
        ],
    )
    def test_two_kinds_in_one_place_contradict_each_other(self, tmp_path, text):
        with pytest.raises(ConfigError, match=r"\[upstream\..*\] and \[upstream\..*\] contradict"):
            load(text, folder=tmp_path)

    def test_those_of_a_later_place_hold(self, tmp_path):
        text = "upstream: {username: a, password: b}"
        upstream = load(text, {"HFPROXY_UPSTREAM_API_KEY": "k"}, folder=tmp_path).upstream
        assert (upstream.api_key, upstream.username, upstream.password) == ("k", None, None)

    def test_a_user_may_be_told_in_two_places(self, tmp_path):
        text = "upstream: {username: a, password: b}"
        upstream = load(text, {"HFPROXY_UPSTREAM_PASSWORD": "c"}, folder=tmp_path).upstream
        assert (upstream.username, upstream.password) == ("a", "c")

    @pytest.mark.parametrize(
        ("name", "told"),
        [("USERNAME", "an empty one is sent"), ("PASSWORD", "without [upstream.username]")],
    )
    def test_half_a_user_is_remarked(self, name, told):
        (remark,) = load_settings(None, {f"HFPROXY_UPSTREAM_{name}": "x"}).remarks
        assert told in remark


class TestMistakes:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("upstrem: {url: x}", "unknown key [upstrem.url]; did you mean [upstream.url]?"),
            ("urll: x", "unknown key [urll]; did you mean [upstream.url]?"),
            ("url: x", "unknown key [url]; did you mean [upstream.url]?"),
            ("provider: {timeot: 1}", "unknown key [provider.timeot]; did you mean "),
            ("provider: {freshness: 1}", "unknown key [provider.freshness]; did you mean [store."),
            ("timeout: 1", "unknown key [timeout]; did you mean [store.timeout] or [provider."),
            ("Workers: 1", "unknown key [Workers]; did you mean [workers]?"),
            ("upstream: {ca-file: x}", "unknown key [upstream.ca-file]; did you mean [upstream.ca"),
            ("upstrem: x", "unknown key [upstrem]; did you mean [upstream]?"),
            ("1: 2", "unknown key [1]: `check --config-only` shows all keys"),
        ],
    )
    def test_unknown_keys_are_named_with_the_nearest_known_one(self, tmp_path, text, message):
        assert self.told(text, tmp_path).startswith(message)

    def test_unknown_variables_are_named_with_the_nearest_known_one(self):
        told = "unknown environment variable [HFPROXY_WORKER]; did you mean [HFPROXY_WORKERS]?"
        assert refused({"HFPROXY_WORKER": "1"}) == told

    @pytest.mark.parametrize("value", ["http://x", "[a]", "5", "true"])
    @pytest.mark.parametrize(("section", "key"), [("upstream", "url"), ("log", "level")])
    def test_a_value_where_a_section_belongs(self, tmp_path, section, key, value):
        told = f"[{section}] is a section, with keys of its own: write `{section}: {{{key}: …}}`"
        assert self.told(f"{section}: {value}", tmp_path) == told

    def test_a_section_where_a_value_belongs(self, tmp_path):
        told = "[workers] has a value, not keys of its own: write `workers: …`"
        assert self.told("workers: {number: 3}", tmp_path) == told
        told = "[egress.allow] has a value, not keys of its own: write `egress: {allow: …}`"
        assert self.told("egress: {allow: {a: b}}", tmp_path) == told

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("workers: 1.5", "[workers] must be of type int"),
            ("egress: {allow: [{a: b}]}", "[egress.allow] must be a list of texts"),
            ("egress: {allow: [null]}", "[egress.allow] must be a list of texts"),
            ("upstream: {password: 0123}", "[upstream.password] must be a text: put it in quotes"),
            ("store: {encryption_key: 1.0e+5}", "[store.encryption_key] must be a text: put it in"),
        ],
    )
    def test_a_value_that_is_not_what_was_written(self, tmp_path, text, message):
        assert self.told(text, tmp_path).startswith(message)

    def test_a_name_that_stands_twice(self, tmp_path):
        text = "upstream: {url: http://a}\nworkers: 1\nupstream: {username: b}"
        assert self.told(text, tmp_path).endswith("has [upstream] twice: in line 1 and line 3")

    def test_what_is_merged_in_does_not_stand_twice(self, tmp_path):
        text = "log: &log {level: info}\nadmin: {listen: 'h:1'}\nlog2: {<<: *log, level: debug}"
        assert "log2" in self.told(text, tmp_path)

    def told(self, text: str, folder: Path) -> str:
        with pytest.raises(ConfigError) as caught:
            load(text, folder=folder)
        return str(caught.value)

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

from __future__ import annotations

import pytest

from proxy.config import Config, ConfigError, load_config
from proxy.config.prefixes import Prefixes

E5 = {"search": "query: ", "ingest": "passage: "}


def load(text: str, folder) -> Config:
    path = folder / "proxy.yml"
    path.write_text(text)
    return load_config(path, {})


def test_a_file_has_them_as_a_mapping(tmp_path):
    text = (
        'provider:\n  prefixes:\n    "e5-*": {search: "query: ", ingest: "passage: "}\n    7: {}\n'
    )
    config = load(text, tmp_path)
    assert config.provider.prefixes == Prefixes({"e5-*": E5, "7": {}})


def test_the_environment_has_them_as_json():
    environ = {"HFPROXY_PROVIDER_PREFIXES": '{"e5": {"search": "query: "}}'}
    config = load_config(None, environ)
    assert config.provider.prefixes.of("e5") == {"search": "query: "}
    assert load_config(None, {"HFPROXY_PROVIDER_PREFIXES": ""}) == Config()


@pytest.mark.parametrize(
    "value",
    [
        *("a", "[]", "1", "[a]", "{a: b}", "{a: [b]}", "{a: {search: 1}}", "{a: {other: x}}"),
        *("{a: {search: }}", '"{"', "{a: }", "true"),
    ],
)
def test_anything_else_is_a_mistake_that_is_not_quoted(tmp_path, value):
    with pytest.raises(ConfigError) as caught:
        load(f"provider: {{prefixes: {value}}}", tmp_path)
    assert str(caught.value) == (
        "[provider.prefixes] must map inference ids, or patterns such as `e5-*`, to texts by input "
        "type: search, ingest, classification, clustering"
    )


@pytest.mark.parametrize(
    ("inference_id", "texts"),
    [
        ("my-e5", {"search": "own"}),
        ("e5-small", {"search": "first"}),
        ("e5-base", {"search": "first"}),
        ("bge-e5", {"search": "second"}),
        ("bge", {}),
        ("e5?", {}),
    ],
)
def test_an_own_id_is_stronger_than_a_pattern_and_the_first_pattern_than_others(
    inference_id, texts
):
    prefixes = Prefixes(
        {
            "e5-*": {"search": "first"},
            "*-e5": {"search": "second"},
            "*5-?": {"search": "third"},
            "my-e5": {"search": "own"},
        }
    )
    assert prefixes.of(inference_id) == texts

"""The example configurations say what is true."""

from __future__ import annotations

import dataclasses
from typing import Final

import pytest
import yaml

from proxy.config import Config, describe, load_config
from proxy.config.values import KEYS
from release import settings
from testbed.processes import ROOT

FOLDER: Final = ROOT / "configs"
UPSTREAM: Final = "http://localhost:9200"


def keys_of(document, prefix=""):
    for name, value in document.items():
        if isinstance(value, dict) and f"{prefix}{name}" not in KEYS:
            yield from keys_of(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def test_proxy_yml_has_every_key_and_no_other():
    document = yaml.safe_load((FOLDER / "proxy.yml").read_text())
    assert sorted(keys_of(document)) == sorted(describe(Config()))


def test_proxy_yml_shows_the_defaults():
    defaults = Config()
    expected = dataclasses.replace(
        defaults, upstream=dataclasses.replace(defaults.upstream, url=UPSTREAM)
    )
    assert load_config(FOLDER / "proxy.yml", {}) == expected


def test_proxy_yml_says_what_the_code_says():
    present = settings.EXAMPLE.read_text("utf-8")
    assert settings.example(present) == present, "make settings"


def test_every_key_of_proxy_yml_stands_under_a_comment():
    blocks = (FOLDER / "proxy.yml").read_text().split("\n\n")
    assert [block for block in blocks if "# " not in block] == []


def test_minimal_yml_is_accepted_and_minimal():
    config = load_config(FOLDER / "minimal.yml", {})
    assert config.store_kind == "elasticsearch"
    text = (FOLDER / "minimal.yml").read_text()
    assert len(list(keys_of(yaml.safe_load(text)))) <= 5


@pytest.mark.parametrize("name", ["proxy.yml", "minimal.yml"])
def test_no_secret_is_in_an_example(name):
    assert "********" not in describe(load_config(FOLDER / name, {})).values()

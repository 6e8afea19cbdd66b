"""What the values of several settings mean together."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config import Config, UpstreamConfig, state_folder
from proxy.config.values import items


@pytest.mark.parametrize(
    ("text", "found"), [("", []), ("a", ["a"]), ("a,b, ,", ["a", "b"]), (",", [])]
)
def test_lists_are_written_with_commas(text: str, found: list[str]):
    assert items(text) == found


def test_an_upstream_may_have_several_nodes():
    assert UpstreamConfig(url="http://a:1, http://b:2").urls == ["http://a:1", "http://b:2"]


def test_a_store_is_in_elasticsearch_unless_a_file_is_named():
    assert Config().store_kind.startswith(("elasticsearch", "sqlite:"))


def test_the_folder_for_what_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert state_folder().is_relative_to(tmp_path)

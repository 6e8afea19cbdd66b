"""`check --config-only`."""

from __future__ import annotations

import pytest

from proxy.commands.settings import show_settings
from proxy.config import load_settings


def test_each_key_is_a_line_with_where_it_comes_from(capsys: pytest.CaptureFixture[str]):
    flags = {"upstream.url": "http://es:9200", "upstream.api_key": "s3cret"}
    settings = load_settings(None, {}, flags)
    assert show_settings(settings) == 0
    lines = capsys.readouterr().out.splitlines()
    shown = dict(line.split(": ", 1) for line in lines if not line.startswith("#"))
    assert shown.keys() == settings.origins.keys()
    assert shown["upstream.url"].startswith("http://es:9200  # ")
    assert "s3cret" not in str(shown)

"""What the program is called."""

from __future__ import annotations

import pytest

from proxy.commands.program import program, version_text


@pytest.mark.parametrize(
    ("called", "shown"),
    [
        (["/usr/bin/hugging-face-proxy", "serve"], "hugging-face-proxy"),
        (["/x/proxy/__main__.py"], "python -m proxy"),
        ([], "python -m proxy"),
    ],
)
def test_it_is_shown_as_it_was_called(
    monkeypatch: pytest.MonkeyPatch, called: list[str], shown: str
):
    monkeypatch.setattr("sys.argv", called)
    assert program() == shown


def test_its_version_names_python_too():
    assert version_text().startswith("hugging-face-proxy ")
    assert ", Python 3." in version_text()

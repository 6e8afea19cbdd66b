"""Where the files of a model come from."""

import hashlib
import zipfile

import pytest

from proxy.modelserver.models import PACKAGED, Member, PackagedModel, find_model
from proxy.modelserver.packages import PackageError


def nothing(_):
    """Ignore progress."""


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


def test_a_packaged_model_is_unpacked_once(tmp_path):
    said: list[str] = []
    packages = {"tiny": packaged(tmp_path, hashlib.sha256(b"weights").hexdigest())}
    folder, model_id = find_model("tiny", tmp_path, said.append, packages)
    assert (folder, model_id) == (tmp_path / "tiny", "org/Tiny")
    assert (folder / "model.onnx").read_bytes() == b"weights"
    assert (folder / "config.json").read_text() == '{"max_position_embeddings": 8}'
    assert find_model("org/Tiny", tmp_path, said.append, packages) == (folder, model_id)
    assert said == ["tiny:1: org/Tiny (7 bytes)"]
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_a_file_with_another_checksum_is_refused(tmp_path):
    sha256 = hashlib.sha256(b"weights").hexdigest()
    packages = {"tiny": packaged(tmp_path, sha256, content=b"Weights")}
    with pytest.raises(PackageError, match=r"inside/weights\.onnx is not the file it was"):
        find_model("tiny", tmp_path, nothing, packages)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_a_model_where_it_stands(tmp_path):
    found = find_model(str(tmp_path), tmp_path / "cache", nothing, PACKAGED)
    assert found == (tmp_path, str(tmp_path))


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(PackageError, match=r"\[nope\] is no folder.*all-minilm-l6-v2, e5-small-v2"):
        find_model("nope", tmp_path, nothing, PACKAGED)

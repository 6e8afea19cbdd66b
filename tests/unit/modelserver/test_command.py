"""The command `provider`: what it says of what it cannot use."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest
from aiohttp import web

from proxy.modelserver import main

SMALL = ["--no-chat", "--embedding-model", "all-minilm-l6-v2"]


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of a command that fails."""
    assert main(list(arguments)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line.removeprefix("error: ")


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The line in which the command line is refused."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert ended.value.code == 2
    return capsys.readouterr().err.splitlines()[-1].partition("error: ")[2]


class TestChatModels:
    def test_a_file_that_is_not_there(self, capsys):
        assert told(capsys, "--chat-model", "/no.gguf") == "[/no.gguf] No such file or directory"

    def test_a_folder(self, capsys, tmp_path):
        assert told(capsys, "--chat-model", str(tmp_path)) == f"[{tmp_path}] Is a directory"

    @pytest.mark.parametrize("content", [b"", b"GGU", b"PK\x03\x04"])
    def test_a_file_of_another_kind(self, capsys, tmp_path, content):
        file = tmp_path / "model.gguf"
        file.write_bytes(content)
        line = told(capsys, "--chat-model", str(file))
        assert line == f"[{file}] is no GGUF file, which is what --chat-model takes"


class TestEmbeddingModels:
    def model(self, folder: Path, **files: str) -> list[str]:
        for name, text in {"model.onnx": "x", "tokenizer.json": "x", **files}.items():
            (folder / name).write_text(text)
        return ["--no-chat", "--embedding-model", str(folder)]

    def test_a_folder_without_one(self, capsys, tmp_path):
        line = told(capsys, "--no-chat", "--embedding-model", str(tmp_path))
        assert line.startswith(f"{tmp_path} needs tokenizer.json and one of model.onnx, ")

    def test_a_bad_tokenizer(self, capsys, tmp_path):
        line = told(capsys, *self.model(tmp_path))
        assert line.startswith(f"[{tmp_path}/tokenizer.json] cannot be used: ")

    def test_bad_weights(self, capsys, tmp_path):
        from tokenizers import Tokenizer, models

        text = Tokenizer(models.BPE()).to_str()
        line = told(capsys, *self.model(tmp_path, **{"tokenizer.json": text}))
        assert line.startswith(f"[{tmp_path}/model.onnx] cannot be used: ")
        assert "ONNXRuntimeError" not in line

    @pytest.mark.parametrize("text", ["[1", "[1]", '"x"'])
    def test_bad_settings(self, capsys, tmp_path, text):
        line = told(capsys, *self.model(tmp_path, **{"config.json": text}))
        assert line.startswith(f"[{tmp_path}/config.json] cannot be used: ")


class TestAddresses:
    @pytest.mark.parametrize("address", ["8080", "h:", "h:x", "h:99999", "h:-1"])
    def test_must_have_a_host_and_a_port(self, capsys, address):
        line = refused(capsys, "--listen", address)
        assert line == f"argument --listen: [{address}] is not HOST:PORT"


@pytest.mark.parametrize("number", ["0", "-3", "x", "1.5"])
def test_a_batch_has_one_input_at_least(capsys, number):
    line = refused(capsys, "--max-client-batch-size", number)
    assert line.endswith(f"[{number}] is not a number of 1 or more")


def test_without_the_extra_it_says_how_to_install_it(capsys, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("proxy.modelserver.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    line = told(capsys, *SMALL)
    assert line == (
        "the local models need onnxruntime, which the extra [local] brings: "
        "pip install '.[local]' in the proxy's folder"
    )


def test_a_port_in_use_is_told(capsys, monkeypatch):
    monkeypatch.setattr("proxy.modelserver.command._load", lambda options: None)
    monkeypatch.setattr("proxy.modelserver.server.make_app", lambda server: web.Application())
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        line = told(capsys, "--listen", address)
    assert line == f"cannot listen on [{address}]: Address already in use"

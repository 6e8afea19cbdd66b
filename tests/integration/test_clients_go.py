"""The official Go client through the proxy: real Elasticsearch, real models."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Final

import orjson
import pytest

from proxy.modelserver.packages import cache_folder, made_once
from tests.integration.journey import TypedJourneyTests
from tests.support.rawhttp import send
from tests.support.runtimes import tool

pytestmark = pytest.mark.clients

FOLDER: Final = Path(__file__).parent / "go"
SOURCES: Final = ("go.mod", "go.sum", "main.go")


@pytest.fixture(scope="session")
def program() -> list[str]:
    """The program, compiled once and kept: compiling the client takes minutes."""
    go = tool("go")
    wanted = b"".join((FOLDER / name).read_bytes() for name in SOURCES)
    name = f"go-client-{hashlib.sha256(wanted).hexdigest()[:12]}"
    return [str(made_once(cache_folder() / name, lambda scratch: build(scratch, go)) / "journey")]


def build(scratch: Path, go: str) -> Path:
    """A folder with the program, built from exactly the modules of go.sum."""
    folder = scratch / "built"
    folder.mkdir()
    # The compiler's cache is kept as well.
    environ = os.environ | {"GOCACHE": str(cache_folder() / "go-build")}
    command = [go, "build", "-mod=readonly", "-trimpath", "-o", str(folder / "journey"), "."]
    done = subprocess.run(command, cwd=FOLDER, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, f"go build failed:\n{done.stdout}{done.stderr}"
    return folder


class TestGo(TypedJourneyTests):
    error_name = "*types.ElasticsearchError"

    def test_half_versioned_headers_of_a_stream_are_refused_as_elasticsearch_does(
        self, journey, elasticsearch
    ):
        headers = [
            ("Accept", "text/event-stream"),
            ("Content-Type", "application/vnd.elasticsearch+json;compatible-with=9"),
        ]
        told = send(elasticsearch.url, "POST", "/_search", headers, b"{}")
        reason = orjson.loads(told.content)["error"]["reason"]
        reason, _, _ = reason.partition("[")  # the headers' order differs from node to node
        error = journey.error("stream_completion with its own Content-Type")
        self.assert_refused(error, told.status, reason)

"""LangChain, LlamaIndex and Haystack through the proxy, as published: real models answer."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from elasticsearch import Elasticsearch

from proxy.modelserver.packages import cache_folder, made_once
from testbed.processes import Server

pytestmark = pytest.mark.clients

FOLDER: Final = Path(__file__).parent / "tools"
PREFIX: Final = "tools"
MODEL: Final = "clients-embeddings"
TEXTS: Final = {
    "bees": "Honeybees dance to tell the others where flowers are.",
    "bread": "Bread rises because yeast makes gas.",
    "tardigrade": "A tardigrade survives being dried out for years.",
    "question": "Which animal endures drought?",
}
RIGHT: Final = [TEXTS["tardigrade"]]


@pytest.fixture(scope="module")
def packages() -> Path:
    """A folder with what requirements.txt names, apart from the packages of the tests."""
    requirements = FOLDER / "requirements.txt"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    name = f"tools-{sys.version_info.major}.{sys.version_info.minor}-{digest}"

    def install(scratch: Path) -> Path:
        folder = scratch / "packages"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--target", folder, "-r", requirements], check=True, timeout=600)
        return folder

    return made_once(cache_folder() / name, install)


@pytest.fixture(scope="module")
def proxy(semantic_proxy) -> Iterator[Server]:
    yield semantic_proxy
    with Elasticsearch(semantic_proxy.url, request_timeout=120) as client:
        client.indices.delete(index=list(client.indices.get(index=f"{PREFIX}-*")))


@pytest.mark.parametrize(
    ("tool", "ways"),
    [
        ("langchain", ["dense", "hybrid", "model in queries", "semantic"]),
        ("llamaindex", ["dense"]),
        ("haystack", ["dense"]),
    ],
)
def test_a_tool_finds_what_is_meant(tool, ways, packages, proxy):
    # The interpreter of the virtual environment, without its packages.
    python = getattr(sys, "_base_executable", sys.executable)
    done = subprocess.run(
        [python, FOLDER / f"with_{tool}.py", proxy.url, PREFIX, MODEL],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(packages), "HOME": os.environ["HOME"]},
        input=json.dumps(TEXTS),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == dict.fromkeys(ways, RIGHT), done.stderr

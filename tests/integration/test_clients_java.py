"""The official Java client through the proxy: real Elasticsearch, real models."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from proxy.modelserver.packages import cache_folder, made_once
from testbed.java import find_java
from tests.integration.journey import TypedJourneyTests

FOLDER: Final = Path(__file__).parent / "java"
SOURCES: Final = ("pom.xml", "Journey.java")
OLDEST, NEWEST = 17, 99  # the versions of Java that the client runs on


@pytest.fixture(scope="session")
def program() -> list[str]:
    """The command that runs the program, which is compiled once and kept."""
    java = find_java(OLDEST, NEWEST, compiler=True) / "bin"
    wanted = b"".join((FOLDER / name).read_bytes() for name in SOURCES)
    name = f"java-client-{hashlib.sha256(wanted).hexdigest()[:12]}"
    made = made_once(cache_folder() / name, lambda scratch: build(scratch, java / "javac"))
    return [str(java / "java"), "-cp", f"{made / 'classes'}:{made / 'libraries'}/*", "Journey"]


def build(scratch: Path, compiler: Path) -> Path:
    """A folder with the client's libraries and the program's classes."""
    maven = shutil.which("mvn")
    if maven is None:
        pytest.fail("mvn is missing: install Maven (Debian: apt-get install maven)")
    folder = scratch / "built"
    folder.mkdir()
    shutil.copy(FOLDER / "pom.xml", scratch)
    libraries, classes = folder / "libraries", folder / "classes"
    fetch = [maven, "-q", "-B", "-f", str(scratch / "pom.xml")]
    run([*fetch, "dependency:copy-dependencies", f"-DoutputDirectory={libraries}"])
    options = ["-encoding", "UTF-8", "-Xlint:all", "-cp", f"{libraries}/*", "-d", str(classes)]
    run([str(compiler), *options, str(FOLDER / "Journey.java")])
    return folder


def run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{command[0]} failed:\n{done.stdout}{done.stderr}"


class TestJava(TypedJourneyTests):
    error_name = "ElasticsearchException"
    streams = False  # its transport reads an answer to its end first

"""Elasticsearch's distribution for integration tests, fetched from Maven Central and kept.

The one with security has a plugin beside it, built here from testbed/plugin.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from pathlib import Path
from typing import Final

from proxy.modelserver.packages import Say, cache_folder, fetch_from_maven, made_once, run
from testbed.java import JavaMissing, find_java

DEFAULT_VERSION: Final = "9.2.4"
VERSIONS: Final = (DEFAULT_VERSION, "8.19.8")  # the second one for older Javas
COORDINATES: Final = "org.elasticsearch.distribution.integ-test-zip:elasticsearch:{version}:zip"
# Major version of Elasticsearch to the oldest and newest Java that runs it: 7 and 8 need the
# security manager, which Java 24 removed.
JAVA: Final = {7: (11, 21), 8: (17, 23), 9: (21, 99)}
PLUGIN: Final = Path(__file__).parent / "plugin"
PLUGIN_NAME: Final = "test-analysis"


def major(version: str) -> int:
    return int(version.partition(".")[0])


def best_version(say: Say = print) -> str:
    """The first of VERSIONS that an installed Java can run; the last one if none can."""
    *better, last = VERSIONS
    for version in better:
        try:
            find_java(*JAVA[major(version)])
        except JavaMissing as missing:
            say(f"Not Elasticsearch {version}: {missing}")
        else:
            return version
    return last


def distribution(version: str, say: Say) -> Path:
    """The folder of the unpacked distribution. Raises: PackageError."""
    home = cache_folder() / f"elasticsearch-{version}"

    def unpack(scratch: Path) -> Path:
        what = f"Elasticsearch {version} (about 100 MB)"
        folder = scratch / "zip"
        folder.mkdir()
        archive = fetch_from_maven(COORDINATES.format(version=version), what, folder, say)
        say("Unpacking it")
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(scratch)
        unpacked = scratch / home.name
        for program in (unpacked / "bin").iterdir():
            program.chmod(0o755)  # zipfile drops the modes
        return unpacked

    return made_once(home, unpack)


def with_plugin(home: Path, version: str, java: Path, say: Say) -> Path:
    """A copy of the distribution (of hard links) with the plugin, which security needs from 8 on.

    java: the home of a JDK. Raises: PackageError if the plugin cannot be compiled.
    """
    files = sorted(file for file in PLUGIN.rglob("*") if file.is_file())
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]

    def build(scratch: Path) -> Path:
        copy = scratch / "copy"
        shutil.copytree(home, copy, copy_function=os.link)
        classes, plugin = scratch / "classes", copy / "plugins" / PLUGIN_NAME
        plugin.mkdir()
        sources = [str(file) for file in files if file.suffix == ".java"]
        run(
            [str(java / "bin/javac"), "-d", str(classes), "-cp", f"{home}/lib/*", *sources],
            "compiling the analysis plugin",
            say,
        )
        archive = str(plugin / f"{PLUGIN_NAME}.jar")
        run(
            [str(java / "bin/jar"), "--create", "--file", archive, "-C", str(classes), "."],
            "packing the analysis plugin",
            say,
        )
        shutil.copy(PLUGIN / "named_components.json", plugin)
        _write_descriptor(plugin / "stable-plugin-descriptor.properties", version)
        return copy

    return made_once(home.with_name(f"{home.name}-{PLUGIN_NAME}-{digest}"), build)


def _write_descriptor(file: Path, version: str) -> None:
    properties = {
        "name": PLUGIN_NAME,
        "description": "What the index .security needs of the module analysis-common",
        "version": "1.0.0",
        "elasticsearch.version": version,
        "java.version": "17",
    }
    file.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))

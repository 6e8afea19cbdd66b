"""Elasticsearch's distribution for integration tests, fetched from Maven Central and kept.

Plugins for it, in a copy beside it, are built here from testbed/plugin.
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
ANALYSIS: Final = "testanalysis"
PLUGINS: Final = {
    ANALYSIS: "What the index .security needs of the module analysis-common",
    "testingest": "Ingest processors for tests",
    "testroot": "What clients ask an Elasticsearch at first",
}
_CLASSES: Final = {
    "testingest": "testingest.IngestTestPlugin",
    "testroot": "testroot.RootTestPlugin",
}


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


def with_plugins(home: Path, version: str, java: Path, say: Say) -> Path:
    """A copy of the distribution (of hard links) with the plugins; security needs one from 8 on.

    java: the home of a JDK. Raises: PackageError if they cannot be compiled.
    """
    files = sorted(file for file in PLUGIN.rglob("*") if file.is_file())
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]

    def build(scratch: Path) -> Path:
        copy = scratch / "copy"
        shutil.copytree(home, copy, copy_function=os.link)
        for name in PLUGINS:
            plugin = copy / "plugins" / name
            plugin.mkdir()
            _compile(name, home, java, plugin, say)
        shutil.copy(PLUGIN / "named_components.json", copy / "plugins" / ANALYSIS)
        _write_descriptor(copy, ANALYSIS, "stable-plugin-descriptor.properties", version)
        for name, class_name in _CLASSES.items():
            _write_descriptor(copy, name, "plugin-descriptor.properties", version, class_name)
        return copy

    return made_once(home.with_name(f"{home.name}-test-plugins-{digest}"), build)


def _compile(name: str, home: Path, java: Path, plugin: Path, say: Say) -> None:
    """Put the plugin's jar into its folder."""
    classes = plugin.parent.parent / f"{name}-classes"
    sources = [str(file) for file in sorted((PLUGIN / "src" / name).glob("*.java"))]
    run(
        [str(java / "bin/javac"), "-d", str(classes), "-cp", f"{home}/lib/*", *sources],
        f"compiling the plugin {name}",
        say,
    )
    archive = str(plugin / f"{name}.jar")
    run(
        [str(java / "bin/jar"), "--create", "--file", archive, "-C", str(classes), "."],
        f"packing the plugin {name}",
        say,
    )
    shutil.rmtree(classes)


def _write_descriptor(
    home: Path, name: str, file: str, version: str, class_name: str | None = None
) -> None:
    properties = {
        "name": name,
        "description": PLUGINS[name],
        "version": "1.0.0",
        "elasticsearch.version": version,
        "java.version": "17",
    }
    if class_name is not None:
        properties["classname"] = class_name
    text = "".join(f"{key}={value}\n" for key, value in properties.items())
    (home / "plugins" / name / file).write_text(text)

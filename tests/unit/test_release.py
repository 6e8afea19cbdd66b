"""What is shipped: the lock, the bill of materials, and what an audit's result means."""

from __future__ import annotations

import configparser
import importlib.util
import json
import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

import jsonschema_rs
import pytest

from release import audit, sbom
from release.lock import LOCK, merge
from testbed.processes import ROOT

NAME: Final = re.compile(r"[\w.-]+")
PINNED: Final = re.compile(r"([\w.-]+)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)")


def names_in(requirements):
    return {sbom.normalized(name) for wish in requirements for name in NAME.findall(wish)[:1]}


def pinned_in_constraints():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    return {sbom.normalized(name): version for name, version in pairs}


def locked():
    return {name: version for name, version, _ in PINNED.findall(LOCK.read_text())}


def test_every_line_of_the_lock_is_a_version_with_hashes():
    text = LOCK.read_text()
    rest = PINNED.sub("", text).split("\n")
    assert [line for line in rest if line and not line.startswith("#")] == []
    assert "://" not in text


def test_the_lock_has_the_versions_of_the_constraints():
    assert locked().items() <= pinned_in_constraints().items()


def test_the_lock_has_whatever_the_proxy_and_its_build_require():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    wanted = names_in(setup["options"]["install_requires"].split("\n")[1:])
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted |= names_in(build["build-system"]["requires"])
    assert "aiohttp" in wanted
    assert wanted <= set(locked())


def test_the_lock_has_whatever_those_require():
    """By their own metadata, as they are installed here."""
    for name in locked():
        if importlib.util.find_spec(name.replace("-", "_")) is None:
            continue  # of another name, or not needed by this Python
        needed = [wish for wish in distribution(name).requires or [] if ";" not in wish]
        assert names_in(needed) <= set(locked())


def wheel(digest):
    return {"hashes": {"sha256": digest}}


def test_the_lock_takes_wheels_of_all_platforms_and_nothing_else():
    one = [{"name": "a", "version": "1", "wheels": [wheel("x")], "sdist": wheel("s")}]
    other = [{"name": "a", "version": "1", "wheels": [wheel("y")]}]
    assert merge([one, other]).endswith("\na==1 \\\n    --hash=sha256:x \\\n    --hash=sha256:y\n")
    with pytest.raises(SystemExit, match="a==1 has no wheel"):
        merge([one, [{"name": "a", "version": "1", "sdist": wheel("s")}]])


def test_the_bill_of_materials_obeys_its_schema_and_is_complete():
    folder = str(distribution("aiohttp").locate_file(""))
    bill = sbom.bill(folder)
    cyclonedx = importlib.util.find_spec("cyclonedx")
    assert cyclonedx is not None
    schemas = Path(str(cyclonedx.origin)).parent / "schema" / "_res"
    files = {file.name: json.loads(file.read_text()) for file in schemas.glob("*.schema.json")}
    schema = files["bom-1.6.SNAPSHOT.schema.json"]
    resources = [(f"http://cyclonedx.org/schema/{name}", file) for name, file in files.items()]
    registry = jsonschema_rs.Registry(resources)
    validator = jsonschema_rs.Draft7Validator(schema, registry=registry)
    validator.validate(bill)
    assert not validator.is_valid({**bill, "components": [{"name": "x"}]})
    assert bill["metadata"]["component"]["name"] == sbom.PRODUCT
    found = {part["name"]: part["version"] for part in bill["components"]}
    assert found["aiohttp"] == distribution("aiohttp").version
    edges = {edge["ref"]: edge["dependsOn"] for edge in bill["dependencies"]}
    assert {"aiohttp", "uvloop"} <= set(edges[sbom.PRODUCT])
    assert "yarl" in edges["aiohttp"]
    assert set(edges) == {*found, sbom.PRODUCT}


FLAW: Final = {"id": "V-1", "fix_versions": ["2"]}
CLEAN: Final = {"name": "a", "version": "1", "vulns": []}
FLAWED: Final = {"name": "b", "version": "1", "vulns": [FLAW]}
UNKNOWN: Final = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "code", "words"),
    [
        ([CLEAN], 0, "no known vulnerability in 1 packages"),
        ([CLEAN, FLAWED], audit.FOUND, "b 1: V-1, fixed in 2"),
        ([CLEAN, UNKNOWN], audit.NOT_DONE, "NOT DONE: of 2 packages"),
        ([FLAWED, UNKNOWN], audit.NOT_DONE, "b 1: V-1, fixed in 2"),
        (None, audit.NOT_DONE, "could not be asked"),
    ],
)
def test_an_audit_is_only_clean_if_every_package_was_judged(packages, code, words):
    report = "" if packages is None else json.dumps({"dependencies": packages})
    found, lines = audit.judge(report)
    assert found == code
    assert words in "\n".join(lines)

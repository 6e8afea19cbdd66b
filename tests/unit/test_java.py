"""Which of the installed Javas is taken."""

from __future__ import annotations

from functools import partial

import pytest

from testbed.java import JavaMissing, find_java


@pytest.fixture
def install(tmp_path):
    """Installs programs that only tell a version, in a folder where Javas are looked for."""

    def install(name, version, *, compiler=True):
        folder = tmp_path / name / "bin"
        folder.mkdir(parents=True)
        program = folder / "java"
        program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
        program.chmod(0o755)
        if compiler:
            (folder / "javac").touch()
        return folder.parent

    return install


@pytest.fixture
def find(tmp_path):
    """Looks for Javas in that folder alone."""
    return partial(find_java, environ={"PATH": str(tmp_path)}, folders=[str(tmp_path)])


def test_the_oldest_one_that_fits_is_taken(install, find):
    install("a", "17.0.1")
    install("b", "25.0.1")
    fitting = install("c", "21.0.1")
    assert find(21, 99) == fitting


def test_java_home_is_looked_at_wherever_it_is(install, find):
    elsewhere = install("else/where", "21")
    assert find(21, 99, environ={"PATH": "", "JAVA_HOME": str(elsewhere)}) == elsewhere


def test_a_runtime_has_no_compiler(install, find):
    install("runtime", "21", compiler=False)
    kit = install("kit", "23")
    assert find(21, 99, compiler=True) == kit
    assert find(21, 99) != kit


def test_the_complaint_names_what_was_found_and_what_to_install(install, find):
    install("old", "1.8.0_1")
    install("new", "17")
    with pytest.raises(JavaMissing, match=r"Java 21 to 99 is needed, found: 8, 17\. Install one"):
        find(21, 99)

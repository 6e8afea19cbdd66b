"""Which of the installed Javas is taken."""

import pytest

from testbed import java
from testbed.java import JavaMissing, find_java


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs programs that only tell a version, in a folder where Javas are looked for."""
    monkeypatch.setattr(java, "FOLDERS", [str(tmp_path)])
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.delenv("ES_JAVA_HOME", raising=False)

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


def test_the_oldest_one_that_fits_is_taken(install):
    install("a", "17.0.1")
    install("b", "25.0.1")
    fitting = install("c", "21.0.1")
    assert find_java(21, 99) == fitting


def test_java_home_is_looked_at_wherever_it_is(install, tmp_path, monkeypatch):
    elsewhere = install("else/where", "21")
    monkeypatch.setenv("JAVA_HOME", str(elsewhere))
    assert find_java(21, 99) == elsewhere


def test_a_runtime_has_no_compiler(install):
    install("runtime", "21", compiler=False)
    kit = install("kit", "23")
    assert find_java(21, 99, compiler=True) == kit
    assert find_java(21, 99) != kit


def test_the_complaint_names_what_was_found_and_what_to_install(install):
    install("old", "1.8.0_1")
    install("new", "17")
    with pytest.raises(JavaMissing, match=r"Java 21 to 99 is needed, found: 8, 17\. Install one"):
        find_java(21, 99)

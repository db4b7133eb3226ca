"""Which Java is taken, and what is said where there is none to take."""

import logging
import os
from pathlib import Path

import pytest

from palaestra.envs.agentgym.sciworld import java
from palaestra.errors import UsageError

GOOD = """echo 'openjdk version "17.0.9" 2023-10-17' >&2"""
REFUSES = f"""case "$*" in *hashCode*) echo "Unrecognized VM option 'hashCode=2'" >&2; exit 1;; esac; {GOOD}"""
OLD = """echo 'openjdk version "1.8.0_392"' >&2"""
BROKEN = "echo 'libjvm.so is missing' >&2; exit 127"


@pytest.fixture(autouse=True)
def _says_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "_told", set())
    monkeypatch.delenv("JAVA_HOME", raising=False)


def install(folder: Path, script: str) -> Path:
    """Write a runtime into a folder and return the folder of its programs."""
    programs = folder / "bin"
    programs.mkdir(parents=True)
    program = programs / "java"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return programs


def only(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, folders)))


def test_the_runtime_on_the_path_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, programs := install(tmp_path / "jdk", GOOD))
    found = java.find_java()
    assert found == java.Java(str(programs / "java"), 17, (*java.CONSTANT_HASHES, *java.LIMITS))
    assert java.find_java() is found


def test_the_runtime_of_java_home_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, install(tmp_path / "a", GOOD))
    programs = install(tmp_path / "b", GOOD.replace("17", "21"))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "b"))
    assert java.find_java().path == str(programs / "java")
    assert java.find_java().version == 21


@pytest.mark.parametrize("home", ["nowhere", "broken", "old"])
def test_a_java_home_that_cannot_be_used_does_not_shadow_a_good_one(
    home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    only(monkeypatch, programs := install(tmp_path / "good", GOOD))
    if home != "nowhere":
        install(tmp_path / home, {"broken": BROKEN, "old": OLD}[home])
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / home))
    with caplog.at_level(logging.WARNING):
        assert java.find_java().path == str(programs / "java")
    assert str(tmp_path / home) in caplog.text
    assert "is used instead" in caplog.text


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (None, "no program java"),
        (OLD, "is Java 8, which is too old"),
        (OLD.replace("1.8.0_392", "10.0.2"), "is Java 10, which is too old"),
        (BROKEN, "fails .127.: libjvm.so is missing"),
        ("echo hello", "fails .0.: hello"),
        ("exit 1", "it says nothing"),
    ],
)
def test_without_a_runtime_one_error_says_what_was_found(
    script: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, tmp_path if script is None else install(tmp_path / "jdk", script))
    with pytest.raises(UsageError, match=f"SciWorld needs Java 11 or later.*{said}.*Install a runtime"):
        java.find_java()


def test_a_runtime_that_does_not_answer_is_no_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, install(tmp_path / "jdk", "exec /bin/sleep 60"))
    monkeypatch.setattr(java, "PROBE_S", 0.1)
    with pytest.raises(UsageError, match="no answer within"):
        java.find_java()


def test_a_runtime_that_refuses_constant_hashes_is_taken_and_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    only(monkeypatch, install(tmp_path / "jdk", REFUSES))
    with caplog.at_level(logging.WARNING):
        assert java.find_java().options == java.LIMITS
        java._found.clear()
        java.find_java()
    assert caplog.text.count("not exactly repeatable") == 1

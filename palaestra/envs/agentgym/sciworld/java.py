"""Finds a Java runtime, and the options that it takes.

Objects of the simulator have no hash code of their own, so the order of its sets follows the JVM's identity hashes. With
constant ones (`-XX:hashCode=2`) an episode is exactly repeatable; by default a text in twenty differs between two loads.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from palaestra.errors import UsageError

log = logging.getLogger(__name__)

MIN_VERSION = 11
HEAP_MB = 512
"""Heap limit of a JVM; without one it grows to several GB."""

PROBE_S = 60.0
"""Limit for `java -version`, in seconds."""

LIMITS = (f"-Xmx{HEAP_MB}m",)
CONSTANT_HASHES = ("-XX:+UnlockExperimentalVMOptions", "-XX:hashCode=2")
NOT_REPEATABLE = (
    "The Java runtime %s does not take -XX:hashCode=2: episodes of SciWorld are not exactly repeatable with it (a few "
    "observations in a hundred list things in another order, or read another temperature). OpenJDK takes it."
)
_VERSION = re.compile(r'version "(\d+)(?:\.(\d+))?')
_found: dict[tuple[str | None, str | None], Java] = {}
_told: set[str] = set()


@dataclass(frozen=True)
class Java:
    """A Java runtime that works.

    Attributes:
        path: The program.
        version: Its major version, e.g. 17.
        options: Options to start it with.
    """

    path: str
    version: int
    options: tuple[str, ...]


def find_java() -> Java:
    """Return the runtime of `JAVA_HOME`, or else the one on the `PATH`; the first that starts and is new enough.

    Raises:
        UsageError: If there is none; the message tells what is wrong with each that was found.
    """
    place = os.environ.get("JAVA_HOME"), os.environ.get("PATH")
    if place not in _found:
        problems: list[str] = []
        for path in _candidates(problems):
            java = _probe(path, problems)
            if java is not None:
                for problem in problems:
                    tell_once(problem, "%s %s is used instead.", problem, java.path)
                _found[place] = java
                break
        else:
            tried = " ".join(problems) or "There is no program java on the PATH, and JAVA_HOME is not set."
            raise UsageError(
                f"SciWorld needs Java {MIN_VERSION} or later. {tried} Install a runtime, e.g. with: apt install "
                f"default-jre-headless, and set JAVA_HOME to its folder or unset it."
            )
    return _found[place]


def tell_once(key: str, message: str, *arguments: object) -> None:
    """Log a warning the first time in this process that `key` is given."""
    if key not in _told:
        _told.add(key)
        log.warning(message, *arguments)


def _candidates(problems: list[str]) -> Iterator[str]:
    """Yield programs that may be a Java runtime."""
    home = os.environ.get("JAVA_HOME")
    if home:
        path = shutil.which(os.path.join(home, "bin", "java"))
        if path is None:
            problems.append(f"JAVA_HOME is {home!r}, which has no bin/java that can be run.")
        else:
            yield path
    path = shutil.which("java")
    if path is not None:
        yield path


def _probe(path: str, problems: list[str]) -> Java | None:
    """Return what a program is, or None and say why it is not a runtime to use."""
    for options in ((*CONSTANT_HASHES, *LIMITS), LIMITS):
        code, said = _version_of(path, options)
        match = _VERSION.search(said)
        if code == 0 and match:
            major = int(match[1])
            version = int(match[2] or 0) if major == 1 else major
            if version < MIN_VERSION:
                problems.append(f"{path} is Java {version}, which is too old.")
                return None
            if options == LIMITS:
                tell_once(path, NOT_REPEATABLE, path)
            return Java(path, version, options)
    problems.append(f"{path} -version fails ({code}): {' '.join(said.split())[-300:] or 'it says nothing'}.")
    return None


def _version_of(path: str, options: tuple[str, ...]) -> tuple[str | int, str]:
    """Return exit code and output of `java -version`."""
    try:
        done = subprocess.run(
            [path, *options, "-version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PROBE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {PROBE_S:g} s", ""
    except OSError as error:
        return type(error).__name__, str(error)
    return done.returncode, done.stdout.decode(errors="replace")


__all__ = ["HEAP_MB", "MIN_VERSION", "NOT_REPEATABLE", "Java", "find_java", "tell_once"]

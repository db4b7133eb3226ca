"""A Python that has inspect-ai: ours, or the one that PALAESTRA_PEERS names, as for the benchmark of the harness."""

from __future__ import annotations

import functools
import importlib.util
import os
import subprocess
import sys

import pytest

WHY = (
    "inspect-ai is not installed: it needs older versions of fsspec and python-dateutil than constraints.txt has, and 150 MB. "
    "Install it in a Python of its own, with palaestra's requirements, and name that: PALAESTRA_PEERS=/path/to/python"
)


def inspect_python() -> str:
    """Return its path, or skip the test."""
    found = _found()
    if not found:
        pytest.skip(WHY)
    return found


@functools.cache
def _found() -> str:
    if importlib.util.find_spec("inspect_ai") is not None:
        return sys.executable
    python = os.environ.get("PALAESTRA_PEERS", "")
    command = [python, "-c", "import importlib.util, sys; sys.exit(importlib.util.find_spec('inspect_ai') is None)"]
    return python if python and subprocess.run(command, check=False).returncode == 0 else ""

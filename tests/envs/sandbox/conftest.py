import subprocess

import pytest

from palaestra.envs.sandbox import Sandbox
from palaestra.envs.sandbox.bubblewrap import find_bubblewrap
from palaestra.envs.sandbox.monty import is_installed

PATIENT_S = 30.0
"""A time limit that a slow machine keeps, too: what is to end by itself does so within milliseconds."""


def _missing(executor: str) -> str:
    """Return why an executor cannot be used here, "" if it can."""
    if executor == "monty":
        return "" if is_installed() else "pydantic-monty is not installed"
    if not find_bubblewrap():
        return "bubblewrap is not installed"
    command = [find_bubblewrap(), "--unshare-all", "--ro-bind", "/", "/", "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"bubblewrap does not work here: {done.stderr.strip()}" if done.returncode else ""  # then a keeper has to start


@pytest.fixture(scope="session")
def missing() -> dict[str, str]:
    """Why executors cannot be used here, by name."""
    return {executor: reason for executor in ("monty", "process") if (reason := _missing(executor))}


@pytest.fixture(params=["monty", "process"], scope="session")
def executor(request, missing):
    if request.param in missing:
        pytest.skip(missing[request.param])
    return request.param


@pytest.fixture(scope="session")
def shared(executor):
    """One sandbox for tests that leave nothing behind."""
    with Sandbox(executor, timeout_s=PATIENT_S) as sandbox:
        yield sandbox


@pytest.fixture
def need_process(missing):
    if "process" in missing:
        pytest.skip(missing["process"])


@pytest.fixture
def need_monty(missing):
    if "monty" in missing:
        pytest.skip(missing["monty"])


@pytest.fixture(scope="session")
def need_both(missing):
    if missing:
        pytest.skip("; ".join(missing.values()))

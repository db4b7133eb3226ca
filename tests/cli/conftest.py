from __future__ import annotations

import signal
from typing import NamedTuple

import pytest

from palaestra.cli.main import main


class Ran(NamedTuple):
    code: int
    out: str
    err: str


def listen() -> None:
    """Let a child hear Ctrl-C, also where the tests run in the background of a shell, which has it ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def deaf() -> None:
    """Let a child ignore Ctrl-C, as a shell makes a command in the background of a script do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.fixture
def palaestra_run(capsys):
    """Run the command line in this process: `palaestra_run("list", "--json")`."""

    def run(*words) -> Ran:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Ran(code, *capsys.readouterr())

    return run


@pytest.fixture
def refused(palaestra_run):
    """Run words that must be refused: exit code 2 and one line that matches; return the line."""

    def run(*words, match: str) -> str:
        import re

        code, out, err = palaestra_run(*words)
        assert (code, out) == (2, ""), (code, out, err)
        assert err.count("\n") == 1, err
        assert err.startswith("palaestra: error: ")
        assert re.search(match, err), err
        return err

    return run

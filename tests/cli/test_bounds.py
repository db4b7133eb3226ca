"""Numbers on command lines that mean nothing, or that no machine holds: one line, exit code 2, and no run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from palaestra.cli.main import app, main

ODD = ("-1", "nan", "inf", str(10**30), "9" * 5000, "x")
EVALUATE = ["evaluate", "--env", "palaestra/TextCraft-v0", "--set", "recipes=procedural", "--model", "http://127.0.0.1:9/v1#m"]


def options_of_numbers(command: str) -> list[str]:
    """Return the options of a command that take a number."""
    group: Any = get_command(app)
    found = group.get_command(typer.Context(group), command)
    kinds = (int, float)
    return [one.opts[0] for one in found.params if one.type_descriptor.annotation in kinds or one.name == "n"]


OPTIONS = options_of_numbers("evaluate")


def refused(words: list[str], runs: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that has to be refused; return what it says."""
    assert main([*words, "--runs", str(runs)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("palaestra: error: ")
    assert said.err.count("\n") == 1
    assert len(said.err) < 700
    assert not [path for path in runs.rglob("*") if path.is_dir()], "no run was begun"
    return said.err


def test_the_options_are_found() -> None:
    assert {"-n", "--samples", "--max-turns", "--concurrency", "--workers", "--retries", "--timeout"} <= {*OPTIONS}


@pytest.mark.parametrize("odd", ODD, ids=[odd[:8] for odd in ODD])
@pytest.mark.parametrize("option", OPTIONS)
def test_a_number_that_means_nothing_is_one_line(
    option: str, odd: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused([*EVALUATE, option, odd], tmp_path, capsys)


@pytest.mark.parametrize(
    "option",
    ["deadline_s=1e300", "max_connections=0.5", "max_response_bytes=x", "context_window=x", "keep_turns=x", "temperature=nan",
     "top_p=true", "concurrency=x", "requests_per_minute=nan", f"max_tokens=0x{'f' * 5000}"],
    ids=lambda option: option.partition("=")[0],
)  # fmt: skip
def test_an_option_of_a_backend_that_means_nothing_is_one_line(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = option.partition("=")[0]
    written = f"rate_limit={{{option}}}" if name == "requests_per_minute" else option
    assert name in refused([*EVALUATE, "--option", written], tmp_path, capsys)


def test_an_option_that_is_given_twice_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*EVALUATE, "--temperature", "0.5", "--option", "temperature=1.0"]
    assert "--temperature and --option temperature=... are both given" in refused(words, tmp_path, capsys)
    words = [*EVALUATE, "-n", "1", "--retries", "0", "--option", "temperature=0.5", "--runs", str(tmp_path)]
    assert main(words) == 3, "played, and refused by nobody: there is no server"


def test_many_processes_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--all", "--jobs", str(10**15)]) == 2
    assert "--jobs" in capsys.readouterr().err

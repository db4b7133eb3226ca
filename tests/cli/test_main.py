from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from palaestra.cli.main import app, main
from palaestra.errors import BudgetError, StoreError, UsageError


def subprocess_run(*words, **options):
    command = [sys.executable, "-m", "palaestra.cli.main", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)


def test_help_lists_every_command():
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    for command in ("list", "show", "check", "play", "evaluate", "train", "runs", "export", "report", "demo"):
        assert f" {command} " in result.output


@pytest.mark.parametrize("command", ["list", "show", "check", "play", "evaluate", "train", "runs", "export", "report", "demo"])
def test_every_command_explains_itself(command):
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert len(result.output) > 100


def test_help_imports_nothing_heavy():
    code = (
        "import sys, contextlib, io\n"
        "from palaestra.cli.main import main\n"
        "with contextlib.redirect_stdout(io.StringIO()): main(['--help'])\n"
        "heavy = {'torch', 'transformers', 'pydantic', 'matplotlib', 'jinja2', 'openai', 'aiohttp', 'datasets'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_the_version_is_printed(palaestra_run):
    import palaestra

    assert palaestra_run("--version") == (0, palaestra.__version__ + "\n", "")


def test_wrong_words_are_one_line_with_the_next_move(refused):
    refused("evaluat", match="Did you mean 'evaluate'.* See: palaestra --help")
    refused("evaluate", "--samples", "x", match="--samples.* See: palaestra evaluate --help")
    refused("show", match="ENV_ID.* See: palaestra show --help")
    refused("list", "--nope", match="--nope")


@pytest.mark.parametrize(
    ("error", "code"),
    [(UsageError("use it so"), 2), (StoreError("disk full"), 1), (BudgetError("spent"), 3), (KeyboardInterrupt(), 130)],
)
def test_exit_codes_tell_causes_apart(monkeypatch, capsys, error, code):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("palaestra.cli.main.app", fail)
    assert main(["list"]) == code
    assert capsys.readouterr().err == f"palaestra: error: {str(error) or 'interrupted.'}\n"


def test_a_mistake_of_ours_is_not_hidden(monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr("palaestra.cli.main.app", fail)
    with pytest.raises(ZeroDivisionError):
        main(["list"])


def test_debug_shows_the_traceback_wherever_it_stands():
    plain = subprocess_run("show", "palaestra/Nope-v0")
    assert plain.returncode == 2
    assert "Traceback" not in plain.stderr
    for words in (("--debug", "show", "palaestra/Nope-v0"), ("show", "palaestra/Nope-v0", "--debug")):
        assert "Traceback" in subprocess_run(*words).stderr


def test_output_is_the_same_under_any_hash_seed_and_closes_quietly_when_its_reader_does():
    seen = {subprocess_run("list", "--json", env={**os.environ, "PYTHONHASHSEED": seed}).stdout for seed in ("1", "2")}
    assert len(seen) == 1
    assert json.loads(seen.pop())
    command = f"{sys.executable} -m palaestra.cli.main show palaestra/TextCraft-v0 | head -1"
    piped = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=True)
    assert piped.stdout.startswith("palaestra/TextCraft-v0")
    assert piped.stderr == ""

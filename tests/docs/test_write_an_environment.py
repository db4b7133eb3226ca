"""The page's environment, in a file of its own: the commands of the page run in the folder of the file."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "write_an_environment.md").read_text(encoding="utf-8")
OWN = PAGE.partition("### In a file of your own\n")[2].partition("\n## ")[0]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("own")
    (found / "till.py").write_text("\n\n".join(blocks(PAGE, "python")), encoding="utf-8")
    (recipe,) = blocks(OWN, "toml")
    (found / "till.toml").write_text(recipe, encoding="utf-8")
    return found


def palaestra(folder: Path, words: list[str], **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command as its script does: the folder it is started in is not on Python's path by itself."""
    code = "from palaestra.cli.main import main; main()"
    python = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **env}
    command = [sys.executable, "-P", "-c", code, *words]
    return subprocess.run(command, cwd=folder, env=python, capture_output=True, text=True, timeout=1800)


def test_the_commands_of_the_page_run_in_the_folder_of_the_file(folder: Path) -> None:
    commands = [shlex.split(line) for line in blocks(OWN, "bash")[0].splitlines()]
    assert [words[1] for words in commands] == ["check", "evaluate", "train"]
    for words in commands:
        done = palaestra(folder, words[1:])
        assert done.returncode == 0, done.stdout + done.stderr

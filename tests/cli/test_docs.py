from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from palaestra.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def _commands(page: Path) -> list[list[str]]:
    """Every `palaestra ...` line of the page's shell blocks."""
    blocks = re.findall(r"```(?:bash|sh|console)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line.strip().removeprefix("$ ") for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line.split(" # ")[0].split("   #")[0]) for line in lines if line.startswith("palaestra ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_option_on_a_page_exists(page, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    for words in _commands(page):
        names = [words[1], *([words[2]] if words[1] in ("runs", "toolforge", "critic") else [])]
        result = CliRunner().invoke(app, [*names, "--help"])
        assert result.exit_code == 0, words
        for option in (word.partition("=")[0] for word in words if re.fullmatch(r"--?[a-z][\w-]*(=.*)?", word)):
            assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", result.output), (page.name, words, option)


def test_the_pages_show_commands():
    assert len(_commands(ROOT / "docs" / "cli.md")) > 15

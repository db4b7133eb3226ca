from __future__ import annotations

import ast
import io
import json
import math
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.markdown import Markdown
from rich.text import Text

import palaestra.cli
from palaestra.cli.controls import printable
from palaestra.cli.output import console, print_json, say, table
from palaestra.cli.results import env_tables
from palaestra.results.tables import ResultTable

EVIL = "\x1b[31mred\x1b]0;title\x07\x9b2J\r\x08\x7f"


def controls(text: str) -> set[str]:
    return {sign for sign in text if unicodedata.category(sign) == "Cc"} - {"\n", "\t"}


@given(st.text())
def test_no_control_character_is_left_and_everything_else_stays(text: str) -> None:
    shown = printable(text)
    assert not controls(shown)
    assert shown == "".join(f"\\x{ord(sign):02x}" if controls(sign) else sign for sign in text)


def test_printed_lines_steer_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    say(EVIL)
    say(EVIL, end="", stderr=True)
    found = capsys.readouterr()
    for text in (found.out, found.err):
        assert "\\x1b[31mred" in text
        assert not controls(text)


@pytest.mark.parametrize("is_terminal", [False, True])
def test_nothing_shown_on_a_console_steers_the_terminal(monkeypatch: pytest.MonkeyPatch, is_terminal: bool) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: is_terminal, raising=False)
    monkeypatch.setattr("sys.stdout", stream)
    out = console()
    grid = table(EVIL, EVIL, "b")
    grid.add_row(EVIL, "cell")
    grid.caption = EVIL
    given_table = ResultTable(EVIL, (EVIL, "b"), ((EVIL, "1"),), EVIL)
    for shown in (EVIL, grid, *env_tables([given_table]), Text(EVIL), Markdown(EVIL)):
        out.print(shown)
    text = stream.getvalue()
    assert text.count("\\x1b[31mred") >= 9
    assert not controls(text) - {"\x1b"}
    # rich's own styles are all that is left of escapes
    assert "\x1b[31m" not in text
    assert "\x1b]" not in text


def test_rows_are_aligned_whatever_the_cells_hold(capsys: pytest.CaptureFixture[str]) -> None:
    grid = table("", "a", "b")
    grid.add_row("\x1b[0m", "|")
    grid.add_row("1", "|")
    console().print(grid)
    lines = [line for line in capsys.readouterr().out.splitlines() if "|" in line]
    assert len({line.index("|") for line in lines}) == 1
    assert lines[0].lstrip().startswith("\\x1b[0m ")


def test_json_is_strict_and_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"x": [math.inf, math.nan, 1.5], "text": EVIL}
    print_json(value)
    text = capsys.readouterr().out
    assert not controls(text)
    assert json.loads(text) == {"x": [None, None, 1.5], "text": EVIL}


def test_commands_print_in_one_way() -> None:
    for path in sorted(Path(palaestra.cli.__path__[0]).glob("*.py")):
        if path.name in ("output.py", "screen.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("print", "Console"), f"{path.name}:{node.lineno}: say() or console() prints"


def test_controls_of_the_writing_direction_are_shown_and_not_obeyed():
    from palaestra.cli.controls import printable

    for code in (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)):
        assert printable(f"a{chr(code)}b") == f"a\\u{code:04x}b"
    assert printable("שלום العربية zürich ١٢") == "שלום العربية zürich ١٢"

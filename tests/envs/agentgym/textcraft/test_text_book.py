from pathlib import Path

import pytest

from palaestra.envs.agentgym.textcraft.books import load_book
from palaestra.envs.agentgym.textcraft.text_book import parse_book
from palaestra.errors import ConfigError, MissingDataError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no recipe; write lines such as"),
        ("craft stick using 1 twig", r"line 1: 'craft stick using 1 twig' is neither 'craft N ITEM"),
        ("\n\ncraft 1 stick using twig", r"line 3: 'twig' is no ingredient; write a count"),
        ("craft 1 stick using 1 twig, 2 twig", "'twig' is listed twice"),
        ("craft 0 stick using 1 twig", "the count 0 is not between 1 and 1000000"),
        ("craft 1 stick using 99999999999 twig", "the count 99999999999 is not between"),
        ("craft 1 Stick! using 1 twig", "'Stick!' is no item name"),
        ("craft 1 stick using 1 twig using 1 leaf", "is no item name"),
        ("craft 1 a using " + ", ".join(f"1 i{n}" for n in range(10)), "10 ingredients; at most 9"),
        ("tag wood: stick\ncraft 1 bow using 1 wood", "line 1: tag 'n:wood' has no item that is crafted"),
        ("tag wood: a\ntag wood: b\ncraft 1 a using 1 b", "line 2: tag 'wood' was defined in line 1"),
        ("tag wood: a\ntag log: a\ncraft 1 a using 1 b", "line 2: 'n:a' already belongs to 'n:wood'"),
        ("tag a: a\ncraft 1 a using 1 b", "is the name of a tag and of a crafted item"),
        ("craft 1 a using 1 b\ncraft 1 b using 1 a", "line 1: 'craft 1 a using 1 b' needs its own output"),
        ("tag wood: a\ncraft 1 a using 1 wood", "needs its own output in the end; break the circle"),
    ],
)
def test_a_wrong_line_is_named_with_what_to_do(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_book(text, namespace="n", source="my.txt")


def test_a_text_file_is_a_book_and_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "my.txt"
    file.write_text("craft 1 stick using 1 twig\n")
    book = load_book(file)
    assert load_book(str(file)) is book
    assert book.goals == ("workshop:stick",)
    file.write_text("craft 1 stick using 2 twig, 1 leaf\n")
    assert load_book(file) != book


def test_what_is_not_there_or_not_text_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="expected a folder of Minecraft recipe files"):
        load_book(tmp_path / "nowhere")
    with pytest.raises(MissingDataError, match=r"no recipe files in .*; expected \*\.json"):
        load_book(tmp_path)
    (tmp_path / "latin.txt").write_bytes(b"craft 1 caf\xe9 using 1 bean")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        load_book(tmp_path / "latin.txt")

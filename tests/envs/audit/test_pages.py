"""Pages of audit cards: everything of the card is there, as text, whatever marks it holds."""

import json
import re
from html import unescape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.audit.card import Card, Figure, Point
from palaestra.envs.audit.pages import card_page, index_page, page_name, write_pages

CEILING = {"success": 0.5, "return": 0.25, "n": 4, "errors": 0, "steps": 2.5, "failed": []}
POINTS = (Point("floor.nothing", "warn", "8 % | of it\nare free"), Point("length", "not judged", "There is no expert."))


def card(env="tests/Some-v0", split="test", points=POINTS, **changed):
    made = {"arguments": {}, "floors": {"nothing": Figure(0.08, 0.1, 100, 0, "free", "says nothing")}, "ceiling": CEILING}
    made |= changed
    return Card(env, made["arguments"], split, 100, 0, made["floors"], made["ceiling"], points, changed.get("sections", {}))


def rows(page):
    """Return the cells of all rows of tables, as a reader sees them."""
    lines = [line for line in page.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [[unescape(re.sub(r"\\(.)", r"\1", cell)) for cell in row] for row in cells]


def test_a_page_has_agents_points_with_reasons_and_facts():
    sections = {
        "difficulty": {"by_type": {"a": row(3, 1.0), "b": row(2, None)}, "by_parameter": {"same": {"1": row(5, 2)}}},
        "length": {"by_format": {"text": dict.fromkeys(("prompt", "first", "written", "read", "read_once"), 1234)}},
    }
    page = card_page([card(sections=sections), card(split="train")])
    found = rows(page)
    assert ["`nothing`", "knows nothing", "0.08", "0.1", "100", "says nothing"] in found
    assert ["`floor.nothing`", "**warn**", "8 % | of it are free"] in found
    assert ["`length`", "*not judged*", "There is no expert."] in found
    assert ["`type`", "`b`", "2", "-", "1", "-"] in found
    assert not any("`same`" in one for one in found)  # one value tells nothing
    assert ["`text`", *["1,234"] * 5] in found
    assert "## Split test: warn" in page
    assert "## Split train: warn" in page
    assert "The expert succeeds in 50 % of them in 2.5 steps on average; its mean return is 0.25." in page


def row(n, steps):
    return {"n": n, "steps": steps, "success": {"expert": 1.0, "nothing": None}}


def test_what_is_missing_is_said():
    page = card_page([card(split=None, floors={}, ceiling={"success": None, "return": None, "n": 0})])
    assert "## Without tasks: warn" in page
    assert "There is no expert." in page
    assert "100 seeds" in page


@settings(max_examples=60)
@given(st.text(min_size=1), st.text())
def test_texts_of_others_stay_text(reason, about):
    page = card_page([card(points=(Point("p", "pass", reason),), floors={"x": Figure(None, None, 0, about=about)})])
    found = rows(page)
    assert ["`p`", "pass", " ".join(reason.split())] in found
    assert ["`x`", "knows nothing", "-", "-", "0", " ".join(about.split())] in found
    assert re.search(r"(?<!\\)[<\[]", "".join(line for line in page.splitlines() if "`p`" in line)) is None


def test_files_of_an_id_are_replaced_and_the_index_names_all(tmp_path):
    out = tmp_path / "deep" / "cards"
    one, other = card("palaestra/One-v0"), card("else/Other-v1")
    written = write_pages(out, [one, card("palaestra/One-v0", "train"), other])
    assert sorted(path.name for path in written) == sorted(path.name for path in out.iterdir())
    assert {"One-v0.md", "One-v0.json", "else-Other-v1.md", "README.md", "audit_cards.json"} <= {p.name for p in out.iterdir()}
    assert [Card.from_json(row) for row in json.loads((out / "One-v0.json").read_text())][1].split == "train"
    write_pages(out, [card("palaestra/One-v0", points=())])
    index = (out / "README.md").read_text()
    assert "(else-Other-v1.md) | - | test | warn | 0.08 `nothing` | 0.5 | `floor.nothing` warn, `length` not judged |" in index
    assert index.count("One-v0.md") == 1
    assert len(json.loads((out / "audit_cards.json").read_text())) == 2


@pytest.mark.parametrize("env_id", ["palaestra/Desk-v0", "a/../../b-v0", "weird id:x-v0"])
def test_names_of_files_stay_in_the_folder(env_id):
    assert re.fullmatch(r"[\w.-]+", page_name(env_id))
    assert page_name("palaestra/Desk-v0") == "Desk-v0"


def test_the_index_of_nothing_is_a_page():
    assert index_page([]).startswith("# Audit cards")

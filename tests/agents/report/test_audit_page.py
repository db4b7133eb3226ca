"""The page of an audit card: what it shows, that it needs nothing else, and that nothing in a card can write to it."""

from __future__ import annotations

import dataclasses
import json
import math
import re

import pytest

from palaestra.agents.masking import remember_secrets
from palaestra.agents.report import render_card_page, write_card_page
from palaestra.cli.main import main
from palaestra.envs.audit import audit_environment
from palaestra.envs.audit.card import Card, Figure, Point, failed, not_judged, passed, warned
from palaestra.envs.audit.shipped import shipped_cards
from palaestra.errors import StoreError
from tests.agents.report.build import HOSTILE
from tests.agents.report.page import parse
from tests.agents.report.test_phone import BEHIND_THE_EDGE
from tests.browser import chromium, open_browser

CAR = "palaestra/VehicleWorld-v0"


@pytest.fixture(scope="module")
def card():
    """A card of a real environment, with every section."""
    return audit_environment(CAR, 6)


def hostile_card(text):
    """A card in which everything that an environment may name is a text."""
    figure = Figure(0.5, 0.5, 8, 1, "free", text, {text: 0.5})
    facts = {"n": 4, "steps": 2.0, "success": {"expert": 1.0, text: 0.25}}
    costs = {"prompt": 10, "first": 3, "written": 4, "read": 100, "read_once": 40}
    return Card(
        f"mine/{text}",
        {text: text},
        text,
        8,
        0,
        {
            text: figure,
            f"harm {text}": dataclasses.replace(figure, kind="harm"),
            f"odd {text}": Figure(0.1, None, 8, kind=text),
        },
        {"success": 1.0, "return": 1.0, "n": 8, "steps": 2.0, "failed": [text] * 9},
        [passed(text, text), warned(f"a.{text}", text, **{text: text}), failed(f"splits.{text}", text), not_judged("b", text)],
        {
            "difficulty": {"by_type": {text: facts}, "by_parameter": {text: {text: facts}}, "nobody": 0.1, "everybody": 0.2},
            "length": {"steps": {"mean": 2.0, "median": 2, "most": 3}, "by_format": {text: costs}},
        },
        {"code": text},
        {text: text},
    )


def test_a_page_shows_verdict_floors_ceiling_profile_length_splits_and_points(card):
    page = parse(render_card_page(card))
    for name, found in card.floors.items():
        assert f"{name} {found.about} {100 * found.success:.1f} %" in page.text
    assert "expert the environment's own expert 100.0 %" in page.text
    assert f"Verdict {card.verdict}" in page.text
    for kind in card.sections["difficulty"]["by_type"]:
        assert re.search(rf"{kind} \d+ \d+\.\d 100\.0 %", page.text)
    assert f"{card.sections['length']['by_format']['text']['read']:,}" in page.text
    for point in card.points:
        assert page.text.count(point.reason) >= 1
        assert point.name in page.text
    bars = [attributes["aria-label"] for _, attributes in page.tags if "bar" in (attributes.get("class") or "").split()]
    assert len(bars) >= len(card.floors) + 1


def test_the_worst_points_come_first():
    text = parse(render_card_page(hostile_card("x"))).text
    points = text[text.index("Every question that was asked") :]
    assert [m[0] for m in re.finditer(r"\b(fail|warn|not judged|pass)\b(?= \S+ x)", points)][:2] == ["fail", "warn"]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_in_a_card_becomes_markup(text):
    html = render_card_page(hostile_card(text))
    plain = parse(render_card_page(hostile_card("x")))
    page = parse(html)
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]
    assert len(page.scripts) == len(plain.scripts)
    handlers = [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert handlers == []


def test_the_file_needs_nothing_else(card):
    html = render_card_page(card)
    page = parse(html)
    assert {tag for tag, _ in page.tags} & {"img", "link", "iframe", "object", "embed", "base"} == set()
    links = [v for _, attributes in page.tags for k, v in attributes.items() if k in ("src", "href", "xlink:href", "action")]
    assert all(link.startswith("#") for link in links)
    assert "url(" not in html
    assert "@import" not in html


def test_secrets_are_masked():
    secret = "sk-0123456789abcdefghijklmnop"
    remember_secrets({"api_key": secret})
    found = hostile_card("x")
    found = dataclasses.replace(found, arguments={"api_key": secret}, points=[failed("leak", f"the key {secret} is shown")])
    assert secret not in render_card_page(found)


@pytest.mark.parametrize("env_id", ["palaestra/Desk-v0", "palaestra/TextCraft-v0", CAR])
def test_cards_that_ship_have_a_page_without_reasons(env_id):
    for found in shipped_cards(env_id):
        text = parse(render_card_page(found)).text
        assert "cards that ship keep no reasons" in text
        assert "Difficulty" not in text.replace("difficulty", "")


NUMBERS = (None, math.nan, math.inf, -1.0, 2.0, True, "0.5", [])


@pytest.mark.parametrize("value", NUMBERS)
def test_numbers_that_are_none_are_said_and_break_nothing(value):
    facts = {"n": value, "steps": value, "success": {"expert": value, "random": value}}
    sections = {
        "difficulty": {"by_type": {"": facts}, "by_parameter": value, "nobody": value, "everybody": value},
        "length": {"steps": value, "by_format": {"text": {"read": value}}},
    }
    floors = (
        {"nothing": Figure(value, value, 0), "random": Figure(None, value, 3)} if not isinstance(value, (str, list)) else {}
    )
    ceiling = {"success": value, "return": value, "n": value, "steps": value}
    page = parse(render_card_page(Card("mine/Env-v0", {}, None, 0, 0, floors, ceiling, (), sections)))
    assert "nan" not in page.text.lower().replace("palaestra", "")
    assert "no point was judged" in page.text
    assert "no splits" in page.text


def test_an_empty_card_has_a_page():
    assert "warn" in parse(render_card_page(Card("mine/Env-v0", {}, None, 1, 0, {}, {}, ()))).text


def test_the_command_writes_the_page_and_prints_where(tmp_path, capsys, monkeypatch, card):
    monkeypatch.setattr("palaestra.envs.audit.audit_environment", lambda *args, **kwargs: card)
    path = tmp_path / "new" / "card.html"
    main(["audit", CAR, "-n", "6", "--html", str(path)])
    assert f"Page    {path.resolve()}" in capsys.readouterr().out
    assert path.read_text(encoding="utf-8") == render_card_page(card)
    path.unlink()
    main(["audit", CAR, "-n", "6", "--html", str(path), "--json"])
    assert json.loads(capsys.readouterr().out)["env"] == CAR  # and nothing else
    assert path.exists()


def test_a_place_that_cannot_be_written_is_one_error(tmp_path, card):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot be written"):
        write_card_page(tmp_path / "file" / "card.html", card)


async def test_the_page_fits_a_phone_in_both_schemes_and_its_bars_are_as_long_as_their_shares(card, tmp_path):
    chromium()
    long = hostile_card("a-word-without-an-end-" * 9)
    whole = dataclasses.replace(card, points=[*card.points, Point("a" * 90, "fail", "b" * 300, {"c": "d" * 400})])
    pages = [write_card_page(tmp_path / f"{name}.html", one) for name, one in (("card", whole), ("long", long))]
    async with open_browser(tmp_path) as tab:
        for path in pages:
            for width, dark in ((390, False), (390, True), (320, False), (1280, True)):
                await tab.resize(width, dark=dark)
                await tab.open(path.as_uri())
                await tab.js("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
                assert await tab.too_wide() == [], (path.name, width)
                if width == 390:
                    assert await tab.js(BEHIND_THE_EDGE) == [], path.name
        await tab.resize(1280)
        await tab.open(pages[0].as_uri())
        drawn = await tab.js(
            "[...document.querySelectorAll('#floors .bar')].map((bar) => [bar.ariaLabel, "
            "bar.firstElementChild.getBoundingClientRect().width / bar.clientWidth])"
        )
        assert len(drawn) == len(card.floors) + 1
        for label, share in drawn:
            assert share == pytest.approx(float(re.search(r"([\d.]+)\s%", label)[1]) / 100, abs=0.01)
        unnamed = await tab.js(
            "[...document.querySelectorAll('main .stacks .number')].filter((node) => node.tagName === 'TD' && "
            "node.textContent.trim() && !node.dataset.label).length"
        )
        assert unnamed == 0
        colours = []
        for dark in (False, True):
            await tab.resize(1280, dark=dark)
            await tab.open(pages[0].as_uri())
            colours.append(await tab.js("getComputedStyle(document.body).backgroundColor"))
        assert colours[0] != colours[1]
        assert tab.problems == []


def test_a_card_of_less_effort_says_where_agents_were_cut(card):
    assert "agents are cut" not in render_card_page(card)
    slow = dataclasses.replace(card, sections={**card.sections, "effort": {"level": "slow", "actions": 30}})
    assert "effort &#39;slow&#39;: agents are cut after 30 actions" in render_card_page(slow)

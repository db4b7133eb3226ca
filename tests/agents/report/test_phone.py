"""The report on a phone: 390 px wide, in both colour schemes, in a real browser."""

from __future__ import annotations

import pytest

from palaestra.agents import ExpertAgent, NothingAgent, evaluate_async
from palaestra.agents.report import render_report, write_report
from palaestra.agents.store.store import RunStore
from palaestra.envs.audit.shipped import shipped_floor
from palaestra.types import Trajectory
from tests.agents.report import build
from tests.agents.report.page import parse
from tests.browser import chromium, open_browser

# numbers that a reader would have to scroll sideways for
BEHIND_THE_EDGE = """
[...document.querySelectorAll("main td.number, main td.interval, .block td, .facts dd")].filter((node) => {
  const box = node.getBoundingClientRect();
  return node.textContent.trim() && box.width > 1 && (box.right > document.documentElement.clientWidth || box.left < 0);
}).map((node) => node.textContent)
"""


ROWS = """
[...document.querySelectorAll("#results .stacks tbody tr")].map((row) => ["Best floor", "Above floor, points"].map(
  (label) => row.querySelector(`[data-label="${label}"]`).innerText.trim()))
"""
REPORTS = {"both": ["solver", "idle"], "alone": ["cut"]}


@pytest.fixture
def reports(tmp_path):
    """Every kind of section, with names and figures that are long."""
    chromium()
    name = "openai:a-provider/a-model-of-which-the-name-has-no-end-2026-11-30-instruct"
    with RunStore(tmp_path / "runs") as store:
        build.add_evaluation(store, n=12, agents=("cloned", "trained"))
        build.add_training(store)
        store.create_run({"kind": "evaluate", "split": "x" * 120}, "wide")
        for i in range(3):
            data = build.cockpit(i).to_json()
            data["outcome"]["score"] = -123_456.789 * (i + 1)
            data["usage"] |= {"calls": 10**9, "prompt_tokens": 10**12, "completion_tokens": 10**11, "cost": 1e6}
            store.add("wide", Trajectory.from_json({**data, "agent": name * 2}))
        for i in range(3):
            store.add("wide", build.with_id(build.broken(i, agent=name, text="y" * 300), f"b{i}"))
        pages = {"several": ["eval-1", "wide"], "training": ["train-1"]}
        return [write_report(tmp_path / f"{title}.html", runs, store=store) for title, runs in pages.items()]


async def test_nothing_is_cut_off_or_behind_the_edge_of_a_phone(reports, tmp_path):
    async with open_browser(tmp_path) as tab:
        for path in reports:
            for width, dark in ((390, False), (390, True), (320, False), (1280, True)):
                await tab.resize(width, dark=dark)
                await tab.open(path.as_uri())
                if await tab.js("Boolean(document.querySelector('#learning details'))"):
                    await tab.js("document.querySelectorAll('#learning details').forEach((one) => { one.open = true; })")
                assert await tab.too_wide() == [], (path.name, width)
                if width == 390:
                    assert await tab.js(BEHIND_THE_EDGE) == [], (path.name, width)
        assert tab.problems == []


async def test_a_row_says_on_a_phone_what_its_figures_are(reports, tmp_path):
    async with open_browser(tmp_path) as tab:
        await tab.resize(390)
        await tab.open(reports[0].as_uri())
        unnamed = await tab.js(
            "[...document.querySelectorAll('main .stacks .number, main .stacks .interval')].filter((node) => "
            "node.tagName === 'TD' && node.textContent.trim() && !node.dataset.label).map((node) => node.outerHTML)"
        )
        shown = await tab.js("getComputedStyle(document.querySelector('#results td.number'), '::before').content")
        wide = "getComputedStyle(document.querySelector('#results td.number'), '::before').content"
        await tab.resize(1280)
        assert (unnamed, shown, await tab.js(wide)) == ([], '"Success"', "none")


async def test_a_car_report_shows_the_floor_next_to_success_on_a_phone_and_a_desk(tmp_path):
    chromium()
    car = "palaestra/VehicleWorld-v0"
    with RunStore(tmp_path / "runs") as store:
        for name, agent in (("solver", ExpertAgent()), ("idle", NothingAgent())):
            await evaluate_async(car, agent, n=12, store=store, run_id=name)
        await evaluate_async(car, NothingAgent(), n=3, max_turns=1, store=store, run_id="cut")
        pages = {name: write_report(tmp_path / f"{name}.html", runs, store=store) for name, runs in REPORTS.items()}
    card = shipped_floor(car, {}, "test")
    async with open_browser(tmp_path) as tab:
        for width, dark in ((1280, False), (390, True), (390, False)):
            await tab.resize(width, dark=dark)
            await tab.open(pages["both"].as_uri())
            rows = await tab.js(ROWS)
            above = 100 * (1 - card.success)
            assert [row[0] for row in rows] == [f"{100 * card.success:.1f}\u00a0% {card.agent}"] * 2
            assert rows[0][1].startswith(f"+{above:.1f} ")
            low, high = (float(end) for end in rows[0][1].split(" ", 1)[1].split(" to "))
            assert low < above < high
            assert await tab.js("document.querySelectorAll('.floor-note').length") == 1
            assert await tab.js("[...document.querySelectorAll('.cards dt')].map((one) => one.textContent)") == [
                "Success · nothing",
                "Above floor · nothing",
                *("Score · nothing", "Episodes", "Errors"),
            ]
            assert await tab.too_wide() == []
            if width == 390:
                assert await tab.js(BEHIND_THE_EDGE) == []
            await tab.open(pages["alone"].as_uri())
            assert await tab.js(ROWS) == [["no card", "not known"]]  # never 0
            assert "max_turns = 1" in await tab.js("document.querySelector('.floor-note').textContent")
            assert await tab.too_wide() == []


SCROLLS = """
[...document.querySelectorAll("main .scroll")].filter((box) => box.scrollWidth > box.clientWidth).map(
  (box) => `${box.getAttribute("aria-label")}: ${box.scrollWidth} of ${box.clientWidth}`)
"""
BROKEN = """
[...document.querySelectorAll(".results td.number")].filter((cell) => {
  const range = document.createRange(), node = [...cell.childNodes].find((one) => one.nodeType === 3 && one.data.trim());
  if (!node) return false;
  range.selectNodeContents(node);
  return new Set([...range.getClientRects()].filter((box) => box.width > 1).map((box) => Math.round(box.top))).size > 1;
}).map((cell) => cell.innerText)
"""


@pytest.mark.parametrize("samples", [1, 2])
async def test_the_results_of_a_car_fit_a_desk_without_scrolling(samples, tmp_path):
    chromium()
    with RunStore(tmp_path / "runs") as store:
        for name, agent in (("solver", ExpertAgent()), ("idle", NothingAgent())):
            await evaluate_async("palaestra/VehicleWorld-v0", agent, n=8, samples=samples, store=store, run_id=name)
        page = write_report(tmp_path / "page.html", ["solver", "idle"], store=store)
    async with open_browser(tmp_path) as tab:
        await tab.resize(1280)
        await tab.open(page.as_uri())
        assert len(await tab.js("[...document.querySelectorAll('.results thead th')]")) == (13 if samples == 1 else 16)
        assert await tab.js(SCROLLS) == []
        assert await tab.js(BROKEN) == []  # a figure stands in one line


def test_times_say_that_they_sum_over_parallel_calls(tmp_path):
    with RunStore(tmp_path) as store:
        build.add_evaluation(store, n=4)
        page = parse(render_report(["eval-1"], store=store))
    assert "Model time, summed" in page.text
    assert "World time, summed" in page.text
    assert "sum over episodes and calls, many of which run in parallel" in page.text

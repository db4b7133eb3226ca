from __future__ import annotations

import pytest

from palaestra.agents import NothingAgent, RandomAgent, Seats, evaluate
from palaestra.agents.report import render_report, write_report
from palaestra.agents.store.store import RunStore
from palaestra.types import Trajectory
from tests.agents.report import build
from tests.agents.report.page import chromium, in_browser, parse


@pytest.fixture
def report(tmp_path):
    chromium()
    with RunStore(tmp_path / "runs") as store:
        run = build.add_evaluation(store, n=12, agents=("cloned", "trained"))
        store.add(run, build.with_id(build.broken(99, agent="trained", text="zebra"), "trained/99"))
        return write_report(tmp_path / "report.html", [run], store=store)


def test_search_and_filters_narrow_the_list(report, tmp_path):
    found = in_browser(
        report,
        """
        const all = shown().length, counted = $("shown").textContent;
        type("f-text", "CRAFT STICK 7."); const searched = shown(), marks = doc.querySelectorAll("#transcript mark").length;
        type("f-text", "zebra"); const inError = shown();
        type("f-text", ""); type("f-outcome", "error"); const errors = shown();
        type("f-outcome", ""); type("f-min", "3"); const long = shown().length;
        type("f-min", ""); type("f-arm", "1"); type("f-type", "=depth-4"); const part = shown();
        type("f-text", "nothing like it"); const none = $("episodes").textContent;
        $("clear").click();
        return {all, counted, searched, marks, inError, errors, long, part, none, cleared: shown().length};
        """,
        tmp_path,
    )
    assert found["all"] == 25
    assert found["counted"] == "25 of 25 shown"
    assert found["searched"] == ["test/7", "test/7"]
    assert found["marks"] >= 1
    assert found["inError"] == ["test/99"]
    assert found["errors"] == ["test/7", "test/99"]  # cloned/7 ended in an error too
    assert found["long"] == 23
    assert found["part"] == ["test/2", "test/5", "test/8", "test/11"]
    assert "No transcript matches" in found["none"]
    assert found["cleared"] == 25


def test_keys_lead_from_the_first_transcript_to_the_last_and_links_to_each(report, tmp_path):
    found = in_browser(
        report,
        """
        const first = title(), seen = [first];
        press("k"); const stays = title();
        for (let i = 0; i < 30; i++) { press("j"); seen.push(title()); }
        const where = $("where").textContent, hash = win.location.hash, nextOff = $("next").disabled;
        win.location.hash = "#/eval-1/cloned%2F0"; await new Promise((ok) => setTimeout(ok, 200));
        const linked = title(), active = doc.activeElement.id;
        press("/"); const focused = doc.activeElement.id;
        return {first, stays, last: seen.at(-1), where, hash, nextOff, linked, active, focused};
        """,
        tmp_path,
    )
    assert found["first"] == found["stays"] == found["linked"] == "test/0"
    assert found["last"] == "test/99"
    assert found["where"] == "25 of 25"
    assert found["nextOff"] is True
    assert found["hash"] == "#/eval-1/trained%2F99"
    assert found["active"] == "episode"
    assert found["focused"] == "f-text"


def test_the_theme_can_be_switched(report, tmp_path):
    found = in_browser(
        report,
        """
        const colour = () => win.getComputedStyle(doc.body).backgroundColor, before = colour(), label = $("theme").textContent;
        $("theme").click();
        return {before, after: colour(), label, then: $("theme").textContent};
        """,
        tmp_path,
    )
    assert found["before"] != found["after"]
    assert {found["label"], found["then"]} == {"Dark theme", "Light theme"}


def test_a_turn_shows_calls_errors_rewards_and_tokens(tmp_path):
    chromium()
    with RunStore(tmp_path / "runs") as store:
        store.create_run({}, "x")
        store.add("x", build.office(0))
        store.add("x", build.crafting(0))
        page = write_report(tmp_path / "report.html", ["x"], store=store)
    found = in_browser(
        page,
        """
        const turns = [...doc.querySelectorAll(".turn")].map((node) => node.innerText);
        press("j");
        const wrong = $("transcript").querySelectorAll(".wrong").length;
        return {turns, wrong, second: $("turn-1").innerText, facts: $("transcript").innerText};
        """,
        tmp_path,
    )
    assert "find_events" in found["turns"][0]
    assert '"query": "review"' in found["turns"][0]
    assert "move_event: invalid arguments" in found["turns"][1]
    assert found["turns"][1].count("arguments are no JSON") == 1  # said once, though result and step both hold it
    assert "reward +1" in found["turns"][2]
    assert "state +0.75, answer +0.25" in found["turns"][2]
    assert found["wrong"] == 1
    assert "4 tokens" in found["second"]
    assert "812 read, 16 written" in found["facts"]


def test_each_request_shows_its_state_against_gold(tmp_path):
    chromium()
    with RunStore(tmp_path / "runs") as store:
        store.create_run({}, "x")
        store.add("x", build.cockpit())
        page = write_report(tmp_path / "report.html", ["x"], store=store)
    found = in_browser(
        page,
        """
        const blocks = [...doc.querySelectorAll(".block")];
        const cells = (row) => [...row.children].map((cell) => cell.textContent);
        const table = (block) => [...block.querySelectorAll("table.texts tbody tr")].map(cells);
        type("f-text", "side effect"); const searched = shown(); type("f-text", "");
        const colour = (kind) => win.getComputedStyle(doc.querySelector(`.verdict.${kind}`)).color;
        return {
          places: blocks.map((block) => block.closest(".turn").id), texts: blocks.map((block) => block.innerText),
          first: table(blocks[0]), second: table(blocks[1]), searched,
          acts: blocks.map((block) => block.querySelector("details pre")?.textContent),
          facts: doc.querySelector(".facts").innerText,
          colours: [colour("good"), colour("missing"), colour("bad")],
        };
        """,
        tmp_path,
    )
    assert found["places"] == ["turn-2", "turn-3", "turn-4"]
    assert "Request 1" in found["texts"][0]
    assert "served exactly" in found["texts"][0]
    assert "2 calls · 1 failed call · modules seat" in found["texts"][0]
    assert found["first"] == [
        ["seat.driver's seat.heater.is_on", "false", "true", "true", "right"],
        ["seat.driver's seat.heater.temperature_level", "1", "3", "3", "right"],
    ]
    assert found["second"] == [
        ["door.doors.passenger seat.angle", "0", "30", "100", "wrong"],
        ["door.doors.passenger seat.status", '"closed"', '"open"', "unchanged", "missing"],
        ["music._tracks[3].title", "absent", '"Clarity "', "unchanged", "missing"],
        ["environment.volume", "50", "unchanged", "80", "side effect"],
    ]
    assert "not served exactly" in found["texts"][1]
    assert "doing nothing" in found["texts"][1]
    assert "Nothing was to change, and nothing changed." in found["texts"][2]
    assert found["acts"][0] == 'vw.seat.carcontrol_carSeat_heater_switch(switch=True)\nseat__heater_level(level=3, note="")'
    assert found["acts"][1].startswith("vw['door']['doors']['passenger seat']['angle'] = 100\n")
    assert found["acts"][2] == "The trunk is locked, I cannot open it."
    assert found["searched"] == ["car/0"]
    assert len(set(found["colours"])) == 3
    assert "9,000 read (6,400 from cache), 240 written" in found["facts"]
    assert "retries" in found["facts"]


def test_no_text_of_a_run_is_ever_executed(tmp_path):
    chromium()
    with RunStore(tmp_path / "runs") as store:
        store.create_run({"kind": "evaluate"}, "x")
        for i, hostile in enumerate(build.HOSTILE):
            store.add("x", build.office(i, hostile=hostile))
            store.add("x", build.with_id(build.broken(i, agent=f"m{hostile}", text=hostile), f"broken{i}{hostile}"))
            store.add("x", build.with_id(build.cockpit(i, hostile=hostile), f"cockpit{i}{hostile}"))
        page = write_report(tmp_path / "report.html", ["x"], store=store)
    found = in_browser(
        page,
        """
        for (let i = 0; i < 18; i++) { press("j"); await new Promise((ok) => setTimeout(ok, 20)); }
        type("f-text", "<img"); await new Promise((ok) => setTimeout(ok, 100));
        const elements = doc.querySelectorAll("img, svg[onload], #viewer script, #viewer svg").length;
        const text = $("transcript").textContent, scripts = doc.scripts.length;
        return {title: doc.title, outer: document.title, elements, scripts, shown: shown().length, text};
        """,
        tmp_path,
    )
    assert "OWNED" not in found["title"]
    assert found["outer"] == ""
    assert found["elements"] == 0
    assert found["scripts"] == 2
    assert found["shown"] == 3
    assert "<img src=x onerror=" in found["text"]


def test_even_a_script_that_got_into_the_page_would_not_run(tmp_path):
    chromium()
    with RunStore(tmp_path / "runs") as store:
        path = write_report(tmp_path / "report.html", [build.add_evaluation(store, n=2)], store=store)
    html = path.read_text(encoding="utf-8")
    attack = "<script>document.title='OWNED'</script><img src=x onerror=\"document.title='OWNED'\">"
    path.write_text(html.replace("<main>", f"<main>{attack}"), encoding="utf-8")
    found = in_browser(
        path, "await new Promise((ok) => setTimeout(ok, 200)); return {title: doc.title, list: shown().length};", tmp_path
    )
    assert "OWNED" not in found["title"]
    assert found["list"] == 8


@pytest.fixture
def meeting(tmp_path):
    with RunStore(tmp_path / "runs") as store:
        friends = Seats(RandomAgent(), bob=NothingAgent(), cleo=RandomAgent())
        evaluate("toys/Meeting-v0", friends, n=1, max_turns=2, store=store, run_id="together")
        evaluate("toys/Meeting-v0", RandomAgent(), n=1, max_turns=2, store=store, run_id="alone")
        yield store


def test_a_transcript_says_which_seat_acted_where_there_are_several(meeting):
    [together] = parse(render_report(["together"], store=meeting)).data["episodes"]
    [played] = meeting.trajectories("together")
    assert together["seats"] == [["ann", "random"], ["bob", "nothing"], ["cleo", "random"]]
    assert [step["seat"] for step in together["steps"]] == [step.seat for step in played.steps]
    assert {step.seat for step in played.steps} == {"ann", "bob", "cleo"}
    [alone] = parse(render_report(["alone"], store=meeting)).data["episodes"]
    assert alone["seats"] == []
    assert not any("seat" in step for step in alone["steps"])


def test_the_viewer_names_the_seat_of_each_turn(meeting, tmp_path):
    chromium()
    path = write_report(tmp_path / "report.html", ["together", "alone"], store=meeting)
    found = in_browser(
        path,
        """
        const seats = () => [...doc.querySelectorAll(".turn-head .seat")].map((node) => [node.textContent, node.className]);
        const together = seats(), facts = doc.querySelector(".facts").textContent;
        press("j");
        return {together, facts, alone: seats(), turns: doc.querySelectorAll(".turn-head").length};
        """,
        tmp_path,
    )
    assert found["together"][:3] == [["ann", "seat seat-0"], ["bob", "seat seat-1"], ["cleo", "seat seat-2"]]
    assert "seat bobnothing" in found["facts"]
    assert (found["alone"], found["turns"] > 0) == ([], True)


@pytest.mark.parametrize("name", ["clo\u202ened", "clo\u200fned 12", "clo\u061cned"])
def test_names_that_override_the_writing_direction_are_isolated(tmp_path, name):
    chromium()
    with RunStore(tmp_path / "runs") as store:
        store.create_run({}, "turned")
        store.add("turned", Trajectory.from_json({**build.crafting(0).to_json(), "agent": name}))
        page = write_report(tmp_path / "report.html", ["turned"], store=store)
    found = in_browser(
        page,
        """
        const steering = /\\p{Bidi_Control}/u;
        const nodes = [], walker = doc.createTreeWalker(doc.body, win.NodeFilter.SHOW_TEXT);
        while (walker.nextNode()) {
          const parent = walker.currentNode.parentElement;
          if (steering.test(walker.currentNode.data) && parent.tagName !== "SCRIPT") {
            nodes.push([parent.tagName, win.getComputedStyle(parent).unicodeBidi, parent.textContent]);
          }
        }
        return nodes;
        """,
        tmp_path,
    )
    assert found, "the viewer shows the name"
    assert {tag for tag, _, _ in found} <= {"BDI", "OPTION"}
    assert all(name in text for _, _, text in found)
    assert {style for tag, style, _ in found if tag == "BDI"} == {"isolate"}

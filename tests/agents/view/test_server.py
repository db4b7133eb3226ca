from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from email.message import Message
from pathlib import Path
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from palaestra.agents.store.store import RunStore
from palaestra.agents.view import ViewServer, folder
from palaestra.agents.view import server as serving_module
from palaestra.agents.view.listing import RUNS_PER_PAGE
from palaestra.agents.view.pages import EPISODES_PER_PAGE, MOST_COMPARED
from palaestra.errors import UsageError
from palaestra.types import Trajectory
from tests.agents.report import build
from tests.agents.report.page import parse
from tests.agents.view.serving import get, raw, serving

LOCAL = Message()
LOCAL["Host"] = "localhost"


@pytest.fixture
def runs(tmp_path):
    """Two evaluations and a training run."""
    path = tmp_path / "runs"
    with RunStore(path) as store:
        build.add_evaluation(store, n=8)
        store.set_status("eval-1", "finished")
        build.add_training(store)
        config = {"kind": "evaluate", "agent": "openai:small", "envs": [{"env_id": "palaestra/Desk-v0"}], "n": 40}
        store.create_run(config, "desk-1")
        for i in range(3):
            store.add("desk-1", build.office(i))
        store.set_status("desk-1", "running", "40 planned")
    return path


def rows(text: str) -> list[str]:
    """Return the names of the runs that a page lists."""
    return [attributes["data-run"] for tag, attributes in parse(text).tags if tag == "tr" and "data-run" in attributes]


# -- the list ---------------------------------------------------------------------------------------------------------


def test_the_list_shows_every_run_with_its_figures_and_how_far_it_is(runs):
    with serving(runs) as server:
        page = get(server)
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert set(rows(page.text)) == {"eval-1", "train-1", "train-1-untrained", "train-1-trained", "desk-1"}
    text = parse(page.text).text
    assert "openai:small on palaestra/Desk-v0" in text
    assert "3 of 40 planned" in text
    assert "biased towards short episodes" in text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("text=DESK", ["desk-1"]),
        ("text=small", ["desk-1"]),
        ("env=palaestra/Desk-v0", ["desk-1"]),
        ("model=openai:small", ["desk-1"]),
        ("status=running", ["desk-1"]),
        ("status=finished&text=train-1-", ["train-1-trained", "train-1-untrained"]),
        ("text=nothing+like+it", []),
        ("env=palaestra/Desk-v0&status=finished", []),
        ("status=damaged", []),
    ],
)
def test_filters_narrow_the_list_and_stay_chosen(runs, query, found):
    with serving(runs) as server:
        page = get(server, f"/?{query}")
    assert rows(page.text) == found
    for value in (part.partition("=")[2].replace("+", " ") for part in query.split("&")):
        assert f'value="{value}"' in page.text or f"<option selected>{value}</option>" in page.text


def test_a_long_list_has_pages(tmp_path):
    with RunStore(tmp_path) as store:
        for i in range(2 * RUNS_PER_PAGE + 7):
            store.create_run({"kind": "evaluate", "agent": f"a{i % 2}"}, f"r{i}")
    with serving(tmp_path) as server:
        pages = [rows(get(server, f"/?page={number}").text) for number in (1, 2, 3, 4, "x", "-1", "9" * 300, "٣")]
        assert [len(page) for page in pages] == [50, 50, 7, 7, 50, 50, 7, 50]
        assert len({name for page in pages[:3] for name in page}) == 107
        assert 'href="/?model=a1&amp;page=2"' in get(server, "/?model=a1").text


# -- runs, comparisons, episodes --------------------------------------------------------------------------------------


def test_a_run_shows_what_its_report_shows(runs):
    with serving(runs) as server:
        page = parse(get(server, "/run?run=eval-1").text)
    for words in ("Task types", "Endings", "Tokens and time", "Settings", "Model time, summed", "cloned", "32 episodes"):
        assert words in page.text, words
    assert [body for _, body in page.scripts if body] == []  # no transcripts here, and every script is a file


def test_a_training_run_shows_its_arms_and_curves(runs):
    with serving(runs) as server:
        text = get(server, "/run?run=train-1").text
    assert "<svg" in text
    assert "/episodes?run=train-1-trained" in text


def test_chosen_runs_are_compared(runs):
    with serving(runs) as server:
        page = parse(get(server, "/compare?run=eval-1&run=desk-1&run=eval-1").text)
        assert "5 arms" in page.text
        assert "Desk" in page.text
        none = get(server, "/compare")
        assert none.status_code == 400
        assert "tick two or more" in none.text
        many = "&".join(f"run=r{i}" for i in range(MOST_COMPARED + 1))
        assert "at most 12" in get(server, f"/compare?{many}").text


def test_ten_thousand_episodes_are_pages_of_a_few(tmp_path):
    count = 10_000
    with RunStore(tmp_path) as store:
        store.create_run({"kind": "evaluate"}, "r")
        one = build.crafting(0, agent="a").to_json()
        for i in range(count):
            key = {"key": f"test/{i}", "split": "test", "type": f"depth-{i % 3}"}
            store.add("r", Trajectory.from_json({**one, "episode_id": f"e{i}", "task": key}))
    with serving(tmp_path) as server:
        first = get(server, "/episodes?run=r")
        shown = parse(first.text)
        assert [one["id"] for one in shown.data["episodes"]] == [f"e{i}" for i in range(count - 1, count - 26, -1)]
        assert "1 to 25 of 10,000 episodes" in shown.text
        assert "Page 1 of 400" in shown.text
        assert len(first.content) < 400_000
        last = parse(get(server, "/episodes?run=r&page=400&order=oldest").text)
        assert last.data["episodes"][-1]["id"] == "e9999"
        beyond = parse(get(server, "/episodes?run=r&page=9999999&order=oldest").text)
        assert beyond.data["episodes"] == last.data["episodes"]
        typed = parse(get(server, "/episodes?run=r&type=%3Ddepth-2&text=test/77&order=oldest").text)
        keys = [one["key"] for one in typed.data["episodes"]]
        assert keys[:2] == ["test/77", "test/770"]
        alone = parse(get(server, "/episodes?run=r&episode=e5").text)
        assert [one["id"] for one in alone.data["episodes"]] == ["e5"]
        run = get(server, "/run?run=r")
        assert "10,000" in run.text
        assert len(run.content) < 400_000


def test_episodes_are_filtered_by_outcome(runs):
    with serving(runs) as server:
        for outcome, count in (("success", 8 + 4 + 7), ("error", 1), ("failure", 8 + 3 + 1)):
            data = parse(get(server, f"/episodes?run=eval-1&outcome={outcome}").text).data
            assert {one["outcome"] for one in data["episodes"]} == {outcome}
            assert len(data["episodes"]) == count <= EPISODES_PER_PAGE, outcome
        newest = parse(get(server, "/episodes?run=eval-1").text).data["episodes"]
        assert [one["id"].partition("/")[0] for one in newest] == ["trained"] * 8 + ["cloned"] * 8 + ["expert"] * 8 + [
            "random"
        ]
        assert "No episode matches" in get(server, "/episodes?run=desk-1&outcome=failure").text
        assert "No episode has been stored yet" in get(server, "/episodes?run=train-1").text


# -- what is written by others ----------------------------------------------------------------------------------------


def test_no_text_of_a_run_becomes_markup(tmp_path):
    with RunStore(tmp_path) as store:
        for i, hostile in enumerate(build.HOSTILE):
            config = {"kind": "evaluate", "agent": hostile, "envs": [{"env_id": hostile}], hostile: hostile}
            store.create_run(config, f"r{i}")
            store.add(f"r{i}", build.office(i, hostile=hostile))
            store.add(f"r{i}", build.with_id(build.broken(i, agent=f"m{hostile}", text=hostile), f"broken{hostile}"))
            store.set_status(f"r{i}", "failed", f"{hostile} (1 of 9 planned)")
    addresses = ["/"]
    for i in range(len(build.HOSTILE)):
        addresses += [f"/run?run=r{i}", f"/episodes?run=r{i}", f"/compare?run=r{i}&run=r0"]
    with serving(tmp_path) as server:
        for hostile in build.HOSTILE:
            for key in ("text", "env", "model", "status", "page"):
                addresses.append(f"/?{urlencode({key: hostile})}")
            for key in ("run", "text", "type", "outcome", "order", "episode"):
                addresses.append(f"/episodes?{urlencode({'run': 'r0', key: hostile})}")
            addresses.append(f"/run?{urlencode({'run': hostile})}")
        for address in addresses:
            page = parse(get(server, address).text)
            names = {tag for tag, _ in page.tags}
            assert not names & {"img", "iframe", "object", "embed", "base", "audio"}, address
            sources = [attributes.get("src") for tag, attributes in page.tags if tag == "script"]
            assert set(sources) <= {None, "/static/view.js", "/static/report.js"}, address
            assert all(attributes.get("type") == "application/json" for attributes, body in page.scripts if body), address
            assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes), address
        assert "{{ 7 * 7 }}" in parse(get(server, "/run?run=r4").text).text


def test_answers_carry_a_strict_policy_and_are_kept_nowhere(runs):
    with serving(runs) as server:
        for path in ("/", "/run?run=eval-1", "/state", "/static/view.js", "/nothing"):
            headers = get(server, path).headers
            policy = headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; ")
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy.replace("style-src-attr 'unsafe-inline'", "")
            assert (headers["X-Content-Type-Options"], headers["Cache-Control"]) == ("nosniff", "no-store")
            assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert "Access-Control-Allow-Origin" not in headers
            assert headers["Server"].strip() == "palaestra"


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/static/../pages.py",
        "/static/..%2fpages.py",
        "/static/%2e%2e/pages.py",
        "/static//etc/passwd",
        "/static/report.css%00.html",
        "/run/../../palaestra.db",
        "/palaestra.db",
        "//etc/passwd",
        "/static/",
        "/runs/eval-1",
        "http://evil.example/static/..",
        "/static/view.js/../server.py",
        "\\..\\",
        "*",
    ],
)
def test_no_path_leads_to_a_file(runs, path):
    with serving(runs) as server:
        answer = raw(server, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    status = answer.split(b" ", 2)[1]
    assert status in (b"404", b"400"), answer[:300]
    assert b"SQLite format" not in answer
    assert b"root:" not in answer
    assert b"import " not in answer


@pytest.mark.parametrize(
    "run_id", ["..", "../..", "../../etc", "/etc/passwd", "eval-1/..", "eval-1\x00", "", "%2e%2e", "eval-1'--"]
)
def test_no_name_of_a_run_leads_out_of_the_store(runs, run_id):
    with serving(runs) as server:
        for page in ("/run", "/episodes", "/compare"):
            answer = get(server, page, params={"run": run_id})
            assert answer.status_code == 404, (page, run_id)
            assert "Unknown run" in answer.text


@given(
    path=st.one_of(st.sampled_from(["/", "/run", "/compare", "/episodes", "/state"]), st.text(max_size=20)),
    query=st.lists(
        st.tuples(
            st.sampled_from(["run", "page", "text", "outcome", "type", "order", "episode", "env", "model", "status", "x"]),
            st.one_of(st.sampled_from(["eval-1", "desk-1", "1", "2", "newest"]), st.text(max_size=20)),
        ),
        max_size=5,
    ),
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_is_asked_for_gets_an_answer_and_changes_nothing(runs, path, query):
    with RunStore(runs, read_only=True) as store:
        before = [run.updated_s for run in store.runs()]
    with _server(runs) as server:
        answer = server.answer(f"{path}?{urlencode([(k, v.encode('utf-8', 'replace')) for k, v in query])}", LOCAL)
    assert answer.status in (200, 400, 404)
    assert b"This run cannot be shown" not in answer.body
    with RunStore(runs, read_only=True) as store:
        assert [run.updated_s for run in store.runs()] == before


_servers: dict[Path, ViewServer] = {}


class _server:
    """One server for all examples of a property; it is asked directly."""

    def __init__(self, path):
        if path not in _servers:
            _servers.clear()
            _servers[path] = ViewServer(path)
            _servers[path].server_close()
        self._found = _servers[path]

    def __enter__(self):
        return self._found

    def __exit__(self, *_):
        pass


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "BREW", "get"])
def test_pages_can_only_be_read(runs, method):
    with serving(runs) as server:
        answer = raw(server, f"{method} / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc".encode())
    assert answer.startswith(b"HTTP/1.0 405 ")
    assert b"\r\nAllow: GET\r\n" in answer


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"GET /<script>x HTTP/1.1 <script>\r\n\r\n",
        b"GET /?" + b"run=1&" * 200 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET //[ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_requests_that_make_no_sense_are_refused_without_repeating_them(runs, request_bytes, capsys):
    with serving(runs) as server:
        answer = raw(server, request_bytes)
        assert get(server).status_code == 200
    assert answer == b"" or re.match(rb"HTTP/1\.0 (4\d\d|505) ", answer), answer[:200]
    assert b"<script>" not in answer
    assert capsys.readouterr().err == ""


def test_more_readers_than_it_takes_are_told_to_come_again(runs, monkeypatch):
    monkeypatch.setattr(serving_module, "MOST_AT_ONCE", 2)
    with serving(runs) as server:
        idle = [socket.create_connection((server.host, server.port)) for _ in range(2)]
        _until(lambda: not server._slots.acquire(blocking=False) or server._slots.release())
        assert get(server).status_code == 503
        for connection in idle:
            connection.close()
        _until(lambda: get(server).status_code == 200)


def test_a_reader_that_says_nothing_is_hung_up_on(runs, monkeypatch):
    monkeypatch.setattr(serving_module._Handler, "timeout", 0.1)
    with serving(runs) as server:
        assert raw(server, b"GET / HT") == b""


def test_a_port_in_use_is_one_clear_error(runs):
    with serving(runs) as server, pytest.raises(UsageError, match=f"Port {server.port} of 127.0.0.1 cannot be used"):
        ViewServer(runs, port=server.port)


def test_an_address_of_version_six_works_where_there_is_one(runs):
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 on this machine")
    with serving(runs, host="::1") as server:
        assert server.url.startswith("http://[::1]:")
        assert get(server).status_code == 200


# -- damage -----------------------------------------------------------------------------------------------------------


def _foreign(path: Path) -> None:
    with sqlite3.connect(path / "palaestra.db") as connection:
        connection.execute("CREATE TABLE notes (text)")
    connection.close()


def _newer(path: Path) -> None:
    RunStore(path).close()
    with sqlite3.connect(path / "palaestra.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()


DAMAGE = {
    "nothing there": (lambda path: path.rmdir(), "There is no run store"),
    "an empty folder": (lambda path: None, "There is no run store"),
    "random bytes": (lambda path: (path / "palaestra.db").write_bytes(bytes(range(256)) * 40), "damaged or no run store"),
    "an empty file": (lambda path: (path / "palaestra.db").touch(), "database of another program"),
    "a folder in place of the file": (lambda path: (path / "palaestra.db").mkdir(), "There is no run store"),
    "another program's": (_foreign, "database of another program"),
    "a newer version's": (_newer, "newer Palaestra"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_folder_that_is_no_store_is_shown_as_what_it_is(tmp_path, kind, capsys):
    path = tmp_path / "runs"
    path.mkdir()
    damage, words = DAMAGE[kind]
    damage(path)
    with serving(path) as server:
        page = get(server)
        assert (page.status_code, words in page.text) == (200, True), page.text
        for other in ("/run?run=x", "/episodes?run=x", "/compare?run=x&run=y"):
            answer = get(server, other)
            assert answer.status_code in (200, 404)
            assert words in answer.text
            assert ("There are no runs here yet" in answer.text) == (not (path / "palaestra.db").exists())
            assert ("damaged, or was written by something else" in answer.text) == (path / "palaestra.db").exists()
        assert get(server, "/state").json()["runs"] == []
    assert capsys.readouterr().err == ""


def test_a_store_that_is_made_later_is_found(tmp_path):
    with serving(tmp_path / "runs") as server:
        before = get(server, "/state").json()["version"]
        assert "No runs yet" in get(server).text
        with RunStore(tmp_path / "runs") as store:
            store.create_run({}, "first")
            assert get(server, "/state").json()["version"] != before
            assert rows(get(server).text) == ["first"]


def test_one_damaged_record_hides_no_other_run(runs):
    with sqlite3.connect(runs / "palaestra.db") as connection:
        connection.execute("UPDATE runs SET note = 'changed' WHERE run_id = 'desk-1'")
    connection.close()
    with serving(runs) as server:
        page = get(server)
        assert "eval-1" in rows(page.text)
        assert "The record of run &#39;desk-1&#39;" in page.text
        assert rows(get(server, "/?status=damaged").text) == ["desk-1"]
        damaged = get(server, "/run?run=desk-1")
        assert damaged.status_code == 200
        assert "is damaged" in damaged.text
        assert "Task types" in get(server, "/run?run=eval-1").text
        assert "Learning" in get(server, "/run?run=train-1").text


def test_one_damaged_episode_hides_no_other(runs):
    with sqlite3.connect(runs / "palaestra.db") as connection:
        number = connection.execute("SELECT number FROM episodes WHERE run_id = 'desk-1' LIMIT 1").fetchone()[0]
        connection.execute("UPDATE trajectories SET data = x'00' WHERE number = ?", (number,))
    connection.close()
    with serving(runs) as server:
        page = parse(get(server, "/episodes?run=desk-1").text)
    assert len(page.data["episodes"]) == 2
    assert "cannot be shown" in page.text


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
KEYS = ["kind", "agent", "envs", "env", "env_id", "recipe", "arms", "totals", "name", "rescored", "scorer", "n"]


@given(
    config=st.dictionaries(st.sampled_from(KEYS), JSON, max_size=6),
    kind=st.sampled_from(["evaluate", "train", "rescore", None]),
    note=st.text(max_size=30),
)
@settings(max_examples=30, deadline=None)
def test_whatever_a_run_was_created_with_it_is_listed_and_answered_for(tmp_path_factory, config, kind, note):
    path = tmp_path_factory.mktemp("odd")
    with RunStore(path) as store:
        store.create_run({**config, **({} if kind is None else {"kind": kind})}, "odd")
        store.set_status("odd", "stopped", note)
        store.create_run({}, "other")
    server = ViewServer(path)
    server.server_close()
    listed = server.answer("/", LOCAL)
    assert (listed.status, rows(listed.body.decode())) == (200, ["other", "odd"])
    for page in ("/run?run=odd", "/compare?run=odd&run=other", "/episodes?run=odd"):
        assert server.answer(page, LOCAL).status == 200  # a recipe that makes no sense is shown as such


def test_secrets_of_older_stores_are_never_shown(runs, capsys):
    secret = "sk-live-0123456789abcdef"
    config = {"kind": "evaluate", "agent": "m", "options": {"api_key": secret, "base_url": f"https://u:{secret}@host/v1"}}
    with sqlite3.connect(runs / "palaestra.db") as connection:
        record = ("old", 1.0, 1.0, "failed", "", json.dumps(config))
        connection.execute("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, NULL)", record)
    connection.close()
    with serving(runs) as server:
        for path in ("/", "/run?run=old", "/episodes?run=old", "/state?run=old", "/compare?run=old&run=eval-1"):
            answer = get(server, path)
            assert answer.status_code == 200
            assert secret not in answer.text
    assert secret not in capsys.readouterr().err


# -- while runs are written -------------------------------------------------------------------------------------------


def test_pages_follow_a_run_while_it_is_written_and_change_nothing(tmp_path):
    with RunStore(tmp_path) as store, serving(tmp_path) as server:
        store.create_run({"kind": "evaluate", "agent": "a"}, "r")
        store.set_status("r", "running", "200 planned")

        def play():
            for i in range(200):
                store.add("r", build.with_id(build.crafting(i), f"e{i}"))
            store.set_status("r", "finished")

        player = threading.Thread(target=play)
        player.start()
        seen, versions = [], []
        while player.is_alive() or len(seen) < 3:
            state = get(server, "/state?run=r").json()
            seen.append(state["runs"][0]["far"])
            versions.append(state["version"])
            for page in ("/", "/run?run=r", "/episodes?run=r"):
                assert get(server, page).status_code == 200
        player.join()
        counts = [int(re.match(r"([\d,]*)", words)[1].replace(",", "") or 0) for words in seen]
        assert counts == sorted(counts)
        assert len(set(versions)) > 1
        _until(lambda: get(server, "/state?run=r").json()["runs"][0]["status"] == "finished")
        assert "200 episodes" in get(server, "/run?run=r").text
        last = get(server, "/state?run=r").json()
        time.sleep(0.1)
        assert get(server, "/state?run=r").json() == last  # nothing moves once nothing is written
        assert not last["busy"]
        before = _digest(tmp_path)
        for page in ("/", "/run?run=r", "/episodes?run=r", "/compare?run=r"):
            get(server, page)
        assert _digest(tmp_path) == before


def test_a_finished_run_keeps_its_version_while_another_is_written(runs):
    with RunStore(runs) as store, serving(runs) as server:
        before = get(server, "/state?run=eval-1").json()["version"], get(server, "/state?run=desk-1").json()["version"]
        store.add("desk-1", build.with_id(build.office(7), "late"))
        after = get(server, "/state?run=eval-1").json()["version"], get(server, "/state?run=desk-1").json()["version"]
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_a_run_whose_process_is_killed_is_shown_as_interrupted(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "FRESH_S", 0.0)
    script = """
import sys, time
from palaestra.agents.store.store import RunStore
from tests.agents.report import build
store = RunStore(sys.argv[1])
store.create_run({"kind": "evaluate", "agent": "a"}, "r")
with store.lock("r"):
    store.set_status("r", "running", "9 planned")
    store.add("r", build.crafting(0))
    print("playing", flush=True)
    time.sleep(100)
"""
    root = Path(__file__).parents[3]
    player = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    try:
        assert player.stdout.readline() == "playing\n"
        with serving(tmp_path) as server:
            state = get(server, "/state?run=r").json()
            assert (state["runs"][0]["status"], state["busy"]) == ("running", True)
            assert "running" in get(server).text
            for file in tmp_path.glob("palaestra.db*"):
                os.utime(file, (1e9, 1e9))  # a process that dies changes no file
            state = get(server, "/state?run=r").json()
            player.send_signal(signal.SIGKILL)
            player.wait()
            died = get(server, "/state?run=r").json()
            assert died["version"] != state["version"]
            assert (died["runs"][0]["status"], died["runs"][0]["far"]) == ("interrupted", "1 of 9 planned")
            assert "interrupted" in get(server, "/run?run=r").text
            assert parse(get(server, "/episodes?run=r").text).data["episodes"]
    finally:
        player.kill()
        player.communicate()


def _digest(path: Path) -> str:
    """Return a digest of the store's file and its log."""
    files = [path / "palaestra.db", path / "palaestra.db-wal"]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files if file.exists())).hexdigest()


def _until(holds, seconds=20.0):
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)

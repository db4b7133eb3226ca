from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import webbrowser
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from palaestra.agents.store.store import RunStore
from palaestra.agents.view import ViewServer
from palaestra.cli import view
from palaestra.errors import UsageError
from tests.agents.report import build
from tests.cli.conftest import listen

ROOT = Path(__file__).parents[2]


def command(*words) -> list[str]:
    return [sys.executable, "-m", "palaestra.cli.main", *map(str, words)]


@contextmanager
def viewing(*words, **variables):
    """Run `palaestra view` as a process; give it and its address."""
    process = subprocess.Popen(
        command("view", "--port", 0, "--no-browser", *words),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=listen,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
    )
    try:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        yield process, re.match(r"http://\S+/", line)[0]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_view_serves_until_it_is_ended_and_ends_in_order(tmp_path, ending):
    with RunStore(tmp_path) as store:
        build.add_evaluation(store, n=2)
    with viewing("--runs", tmp_path) as (process, url):
        assert url.startswith("http://127.0.0.1:")
        assert "eval-1" in httpx.get(url, timeout=30, trust_env=False).text
        process.send_signal(ending)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (0, "", "Ended.\n")
        with pytest.raises(httpx.ConnectError):
            httpx.get(url, timeout=5, trust_env=False)


def test_a_folder_without_a_store_is_served_and_told(tmp_path):
    with viewing("--runs", tmp_path / "none") as (process, url):
        assert "There is no run store" in httpx.get(url, timeout=30, trust_env=False).text
        process.send_signal(signal.SIGINT)
        assert "So far: There is no run store" in process.communicate(timeout=30)[1]
    assert not (tmp_path / "none").exists()


def test_an_evaluation_is_followed_from_its_first_episode_to_its_last(tmp_path):
    with viewing("--runs", tmp_path) as (_, url), httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        words = [
            "evaluate",
            "--env",
            "palaestra/TextCraft-v0",
            "--model",
            "expert",
            "-n",
            40,
            "--runs",
            tmp_path,
            "--run",
            "r",
        ]
        player = subprocess.Popen(
            command(*words),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        statuses = []
        end = time.monotonic() + 120
        while statuses[-1:] != ["finished"] and time.monotonic() < end:
            statuses += [run["status"] for run in client.get("/state?run=r").json()["runs"]]
            assert client.get("/").status_code == 200
            time.sleep(0.05)
        error = player.communicate(timeout=60)[1]
        assert player.returncode == 0, error
        assert statuses[-1] == "finished"
        assert "40 episodes" in client.get("/run", params={"run": "r"}).text
    with RunStore(tmp_path, read_only=True) as store:
        assert store.run("r").num_episodes == 40


def test_the_token_comes_from_the_environment_and_is_never_printed(tmp_path):
    token = "this-is-the-token-of-a-test"
    with viewing("--runs", tmp_path, PALAESTRA_VIEW_TOKEN=token) as (process, url):
        assert httpx.get(url, timeout=30, trust_env=False).status_code == 401
        given = {"Authorization": f"Bearer {token}"}
        assert httpx.get(url, timeout=30, trust_env=False, headers=given).status_code == 200
        told = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert token not in url + told + out + err
    assert "Readers need the token" in told


def test_addresses_and_ports_that_cannot_be_are_refused(refused, tmp_path, monkeypatch):
    monkeypatch.delenv("PALAESTRA_VIEW_TOKEN", raising=False)
    refused("view", "--runs", tmp_path, "--host", "0.0.0.0", "--no-browser", match="so it needs a token")
    refused("view", "--runs", tmp_path, "--host", "no-such-host.invalid", match="is not known here")
    refused("view", "--runs", tmp_path, "--token", "short", match="expected at least 16")
    refused("view", "--runs", tmp_path, "--host", "192.0.2.1", "--token", "x" * 20, "--port", 1, match="cannot be used")
    refused("view", "--runs", tmp_path, "--port", 65536, match="65535")
    (tmp_path / "afile").touch()
    refused("view", "--runs", tmp_path / "afile", "--no-browser", match="afile is a file; give the folder that runs")


def test_a_free_port_is_taken_where_the_usual_one_is_in_use(tmp_path, monkeypatch):
    with ViewServer(tmp_path) as first:
        monkeypatch.setattr(view, "DEFAULT_PORT", first.port)
        with view._server(tmp_path, "127.0.0.1", None, "") as second:
            assert second.port not in (0, first.port)
        with pytest.raises(UsageError, match=f"Port {first.port} of 127.0.0.1 cannot be used"):
            view._server(tmp_path, "127.0.0.1", first.port, "")
        with pytest.raises(UsageError, match=f"Port {first.port} of 192.0.2.1 cannot be used"):
            view._server(tmp_path, "192.0.2.1", None, "x" * 20)


@pytest.mark.parametrize(
    ("variables", "opened"), [({}, []), ({"DISPLAY": ":0"}, ["http://x/"]), ({"BROWSER": "b"}, ["http://x/"])]
)
def test_a_browser_is_opened_where_there_is_a_screen(monkeypatch, variables, opened):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", "linux")
    found, called = [], threading.Event()
    monkeypatch.setattr(webbrowser, "open", lambda url: (found.append(url), called.set()))
    view._open("http://x/")
    called.wait(5 if opened else 0.05)
    assert found == opened


def test_the_list_says_on_which_environments_a_recipe_trains(palaestra_run, tmp_path):
    with RunStore(tmp_path) as store:
        recipe = {"env": [{"id": "a/B-v0"}, {"id": "c/D-v0"}], "model": {"kind": "tiny"}}
        store.create_run({"kind": "train", "name": "mix", "recipe": recipe}, "t")
    assert "mix on a/B-v0, c/D-v0" in palaestra_run("runs", "list", "--runs", tmp_path).out
    assert json.loads(palaestra_run("runs", "list", "--runs", tmp_path, "--json").out)[0]["run_id"] == "t"

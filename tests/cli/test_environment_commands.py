from __future__ import annotations

import json
import sys

import gymnasium
import pytest

from palaestra.agents.store.store import RunStore
from palaestra.cli.environments import open_env
from palaestra.envs import ChildProcess, registration
from palaestra.envs.multi_agent import list_multi_agent
from palaestra.envs.registration import conditions, list_envs
from palaestra.errors import UsageError
from tests.envs.lift import LIFT_ID, register_lifts
from tests.envs.processes import children, needs_proc

TEXTCRAFT = "palaestra/TextCraft-v0"


class FaultyEnv(gymnasium.Env):
    """Counts to nothing, and breaks the contract."""

    observation_space = gymnasium.spaces.Text(10)
    action_space = gymnasium.spaces.Text(10)

    def reset(self, *, seed=None, options=None):
        return "hi", {}

    def step(self, action):
        return "hi", float("nan"), False, False, {}


@pytest.fixture
def faulty():
    gymnasium.register("tests/Faulty-v0", FaultyEnv)
    yield "tests/Faulty-v0"
    del gymnasium.registry["tests/Faulty-v0"]


def test_list_shows_every_environment_and_json_is_nothing_else(palaestra_run):
    ran = palaestra_run("list", "--json")
    assert ran.code == 0
    rows = json.loads(ran.out)
    assert [row["id"] for row in rows] == list_envs()
    desk = next(row for row in rows if row["id"] == "palaestra/Desk-v0")
    assert desk["splits"]["train"] is None
    assert "find_events" in desk["tools"]
    table = palaestra_run("list").out
    assert all(env_id in table for env_id in list_envs())


def test_the_list_and_the_page_of_an_environment_say_its_seats(palaestra_run):
    seats = {row["id"]: row["seats"] for row in json.loads(palaestra_run("list", "--json").out)}
    assert {env_id for env_id, names in seats.items() if names} == set(list_multi_agent())
    assert seats["toys/Meeting-v0"] == ["ann", "bob", "cleo"]
    assert "ann, bob, cleo" in palaestra_run("list").out
    page = json.loads(palaestra_run("show", "toys/Meeting-v0", "--set", "seat=bob", "--json").out)
    roles = {seat["name"]: (seat["role"], seat["player"]) for seat in page["seats"]}
    assert roles == {"ann": ("other", "plain"), "bob": ("policy", None), "cleo": ("other", "plain")}
    assert "plain (plays), dreamer" in palaestra_run("show", "toys/Meeting-v0").out
    assert json.loads(palaestra_run("show", TEXTCRAFT, "--json").out)["seats"] == []


def test_an_environment_that_cannot_be_made_says_why_and_the_others_are_listed(palaestra_run, monkeypatch):
    from palaestra.envs import registration
    from palaestra.errors import MissingDataError

    def missing():
        raise MissingDataError("Files a.json and b.json are missing; pass data=FOLDER.")

    gymnasium.register("tests/Missing-v0", missing)
    monkeypatch.setattr(registration, "list_envs", lambda: ["tests/Missing-v0", TEXTCRAFT])
    try:
        rows = json.loads(palaestra_run("list", "--json").out)
    finally:
        del gymnasium.registry["tests/Missing-v0"]
    assert rows[0]["error"].startswith("Files a.json")
    assert rows[1]["error"] == ""


def test_show_is_the_page_of_an_environment(palaestra_run, env_id, env_words):
    page = json.loads(palaestra_run("show", *env_words, "--json").out)
    assert page["id"] == env_id
    assert page["opening"]["instructions"]
    assert set(page["arguments"]) >= {"split", "max_turns", "render_mode"}
    text = palaestra_run("show", *env_words).out
    parts = ["Arguments", "Tasks", "Instructions", "An episode opens"]
    if conditions(env_id).cost == "cheap":  # the page of another starts no engine
        assert page["opening"]["observation"]
        assert page["opening"]["expert"]
        parts.append("The expert would begin with")
    for part in parts:
        assert part in text


@needs_proc
def test_showing_and_listing_an_environment_starts_no_engine(palaestra_run, monkeypatch):
    register_lifts()
    before = children()
    monkeypatch.setattr(ChildProcess, "__init__", lambda self, *args, **options: pytest.fail("an engine was started"))
    page = json.loads(palaestra_run("show", LIFT_ID, "--json").out)
    assert page["opening"]["instructions"].startswith('Say "up"')
    assert "observation" not in page["opening"]
    assert page["splits"] == {"train": 5, "test": 5}
    text = palaestra_run("show", LIFT_ID).out
    assert "its engine starts with the first episode" in text
    monkeypatch.setattr(registration, "list_envs", lambda: [LIFT_ID])
    assert json.loads(palaestra_run("list", "--json").out)[0]["error"] == ""
    assert children() == before


def test_show_takes_arguments_of_the_environment(palaestra_run):
    page = json.loads(
        palaestra_run("show", TEXTCRAFT, "--set", "recipes=procedural", "--set", "num_test_tasks=7", "--json").out
    )
    assert page["splits"]["test"] == 7


def test_unknown_names_and_arguments_are_refused_with_the_nearest(refused):
    for command in ("show", "check", "play"):
        refused(
            command, "palaestra/TextCarft-v0", match=r"Did you mean 'palaestra/TextCraft-v0'\? List them with: palaestra list"
        )
        refused(command, TEXTCRAFT, "--set", "max_turnz=3", match="max_turn")
        refused(command, TEXTCRAFT, "--set", "max_turns=many", match="'many'; expected an integer")
    refused("show", "nomodule:Env-v0", match="'nomodule', which is not installed")


def test_check_passes_what_keeps_the_contract(palaestra_run, env_words):
    ran = palaestra_run("check", *env_words, "--json")
    report = json.loads(ran.out)
    assert ran.code == 0, [result for result in report["results"] if not result["ok"]]
    assert report["ok"] is True


def test_check_fails_what_does_not_and_says_how_to_mend_it(palaestra_run, faulty):
    ran = palaestra_run("check", faulty)
    assert ran.code == 1
    assert "FAIL" in ran.out
    assert "->" in ran.out


def test_the_list_says_what_an_environment_needs_and_imports_nothing_of_it(palaestra_run, monkeypatch):
    registration.register_env("tests/Needy-v0", "no_such_module:Env", needs=("no-such-program",))
    monkeypatch.setattr(registration, "list_envs", lambda: ["tests/Needy-v0", "toys/Lighthouse-v0"])
    try:
        rows = json.loads(palaestra_run("list", "--json").out)
        table = palaestra_run("list").out
    finally:
        del gymnasium.registry["tests/Needy-v0"]
    assert rows[0]["error"].startswith("needs no-such-program: there is no program no-such-program on the PATH. Install")
    assert rows[1]["error"].startswith("needs the argument 'address'")
    assert rows[1]["description"].startswith("Show a signal")
    assert [row["cost"] for row in rows] == ["cheap", "engine"]
    assert "needs no-such-program" in table


LONELY = """
import pathlib

import gymnasium

pathlib.Path("imported").touch()


class Lonely(gymnasium.Env):
    observation_space = action_space = gymnasium.spaces.Text(10)

    def reset(self, *, seed=None, options=None):
        return "hi", {}

    def step(self, action):
        return "hi", 1.0, True, False, {}


gymnasium.register("lonely/Own-v0", Lonely)
"""


@pytest.fixture
def lonely(tmp_path, monkeypatch):
    """A folder with an environment in a file of its own, in which the command is started."""
    (tmp_path / "lonely_env.py").write_text(LONELY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    yield tmp_path
    sys.modules.pop("lonely_env", None)
    gymnasium.registry.pop("lonely/Own-v0", None)


def test_an_id_that_is_typed_may_name_a_module_of_the_current_folder(lonely, palaestra_run):
    ran = palaestra_run("show", "lonely_env:lonely/Own-v0", "--json")
    assert (lonely / "imported").exists()
    assert "is not installed" not in ran.err


def test_a_recipe_that_is_given_may_name_a_module_of_the_current_folder(lonely, palaestra_run):
    pytest.importorskip("torch")
    (lonely / "own.toml").write_text('phases = ["sft"]\n[env]\nid = "lonely_env:lonely/Own-v0"\n', encoding="utf-8")
    palaestra_run("train", "own.toml", "--dry-run")
    assert (lonely / "imported").exists()


def test_an_id_of_a_stored_run_imports_nothing_from_the_current_folder(lonely, palaestra_run):
    pytest.importorskip("torch")
    recipe = {"phases": ["sft"], "env": {"id": "lonely_env:lonely/Own-v0"}, "model": {}}
    with RunStore("runs") as store:
        store.create_run({"kind": "train", "recipe": recipe}, "kept")
    ran = palaestra_run("train", "--run", "kept")
    assert ran.code == 2
    assert "PYTHONPATH=FOLDER" in ran.err
    with pytest.raises(UsageError, match="'lonely_env', which is not installed"):
        open_env("lonely_env:lonely/Own-v0")  # as with any id that is read and not typed
    assert not (lonely / "imported").exists()

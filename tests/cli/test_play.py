from __future__ import annotations

import io
import json
import re

import pytest

TEXTCRAFT, DESK = "palaestra/TextCraft-v0", "palaestra/Desk-v0"


@pytest.fixture
def play(palaestra_run, monkeypatch):
    """Play with lines typed beforehand."""

    def run(env_id, *lines, words=()):
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        return palaestra_run("play", env_id, *words)

    return run


def test_the_expert_plays_an_episode_to_its_end(play):
    ran = play(TEXTCRAFT, *["/expert!"] * 40)
    assert ran.code == 0
    assert "Solved. Score 1 in " in ran.out
    assert "The expert has no advice here." in ran.out  # after the end
    assert ran.out.endswith("Score 1.\n")


def test_actions_are_played_taken_back_and_played_again(play):
    ran = play(TEXTCRAFT, "dance", "/undo", "/undo", "/again", "/nope", "//inventory", "")
    assert ran.out.count("Could not execute dance") == 1
    assert "Taken back.\nCrafting commands:" in ran.out
    assert "There is nothing to take back." in ran.out
    assert "There is no command /nope." in ran.out
    assert "Could not execute /inventory" in ran.out
    assert ran.out.count("Goal: craft") == 3  # the opening, after /undo, after /again


def test_an_episode_that_is_over_can_be_undone(play):
    hints = len(re.findall(r"The expert would play", play(TEXTCRAFT, *["/expert!"] * 40).out))
    ran = play(TEXTCRAFT, *["/expert!"] * hints, "get 1 stone", "/call get item=x", "/undo", "/expert!", "/quit")
    assert ran.out.count("The episode is over") == 2
    assert ran.out.count("Solved.") == 2


def test_tools_are_listed_and_called_with_pairs_or_json(play):
    ran = play(
        DESK,
        "/tools",
        "/call find_events query=''",
        '/call find_events {"query": ""}',
        "/call find_events oops",
        "/call",
        "/call find_events {1",
    )
    assert "find_events(query)" in ran.out
    assert ran.out.count("\n<tool_response>\n[") == 2
    assert "'oops' has no equals sign" in ran.out
    assert "Name a tool" in ran.out
    assert "one JSON object" in ran.out


def test_the_task_and_the_split_are_chosen(play, refused):
    from palaestra.cli.environments import open_env

    env = open_env(TEXTCRAFT)
    key = env.unwrapped.tasks.split("test")[0].key
    first = play(TEXTCRAFT, "/quit", words=("--task", key)).out
    assert first == play(TEXTCRAFT, "/quit", words=("--task", key, "--split", "test")).out
    refused("play", TEXTCRAFT, "--task", "nothing", match="Unknown task|task")
    refused("play", TEXTCRAFT, "--split", "tests", match="Did you mean 'test'")


def test_end_of_input_ends_the_game(play):
    ran = play(TEXTCRAFT)
    assert ran.code == 0
    assert ran.out.endswith("Score 0.\n")


def test_a_person_plays_with_agents_in_the_other_seats(play, tmp_path):
    user = tmp_path / "user.jsonl"
    user.write_text('{"content": "No.", "repeat": true}\n')
    words = ("--set", "things=6", "--seat", f"answerer=scripted:{user}")
    ran = play("palaestra/TwentyQuestions-v1", "Is it an animal?", "/undo", "Is it a plant?", "/expert", words=words)
    assert ran.code == 0
    assert ran.out.count("\nNo.\n") == 2
    assert "The other agents cannot take back what they heard; /again starts over." in ran.out
    assert "The expert would play:\nIs it" in ran.out
    assert "The thing is the" not in ran.out  # that is told to the answerer


def test_a_person_plays_another_seat_and_against_a_persona(play, refused):
    ran = play("palaestra/TwentyQuestions-v1", *["/expert!"] * 20, words=("--set", "seat=answerer", "--set", "things=6"))
    assert "The thing is the" in ran.out
    assert "It is one of these" not in ran.out
    assert "Solved. Score 1" in ran.out
    ran = play("palaestra/TwentyQuestions-v1", "Is it red?", words=("--seat", "answerer=persona:forgetful", "--seed", "4"))
    assert ran.code == 0
    refused("play", "palaestra/TextCraft-v0", "--seat", "user=expert", match="has one seat")


def test_a_published_id_is_played_and_the_actions_of_the_moment_are_listed(play, palaestra_run, tmp_path):
    opening = "Crafting commands:\ncraft 3 ladder using 7 stick\n\nGoal: craft ladder."
    file = tmp_path / "traj.json"
    file.write_text(json.dumps([{"item_id": "textcraft_160", "conversations": [{"from": "human", "value": opening}]}]))
    settings = ["--set", f"tasks={{upstream='{file}'}}"]
    ran = play(TEXTCRAFT, "/actions", "/quit", words=[*settings, "--task", "upstream#160"])
    assert ran.code == 0
    assert opening in ran.out
    assert "\n  inventory\n  get 1 " in ran.out
    ran = play(TEXTCRAFT, words=[*settings, "--task", "160"])
    assert ran.code == 2
    assert "'160' does not name a task" in ran.err
    assert "there is: upstream" in ran.err
    assert "published ids: upstream#N (1)" in palaestra_run("show", TEXTCRAFT, *settings).out
    assert "has no list of actions" in play(DESK, "/actions").out

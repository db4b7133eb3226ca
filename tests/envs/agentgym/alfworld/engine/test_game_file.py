"""Reading game files: what is refused and why, what is not, and the dialects."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.agentgym.alfworld.engine.errors import GameFileError
from palaestra.envs.agentgym.alfworld.engine.game import Game
from palaestra.envs.agentgym.alfworld.engine.game_file import HELP_TEXT, parse_game, read_game
from palaestra.envs.agentgym.alfworld.generator import generate
from palaestra.envs.agentgym.alfworld.world import AlfredWorld
from palaestra.errors import ConfigError, MissingDataError
from tests.envs.agentgym.alfworld.toys import FACTS, contents, toy_world

WHOLE = json.dumps(generate("train", 3))


def written(folder: Path, data: str | bytes, name: str = "game.tw-pddl") -> Path:
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def test_a_file_is_read_as_it_is(tmp_path):
    file = read_game(written(tmp_path, WHOLE))
    assert file.dialect == "move"
    assert list(file.walkthrough) == json.loads(WHOLE)["walkthrough"]
    assert read_game(str(written(tmp_path, WHOLE, "again"))).digest == file.digest


@settings(max_examples=40)
@given(st.integers(0, len(WHOLE) - 1))
def test_a_file_that_is_cut_off_is_refused(tmp_path_factory, end):
    path = written(tmp_path_factory.mktemp("cut"), WHOLE[:end])
    with pytest.raises(GameFileError, match="not JSON") as caught:
        read_game(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("key", ["pddl_domain", "grammar", "pddl_problem"])
@settings(max_examples=30)
@given(share=st.floats(0, 0.999))
def test_a_file_whose_texts_are_cut_off_is_refused(key, share):
    data = json.loads(WHOLE)
    text = data[key].rstrip()
    if key == "grammar":  # the commands at its end could be cut off between two of them
        text = text[: text.index("action look")]
    data[key] = text[: int(share * (len(text) - 2))]
    with pytest.raises(GameFileError):
        Game(parse_game(data))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe\x00\x01" * 100, "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "it is a list"),
        (b"3", "it is a int"),
        (b"{}", "has no text 'pddl_domain'"),
        (json.dumps({**json.loads(WHOLE), "grammar": None}), "has no text 'grammar'"),
        (json.dumps({**json.loads(WHOLE), "pddl_problem": ["x"]}), "has no text 'pddl_problem'"),
        (json.dumps({**json.loads(WHOLE), "walkthrough": [3]}), "walkthrough is not a list of commands"),
    ],
)
def test_what_is_not_a_game_is_refused(tmp_path, data, problem):
    with pytest.raises(GameFileError, match=problem):
        read_game(written(tmp_path, data))


def test_a_folder_and_nothing_are_not_game_files(tmp_path):
    with pytest.raises(ConfigError, match="folder"):
        read_game(tmp_path)
    with pytest.raises(MissingDataError, match="There is no game file"):
        read_game(tmp_path / "gone.tw-pddl")


def test_unknown_predicates_are_refused_in_the_goal_and_in_actions_and_kept_among_the_facts():
    with pytest.raises(GameFileError, match="the goal names 'shiny'"):
        parse_game(contents(goal="(exists (?o - object) (shiny ?o))"))
    domain = contents()["pddl_domain"]
    with pytest.raises(GameFileError, match="the action openobject names 'unlocked'"):
        parse_game(contents(pddl_domain=domain.replace("(not (opened ?r)))\n    :effect", "(unlocked ?r))\n    :effect", 1)))
    file = parse_game(contents(f"{FACTS} (shiny Book_bar_1)"))
    assert file.problem.unknown == {"shiny"}
    assert AlfredWorld(Game(file)).commands() == toy_world().commands()


def test_a_problem_of_ten_megabytes_plays(tmp_path):
    distances = "\n".join(f"(= (distance loc_bar_1 loc_bar_2) {number})" for number in range(250_000))
    path = written(tmp_path, json.dumps(contents(f"{FACTS}\n{distances}")))
    assert path.stat().st_size > 10_000_000
    world = AlfredWorld(Game(read_game(path)))
    assert world.intro() == toy_world().intro()
    assert not world.act("go to safe 1").is_error


def test_turning_changes_the_command_the_answers_and_help():
    put = AlfredWorld(Game(parse_game(contents()).turned("put")))
    assert "help" not in put.commands()
    for command in ("go to shelf 2", "take book 2 from shelf 2"):
        put.act(command)
    assert put.act("look").text.startswith("You are facing the shelf 2.")
    assert put.act("put book 2 in/on shelf 2").text == "You put the book 2 in/on the shelf 2."
    assert put.act("go to safe 1").text.startswith("You arrive at loc 1. ")
    file = parse_game(contents())
    assert file.turned("move") is file
    back = AlfredWorld(Game(file.turned("put").turned("move")))
    assert "Available commands:" in back.act("help").text
    assert all(line.strip() in HELP_TEXT for line in back.act("help").text.splitlines())


def test_a_domain_without_help_gets_one_when_it_is_turned():
    data = contents(pddl_domain=contents()["pddl_domain"].replace("(:action help", "(:action other", 1))
    put = parse_game(data).turned("put")
    assert "help" not in put.domain.actions
    world = AlfredWorld(Game(put.turned("move")))
    assert world.act("help").text.startswith("Available commands:")


def test_a_game_without_those_texts_cannot_be_turned():
    data = contents(grammar=contents()["grammar"].replace("PutObject.feedback", "Put.feedback"))
    with pytest.raises(GameFileError, match="no texts that could be changed"):
        parse_game(data).turned("put")

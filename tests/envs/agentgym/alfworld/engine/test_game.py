"""Games made ready: which facts are kept, texts that cannot be said, deep nesting."""

import pickle

import pytest

from palaestra.envs.agentgym.alfworld.engine.errors import GameFileError
from palaestra.envs.agentgym.alfworld.engine.game import MAX_REMEMBERED, Game
from palaestra.envs.agentgym.alfworld.engine.game_file import parse_game
from palaestra.envs.agentgym.alfworld.world import AlfredWorld
from tests.envs.agentgym.alfworld.toys import contents, made_game, toy_world


def test_facts_that_nothing_asks_for_are_not_kept():
    world = toy_world()
    assert "checked" not in world.game.changing
    before = world.to_json()
    for command in ("look", "inventory", "help"):
        world.act(command)
    assert world.to_json() == before


def test_what_a_text_asks_for_is_kept():
    grammar = contents()["grammar"].replace('"rhs": "You close the {r.name}."', '"rhs": "[{r.name | checked(r:receptacle)}]"')
    game = Game(parse_game(contents(grammar=grammar)))
    assert "checked" in game.changing


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("#CloseObject.feedback#", "#Gone.feedback#", "there is no rule #Gone.feedback#"),
        ("You close the {r.name}.", "You close the {o.name}.", "CloseObject.feedback reads 'o'"),
        ('template :: "close {r}"', 'template :: "close {x}"', "a template reads 'x'"),
        ("You close the {r.name}.", "You #OpenObject.feedback# #loop#", "there is no rule #loop#"),
    ],
)
def test_texts_that_cannot_be_said_are_found_before_play(old, new, problem):
    grammar = contents()["grammar"]
    assert old in grammar
    with pytest.raises(GameFileError, match=problem):
        Game(parse_game(contents(grammar=grammar.replace(old, new))))


def test_a_grammar_without_actions_of_the_domain_is_refused():
    grammar = contents()["grammar"].split("action look")[0]
    with pytest.raises(GameFileError, match="no action of the domain has texts"):
        Game(parse_game(contents(grammar=grammar)))


def test_a_game_pickles_without_what_it_remembers():
    game = made_game("pick_heat_then_place_in_recep")
    world = AlfredWorld(game)
    world.commands()
    again = pickle.loads(pickle.dumps(game))
    assert again is not game
    assert AlfredWorld(again).intro() == world.intro()
    assert AlfredWorld(again).commands() == world.commands()


def test_what_is_remembered_is_limited(monkeypatch):
    monkeypatch.setattr("palaestra.envs.agentgym.alfworld.engine.game.MAX_REMEMBERED", 3)
    world = AlfredWorld(Game(made_game("pick_and_place_simple").file))
    commands = [command for command in world.commands() if command.startswith("go to")]
    for command in commands:
        world.act(command)
    fresh = AlfredWorld(Game(world.game.file), world.facts.copy())
    assert fresh.commands() == world.commands()
    assert all(len(operator.remembered) <= 3 for operator in world.game._operators)
    assert MAX_REMEMBERED > 100


def test_an_object_inside_of_another_is_seen_in_it():
    from tests.envs.agentgym.alfworld.toys import FACTS

    inside = "(isReceptacleObject Book_bar_1) (inReceptacleObject Book_bar_2 Book_bar_1)"
    world = toy_world(f"{FACTS} {inside}")
    for command in ("go to shelf 2", "take book 2 from shelf 2"):
        world.act(command)
    assert world.act("examine book 2").text == "This is a normal book 2. In it, you see a book 1."


def test_states_of_objects_are_said():
    world = AlfredWorld(made_game("pick_heat_then_place_in_recep"))
    walkthrough = [*world.game.file.walkthrough]
    heat = next(command for command in walkthrough if command.startswith("heat"))
    name = heat.removeprefix("heat ").split(" with ")[0]
    for command in walkthrough[: walkthrough.index(heat)]:
        world.act(command)
    assert world.act(f"examine {name}").text == f"There's nothing special about {name}."
    world.act(heat)
    assert world.act(f"examine {name}").text == f"This is a hot {name}."

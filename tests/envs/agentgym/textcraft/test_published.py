from __future__ import annotations

import json

import gymnasium
import pytest

from palaestra.envs.agentgym.published import read_items
from palaestra.envs.agentgym.textcraft.env import TextCraftEnv
from palaestra.errors import ConfigError, MissingDataError, UnknownNameError, UsageError
from tests.envs.agentgym.textcraft.books import SMALL

LIST = "Crafting commands:\ncraft 1 pick using 3 plank, 2 stick\ncraft 4 plank using 1 log"
PROMPT = "You are given few useful crafting recipes. Crafting commands are of the format ..."


def row(number, goal="pick", *, item_id=None, commands=LIST, **more):
    dialogue = [
        {"from": "human", "loss": None, "value": PROMPT},
        {"from": "gpt", "loss": False, "value": "OK. Crafting commands:\n\n\nGoal: craft nothing."},
        {"from": "human", "loss": None, "value": f"{commands}\n\nGoal: craft {goal}.\n"},
        {"from": "gpt", "loss": True, "value": "Thought: wood first.\n\nAction: get 1 log"},
    ]
    return {"item_id": item_id or f"textcraft_{number}", "conversations": dialogue, **more}


@pytest.fixture
def write(tmp_path):
    def write(rows, name="agenttraj.json", *, lines=False):
        file = tmp_path / name
        file.write_text("\n".join(map(json.dumps, rows)) + "\n" if lines else json.dumps(rows, indent=1), encoding="utf-8")
        return file

    return write


@pytest.fixture
def env(write, tmp_path):
    book = tmp_path / "toy.txt"
    book.write_text(SMALL, encoding="utf-8")

    def make(tasks, **options):
        return TextCraftEnv(book, tasks=tasks, **options)

    return make


@pytest.mark.parametrize("lines", [False, True])
def test_the_ids_of_a_published_file_lead_to_the_tasks_of_its_dialogues(write, env, lines):
    file = write([row(160), row(2, "oak plank"), row(7, "stick", item_id="textcraft_[7]", reward=1.0, success=1)], lines=lines)
    made = env({"upstream": str(file)})
    assert list(made.tasks.aliases) == ["upstream#160", "upstream#2", "upstream#7"]
    observation, info = made.reset(options={"task": "upstream#160"})
    assert observation == f"{LIST}\n\nGoal: craft pick."
    assert info["task"]["key"] == made.tasks.aliases["upstream#160"]
    assert info["task"]["key"].startswith("workshop:pick@")
    assert (info["task"]["split"], made.default_split) == ("test", "test")
    for action in made.expert():
        *_, info = made.step(action)
    assert info["success"]


def test_a_file_without_a_named_mapping_warns_and_its_tasks_have_keys_only(write, env):
    file = write([row(160)])
    with pytest.warns(UserWarning, match="have integer ids, which mean other tasks in other files.*'upstream#N'"):
        made = env(str(file))
    assert made.tasks.aliases == {}
    assert [task.key.partition("@")[0] for task in made.tasks] == ["workshop:pick"]
    with pytest.raises(UsageError, match="no published mapping"):
        made.reset(options={"task": 160})
    made = env(write([row(0, item_id="textcraft_pick")]))  # no integer, so nothing to warn of
    assert len(made.tasks) == 1


def test_two_files_have_mappings_and_splits_of_their_own(write, env):
    traj = write([row(3), row(4, "oak plank"), row(5)], "traj.json")
    evaluation = write([row(3, "stick")], "eval.json")
    made = env({"agenttraj": {"path": str(traj), "split": "train"}, "agenteval": evaluation})
    assert [made.tasks.resolve(f"agenttraj#{n}").split for n in (3, 4, 5)] == ["train"] * 3
    assert made.tasks.resolve("agenteval#3").data["goal"] == "workshop:stick"
    assert made.tasks.aliases["agenttraj#3"] == made.tasks.aliases["agenttraj#5"]  # one task under two numbers
    assert len(made.tasks) == 3
    with pytest.raises(ConfigError, match="in the files of both splits, 'train' and 'test'"):
        env({"agenttraj": {"path": str(traj), "split": "train"}, "agenteval": traj})


def test_one_number_of_two_tasks_is_a_clash(write, env):
    with pytest.raises(UsageError, match="'upstream#3' leads to the task"):
        env({"upstream": write([row(3), row(3, "oak plank")])})


@pytest.mark.parametrize("name", ["a b", "", "up#1", "/x"])
def test_a_mapping_that_cannot_be_written_is_refused(write, env, name):
    with pytest.raises(UsageError, match="is not of the form 'MAPPING#N'"):
        env({name: write([row(3)])})


def test_goals_of_other_recipes_and_items_without_a_dialogue_say_what_to_pass(write, env):
    with pytest.raises(UsageError, match=r"Item 'textcraft_3' of .*Unknown goal 'workshop:acacia_planks'.*recipes=FOLDER"):
        env({"upstream": write([row(3, "acacia planks")])})
    for bare in ({"item_id": "textcraft_3"}, {"item_id": "textcraft_3", "conversations": None}):
        with pytest.raises(ConfigError, match=r"'textcraft_3' .* has no first observation .* AgentTraj-L"):
            env({"rl": write([bare])})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "is not JSON"),
        ("{]", "line 1, record 1 is not JSON"),
        ('{"item_id": "textcraft_1"}\n\nnull', "line 3, record 2 is None; expected an object with 'item_id'"),
        ("[3]", "line 1, record 1 is 3; expected an object"),
        ('[{"item_id": true}]', "expected an object with 'item_id'"),
        ('[{"item_id": "textcraft_1", "conversations": {"a": 1}}]', "are a dict; expected a list"),
        ('[{"item_id": "textcraft_1", "conversations": ["hello"]}]', "is 'hello'; expected 'from'"),
        ('[{"item_id": "textcraft_1", "conversations": [{"from": "human", "value": 3}]}]', "expected 'from' and a text"),
        ('[{"item_id": "webshop_1"}]', "holds no items of textcraft, but webshop"),
        ("[]", "holds no items of textcraft, but nothing"),
        ("", "holds no items of textcraft, but nothing"),
        ("[" * 100_000, "is not JSON"),
        ('[{"item_id": NaN}]', "NaN is not JSON"),
    ],
)
def test_files_that_cannot_be_understood_are_one_error_with_the_place(tmp_path, text, message):
    file = tmp_path / "broken.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_items(file, "textcraft")


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(MissingDataError, match=r"no file of published items at .*AgentTraj-L or AgentEval"):
        read_items(tmp_path / "nothing.json", "textcraft")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        read_items(tmp_path / "binary.json", "textcraft")


def test_rows_of_other_environments_are_passed_over(write):
    names = [1, "babyai_2", "textcraft_3", "sciworld_1-1", "textcraft_[4]", "tool_weather_5", "textcraft_pick", "a-trial"]
    items = read_items(write([row(0, item_id=name) for name in names]), "textcraft")
    assert [(item.item_id, item.number) for item in items] == [
        *(("1", 1), ("textcraft_3", 3), ("textcraft_[4]", 4), ("textcraft_pick", None), ("a-trial", None)),
    ]


@pytest.mark.parametrize("source", [3, None, {}, {"path": "x", "split": "valid"}, {"path": "x", "kind": "y"}, ["x"]])
def test_a_source_of_another_form_is_refused(env, source):
    with pytest.raises(ConfigError, match=r"tasks\['upstream'\] is .*expected the path of a published file"):
        env({"upstream": source})


def test_a_single_task_is_not_taken_for_a_list(env):
    with pytest.raises(UsageError, match=r"expected a list of tasks: tasks=\[...\]"):
        env({"goal": "workshop:pick", "commands": []})


def test_listed_tasks_may_be_published_ids_of_the_known_ones_only(env):
    with pytest.raises(UnknownNameError, match="Unknown task 'upstream'"):
        env(["upstream#3"])


def test_the_registered_environment_takes_files_and_travels(write, tmp_path):
    import pickle

    file = write([row(160, "ladder", commands="Crafting commands:\ncraft 3 ladder using 7 stick")])
    made = gymnasium.make("palaestra/TextCraft-v0", tasks={"upstream": str(file)})
    made.reset(options={"task": "upstream#160"})
    again = pickle.loads(pickle.dumps(made))
    assert again.unwrapped.tasks.aliases == made.unwrapped.tasks.aliases
    assert again.reset(options={"task": "upstream#160"}) == made.reset(options={"task": "upstream#160"})

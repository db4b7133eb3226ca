"""Published games: what they are called, their splits, and their ids by AgentGym's mapping files."""

import json
from pathlib import Path

import pytest

from palaestra.envs.agentgym.alfworld.engine.errors import GameFileError
from palaestra.envs.agentgym.alfworld.env import ALFWorldEnv
from palaestra.envs.agentgym.alfworld.published import find_games
from palaestra.errors import ConfigError, MissingDataError, UsageError
from tests.envs.agentgym.alfworld.toys import contents
from tests.fixtures import need_fixtures

TRIALS = {
    "train/pick_heat_then_place_in_recep-Mug-None-Cabinet-8/trial_T20190908_1": 0,
    "train/pick_two_obj_and_place-CD-None-Safe-308/trial_T20190908_2": 1,
    "valid_unseen/look_at_obj_in_light-Book-None-DeskLamp-301/trial_T20190908_3": 2420,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, place in enumerate(TRIALS):
        path = tmp_path / "json_2.1.1" / place / "game.tw-pddl"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(contents(grammar=contents()["grammar"].replace("anything", f"anything {number}"))), "utf-8")
    (tmp_path / "json_2.1.1" / "train" / "notes.txt").write_text("not a game", "utf-8")
    return tmp_path / "json_2.1.1"


def mapping(path: Path, *more: dict) -> Path:
    rows = [
        {"item_id": number, "task_type": place.split("/")[1], "task_id": place.split("/")[2]}
        for place, number in TRIALS.items()
    ]
    path.write_text(json.dumps([*rows, *more]), "utf-8")
    return path


def test_a_folder_is_searched_and_games_have_the_names_of_their_folders(folder):
    games = find_games(folder)
    assert [task.key for task in games.tasks] == [place.partition("/")[2] for place in TRIALS]
    assert [task.split for task in games.tasks] == ["train", "train", "valid_unseen"]
    assert [task.type for task in games.tasks] == [
        "pick_heat_then_place_in_recep",
        "pick_two_obj_and_place",
        "look_at_obj_in_light",
    ]
    env = ALFWorldEnv(folder)
    assert env.tasks.splits == ("train", "valid_unseen")
    assert env.default_split == "train"
    key = games.tasks[2].key
    assert env.reset(options={"task": key})[1]["task"] == {
        "key": key,
        "split": "valid_unseen",
        "type": "look_at_obj_in_light",
    }


def test_a_file_of_its_own_name_is_called_by_it(tmp_path):
    path = tmp_path / "my.game.tw-pddl"
    path.write_text(json.dumps(contents()), "utf-8")
    env = ALFWorldEnv(str(path))
    assert env.reset()[1]["task"] == {"key": "my.game", "split": "test", "type": ""}
    assert len(ALFWorldEnv([path]).tasks) == 1


def test_two_games_of_one_name_are_refused(folder):
    with pytest.raises(UsageError, match="Two games are called"):
        find_games([folder, folder / "train"])


@pytest.mark.parametrize("places", [[], [3], 3.5])
def test_what_is_not_a_path_is_refused(places):
    with pytest.raises((ConfigError, TypeError)):
        find_games(places)


def test_places_without_games_are_named_with_what_was_expected(tmp_path):
    with pytest.raises(MissingDataError, match=r"no game \(\*\.tw-pddl\) under .* expected a game file"):
        find_games(tmp_path)
    with pytest.raises(MissingDataError, match="There is nothing at"):
        find_games(tmp_path / "gone")


def test_integers_lead_to_games_through_a_mapping_file(folder, tmp_path):
    env = ALFWorldEnv(folder, tasks={"upstream": mapping(tmp_path / "mapping.json")})
    assert dict(env.tasks.aliases) == {f"upstream#{number}": place.partition("/")[2] for place, number in TRIALS.items()}
    assert env.reset(options={"task": "upstream#2420"})[1]["task"]["type"] == "look_at_obj_in_light"
    with pytest.raises(UsageError, match="upstream"):
        env.reset(options={"task": 2420})


def test_a_split_may_be_given_with_a_mapping_file(folder, tmp_path):
    env = ALFWorldEnv(folder, tasks={"upstream": {"path": mapping(tmp_path / "mapping.json"), "split": "test"}})
    assert env.tasks.splits == ("test",)
    both = {"a": {"path": tmp_path / "mapping.json", "split": "test"}, "b": tmp_path / "mapping.json"}
    with pytest.raises(ConfigError, match="is in the files of two splits"):
        ALFWorldEnv(folder, tasks=both)


def test_names_in_ids_do_without_a_mapping(folder, tmp_path):
    place = next(iter(TRIALS)).partition("/")[2]
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"item_id": f"alfworld/{place}", "conversations": []}), "utf-8")
    assert list(ALFWorldEnv(folder, tasks={"agenttraj": path}).tasks.aliases.items()) == [("agenttraj#0", place)]


def test_games_that_are_not_at_hand_are_left_out_with_a_warning(folder, tmp_path):
    gone = {"item_id": 7, "task_type": "pick_and_place_simple-X-None-Y-1", "task_id": "trial_T1"}
    path = mapping(tmp_path / "mapping.json", gone)
    with pytest.warns(UserWarning, match=r"1 games of .* are not at hand .*pick_and_place_simple-X-None-Y-1/trial_T1"):
        env = ALFWorldEnv(folder, tasks={"upstream": path})
    assert len(env.tasks.aliases) == 3
    path.write_text(json.dumps([gone]), "utf-8")
    with pytest.raises(MissingDataError, match=r"None of the games .* expected 1, e.g. pick_and_place_simple-X"):
        ALFWorldEnv(folder, tasks={"upstream": path})


@pytest.mark.parametrize(
    "rows", [[{"item_id": "alfworld_3"}], [3], [{"item_id": True, "task_type": "a", "task_id": "b"}], "{"]
)
def test_rows_that_name_no_game_are_refused_with_their_place(folder, tmp_path, rows):
    path = tmp_path / "rows.json"
    path.write_text(rows if isinstance(rows, str) else json.dumps(rows), "utf-8")
    with pytest.raises(ConfigError, match=r"rows.json.*expected 'item_id'"):
        ALFWorldEnv(folder, tasks={"upstream": path})


def test_only_some_games_may_be_asked_for(folder):
    keys = [task.key for task in find_games(folder).tasks]
    env = ALFWorldEnv(folder, tasks=[keys[2], keys[0], keys[2]])
    assert [task.key for task in env.tasks] == [keys[2], keys[0]]
    with pytest.raises(UsageError, match="There is no game 'gone'"):
        ALFWorldEnv(folder, tasks=["gone"])
    with pytest.raises(MissingDataError, match="no mapping file"):
        ALFWorldEnv(folder, tasks={"upstream": folder / "gone.json"})
    with pytest.raises(ConfigError, match="expected the path of a mapping file"):
        ALFWorldEnv(folder, tasks={"upstream": 3})


def test_a_file_that_changes_is_read_again(tmp_path):
    path = tmp_path / "game-1.tw-pddl"
    path.write_text(json.dumps(contents()), "utf-8")
    env = ALFWorldEnv(path)
    first = env.reset()[0]
    path.write_text(json.dumps(contents(grammar=contents()["grammar"].replace("Looking", "Peering"))), "utf-8")
    assert env.reset()[0] == first.replace("Looking", "Peering") != first


@pytest.mark.parity
def test_the_published_mappings_are_read(folder) -> None:
    for path in need_fixtures("agentgym/alfworld/mappings_train.json", "agentgym/alfworld/mappings_test.json"):
        rows = json.loads(path.read_text("utf-8"))
        row = rows[len(rows) // 2]
        place = folder / "train" / row["task_type"] / row["task_id"] / "game.tw-pddl"
        place.parent.mkdir(parents=True)
        place.write_text(json.dumps(contents()), "utf-8")
        with pytest.warns(UserWarning, match=f"{len(rows) - 1} games of"):
            env = ALFWorldEnv(folder, tasks={"upstream": path})
        assert dict(env.tasks.aliases) == {f"upstream#{row['item_id']}": f"{row['task_type']}/{row['task_id']}"}


def test_a_mapping_file_without_a_mapping_names_games_by_their_keys(folder, tmp_path):
    path = mapping(tmp_path / "mapping.json")
    for given in (path, str(path)):
        with pytest.warns(UserWarning, match="Name the mapping that they belong to"):
            env = ALFWorldEnv(folder, tasks=given)
        assert {task.key for task in env.tasks} == {place.partition("/")[2] for place in TRIALS}
        assert not env.tasks.aliases


@pytest.mark.parametrize("given", [3, 2.5, [3], [None], {3: 4}, b"a.json", object()])
def test_what_names_no_games_is_one_clear_error(folder, given):
    with pytest.raises(ConfigError, match=r"expected (a list of keys|the path of a mapping file)"):
        ALFWorldEnv(folder, tasks=given)


def test_a_published_id_whose_game_is_not_at_hand_says_which_game_that_is(folder, tmp_path):
    gone = {"item_id": 7, "task_type": "pick_and_place_simple-X-None-Y-1", "task_id": "trial_T1"}
    with pytest.warns(UserWarning, match="not at hand"):
        env = ALFWorldEnv(folder, tasks={"upstream": mapping(tmp_path / "mapping.json", gone)})
    with pytest.raises(MissingDataError, match=r"'upstream#7' is the game pick_and_place_simple-X-None-Y-1/trial_T1/game"):
        env.reset(options={"task": "upstream#7"})
    with pytest.raises(UsageError, match="has no number 8; it has"):
        env.reset(options={"task": "upstream#8"})


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"grammar": ""}, "its text 'grammar' is empty"),
        ({"pddl_domain": " \n"}, "its text 'pddl_domain' is empty"),
        ({"pddl_problem": ""}, "its text 'pddl_problem' is empty"),
        ({"grammar": None}, "it has no text 'grammar'"),
        ({"grammar": "grammar :: x;"}, "cannot be played"),
        ({"grammar": '{"a": {}}'}, "cannot be played"),
    ],
)
def test_an_error_of_a_game_file_names_the_file(tmp_path, change, problem):
    path = tmp_path / "my.tw-pddl"
    path.write_text(json.dumps({**contents(), **change}), "utf-8")
    env = ALFWorldEnv(path)
    with pytest.raises(GameFileError, match=r"my\.tw-pddl' cannot be played: .*Copy it again") as caught:
        env.reset()
    assert problem in str(caught.value)


def test_byte_order_marks_in_the_texts_of_a_game_are_skipped(tmp_path):
    whole = contents()
    path = tmp_path / "a.tw-pddl"
    path.write_text(json.dumps(whole), "utf-8")
    first = ALFWorldEnv(path).reset()[0]
    path.write_bytes(
        b"\xef\xbb\xbf" + json.dumps({k: "\ufeff" + v if isinstance(v, str) else v for k, v in whole.items()}).encode()
    )
    assert ALFWorldEnv(path).reset()[0] == first

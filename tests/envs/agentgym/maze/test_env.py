"""The face of the maze: rewards, moves that are used up, formats, tools, pictures, snapshots."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.agentgym.maze.env import MazeEnv
from palaestra.envs.agentgym.maze.picture import PIXELS
from palaestra.errors import ConfigError, MissingDataError, UnknownNameError, UsageError
from palaestra.types import Message, ToolCall

PUBLISHED = {
    "grid": [[1, 1, 1, 1, 1], [1, 0, 0, 0, 1], [1, 1, 1, 0, 1], [1, 0, 0, 0, 1], [1, 1, 1, 1, 1]],
    "goal": [3, 1],
    "start_positions": [{"game": 0, "pos": [1, 1]}, {"game": 4, "pos": [2, 3]}, {"game": 25, "pos": [3, 1]}],
    "max_steps": 50,
}


@pytest.fixture
def maze_file(tmp_path):
    path = tmp_path / "elbow.json"
    path.write_text(json.dumps(PUBLISHED))
    return path


def items(path, rows):
    told = "The goal is at position {}, {}. Your current position is at position {}, {}. There are walls above you."
    path.write_text(
        json.dumps(
            [
                {"item_id": f"lmrlgym_maze_{n}", "conversations": [{"from": "human", "value": told.format(*goal, *cell)}]}
                for n, goal, cell in rows
            ]
        )
    )
    return path


def test_a_published_game_is_played_to_the_goal(maze_file):
    env = MazeEnv(maze_file, compat="upstream")
    observation, info = env.reset(options={"task": "upstream#0"})
    assert info["task"] == {"key": "elbow/1,1", "split": "test", "type": "short"}
    assert info["upstream"] == {"observation": observation}
    assert "lost after 50 moves" in info["instructions"]
    for action in env.expert():
        observation, reward, terminated, truncated, info = env.step(action)
    assert (observation, reward, terminated, truncated) == ("Success\n", 1.0, True, False)
    assert info["upstream"] == {"observation": "Success\n", "reward": 1.0, "done": True}
    assert (info["score"], info["success"], info["stop_reason"]) == (1.0, True, "success")


def test_the_game_that_starts_on_the_goal_is_refused_and_the_next_one_plays(maze_file):
    env = MazeEnv(maze_file)
    with pytest.raises(UsageError, match="game 25 starts on the goal"):
        env.reset(options={"task": "upstream#25"})
    with pytest.raises(UsageError, match="has no number 3"):
        env.reset(options={"task": "upstream#3"})
    assert "upstream#25" not in env.tasks
    assert env.reset(options={"task": "upstream#4"})[1]["task"]["key"] == "elbow/2,3"


@pytest.mark.parametrize("last", ["move up", "jump", "move right"])
def test_the_move_after_the_fiftieth_loses_whatever_it_is(maze_file, last):
    env = MazeEnv(maze_file)
    env.reset(options={"task": "upstream#4"})
    for number in range(50):
        observation, reward, terminated, truncated, info = env.step("jump" if number % 2 else "move left")
        assert (reward, terminated, truncated) == (0.0, False, False)
        assert observation.endswith("2, 3. There are walls to your right, to your left.")
    observation, reward, terminated, truncated, info = env.step(last)
    assert (observation, reward, terminated, truncated) == ("Failure\n", -1.0, True, False)
    assert (info["score"], info["success"], info["stop_reason"]) == (0.0, False, "failure")


def test_a_text_that_is_not_a_move_counts_and_is_named():
    env = MazeEnv()
    observation, _ = env.reset(seed=1)
    before = env.state_hash()
    for text in ("up", "move left.", "Move Left", "jump", "", "mövé up"):
        told, _, _, _, info = env.step(text)
        assert told == observation
        assert "is not one of the moves" in info["action_error"]
        assert env.state_hash() == before
    for _ in range(44):
        env.step("jump")
    assert env.step("jump")[0] == "Failure\n"


def test_react_takes_the_first_action():
    env = MazeEnv(action_format="react")
    env.reset(seed=0)
    move = env.world.next_move()
    env.step(f"Thought: Action words come next.\nAction: {move}")
    position = env.world.position
    assert env.world.maze.distances[position] >= 0
    env.step("Thought: a\nAction: move up Action: move down")  # the first marker's text is no command
    assert env.world.position == position


def test_calls_of_one_message_are_played_up_to_the_goal(maze_file):
    env = MazeEnv(maze_file, compat="upstream")
    env.reset(options={"task": "upstream#4"})
    calls = [ToolCall("move", {"direction": name}) for name in ("down", "left", "left", "up")]
    observation, reward, terminated, _, info = env.step(Message("assistant", "", tuple(calls)))
    assert (reward, terminated, info["success"]) == (1.0, True, True)
    assert [result.status for result in info["tool_results"]] == ["ok", "ok", "ok", "error"]
    assert "Success" in observation
    assert info["upstream"]["done"] is True


def test_a_call_that_does_not_fit_costs_a_message_and_no_move():
    env = MazeEnv(compat="upstream")
    env.reset(seed=0)
    _, _, _, _, info = env.step(Message("assistant", "", (ToolCall("move", {"direction": "north"}),)))
    assert info["action_error"]
    assert info["upstream"]["done"] is False
    assert env._num_moves == 0


def test_pictures_show_the_agent_and_the_goal():
    env = MazeEnv(render_mode="rgb_array")
    env.reset(seed=2)
    rows = env.world.maze.rows
    picture = env.render()
    assert picture.shape == (len(rows) * PIXELS, len(rows[0]) * PIXELS, 3)
    assert picture.dtype == np.uint8
    for step in env.expert():
        env.step(step)
        after = env.render()
        assert (after != picture).any()
        picture = after
    text = MazeEnv(render_mode="ansi")
    text.reset(seed=2)
    lines = text.render().splitlines()
    assert [len(line) for line in lines[: len(rows)]] == [len(rows[0])] * len(rows)
    assert "".join(lines[: len(rows)]).count("@") == 1


@given(st.integers(0, 50), st.data())
@settings(max_examples=25, deadline=None)
def test_a_restored_game_goes_on_as_the_first_one_does(turns, data):
    env, twin = MazeEnv(), MazeEnv()
    env.reset(seed=turns)
    moves = st.sampled_from(["move up", "move down", "move left", "move right", "?"])
    for _ in range(turns):
        if env.step(data.draw(moves))[2]:
            return
    twin.restore(env.snapshot())
    for _ in range(10):
        move = data.draw(moves)
        results = [one.step(move) for one in (env, twin)]
        assert results[0] == results[1]
        assert env.state_hash() == twin.state_hash()
        if results[0][2]:
            return


def test_published_files_name_their_games_by_mapping(maze_file, tmp_path):
    evaluation = items(tmp_path / "eval.json", [(3, (3, 1), (1, 1))])
    training = items(tmp_path / "train.json", [(3, (3, 1), (2, 3)), (7, (3, 1), (2, 3))])
    sources = {"agenttraj": {"path": training, "split": "train"}, "agenteval": evaluation}
    env = MazeEnv(maze_file, tasks=sources)
    assert env.tasks.splits == ("train", "test")
    assert env.reset(options={"task": "agenteval#3"})[1]["task"]["key"] == "elbow/1,1"
    assert env.tasks.resolve("agenttraj#3") == env.tasks.resolve("agenttraj#7")
    items(training, [(3, (3, 1), (1, 1))])
    with pytest.raises(ConfigError, match="in the files of both splits"):
        MazeEnv(maze_file, tasks=sources)
    items(training, [(3, (1, 1), (2, 3))])
    with pytest.raises(UsageError, match="maze=PATH"):
        MazeEnv(maze_file, tasks=sources)
    training.write_text(json.dumps([{"item_id": "lmrlgym_maze_3"}]))
    with pytest.raises(ConfigError, match="no first observation"):
        MazeEnv(maze_file, tasks=sources)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"grid": [[1, 1], [1]]}, "no rectangle"),
        ({"grid": "###"}, "not a list of rows"),
        ({"grid": [[1, 2, 1]] * 3}, "not a list of rows"),
        ({"goal": [0, 0]}, "goal"),
        ({"goal": "x"}, "expected .ROW, COLUMN"),
        ({"start_positions": []}, "expected a list of games"),
        ({"start_positions": [{"game": 0}]}, "expected .'game': N"),
        ({"start_positions": [{"game": 0, "pos": [0, 0]}]}, "not an open cell"),
        ({"start_positions": [{"game": 0, "pos": [1, 1]}] * 2}, "listed twice"),
        ({"start_positions": [{"game": 0, "pos": [3, 1]}]}, "no game that can be played"),
        ({"max_steps": "many"}, "max_steps"),
    ],
)
def test_a_maze_file_that_cannot_be_meant_so_is_one_clear_error(maze_file, change, problem):
    maze_file.write_text(json.dumps({**PUBLISHED, **change}))
    with pytest.raises(ConfigError, match=problem) as error:
        MazeEnv(maze_file)
    assert "elbow.json" in str(error.value)


def test_files_that_are_missing_or_no_json_are_clear_errors(tmp_path):
    with pytest.raises(MissingDataError, match=r"double_t_maze\.json"):
        MazeEnv(tmp_path / "none.json")
    for text, problem in (("{", "not JSON"), ("[]", "has no 'grid'"), ("[" * 100_000, "not JSON"), ('{"grid": []}', "'goal'")):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(ConfigError, match=problem):
            MazeEnv(tmp_path / "bad.json")


def test_arguments_that_do_not_go_together_are_refused(maze_file):
    with pytest.raises(UnknownNameError, match="sizes"):
        MazeEnv(sizes=7)
    with pytest.raises(ConfigError, match="size goes with mazes made on the spot"):
        MazeEnv(maze_file, size=7)
    with pytest.raises(ConfigError, match="goes with maze=PATH"):
        MazeEnv(tasks={"agenteval": "x.json"})
    with pytest.raises(UnknownNameError, match="compat"):
        MazeEnv(compat="downstream")
    with pytest.raises(ConfigError, match="expected the path"):
        MazeEnv(7)


def test_a_byte_order_mark_in_a_maze_file_is_skipped(tmp_path):
    rows = ["#####", "#...#", "#####"]
    maze = {"grid": [[int(c == "#") for c in row] for row in rows], "goal": [1, 3]}
    contents = json.dumps({**maze, "start_positions": [{"game": 0, "pos": [1, 1]}]})
    path = tmp_path / "m.json"
    path.write_bytes(b"\xef\xbb\xbf" + contents.encode())
    assert MazeEnv(path).reset(options={"task": "upstream#0"})[1]["task"]["key"] == "m/1,1"

import pickle
from typing import Any

import numpy as np
import pytest

from palaestra.envs.core.tasks import FixedTasks, Task
from palaestra.envs.core.text_env import Turn
from palaestra.envs.core.tool_env import EMPTY_MESSAGE, ToolEnv
from palaestra.envs.formats.hermes import format_message
from palaestra.envs.tools import Toolkit, ToolRefusal, tool
from palaestra.errors import ConfigError, EnvironmentFault, ToolError
from palaestra.types import Message, ToolCall


class Counter:
    def __init__(self, value: int = 0):
        self.value = value

    def copy(self) -> "Counter":
        return Counter(self.value)

    @tool
    def add(self, amount: int) -> int:
        """Add to the counter.

        Args:
            amount: How much.
        """
        self.value += amount
        if self.value < 0:
            raise ToolRefusal("the counter cannot go below 0")
        if amount == 404:
            raise ToolError("The abacus service is down.")
        if amount == 500:
            raise ZeroDivisionError("oops")
        return self.value


class CounterEnv(ToolEnv):
    def __init__(self, **kwargs: Any):
        self.counter = Counter()
        tasks = FixedTasks([Task("three", "train", data={"goal": 3})])
        super().__init__(tasks, Toolkit(self.counter), rules="Reach the goal.", **kwargs)

    def _begin(self, task):
        self._load(task, 0)
        return f"Reach {task.data['goal']}."

    def _finish(self, answer):
        solved = self.counter.value == self.task.data["goal"] and answer == "done"
        return Turn("Over.", reward=float(solved), success=solved)

    def _save(self):
        return self.counter.value

    def _load(self, task, state):
        self.counter = Counter(state)
        self.toolkit = Toolkit(self.counter, lenient=self.lenient)


def started(**kwargs):
    env = CounterEnv(**kwargs)
    env.reset(seed=0)
    return env


def add(*amounts, content="", ids=True):
    calls = tuple(ToolCall("add", {"amount": a}, f"c{i}" if ids else "") for i, a in enumerate(amounts))
    return Message("assistant", content, calls)


def test_native_calls_and_their_text_do_the_same():
    message = add(1, 1, content="Two at once.")
    native, text = started(), started()
    seen = [native.step(message), text.step(format_message(message))]
    assert seen[0] == seen[1]
    assert native.snapshot() == text.snapshot()
    observation, reward, terminated, truncated, info = seen[0]
    assert observation == "<tool_response>\n1\n</tool_response>\n<tool_response>\n2\n</tool_response>"
    assert (reward, terminated, truncated, info["action_error"]) == (0.0, False, False, "")
    assert [(r.status, r.content, r.call_id) for r in info["tool_results"]] == [("ok", "1", "c0"), ("ok", "2", "c1")]


def test_text_inside_a_message_without_native_calls_is_read_too():
    env = started()
    env.step(Message("assistant", format_message(add(3, ids=False))))
    assert env.counter.value == 3


def test_a_message_without_calls_is_the_answer_and_ends_the_episode():
    env = started()
    env.step(add(3))
    observation, reward, terminated, _, info = env.step("<think>\nI am finished\n</think>\n\n done ")
    assert (observation, reward, terminated) == ("Over.", 1.0, True)
    assert (info["success"], info["stop_reason"], info["score"]) == (True, "success", 1.0)


def test_a_wrong_answer_fails():
    _, reward, terminated, _, info = started().step("done")
    assert (reward, terminated, info["success"], info["stop_reason"]) == (0.0, True, False, "failure")


@pytest.mark.parametrize("empty", ["", " \n", "<think>hm", Message("assistant"), Message("assistant", reasoning="hm")])
def test_an_empty_message_is_told_so_and_costs_only_the_turn(empty):
    observation, reward, terminated, _, info = started().step(empty)
    assert (observation, reward, terminated, info["action_error"]) == (EMPTY_MESSAGE, 0.0, False, EMPTY_MESSAGE)


def test_one_failed_call_does_not_stop_the_others():
    env = started()
    *_, info = env.step(add(1, -5, 2))
    assert [r.status for r in info["tool_results"]] == ["ok", "error", "ok"]
    assert env.counter.value == 3
    assert info["action_error"] == ""


@pytest.mark.parametrize(
    ("action", "status", "says"),
    [
        (add(-1), "error", "the counter cannot go below 0"),
        (
            Message("assistant", "", (ToolCall("add", {"amount": "1"}, "a"),)),
            "invalid_arguments",
            "expected an integer (How much)",
        ),
        (Message("assistant", "", (ToolCall("add", '{"amount": 1', "a"),)), "invalid_arguments", "do not parse as JSON"),
        (Message("assistant", "", (ToolCall("ad", {}, "a"),)), "unknown_tool", "Did you mean add?"),
        ("<tool_call>\n{nonsense}\n</tool_call>", "invalid_arguments", "not valid JSON"),
        ('<tool_call>\n{"name": "add", "arguments": {"amount": 1}}', "invalid_arguments", "not closed by </tool_call>"),
    ],
)
def test_a_message_whose_calls_all_fail_changes_nothing_and_says_why(action, status, says):
    env = started()
    before = env.state_hash()
    observation, _, terminated, _, info = env.step(action)
    assert [r.status for r in info["tool_results"]] == [status]
    assert says in info["action_error"]
    assert says in observation
    assert (env.state_hash(), terminated) == (before, False)


def test_lenient_environments_run_near_misses():
    env = started(lenient=True)
    env.step('<tool_call>\n{"name": "add", "arguments": {"amount": "2"}}')
    assert env.counter.value == 2


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_calls_beyond_the_limit_are_refused_one_by_one(limit):
    env = started(max_calls_per_turn=limit)
    calls = (ToolCall("add", {"amount": 1}, "a"), ToolCall("add", {"amount": 2}, ""), ToolCall("no_such", {}, "c"))
    observation, *_, info = env.step(Message("assistant", "", calls))
    refusal = f"Error: not run: at most {limit} calls of one message are run, and it held 3. Send it again."
    results = info["tool_results"]
    assert [(r.name, r.call_id) for r in results] == [("add", "a"), ("add", ""), ("no_such", "c")]
    assert [r.status for r in results[:limit]] == ["ok", "ok", "unknown_tool"][:limit]
    assert [(r.status, r.content) for r in results[limit:]] == [("error", refusal)] * (3 - limit)
    assert observation.count(refusal) == 3 - limit
    assert info["action_error"] == ""
    assert env.counter.value == sum([1, 2][:limit])


def test_repeated_and_missing_ids_are_answered_by_position():
    env = started()
    calls = (ToolCall("add", {"amount": 1}, "x"), ToolCall("add", {"amount": 1}, "x"), ToolCall("add", {"amount": 1}))
    *_, info = env.step(Message("assistant", "", calls))
    assert [(r.call_id, r.content) for r in info["tool_results"]] == [("x", "1"), ("x", "2"), ("", "3")]


def test_faults_of_a_tool_rise_with_their_boundary_and_undo_the_message():
    env = started()
    with pytest.raises(ToolError, match="abacus"):
        env.step(add(404))
    with pytest.raises(EnvironmentFault, match="ZeroDivisionError"):
        env.step(add(500))
    with pytest.raises(ToolError, match="abacus"):
        env.step(add(1, 2, 404))  # the calls before the fault are undone too: nothing is half done
    assert env.counter.value == 0


def test_instructions_hold_rules_format_and_tools():
    env = CounterEnv()
    _, info = env.reset(seed=0)
    assert info["instructions"].startswith("Reach the goal.\n\nCall a tool by writing a block like this")
    assert info["instructions"].endswith("add(amount: integer) - Add to the counter.")
    assert [t["function"]["name"] for t in info["tools"]] == ["add"]


def test_sampled_actions_are_well_formed():
    env = started()
    env.action_space.seed(3)
    kinds = set()
    for _ in range(100):
        action = env.action_space.sample()
        assert action in env.action_space
        *_, terminated, _, info = env.step(action)
        kinds |= {r.status for r in info["tool_results"]} | ({"answer"} if terminated else set())
        if terminated:
            env.reset()
    assert kinds == {"ok", "error", "answer"}


def test_environments_pickle_in_the_middle_of_an_episode():
    env = started()
    env.step(add(2))
    twin = pickle.loads(pickle.dumps(env))
    assert twin.step(add(1)) == env.step(add(1))
    assert twin.action_space.sampler(np.random.default_rng(0)) == env.action_space.sampler(np.random.default_rng(0))


@pytest.mark.parametrize("bad", [{"max_calls_per_turn": 0}, {"max_calls_per_turn": True}, {"lenient": 1}])
def test_impossible_options_are_refused(bad):
    with pytest.raises(ConfigError, match=f"{next(iter(bad))} is .*; expected"):
        CounterEnv(**bad)

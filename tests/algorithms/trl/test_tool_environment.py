from __future__ import annotations

import inspect
from typing import Any

import gymnasium
import pytest

import examples.tools_from_data  # noqa: F401  (registers an environment with other tools in every task)
import palaestra  # noqa: F401  (registers the environments)
from palaestra.algorithms.trl.tool_environment import FAILED, OVER, EnvironmentEpisode, environment_class
from palaestra.envs.core.tasks import GeneratedTasks, Task
from palaestra.envs.core.text_env import TextEnv, Turn
from palaestra.errors import ConfigError, EnvironmentFault, UnknownNameError, UsageError
from palaestra.types import Json, Message
from tests.algorithms import toy_env

CRAFT: dict[str, Json] = {"recipes": "procedural", "depth": [1, 1], "distractors": 2}
SHAKY = "test/Shaky-v0"


class ShakyEnv(TextEnv):
    """Fails when it is told to."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(GeneratedTasks(lambda split, i: Task(f"{split}/{i}", split), {"train": None}), **kwargs)

    def _begin(self, task: Task) -> str:
        if task.key == "train/13":
            raise EnvironmentFault("the engine did not start")
        return "go"

    def _act(self, action: str | Message) -> Turn:
        text = action if isinstance(action, str) else action.content
        if text == "break":
            raise RuntimeError("the engine died")
        return Turn("well", reward=float("nan") if text == "nan" else 0.25)

    def _save(self) -> Json:
        return {}

    def _load(self, task: Task, state: Json) -> None:
        del task, state


@pytest.fixture(autouse=True)
def registered() -> None:
    toy_env.register()
    if SHAKY not in gymnasium.registry:
        gymnasium.register(SHAKY, entry_point=ShakyEnv)


def methods(made: type) -> set[str]:
    """What TRL takes for tools."""
    found = {name for name, _ in inspect.getmembers(made, predicate=inspect.isfunction) if not name.startswith("_")}
    return found - {"reset", "get_reward"}


def expert_actions(env_id: str, kwargs: dict[str, Json], task: str, seed: int) -> list[str | Message]:
    """What the environment's expert plays in an episode."""
    env = gymnasium.make(env_id, **kwargs)
    env.reset(seed=seed, options={"task": task})
    played = []
    for action in env.unwrapped.expert():  # type: ignore[attr-defined]
        played.append(action)
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            break
    env.close()
    return played


def play(episode: EnvironmentEpisode, actions: list[str | Message]) -> list[str]:
    """Play actions the way TRL does: one call of a method each."""
    shown: list[str] = []
    for action in actions:
        if isinstance(action, Message) and action.tool_calls:
            shown += [getattr(episode, call.name)(**dict(call.arguments)) for call in action.tool_calls]  # type: ignore[arg-type]
        else:
            text = action if isinstance(action, str) else action.content
            shown.append(episode.answer(text=text) if hasattr(episode, "answer") else episode.act(action=text))  # type: ignore[attr-defined]
    return shown


@pytest.mark.parametrize(
    ("env_id", "kwargs", "actions"),
    [
        ("palaestra/Desk-v0", {}, "auto"),
        ("palaestra/TextCraft-v0", CRAFT, "text"),
        ("palaestra/VehicleWorld-v0", {"calls": "tools"}, "auto"),
        (toy_env.ENV_ID, {}, "auto"),
    ],
)
def test_an_expert_solves_episodes_through_the_methods(env_id: str, kwargs: dict[str, Json], actions: Any) -> None:
    made = environment_class(env_id, kwargs, actions=actions)
    episode = made()
    for index in range(3):
        task, seed = f"train/{index}", 40 + index
        first = episode.reset(prompt=[{"role": "user", "content": ""}], task=task, seed=seed)
        assert isinstance(first, str)
        assert first
        assert episode.get_reward() == 0.0
        shown = play(episode, expert_actions(env_id, kwargs, task, seed))
        assert shown[-1].endswith(OVER)
        assert episode.get_reward() == pytest.approx(1.0)
        turns = episode.num_turns
        assert set(play(episode, ["more"])) == {OVER}
        assert episode.num_turns == turns
        assert episode.get_reward() == pytest.approx(1.0)


def test_every_tool_of_the_environment_is_a_method_and_nothing_else_is() -> None:
    made = environment_class("palaestra/TextCraft-v0", CRAFT)
    assert made.__name__ == "TextCraft"
    assert methods(made) == {"craft", "get", "inventory"}
    assert methods(environment_class("palaestra/TextCraft-v0", CRAFT, actions="text")) == {"act"}
    assert methods(environment_class("palaestra/Desk-v0")) >= {"answer", "find_events"}
    assert "answer" not in methods(environment_class("palaestra/Desk-v0", answer=False))


def test_episodes_of_one_row_begin_alike_and_go_their_own_ways() -> None:
    made = environment_class("palaestra/TextCraft-v0", CRAFT)
    one, other = made(), made()
    row = {"task": "train/3", "seed": 8}
    assert one.reset(**row) == other.reset(**row)  # type: ignore[arg-type]
    assert one.reset(task="train/4", seed=8) != one.reset(**row)  # type: ignore[arg-type]
    one.inventory()  # type: ignore[attr-defined]
    assert (one.num_turns, other.num_turns) == (1, 0)


def test_a_wrong_call_is_an_answer_and_costs_a_turn() -> None:
    episode = environment_class("palaestra/Desk-v0")()
    episode.reset(task="train/0", seed=0)
    assert "argument 'query' is missing" in episode.find_events()  # type: ignore[attr-defined]
    assert "'querry'" in episode.find_events(querry="a")  # type: ignore[attr-defined]
    assert episode.num_turns == 2
    assert episode.get_reward() == 0.0


def test_results_come_without_the_tags_that_the_chat_template_writes() -> None:
    episode = environment_class("palaestra/Desk-v0")()
    episode.reset(task="train/0", seed=0)
    assert "tool_response" not in episode.find_events(query="")  # type: ignore[attr-defined]


@pytest.mark.parametrize("action", ["break", "nan"])
def test_a_failing_environment_is_no_reward_of_zero(action: str) -> None:
    episode: Any = environment_class(SHAKY)()
    episode.reset(task="train/0", seed=0)
    assert episode.act(action="on") == "well"
    assert episode.act(action=action) == FAILED
    assert episode.act(action="on") == FAILED
    assert episode.get_reward() is None
    assert episode.error is not None
    assert episode.error.boundary == "environment"
    episode.reset(task="train/0", seed=0)  # the next episode has an environment of its own
    assert episode.error is None
    assert episode.act(action="on") == "well"
    assert episode.get_reward() == 0.25


def test_an_environment_that_does_not_start_is_recorded_too() -> None:
    episode: Any = environment_class(SHAKY)()
    assert episode.reset(task="train/13", seed=0) == FAILED
    assert episode.get_reward() is None
    assert episode.error.message == "the engine did not start"


def test_a_row_that_names_no_task_is_an_error_of_the_caller() -> None:
    with pytest.raises(UsageError, match="nowhere/1"):
        environment_class("palaestra/TextCraft-v0", CRAFT)().reset(task="nowhere/1", seed=0)


def test_tools_that_differ_between_tasks_are_refused_with_the_way_out() -> None:
    for actions in ("auto", "tools", "text"):  # the instructions, too, hold the tools of a task
        with pytest.raises(ConfigError, match=r"has tools of its own \(home_of, .*Train with EnvironmentRollouts"):
            environment_class("example/Facts-v0", actions=actions)  # type: ignore[arg-type]


def test_a_task_with_other_tools_is_refused_when_it_comes(monkeypatch) -> None:
    monkeypatch.setattr("palaestra.algorithms.trl.tool_environment._MORE_LOOKS", 1)
    episode = environment_class("example/Facts-v0")()
    refused = []
    for key in ("train/0", "train/1", "train/2"):  # three tasks with three sets of tools, one of which is that of the class
        try:
            assert "Which" in episode.reset(task=key, seed=0)
        except ConfigError as error:
            refused.append(str(error).partition(" has tools of its own")[0])
    assert len(refused) == 2
    assert set(refused) <= {f"Task 'train/{i}' of example/Facts-v0" for i in range(3)}


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="palaestra/Desk-v0"):
        environment_class("palaestra/Desc-v0")
    with pytest.raises(ConfigError, match="has no tools"):
        environment_class(SHAKY, actions="tools")
    with pytest.raises(ConfigError, match="expected 'auto', 'tools' or 'text'"):
        environment_class(SHAKY, actions="native")  # type: ignore[arg-type]

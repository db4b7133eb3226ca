import json

import pytest

from palaestra.agents.backends.scripted import ScriptedBackend
from palaestra.agents.context import ContextPolicy
from palaestra.agents.core import Request
from palaestra.agents.llm import LLMAgent
from palaestra.agents.reference import ExpertAgent, NothingAgent, RandomAgent
from palaestra.agents.registry import make_agent
from palaestra.agents.rollout.engine import EpisodePlan, RolloutEngine
from palaestra.envs.vehicle.env import VehicleWorldEnv
from palaestra.envs.wrappers import RecordTrajectory
from palaestra.types import Message, Trajectory
from tests.envs.vehicle.dialogues import dialogues

LEFT_OUT = "<state>(left out: a newer one follows)</state>"


def play(agent, task: str = "mixed", **options):
    """Play a dialogue and return the results of its requests, and the last info."""
    env = VehicleWorldEnv(tasks=dialogues(), max_turns=60, **options)
    observation, info = env.reset(seed=0, options={"task": task})
    agent.reset(info, env=env, session=task)
    results, done = [], False
    while not done:
        observation, _, terminated, truncated, info = env.step(agent.act(observation, info))
        results += [info["request_result"]] if "request_result" in info else []
        done = terminated or truncated
    return results, info


class Reader:
    """A model that says what the expert says, and keeps what it was shown."""

    def __init__(self, task: str = "mixed", **options) -> None:
        self.env = VehicleWorldEnv(tasks=dialogues(), **options)
        self.env.reset(seed=0, options={"task": task})
        self.requests: list[Request] = []
        self.backend = ScriptedBackend(self.answer)

    def answer(self, request: Request) -> str | Message:
        self.requests.append(request)
        action = next(self.env.expert())
        self.env.step(action)
        return action


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "fc"},
        {"mode": "sfc"},
        {"mode": "sfc", "reflections": 1, "plan": True, "few_shot": True},
        {"mode": "hybrid"},
        {"mode": "fc", "calls": "tools"},
        {"mode": "fc", "calls": "tools", "tool_scope": "selected"},
        {"mode": "hybrid", "calls": "tools"},
    ],
)
@pytest.mark.parametrize("task", ["mixed", "climate"])
def test_a_model_plays_every_mode_without_being_told_a_format(task: str, options: dict) -> None:
    reader = Reader(task, **options)
    results, info = play(LLMAgent(reader.backend), task, **options)
    assert info["success"]
    assert [result["scores"]["request_success"] for result in results] == [True] * 3
    opening = reader.requests[0].messages[0]
    assert opening.role == "system"
    assert opening.content == reader.env.instructions()
    assert bool(reader.requests[0].tools) == ("calls" in options)


def test_states_of_earlier_messages_are_left_out() -> None:
    reader = Reader(mode="sfc", reflections=1)
    play(LLMAgent(reader.backend), mode="sfc", reflections=1)
    for request in reader.requests:
        shown = [message for message in request.messages if "<state>\n" in message.content]
        assert len(shown) == 1
    last = reader.requests[-1].messages
    assert sum(LEFT_OUT in message.content for message in last) >= 3
    assert sum("<schema>" in message.content for message in last) == 2  # said once a module, and kept
    kept = Reader(mode="sfc", reflections=1)
    play(LLMAgent(kept.backend, context=ContextPolicy(transient="keep")), mode="sfc", reflections=1)
    assert not any(LEFT_OUT in message.content for message in kept.requests[-1].messages)
    sizes = [sum(len(message.content) for message in one.requests[-1].messages) for one in (reader, kept)]
    assert sizes[0] * 2 < sizes[1]


def test_the_tools_of_a_request_are_those_of_the_modules_looked_up_so_far() -> None:
    options = {"calls": "tools", "tool_scope": "selected"}
    reader = Reader("doors", **options)
    play(LLMAgent(reader.backend), "doors", **options)
    names = [{tool["function"]["name"] for tool in request.tools} for request in reader.requests]
    assert names[0] == {"get_modules", "get_module_API", "to_dict"}
    assert "door__carcontrol_carDoor_switch" in names[1]
    tool_messages = [message for message in reader.requests[-1].messages if message.role == "tool"]
    assert len(tool_messages) == 4
    assert "left for this request" in tool_messages[-1].content


@pytest.mark.parametrize(
    "options", [{"mode": "fc"}, {"mode": "sfc"}, {"mode": "hybrid"}, {"calls": "tools"}, {"mode": "sfc", "plan": True}]
)
def test_doing_nothing_is_scored_as_such(options: dict) -> None:
    agent = make_agent("nothing")
    assert isinstance(agent, NothingAgent)
    results, info = play(agent, **options)
    assert len(results) == 3
    for result in results:
        own = {name: value for name, value in result["scores"].items() if name != "do_nothing"}
        assert own == result["scores"]["do_nothing"]
        assert result["changed"] == []
    assert (info["success"], info["score"]) == (False, pytest.approx(1 / 3))


@pytest.mark.parametrize("options", [{"mode": "fc"}, {"mode": "sfc"}, {"mode": "hybrid", "calls": "tools"}])
def test_expert_and_random_agent_set_the_scale(options: dict) -> None:
    _, best = play(ExpertAgent(), **options)
    _, drawn = play(RandomAgent(seed=1), **options)
    assert best["score"] == pytest.approx(1.0)
    assert drawn["score"] < 1.0


def test_stored_episodes_keep_what_an_agent_was_told_at_the_start() -> None:
    plan = EpisodePlan("e1", "palaestra/VehicleWorld-v0", task_key="test/0", env_kwargs={"mode": "sfc"})
    (played,) = RolloutEngine(concurrency=1).collect([plan], ExpertAgent())
    recorder = RecordTrajectory(VehicleWorldEnv(tasks=dialogues(), mode="sfc"))
    recorder.reset(options={"task": "doors"})
    for action in recorder.unwrapped.expert():
        recorder.step(action)
    for trajectory in (played, recorder.trajectories[0]):
        back = Trajectory.from_json(json.loads(json.dumps(trajectory.to_json())))
        assert (back.meta["format"], back.meta["transient"]) == ("text", ["state"])
        assert back.outcome.success
        assert back.steps[-1].info["request_result"]["scores"]["request_success"]


def test_an_empty_answer_ends_no_request_and_an_unreadable_one_changes_nothing() -> None:
    results, _ = play(LLMAgent(ScriptedBackend(lambda request: "")))
    assert results == []
    env = VehicleWorldEnv(tasks=dialogues())
    env.reset(seed=0, options={"task": "mixed"})
    *_, info = env.step(Message("assistant", raw="?", error="No action could be read."))
    assert info["action_error"] == "No action could be read."
    assert env.view()["round"] == 0

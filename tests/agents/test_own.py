from __future__ import annotations

import asyncio
import functools
import inspect
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.agents import Agent, AgentRecord, OtherSeats, RolloutEngine, Seats, evaluate, make_agent
from palaestra.agents.own import NotAnAction, OwnAgent, answered, as_agent
from palaestra.errors import UsageError
from palaestra.types import Message, Usage
from tests.agents.countdown import ENV_ID, CountdownEnv, plans

DOWN = Message("assistant", "down")


def say_down(observation: str, info: Mapping[str, Any]) -> str:
    assert observation.endswith("left")
    return "down"


async def say_down_later(observation: str, info: Mapping[str, Any]) -> Message:
    await asyncio.sleep(0)
    return DOWN


class Plain:
    """An object with `act` and nothing else."""

    def act(self, observation: str, info: Mapping[str, Any]) -> str:
        return "down"


class Counting:
    """Keeps something between turns: the same answer in every episode only if nobody shares it."""

    name = "counting"
    version = "2"

    def reset(self, info: Mapping[str, Any]) -> None:
        self.left = int(info["task"]["type"].removeprefix("from-"))

    async def act(self, observation: str, info: Mapping[str, Any]) -> str:
        assert observation == f"{self.left} left"
        await asyncio.sleep(0)
        self.left -= 1
        return "down"


class Callable_:
    def __call__(self, observation: str, info: Mapping[str, Any]) -> str:
        return "down"


class WithActAlone(Agent):
    """A subclass that writes no `aact`."""

    def act(self, observation: str, info: Mapping[str, Any]) -> Message:
        return DOWN


PLAYERS: dict[str, Any] = {
    "function": say_down,
    "lambda": lambda observation, info: "down",
    "partial": functools.partial(lambda word, observation, info: word, "down"),
    "async function": say_down_later,
    "bound method": Plain().act,
    "callable": Callable_(),
    "object": Plain(),
    "object with state": Counting(),
    "act alone": WithActAlone(),
    "agent": make_agent("expert"),
}


@pytest.mark.parametrize("player", PLAYERS.values(), ids=PLAYERS)
def test_whatever_can_act_is_evaluated_and_played(player: Any) -> None:
    done = evaluate(ENV_ID, player, n=12)
    assert (done.summary.success.mean, done.summary.errors) == (1.0, {})
    played = RolloutEngine().collect(plans(6), player)
    assert all(one.outcome.success for one in played)


def test_names_and_versions_are_the_players_own() -> None:
    names = [as_agent(PLAYERS[key]).name for key in ("function", "lambda", "object", "object with state", "callable")]
    assert names == ["say_down", "function", "Plain", "counting", "Callable_"]
    assert (as_agent(Counting()).version, as_agent(say_down).version) == ("2", "")


def test_an_agent_stays_the_agent_it_is() -> None:
    agent = make_agent("random")
    assert as_agent(agent) is agent


@given(st.sets(st.sampled_from(["env", "session"])))
def test_reset_is_told_what_it_takes(wanted: set[str]) -> None:
    told: dict[str, Any] = {}
    source = f"def reset(self, info{''.join(f', {name}=None' for name in sorted(wanted))}): told.update(locals())"
    space: dict[str, Any] = {"told": told}
    exec(source, space)
    player = type("Told", (Plain,), {"reset": space["reset"]})()
    agent = as_agent(player).fork()
    agent.reset({"task": 1}, env="the env", session="s")  # type: ignore[arg-type]
    assert {key: told[key] for key in told if key != "self"} == {
        "info": {"task": 1},
        **{key: value for key, value in {"env": "the env", "session": "s"}.items() if key in wanted},
    }


def test_usage_and_closing_are_asked_of_the_player() -> None:
    closed: list[str] = []

    class Dear(Plain):
        def fork(self) -> Dear:
            return self

        def record(self) -> AgentRecord:
            return AgentRecord(Usage(calls=7))

        async def aclose(self) -> None:
            closed.append("later")

    class Closable(Plain):
        def fork(self) -> Closable:
            return self

        def close(self) -> None:
            closed.append("now")

    [played] = RolloutEngine().collect(plans(1), Dear(), close_agent=True)
    assert played.usage.calls == 7
    evaluate(ENV_ID, Closable(), n=1, close_agent=True)
    assert closed == ["later", "now"]


def takes_nothing() -> str:
    return "down"


def yields(observation: str, info: Any) -> Any:
    yield "down"


class NoAct:
    pass


class ActIsText:
    act = "down"


class ShortAct:
    def act(self, observation: str) -> str:
        return "down"


class OddReset(Plain):
    def reset(self) -> None: ...


class DemandingReset(Plain):
    def reset(self, info: Any, mood: str) -> None: ...


class NotCopied(Plain):
    def __init__(self) -> None:
        self.lock = threading.Lock()


class OddFork(Plain):
    def fork(self, how: str) -> OddFork:
        return self


class AgentWithShortReset(Agent):
    def reset(self, info: Any) -> None: ...  # type: ignore[override]

    async def aact(self, observation: str, info: Any) -> Message:
        return DOWN


class AgentWithShortAact(Agent):
    async def aact(self, observation: str) -> Message:  # type: ignore[override]
        return DOWN


class ForkOf(Plain):
    def __init__(self, found: Any) -> None:
        self.found = found

    def fork(self) -> Any:
        if isinstance(self.found, BaseException):
            raise self.found
        return self.found


class RecordOf(Plain):
    def __init__(self, found: Any) -> None:
        self.found = found

    def record(self) -> Any:
        return self.found


class AgentForkOf(WithActAlone):
    def __init__(self, found: Any) -> None:
        self.found = found

    fork = ForkOf.fork


WRONG: dict[str, tuple[Any, str]] = {
    "text": ("expert", r"got the text 'expert'.* make_agent\('expert'\)"),
    "none": (None, "got a NoneType; expected an Agent, a function"),
    "number": (3, "It has no method act"),
    "class": (Plain, "got the class Plain.* Give an instance"),
    "no act": (NoAct(), "got a NoAct; expected .*no method act"),
    "act is a text": (ActIsText(), "got a ActIsText; .*act is not a method"),
    "no parameters": (takes_nothing, r"takes_nothing\(\) -> 'str' cannot be called with \(observation, info\)"),
    "generator": (yields, "yields yields; expected a function that returns one action"),
    "act of one": (ShortAct(), "ShortAct.act.* too many positional arguments"),
    "reset of nothing": (OddReset(), "OddReset.reset.* cannot be called"),
    "reset of more": (DemandingReset(), "missing a required argument: 'mood'"),
    "not copied": (NotCopied(), r"cannot be copied .*Give it a method fork\(\)"),
    "fork of more": (OddFork(), "OddFork.fork"),
    "fork to nothing": (ForkOf(None), r"ForkOf.fork\(\) returned None; expected a player with act"),
    "fork to a text": (ForkOf("x"), r"ForkOf.fork\(\) returned a str without act"),
    "fork raises": (ForkOf(KeyError("x")), r"ForkOf.fork\(\) raised KeyError: 'x' \(in ForkOf.fork, test_own.py:\d+\)"),
    "fork exits": (ForkOf(SystemExit(3)), r"ForkOf.fork\(\) raised SystemExit: 3"),
    "record of nothing": (RecordOf(None), r"RecordOf.record\(\) returned None; expected an AgentRecord"),
    "record of a dict": (RecordOf({}), r"RecordOf.record\(\) returned a dict"),
    "agent, reset": (AgentWithShortReset(), r"cannot be called with \(info, env=, session=\)"),
    "agent, aact": (AgentWithShortAact(), r"cannot be called with \(observation, info\)"),
}


@pytest.mark.parametrize(("player", "message"), WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("take", ["evaluate", "collect", "Seats", "OtherSeats"])
def test_what_cannot_play_is_one_error_before_the_first_episode(take: str, player: Any, message: str) -> None:
    made = CountdownEnv.made
    takers: dict[str, Callable[[], Any]] = {
        "evaluate": lambda: evaluate(ENV_ID, player, n=1),
        "collect": lambda: RolloutEngine().collect(plans(1), player),
        "Seats": lambda: Seats(make_agent("random"), bob=player),
        "OtherSeats": lambda: OtherSeats(gymnasium.make("toys/Meeting-v0"), {"bob": player}),
    }
    with pytest.raises(UsageError, match=message) as caught:
        takers[take]()
    assert "\n" not in str(caught.value)
    assert CountdownEnv.made == made


@pytest.mark.parametrize("found", [None, "x", Plain(), KeyError("x"), SystemExit(3)], ids=lambda one: type(one).__name__)
def test_a_fork_of_an_agent_is_tried_before_the_first_episode(found: Any) -> None:
    made = CountdownEnv.made
    with pytest.raises(UsageError, match=r"agent.fork\(\) (returned|raised) .*(None|str|Plain|KeyError: 'x'|SystemExit: 3)"):
        evaluate(ENV_ID, AgentForkOf(found), n=1)
    assert CountdownEnv.made == made
    if not isinstance(found, BaseException):
        with pytest.raises(UsageError, match=r"agent.fork\(\) returned"):
            RolloutEngine().collect(plans(1), AgentForkOf(found))


def test_a_record_of_an_agent_that_is_none_ends_the_run() -> None:
    player = type("odd", (WithActAlone,), {"record": lambda self: {}})()
    with pytest.raises(UsageError, match=r"agent.record\(\) returned a dict; expected an AgentRecord"):
        evaluate(ENV_ID, player, n=3)


class Raises(Plain):
    """Raises in one method, once an episode is played."""

    def __init__(self, method: str, error: BaseException) -> None:
        self.method, self.error, self.forks = method, error, 0

    def _raise(self, method: str) -> None:
        if method == self.method:
            raise self.error

    def reset(self, info: Mapping[str, Any]) -> None:
        self._raise("reset")

    def act(self, observation: str, info: Mapping[str, Any]) -> str:
        self._raise("act")
        return "down"

    def fork(self) -> Raises:
        self.forks += 1
        if self.forks > 1:
            self._raise("fork")
        return self

    def record(self) -> AgentRecord:
        self._raise("record")
        return AgentRecord()


class OddExit(BaseException):
    pass


@pytest.mark.parametrize("error", [KeyError("x"), SystemExit(3), OddExit("x"), ValueError()], ids=repr)
@pytest.mark.parametrize("method", ["reset", "act", "fork"])
@pytest.mark.parametrize("is_seated", [False, True])
def test_an_error_of_the_players_own_says_where_it_was_raised(method: str, error: BaseException, is_seated: bool) -> None:
    player: Any = Raises(method, error)
    agent = Seats(make_agent("random"), bob=player) if is_seated else player
    done = evaluate("toys/Meeting-v0" if is_seated else ENV_ID, agent, n=2)
    assert (done.status, done.summary.total.num_errors) == ("finished", 2)
    [(cause, message)] = done.summary.error_messages.items()
    assert cause.endswith(f": {type(error).__name__}")
    method = rf"Raises.{method}, test_own.py:\d+"
    assert re.search(rf"\(in {method}\)$", message), message
    assert message.startswith(str(error) or "ValueError without a message")


@pytest.mark.parametrize("error", [ValueError("at the end"), SystemExit(3)], ids=repr)
@pytest.mark.parametrize("method", ["close", "aclose"])
@pytest.mark.parametrize("is_seated", [False, True])
def test_an_agent_that_cannot_be_closed_is_a_warning(
    is_seated: bool, method: str, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(self: Any) -> None:
        raise error

    player: Any = type("Sticky", (Plain,), {method: fail})()
    agent = Seats(player, bob=player) if is_seated else player
    env_id = "toys/Meeting-v0" if is_seated else ENV_ID
    done = evaluate(env_id, agent, n=1, close_agent=True)
    assert (done.status, done.summary.total.num_episodes) == ("finished", 1)
    if not is_seated:
        RolloutEngine().collect(plans(1), player, close_agent=True)
    lines = [one.getMessage() for one in caplog.records]
    assert len(lines) == 2
    for line in lines:
        assert line.startswith(f"The agent 'Sticky' could not be closed: {type(error).__name__}: {error} (in "), line


SETTINGS: dict[str, Any] = {
    "an object": object(),
    "an object in it": {"x": object()},
    "a list": [1],
    "nothing": None,
    "no number": {"x": float("nan")},
    "a set": {"x": {1, "a"}},
    "raised": KeyError("x"),
}


@pytest.mark.parametrize("found", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("base", [Plain, WithActAlone])
@pytest.mark.parametrize("is_seated", [False, True])
def test_settings_that_are_not_plain_json_are_refused_before_the_first_episode(base: Any, found: Any, is_seated: bool) -> None:
    def shaped_by(self: Any) -> Any:
        if isinstance(found, Exception):
            raise found
        return found

    player = type("Shaped", (base,), {"shaped_by": shaped_by, "name": "Shaped"})()
    made = CountdownEnv.made
    agent: Any = Seats(make_agent("random"), bob=player) if is_seated else player
    with pytest.raises(UsageError, match=r"^shaped_by\(\) of the agent 'Shaped' .*expected a dict of plain JSON"):
        evaluate("toys/Meeting-v0" if is_seated else ENV_ID, agent, n=1)
    assert CountdownEnv.made == made


@pytest.mark.parametrize("answer", [None, 3, b"down", {"content": "down"}, ["down"], Message("user", "down")])
def test_an_answer_that_is_no_action_stops_the_run(answer: Any) -> None:
    with pytest.raises(NotAnAction, match=r"'odd' returned a .*; expected an assistant Message or a str"):
        evaluate(ENV_ID, type("odd", (), {"act": lambda self, observation, info: answer})(), n=3)


@given(st.text())
def test_a_text_stands_for_itself_without_its_reasoning(text: str) -> None:
    assert answered(f"<think>hm</think>{text}").content.strip() == answered(text).content.strip()


def test_seats_take_functions() -> None:
    env = OtherSeats(gymnasium.make("toys/Meeting-v0"), {"bob": lambda o, i: "park", "cleo": Callable_()})
    env.reset(seed=0)
    observation, *_ = env.step("museum")
    assert "park" in observation
    assert [agent.name for agent in Seats(say_down, bob=say_down).others.values()] == ["say_down"]


def test_a_subclass_without_act_and_aact_is_still_abstract() -> None:
    assert inspect.isabstract(type("Empty", (Agent,), {}))
    assert not inspect.isabstract(WithActAlone)
    assert isinstance(as_agent(say_down), OwnAgent)

"""The record of a run: what it names, and what is refused when a run is resumed with something else."""

from __future__ import annotations

import functools
import json
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.agents import ContextPolicy, LLMAgent, RandomAgent, RunStore, Sampling, Seats, evaluate, make_agent, rescore
from palaestra.agents.backends.checkpoints import weights_digest
from palaestra.agents.backends.local import LocalBackend
from palaestra.agents.backends.scripted import ScriptedBackend, ScriptedReply
from palaestra.agents.core import Agent
from palaestra.agents.evaluation.planning import MAX_KEYS, PlannedTasks
from palaestra.agents.evaluation.resuming import RECORD, RECORD_VERSION, YOUNGER, briefly
from palaestra.agents.reference import ExpertAgent, HumanAgent, NothingAgent
from palaestra.agents.report import render_report
from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.envs.core.tasks import FixedTasks, Task
from palaestra.errors import BudgetError, ConfigError
from palaestra.models.tiny_lm import build_tiny_lm
from palaestra.spaces import TextSpace
from palaestra.types import Message
from tests.agents.countdown import ENV_ID, Steady, Wavering


class Board(gymnasium.Env[str, str]):
    """An environment whose task set comes from outside, as a folder of data does."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks = FixedTasks(tasks)
        self.observation_space = self.action_space = TextSpace()

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        return "go", {"task": self.tasks.find(options["task"]).public()}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        return "end", 0.0, True, False, {"success": False}


class BoardOf:
    """Makes boards with the tasks that are there now."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks = tasks

    def __call__(self, plan: EpisodePlan) -> Board:
        return Board(self.tasks)


def made(plan: EpisodePlan) -> Any:
    return gymnasium.make(plan.env_id)


class Both:
    """Makes two environments."""

    def __call__(self, plan: EpisodePlan) -> Any:
        return Board(tasks_of("a0")) if plan.env_id == "any/Board-v0" else gymnasium.make(plan.env_id)


def model(name: str = "scripted") -> ScriptedBackend:
    return ScriptedBackend([ScriptedReply(Message("assistant", "down"), repeat=True)], name=name)


def named(**options: Any) -> LLMAgent:
    """An agent whose name says nothing of its settings."""
    return LLMAgent(options.pop("backend", None) or model(), name="mine", **{"format": "text", **options})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    with RunStore(tmp_path) as opened:
        yield opened


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "temperature": ({"sampling": Sampling(temperature=0.2)}, r"agent_settings\.sampling\.temperature was 1\.0, now 0\.2"),
    "seed": ({"sampling": Sampling(seed=3)}, r"agent_settings\.sampling\.seed was None, now 3"),
    "extra": ({"sampling": Sampling(extra={"top_k": 5})}, r"agent_settings\.sampling\.extra\.top_k was None, now 5"),
    "prompt": ({"system_prompt": "Be brief."}, r"agent_settings\.system_prompt was '', now 'Be brief\.'"),
    "format": ({"format": "react"}, r"agent_settings\.format was 'text', now 'react'"),
    "model": ({"backend": model("other")}, r"agent_settings\.model was 'scripted', now 'other'"),
    "instructions": ({"instructions_as": "user"}, r"agent_settings\.instructions_as was 'system', now 'user'"),
    "media": ({"media": "text"}, r"agent_settings\.media was 'send', now 'text'"),
    "cut": ({"cut": "play"}, r"agent_settings\.cut was 'refuse', now 'play'"),
    "context": ({"context": ContextPolicy(keep_turns=3)}, r"agent_settings\.context\.keep_turns was \d+, now 3"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_shapes_the_answers_of_an_agent_is_named_and_compared(store: RunStore, change: str) -> None:
    options, words = CHANGES[change]
    evaluate(ENV_ID, named(), n=2, store=store, run_id="r")
    with pytest.raises(ConfigError, match=words):
        evaluate(ENV_ID, named(**options), n=2, store=store, run_id="r")
    assert evaluate(ENV_ID, named(), n=2, store=store, run_id="r").status == "finished"


def test_the_record_names_model_sampling_format_prompt_and_tasks(store: RunStore) -> None:
    sampling = Sampling(temperature=0.3, max_tokens=17)
    evaluate(ENV_ID, named(sampling=sampling, system_prompt="Be brief."), n=2, store=store, run_id="r")
    config = store.config("r")
    found = config["agent_settings"]
    assert (found["model"], found["format"], found["system_prompt"]) == ("scripted", "text", "Be brief.")
    assert (found["sampling"]["temperature"], found["sampling"]["max_tokens"]) == (0.3, 17)
    [tasks] = config["tasks"]
    assert (tasks["count"], tasks["keys"]) == (2, ["test/0", "test/1"])
    assert len(tasks["digest"]) == 16


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (RandomAgent(0), RandomAgent(1), r"agent_settings\.seed was 0, now 1"),
        (NothingAgent("a"), NothingAgent("b"), r"agent_settings\.text was 'a', now 'b'"),
    ],
)
def test_reference_agents_say_what_shapes_them(store: RunStore, first: Agent, second: Agent, words: str) -> None:
    evaluate(ENV_ID, first, n=2, store=store, run_id="r")
    with pytest.raises(ConfigError, match=words):
        evaluate(ENV_ID, second, n=2, store=store, run_id="r")


def test_agents_of_ones_own_say_it_by_version_or_by_shaped_by(store: RunStore) -> None:
    class Mine:
        name = "mine"

        def __init__(self, version: str, strength: int) -> None:
            self.version, self.strength = version, strength

        def shaped_by(self) -> dict[str, Any]:
            return {"strength": self.strength}

        def act(self, observation: str, info: Mapping[str, Any]) -> str:
            return "down"

    evaluate(ENV_ID, Mine("1", 2), n=2, store=store, run_id="r")
    assert store.config("r")["agent_settings"] == {"version": "1", "strength": 2}
    for other, words in ((Mine("2", 2), "version was '1', now '2'"), (Mine("1", 3), "strength was 2, now 3")):
        with pytest.raises(ConfigError, match=words):
            evaluate(ENV_ID, other, n=2, store=store, run_id="r")


def test_options_of_a_backend_that_shape_its_answers_are_named_and_secrets_are_not(store: RunStore) -> None:
    def agent(**options: Any) -> Agent:
        return make_agent("http://127.0.0.1:9/v1#stub", format="text", name="mine", max_retries=0, **options)

    options = {"api_key": "sk-very-secret-1", "send_reasoning": True, "timeout_s": 3.0}
    evaluate(ENV_ID, agent(**options), n=1, store=store, run_id="r")
    assert store.config("r")["agent_settings"]["backend"] == {"send_reasoning": True}
    assert "very-secret" not in json.dumps(store.config("r"))
    again = {**options, "api_key": "sk-another-secret-2", "timeout_s": 5.0}
    assert evaluate(ENV_ID, agent(**again), n=1, store=store, run_id="r").status == "finished"
    with pytest.raises(ConfigError, match=r"agent_settings\.backend\.send_reasoning was True, now False"):
        evaluate(ENV_ID, agent(**{**options, "send_reasoning": False}), n=1, store=store, run_id="r")


def test_agents_in_other_seats_and_who_makes_environments_are_named(store: RunStore) -> None:
    def play(seed: int, **options: Any) -> None:
        agent = Seats(RandomAgent(), answerer=RandomAgent(seed))
        evaluate("palaestra/TwentyQuestions-v1", agent, n=1, max_turns=2, store=store, run_id="r", **options)

    play(0)
    assert store.config("r")["seat_settings"] == {"answerer": {"seed": 0}}
    with pytest.raises(ConfigError, match=r"seat_settings\.answerer\.seed was 0, now 4"):
        play(4)
    with pytest.raises(ConfigError, match=r"make_env was None, now '.*test_resuming:made'"):
        play(0, make_env=made)


def tasks_of(*keys: str, **data: Any) -> list[Task]:
    return [Task(key, "test", "", data) for key in keys]


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (tasks_of("b0", "b1", "b2"), r"the tasks were 3 \('a0', 'a1', 'a2'\), now 3 \('b0', 'b1', 'b2'\)"),
        (tasks_of("a0", "a1"), r"the tasks were 3 \('a0', 'a1', 'a2'\), now 2 \('a0', 'a1'\)"),
        (tasks_of("a1", "a0", "a2"), "the tasks were 3"),
        (tasks_of("a0", "a1", "a2", goal="other"), "now 3 .*, and under the same keys others than before"),
    ],
)
def test_a_task_set_that_was_changed_is_refused(store: RunStore, now: list[Task], words: str) -> None:
    board = BoardOf(tasks_of("a0", "a1", "a2"))
    evaluate("any/Board-v0", Steady(), store=store, run_id="r", make_env=board)
    board.tasks = now
    with pytest.raises(ConfigError, match=words):
        evaluate("any/Board-v0", Steady(), store=store, run_id="r", make_env=board)
    assert len(store.episodes("r")) == 3
    board.tasks = tasks_of("a0", "a1", "a2")
    assert evaluate("any/Board-v0", Steady(), store=store, run_id="r", make_env=board).num_planned == 3


def tasks() -> st.SearchStrategy[list[Task]]:
    task = st.builds(
        Task, st.sampled_from("abc"), st.just("test"), st.sampled_from(["", "x"]), st.dictionaries(st.text(), st.integers())
    )
    return st.lists(task, min_size=1, max_size=3, unique_by=lambda one: one.key)


@settings(max_examples=25, deadline=None)
@given(first=tasks(), second=tasks())
def test_a_run_is_resumed_if_and_only_if_its_tasks_are_the_same(first: list[Task], second: list[Task]) -> None:
    with tempfile.TemporaryDirectory() as folder, RunStore(folder) as store:
        evaluate("any/Board-v0", Steady(), n=None, store=store, run_id="r", make_env=BoardOf(first))
        try:
            done = evaluate("any/Board-v0", Steady(), n=None, store=store, run_id="r", make_env=BoardOf(second))
        except ConfigError:
            assert first != second
        else:
            assert first == second
            assert done.summary.total.num_episodes == done.num_planned == len(first)


def test_data_that_is_not_json_and_many_keys_are_no_obstacle() -> None:
    def record(tasks: Sequence[Task | None]) -> dict[str, Any]:
        found = PlannedTasks()
        for task in tasks:
            found.add(task)
        return found.to_json()

    odd = Task("k", "test", "", {"engine": object()})  # type: ignore[dict-item]
    assert record([odd]) == record([replace(odd, data={"engine": object()})])
    assert record([None, None]) == {"count": 2}
    many = [Task(f"k{i}", "test") for i in range(MAX_KEYS + 1)]
    assert record(many).keys() == {"count", "digest"}
    assert record(many) != record([*many[:-1], Task("other", "test")])
    assert record([Task("\ud800", "test")]) != record([Task("\ud801", "test")])


def older(store: RunStore, run_id: str) -> None:
    """Make the record of a run what earlier versions wrote."""
    store.set_config(run_id, {key: value for key, value in store.config(run_id).items() if key not in YOUNGER})


def test_a_run_of_an_earlier_version_is_resumed_and_its_record_completed(
    store: RunStore, caplog: pytest.LogCaptureFixture
) -> None:
    evaluate(ENV_ID, named(), n=3, samples=2, store=store, run_id="r")
    whole = store.config("r")
    older(store, "r")
    evaluate(ENV_ID, named(system_prompt="never played"), n=3, samples=2, store=store, run_id="r")
    assert not store.config("r").keys() & set(YOUNGER), "nothing was left to play"
    store.set_status("r", "stopped")
    with caplog.at_level(logging.WARNING):
        done = evaluate(ENV_ID, named(), n=3, samples=2, store=store, run_id="r")
    assert (done.summary.total.num_episodes, store.config("r")) == (6, whole)
    [told] = [record.getMessage() for record in caplog.records]
    assert told.startswith("Run 'r' was created by an earlier version")
    assert "its 6 episodes" in told
    with pytest.raises(ConfigError, match="system_prompt was ''"):
        evaluate(ENV_ID, named(system_prompt="x"), n=3, samples=2, store=store, run_id="r")
    older(store, "r")
    store.set_status("r", "stopped")
    with pytest.raises(ConfigError, match="agent was 'mine', now 'wavering'"):
        evaluate(ENV_ID, Wavering(), n=3, samples=2, store=store, run_id="r")


class Told(Agent):
    """Says what its settings are, and is out of budget after so many answers."""

    name = "told"

    def __init__(self, answers: int = 99, /, **told: Any) -> None:
        self.told, self.left = told, [answers]

    def shaped_by(self) -> dict[str, Any]:
        return self.told

    async def aact(self, observation: str, info: Mapping[str, Any]) -> Message:
        self.left[0] -= 1
        if self.left[0] < 0:
            raise BudgetError("spent")
        return Message("assistant", "down")


def told_settings() -> st.SearchStrategy[dict[str, Any]]:
    """Settings as agents name them, also in the groups in which later versions may name more."""
    names = st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from([None, 0, "x"]), max_size=2)
    groups = st.fixed_dictionaries({}, optional={"sampling": names, "context": names, "backend": names})
    return st.builds(lambda flat, grouped: {**flat, **grouped}, names, groups)


def without_nulls(settings: Any) -> Any:
    """Return settings in which null and missing are the same, and so are an empty group and none."""
    if not isinstance(settings, dict):
        return settings
    kept = {key: without_nulls(value) for key, value in settings.items()}
    return {key: value for key, value in kept.items() if value not in (None, {})}


@settings(max_examples=60, deadline=None)
@given(first=told_settings(), second=told_settings())
def test_a_run_of_this_version_is_resumed_if_and_only_if_the_agent_says_the_same(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    with tempfile.TemporaryDirectory() as folder, RunStore(folder) as store:
        assert evaluate(ENV_ID, Told(1, **first), n=2, max_turns=1, store=store, run_id="r", concurrency=1).status == "stopped"
        whole = store.config("r")
        try:
            done = evaluate(ENV_ID, Told(**second), n=2, max_turns=1, store=store, run_id="r")
        except ConfigError:
            assert first != second
        else:
            assert without_nulls(first) == without_nulls(second)
            assert done.summary.total.num_episodes == 2
        assert store.config("r") == whole


def test_a_record_of_an_earlier_version_may_lack_names_once(store: RunStore, caplog: pytest.LogCaptureFixture) -> None:
    old: dict[str, Any] = {"a": 1, "sampling": {"top_p": 1}, "context": {"keep": 2}}
    new: dict[str, Any] = {"a": 1, "b": 2, "sampling": {"top_p": 1, "top_k": 5}, "context": {"keep": 2, "to": 3}}

    def play(answers: int, **told: Any) -> None:
        evaluate(ENV_ID, Told(answers, **told), n=3, max_turns=1, store=store, run_id="r", concurrency=1)

    play(1, **old)
    store.set_config("r", {key: value for key, value in store.config("r").items() if key != RECORD})
    with pytest.raises(ConfigError, match=r"settings: agent_settings\.a was 1, now None"):
        play(1, **{key: value for key, value in new.items() if key != "a"})
    with caplog.at_level(logging.WARNING):
        play(1, **new)
    [told] = [record.getMessage() for record in caplog.records]
    assert told.startswith("Run 'r' was created by an earlier version")
    assert "agent_settings.b, agent_settings.sampling.top_k, agent_settings.context.to: what its 1 episodes" in told
    assert (store.config("r")["agent_settings"], store.config("r")[RECORD]) == (new, RECORD_VERSION)
    caplog.clear()
    for further in ({**new, "c": 1}, {**new, "sampling": {**new["sampling"], "c": 1}}, old):
        with pytest.raises(ConfigError, match="was created with other settings"):
            play(1, **further)
    play(99, **new)
    assert (len(store.episodes("r")), caplog.records) == (3, [])


def test_a_complete_record_of_an_earlier_version_is_marked_without_a_warning(
    store: RunStore, caplog: pytest.LogCaptureFixture
) -> None:
    def play(answers: int, **told: Any) -> None:
        evaluate(ENV_ID, Told(answers, **told), n=2, max_turns=1, store=store, run_id="r", concurrency=1)

    play(1, a=1)
    whole = store.config("r")
    store.set_config("r", {key: value for key, value in whole.items() if key != RECORD})
    with caplog.at_level(logging.WARNING):
        play(0, a=1)
    assert (store.config("r"), caplog.records) == (whole, [])
    with pytest.raises(ConfigError, match=r"agent_settings\.b was None, now 2"):
        play(1, a=1, b=2)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (("agent_settings", "backend", "x"), r"agent_settings\.backend\.x was None, now 1"),
        (("seat_settings", "answerer", "sampling", "x"), r"seat_settings\.answerer\.sampling\.x was None, now 1"),
        (("seat_settings", "answerer", "sampling"), r"seat_settings\.answerer\.sampling was None, now \{'x': 1\}"),
        (("seat_settings", "answerer"), r"seat_settings\.answerer was None, now \{'sampling': \{'x': 1\}\}"),
        (("seat_settings",), "seat_settings was None, now"),
        (("seats", "answerer"), r"seats was \{\}, now"),
    ],
)
@pytest.mark.parametrize("version", [None, RECORD_VERSION])
def test_backends_and_seats_may_lack_names_in_the_record_of_no_version(
    store: RunStore, place: tuple[str, ...], words: str, version: int | None
) -> None:
    def play() -> None:
        agent = Seats(Told(backend={"x": 1}), answerer=Told(sampling={"x": 1}))
        evaluate("palaestra/TwentyQuestions-v1", agent, n=1, max_turns=1, store=store, run_id="r")

    play()
    config: dict[str, Any] = {**store.config("r"), RECORD: version}
    group = config
    for key in place[:-1]:
        group = group[key]
    del group[place[-1]]
    store.set_config("r", {key: value for key, value in config.items() if value is not None or key != RECORD})
    with pytest.raises(ConfigError, match=words):
        play()


class Strong:
    """Has a setting that it does not tell."""

    def __init__(self, strength: int = 1) -> None:
        self.strength = strength

    def act(self, observation: str, info: Mapping[str, Any]) -> str:
        return "down"


class Callable:
    """The same as a function that keeps it."""

    def __init__(self) -> None:
        self.strength = 1

    def __call__(self, observation: str, info: Mapping[str, Any]) -> str:
        return "down"


class Slotted:
    """The same without a dictionary."""

    __slots__ = ("strength",)

    def __init__(self) -> None:
        self.strength = 1

    def act(self, observation: str, info: Mapping[str, Any]) -> str:
        return "down"


class Bare:
    """Has no settings: what it is called is no setting."""

    def __init__(self) -> None:
        self.name = "bare"

    def act(self, observation: str, info: Mapping[str, Any]) -> str:
        return "down"


class Versioned(Strong):
    version = "1"


class Telling(Strong):
    def shaped_by(self) -> dict[str, Any]:
        return {"strength": self.strength}


class Inner(Agent):
    """A subclass with a setting that it does not tell."""

    def __init__(self, inner: Any = None) -> None:
        self.inner = inner

    async def aact(self, observation: str, info: Mapping[str, Any]) -> Message:
        return Message("assistant", "down")


def plain_function(observation: str, info: Mapping[str, Any]) -> str:
    return "down"


def with_default(observation: str, info: Mapping[str, Any], strength: int = 1) -> str:
    return "down"


def with_argument(strength: int, observation: str, info: Mapping[str, Any]) -> str:
    return "down"


def closure(strength: int) -> Any:
    return lambda observation, info: "down" * strength


UNTOLD = {
    "object": Strong(),
    "slots": Slotted(),
    "callable": Callable(),
    "method": Strong().act,
    "closure": closure(1),
    "default": with_default,
    "partial": functools.partial(with_argument, 2),
    "subclass": Inner(),
}
TOLD = {
    "function": plain_function,
    "lambda": lambda observation, info: "down",
    "partial of nothing": functools.partial(plain_function),
    "bare": Bare(),
    "method of a bare one": Bare().act,
    "version": Versioned(),
    "shaped_by": Telling(),
    "model": named(),
    "random": RandomAgent(),
    "expert": ExpertAgent(),
    "human": HumanAgent(lambda prompt: "down", lambda text: None),
}


@pytest.mark.parametrize("who", [*UNTOLD, *TOLD])
def test_resuming_with_settings_that_no_record_names_warns_once(
    store: RunStore, caplog: pytest.LogCaptureFixture, who: str
) -> None:
    def play() -> list[str]:
        caplog.clear()
        evaluate(ENV_ID, {**UNTOLD, **TOLD}[who], n=2, max_turns=1, store=store, run_id="r")
        return [record.getMessage() for record in caplog.records]

    with caplog.at_level(logging.WARNING):
        assert play() == [], "a new run"
        assert play() == [], "nothing is left to play"
        store.set_status("r", "stopped")
        told = play()
    assert len(told) == (who in UNTOLD)
    for one in told:
        assert one.startswith("Run 'r' is resumed with the agent '")
        assert "whether its 2 episodes were played with the same ones cannot be compared" in one


def test_agents_in_seats_are_named_in_the_warning(store: RunStore, caplog: pytest.LogCaptureFixture) -> None:
    def play(run_id: str, policy: Any, answerer: Any) -> list[str]:
        caplog.clear()
        for _ in range(2):
            agent = Seats(policy, answerer=answerer)
            evaluate("palaestra/TwentyQuestions-v1", agent, n=1, max_turns=1, store=store, run_id=run_id)
            store.set_status(run_id, "stopped")
        return [record.getMessage() for record in caplog.records]

    with caplog.at_level(logging.WARNING):
        assert play("r", RandomAgent(), RandomAgent()) == []
        [one] = play("s", RandomAgent(), Strong())
        [both] = play("t", Strong(), Strong())
    assert "resumed with the agent in the seat 'answerer', whose" in one
    assert "resumed with the agent 'Strong' and the agent in the seat 'answerer', whose" in both


def test_episodes_of_other_tasks_in_a_run_of_an_earlier_version_are_refused(store: RunStore) -> None:
    board = BoardOf(tasks_of("a0", "a1"))
    evaluate("any/Board-v0", Steady(), store=store, run_id="r", make_env=board)
    older(store, "r")
    board.tasks = tasks_of("a1", "a2")
    with pytest.raises(ConfigError, match=r"holds 1 episodes of tasks that are not planned any more.*'any/Board-v0/a0#0'"):
        evaluate("any/Board-v0", Steady(), store=store, run_id="r", make_env=board)


def test_scores_of_a_run_keep_its_record(store: RunStore) -> None:
    evaluate(ENV_ID, named(), n=2, store=store, run_id="r")
    rescore(store, "r", lambda trajectory: {"success": True}, into="s", name="all")
    again = rescore(store, "r", lambda trajectory: {"success": True}, into="s", name="all")
    assert again.summary.success.mean == 1
    assert {key: store.config("s")[key] for key in ("agent_settings", "tasks")} == {
        key: store.config("r")[key] for key in ("agent_settings", "tasks")
    }


def test_other_weights_and_another_chat_template_are_refused(store: RunStore) -> None:
    def local(seed: int, template: str = "") -> LLMAgent:
        weights, tokenizer = build_tiny_lm(["down"] * 4, hidden_size=16, num_layers=1, num_heads=2, seed=seed)
        tokenizer.chat_template += template
        return LLMAgent(LocalBackend(weights, tokenizer, max_tokens=4), format="text", cut="play")

    def play(agent: LLMAgent, run_id: str, **config: Any) -> None:
        evaluate(ENV_ID, agent, n=1, max_turns=1, store=store, run_id=run_id, extra_config=config)

    play(local(0), "r")
    play(local(0), "r")
    with pytest.raises(ConfigError, match=r"agent_settings\.backend\.weights was '[0-9a-f]{16}', now"):
        play(local(1), "r")
    with pytest.raises(ConfigError, match=r"agent_settings\.backend\.chat_template was"):
        play(local(0, "{# other #}"), "r")
    play(local(0), "t-final", training_run="t")
    play(local(1), "t-final", training_run="t")  # its weights are those of the checkpoints of the training run


def test_the_digest_of_weights_notices_every_parameter() -> None:
    weights, _ = build_tiny_lm(["down"] * 4, hidden_size=16, num_layers=1, num_heads=2)
    first = weights_digest(weights)
    assert weights_digest(weights) == first
    for parameter in weights.parameters():
        kept = parameter.data.clone()
        parameter.data.add_(1e-3)
        assert weights_digest(weights) != first
        parameter.data.copy_(kept)
    assert weights_digest(weights) == first
    assert weights_digest(weights.double()) != first


def test_readers_are_shown_number_and_digest_of_tasks(store: RunStore) -> None:
    evaluate([ENV_ID, "any/Board-v0"], Steady(), n=2, store=store, run_id="r", make_env=Both())
    config = store.config("r")
    first, second = config["tasks"]
    assert briefly(config)["tasks"] == f"2 (digest {first['digest']}), 1 (digest {second['digest']})"
    assert briefly({**config, "tasks": [{"count": 1234}]})["tasks"] == "1,234"
    assert briefly({"kind": "train"}) == {"kind": "train"}
    assert RECORD in config
    assert RECORD not in briefly(config)
    page = render_report(["r"], store=store)
    assert first["digest"] in page

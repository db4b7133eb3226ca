"""One seed of an evaluation reaches everything random: what agents draw, local samples, seeds of requests, other seats."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.agents import LLMAgent, RandomAgent, RolloutEngine, RunStore, Sampling, Seats, evaluate, make_agent
from palaestra.agents.backends.local import LocalBackend
from palaestra.agents.core import Agent, session_seed
from palaestra.agents.evaluation.planning import plan_evaluation
from palaestra.models.tiny_lm import build_tiny_lm
from palaestra.results.statistics import mean_interval
from palaestra.spaces import TextSpace
from palaestra.types import Message
from tests.agents.answering_server import AnsweringServer, chat

TEXTCRAFT = "palaestra/TextCraft-v0"
CONFIG = {"envs": [{"env_id": TEXTCRAFT, "env_kwargs": {}}], "split": "test", "n": 2, "samples": 2, "max_turns": 2}


def played(agent: Agent, folder: Path, env_id: str = TEXTCRAFT, **options: Any) -> dict[str, tuple[str, ...]]:
    """Evaluate, and return the actions by episode."""
    options = {"n": 2, "samples": 2, "max_turns": 2, **options}
    with RunStore(folder) as store:
        run = evaluate(env_id, agent, store=store, **options).run_id
        return {t.episode_id: tuple(step.action.content for step in t.steps) for t in store.trajectories(run)}


@pytest.fixture(scope="module")
def local() -> LLMAgent:
    model, tokenizer = build_tiny_lm(["Goal: craft planks.", "get 12 oak log"] * 4, hidden_size=32, num_layers=1, num_heads=2)
    return LLMAgent(LocalBackend(model, tokenizer, max_tokens=6), format="text", instructions_as="none", cut="play")


def seeded_server(server: AnsweringServer) -> None:
    """Make a server of a model that samples by the seed of the request."""
    server.answer = lambda body: chat(f"get {random.Random(body['seed']).randrange(10**6)} oak log")


@pytest.mark.parametrize("kind", ["random", "local", "local with a seed", "server", "server with a seed"])
def test_same_seed_same_run_and_other_seed_other_samples(kind: str, local: LLMAgent, tmp_path: Path) -> None:
    with AnsweringServer() as server:
        seeded_server(server)
        own = {"seed": 5} if kind.endswith("seed") else {}
        make: dict[str, Callable[[], Agent]] = {
            "random": lambda: RandomAgent(0),
            "local": lambda: LLMAgent(
                local.backend, format="text", instructions_as="none", sampling=Sampling(**own), cut="play"
            ),
            "server": lambda: make_agent(server.url, max_retries=0, format="text", **own),
        }
        agent = make[kind.partition(" ")[0]]()
        zero = played(agent, tmp_path, seed=0)
        assert played(agent, tmp_path, seed=0, concurrency=1) == zero, "by the same agent again, in another order"
        assert played(make[kind.partition(" ")[0]](), tmp_path, seed=0) == zero
        one = played(agent, tmp_path, seed=1)
        assert played(agent, tmp_path, seed=1) == one
    assert zero.keys() == one.keys()
    assert all(one[name] != actions for name, actions in zero.items())
    assert len(set(zero.values())) == len(zero), "the samples of a task differ"


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**63 - 1), other=st.integers(0, 2**63 - 1))
def test_the_plan_of_another_seed_draws_otherwise(seed: int, other: int) -> None:
    plans, others = (plan_evaluation({**CONFIG, "seed": one}) for one in (seed, other))
    drawn, apart = (
        [t.steps[0].action.content for t in RolloutEngine().collect(found, RandomAgent())] for found in (plans, others)
    )
    assert (drawn == apart) is (seed == other)
    assert ([plan.seed for plan in plans] == [plan.seed for plan in others]) is (seed == other)
    assert [plan.episode_id for plan in plans] == [plan.episode_id for plan in others]


def test_seed_0_draws_what_episodes_without_a_seed_in_their_names_drew() -> None:
    plans = plan_evaluation({**CONFIG, "seed": 0})
    assert {plan.session for plan in plans} == {""}
    first = RolloutEngine().collect(plans, RandomAgent())[0]
    env = gymnasium.make(TEXTCRAFT, max_turns=2)
    _, info = env.reset(seed=plans[0].seed, options={"task": plans[0].task_key})
    agent = RandomAgent(0)
    agent.reset(info, env=env, session=plans[0].episode_id)
    assert agent.act("", {}).content == first.steps[0].action.content


def test_requests_to_servers_bring_seeds_of_their_own(tmp_path: Path) -> None:
    with AnsweringServer() as server:
        seeded_server(server)
        name = next(iter(played(make_agent(server.url, format="text", temperature=0.7), tmp_path, n=3)))
        seeds = [body["seed"] for body in server.received]
        assert len(set(seeds)) == len(seeds) == 12
        assert {session_seed(name, 0), session_seed(name, 1)} < set(seeds)
        server.received.clear()
        played(make_agent(server.url, format="text", extra={"seed": None}), tmp_path, n=1)
    assert all("seed" not in body for body in server.received), "None in extra takes it out, as any field"


@pytest.mark.parametrize("status", [400, 422])
def test_a_server_that_refuses_seeds_is_asked_without(status: int, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    refusal = {"error": {"message": "Unrecognized request argument supplied: seed", "type": "invalid_request_error"}}
    with AnsweringServer() as server:
        server.answer = lambda body: (status, refusal) if "seed" in body else chat("inventory")
        with caplog.at_level(logging.WARNING):
            found = played(make_agent(server.url, max_retries=0, format="text"), tmp_path, n=3, concurrency=1)
        assert set(found.values()) == {("inventory", "inventory")}
        assert ["seed" in body for body in server.received] == [True] + [False] * 12
        assert [record.getMessage() for record in caplog.records if "seed" in record.getMessage()] == [
            f"{server.url} refuses the field seed; it is left out from now on, and samples are not repeatable."
        ]
        server.received.clear()
        asked = evaluate(TEXTCRAFT, make_agent(server.url, max_retries=0, format="text", seed=3), n=1)
        assert asked.summary.errors == {"model": 1}, "a seed that was asked for is never left out"
        assert len(server.received) == 1
        server.answer = lambda body: (status, {"error": {"message": "wheat seed: no such item"}})
        agent = make_agent(server.url, max_retries=0, format="text")
        assert evaluate(TEXTCRAFT, agent, n=1).summary.errors == {"model": 1}
        assert [("seed" in body) for body in server.received[1:]] == [True, False], "another fault is told as it is"


def test_the_other_seats_get_the_seed_too() -> None:
    def moves(seed: int) -> tuple[list[str], list[str]]:
        config = {**CONFIG, "envs": [{"env_id": "palaestra/TwentyQuestions-v1", "env_kwargs": {}}], "seed": seed}
        agent = Seats(RandomAgent(), answerer=RandomAgent())
        steps = [step for t in RolloutEngine().collect(plan_evaluation(config), agent) for step in t.steps]
        return tuple([step.action.content for step in steps if step.seat == seat] for seat in ("asker", "answerer"))  # type: ignore[return-value]

    (asked, answered), (other, told) = moves(0), moves(1)
    assert moves(0) == (asked, answered)
    assert asked != other
    assert answered != told


class Guess(gymnasium.Env[str, str]):
    """Solved by one of two words; all chance is the agent's."""

    def __init__(self) -> None:
        self.observation_space = TextSpace()
        self.action_space = TextSpace(sampler=lambda rng: ("heads", "tails")[int(rng.integers(2))])

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        return "heads or tails?", {}

    def step(self, action: str | Message) -> tuple[str, float, bool, bool, dict[str, Any]]:
        text = action if isinstance(action, str) else action.content
        return "", float(text == "heads"), True, False, {}


def test_intervals_over_seeds_are_as_wide_as_chance_makes_them() -> None:
    rates = [
        evaluate("any/Guess-v0", RandomAgent(), n=25, seed=seed, make_env=lambda plan: Guess()).summary.success.mean
        for seed in range(12)
    ]
    interval = mean_interval([[rate] for rate in rates])
    expected = 2 * 2.201 * (0.25 / 25 / 12) ** 0.5  # Student's t with 11 degrees of freedom, a fair coin
    assert expected / 2 < interval.high - interval.low < expected * 2

"""A run of three seats with a response cache is killed in mid-dialogue, and no answer of any seat is asked for again."""

from __future__ import annotations

import multiprocessing
import random
import time
from pathlib import Path
from typing import Any

import pytest

from palaestra.agents.backends.registry import make_backend
from palaestra.agents.evaluation.evaluation import evaluate
from palaestra.agents.llm import LLMAgent
from palaestra.agents.seats import Seats
from palaestra.agents.store.store import RunStore
from palaestra.envs.twenty_questions.things import ontology
from tests.agents.backends.fault_server import chat_completion, fault_server

ENV_ID, ARGUMENTS = "palaestra/TwentyQuestions-v1", {"things": 8, "judge": "each"}
NUM_TASKS, NUM_KILLS = 12, 4
QUESTIONS = [question.text() for question in ontology().questions[::11]]


def answer(body: dict[str, Any]) -> dict[str, Any]:
    """Answer as a model whose words follow from the dialogue alone, after a moment."""
    time.sleep(0.004)
    seat, said = body["model"], [message for message in body["messages"] if message["role"] == "assistant"]
    last = body["messages"][-1]["content"]
    if seat == "asker":
        return chat_completion(QUESTIONS[(len(said) + len(body["messages"][1]["content"])) % len(QUESTIONS)])
    if seat == "answerer":
        return chat_completion("Yes." if len(last) % 2 else "No.")
    return chat_completion("uphold" if len(last) % 3 else "overrule")


def play(url: str, folder: str, cache: str, run_id: str) -> None:
    """Play or resume the run."""
    agents = {
        seat: LLMAgent(make_backend(f"{url}#{seat}", cache=cache, cache_sampled=True, api_key="none"), name=seat)
        for seat in ("asker", "answerer", "judge")
    }
    policy = agents.pop("asker")
    options = {"n": NUM_TASKS, "max_turns": 5, "concurrency": 3, "close_agent": True}
    evaluate(ENV_ID, Seats(policy, **agents), env_kwargs=ARGUMENTS, store=folder, run_id=run_id, **options)


def episodes(folder: Path, run_id: str) -> dict[str, Any]:
    """Return what was played, without what it cost."""
    with RunStore(folder) as store:
        found = [trajectory.to_json() for trajectory in store.trajectories(run_id)]
    for data in found:
        for part in (data, *data["seats"].values()):
            part.pop("usage")
    return {data["episode_id"]: data for data in found}


@pytest.mark.skipif("forkserver" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_a_table_killed_in_mid_dialogue_resumes_without_asking_anybody_twice(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    rng = random.Random(7)
    with fault_server() as server:
        server.answer = answer
        play(server.base_url, str(tmp_path), str(tmp_path / "whole.cache"), "whole")
        whole, num_calls = episodes(tmp_path, "whole"), len(server.received)
        seats = {step["seat"] for data in whole.values() for step in data["steps"]}
        assert seats == {"asker", "answerer", "judge"}
        assert num_calls == sum(len(data["steps"]) for data in whole.values())

        server.received.clear()
        kills, in_play = 0, []
        while kills < NUM_KILLS:
            child = context.Process(
                target=play, args=(server.base_url, str(tmp_path), str(tmp_path / "killed.cache"), "killed")
            )
            before = len(server.received)
            child.start()
            wanted = before + rng.randint(10, num_calls // (NUM_KILLS + 2))
            while child.is_alive() and len(server.received) < wanted:
                time.sleep(0.001)
            child.kill()
            child.join()
            kills += 1
            in_play.append(num_kept(tmp_path))
        assert len(server.received) < num_calls, "the run was over before it was killed"
        play(server.base_url, str(tmp_path), str(tmp_path / "killed.cache"), "killed")
        assert episodes(tmp_path, "killed") == whole
        # only what was in flight at a kill, at most one request of each of three episodes, can be asked for again
        assert num_calls <= len(server.received) <= num_calls + 3 * NUM_KILLS
        assert any(0 < kept < NUM_TASKS for kept in in_play)


def num_kept(folder: Path) -> int:
    """Return how many episodes of the killed run are in the store."""
    with RunStore(folder) as store:
        runs = {run.run_id: run for run in store.runs()}
        return runs["killed"].num_episodes if "killed" in runs else 0

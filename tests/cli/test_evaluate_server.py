"""`palaestra evaluate` against servers: a real one that is not ours, and one that fails on purpose."""

from __future__ import annotations

import json

import pytest

from palaestra.agents.store.store import RunStore
from tests.agents.backends.fault_server import FAULTS, FINAL, chat_completion, fault_server
from tests.servers import transformers_server  # noqa: F401  (a fixture)

TEXTCRAFT, DESK = "palaestra/TextCraft-v0", "palaestra/Desk-v0"
RETRYABLE = sorted(name for name in FAULTS if name not in (*FINAL, "hang", "drip", "huge"))


@pytest.fixture
def evaluate(palaestra_run, tmp_path):
    """Evaluate and return the exit code, the only run of the answer, and its stored trajectories."""

    def run(*words):
        ran = palaestra_run("evaluate", "--runs", tmp_path / "runs", *words, "--json")
        assert ran.out, ran.err
        (found,) = json.loads(ran.out)["runs"]
        with RunStore(tmp_path / "runs", read_only=True) as store:
            return ran.code, found, list(store.trajectories(found["run_id"]))

    return run


@pytest.mark.parametrize(
    ("env_id", "format"), [(TEXTCRAFT, "react"), (TEXTCRAFT, "text"), (TEXTCRAFT, "tools"), (DESK, "tools"), (DESK, "json")]
)
def test_a_real_server_plays_every_episode_to_its_end(evaluate, transformers_server, env_id, format):  # noqa: F811
    words = ("--format", format, "-n", 3, "--max-turns", 2, "--max-tokens", 8, "--option", "cache_sampled=false")
    code, run, played = evaluate("--env", env_id, "--model", transformers_server.model_string, *words)
    assert code == 0, run
    summary = run["summary"]
    assert (summary["total"]["num_episodes"], summary["total"]["num_errors"], len(played)) == (3, 0, 3)
    assert summary["usage"]["calls"] == sum(len(t.steps) for t in played) >= 3
    assert summary["usage"]["prompt_tokens"] > 100
    assert 0 < summary["usage"]["completion_tokens"] <= 8 * summary["usage"]["calls"]
    if format == "tools":
        assert all(t.tools for t in played)


def test_the_address_may_be_given_apart_from_the_name(evaluate, transformers_server):  # noqa: F811
    words = ("--model", "openai:tiny", "--base-url", transformers_server.base_url, "--option", "api_key=none")
    code, run, _ = evaluate("--env", TEXTCRAFT, *words, "-n", 1, "--max-turns", 1, "--max-tokens", 4)
    assert code == 0, run


@pytest.mark.parametrize("client", ["aiohttp", "openai"])
def test_faults_that_pass_are_retried_and_no_episode_is_lost(evaluate, client):
    with fault_server() as server:
        server.answer = chat_completion("inventory")
        server.plan.extend(RETRYABLE)
        words = ("-n", 6, "--max-turns", 8, "--format", "text", "--retries", 30, "--option", f"client={client}")
        code, run, played = evaluate("--env", TEXTCRAFT, "--model", server.model_string, *words)
        assert not server.plan, "some faults were never met"
    assert code == 0, run["summary"]
    assert run["summary"]["total"]["num_errors"] == 0
    assert [len(t.steps) for t in played] == [8] * 6
    assert all(step.action.content == "inventory" for t in played for step in t.steps)


@pytest.mark.parametrize("fault", [*FINAL, "500", "cut body", "truncated json", "no choices", "html", "hang"])
def test_faults_that_stay_are_model_errors_and_never_failed_play(evaluate, fault):
    with fault_server() as server:
        server.default = fault
        words = ("-n", 3, "--retries", 0, "--timeout", 0.5, "--format", "text")
        code, run, played = evaluate("--env", TEXTCRAFT, "--model", server.model_string, *words)
    assert code == 3
    summary = run["summary"]
    assert summary["errors"] == {"model": 3}
    assert summary["total"]["num_tasks"] == 0
    assert summary["total"]["success"]["mean"] is None
    assert {t.outcome.error.boundary for t in played} == {"model"}
    assert all(t.outcome.score is None and t.outcome.success is None for t in played)


def test_episodes_that_met_a_fault_are_played_again_and_the_others_kept(evaluate):
    with fault_server() as server:
        server.answer = chat_completion("inventory")
        server.plan.extend(["ok", "ok", "400", "ok", "401"])
        words = ("--run", "r", "--concurrency", 1, "--retries", 0)
        first = ("--env", TEXTCRAFT, "--model", server.model_string, "-n", 4, "--max-turns", 2, "--format", "text")
        code, run, played = evaluate(*first, *words)
        assert code == 3
        # played one after the other: two good turns; an error at once; a good turn, then an error; then all is well
        assert [t.outcome.error is not None for t in played] == [False, True, True, False]
        assert run["summary"]["total"]["num_errors"] == 2
        good = {t.episode_id: t for t in played if t.outcome.error is None}
        code, run, played = evaluate(*words, "--retry-errors")
    assert code == 0
    assert run["summary"]["total"]["num_episodes"] == len(played) == 4
    assert all(t == good[t.episode_id] for t in played if t.episode_id in good)

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from palaestra.agents.store.store import RunStore
from palaestra.algorithms.data.reward_noise import observed_score
from palaestra.algorithms.data.reward_sources import NoScore, RewardModel, RewardSource, Score
from palaestra.algorithms.run.extensions.reward import RewardConfig, with_score
from palaestra.algorithms.run.training import train
from palaestra.errors import ConfigError, TrainingStopped
from tests.agents.answering_server import AnsweringServer
from tests.algorithms.build import episode, segment
from tests.algorithms.toy_recipe import toy_recipe


def long_words(body: dict[str, Any]) -> dict[str, Any]:
    """Score episodes by the length of what the policy says: not what the environment pays for."""
    words = [[one["content"] for one in e["messages"] if one["role"] == "assistant"] for e in body["episodes"]]
    return {"scores": [sum(len(word) for word in said) / (10 * max(1, len(said))) for said in words]}


def recipe(url: str, **reward: Any) -> Any:
    table = {"kind": "server", "url": url, "retries": 0, **reward}
    return toy_recipe(reward=table, phases=["grpo"], sft=None, evaluation={"n": 6, "baselines": []})


def test_training_sees_the_servers_scores_and_evaluation_the_environments(tmp_path: Path) -> None:
    with AnsweringServer() as server:
        server.answer = long_words
        result = train(recipe(server.url.partition("#")[0]), store=tmp_path)
        scored = [one["id"] for body in server.received for one in body["episodes"]]
    assert len(scored) == 4 * 8, "every training episode once, and no other"
    with RunStore(tmp_path) as store:
        rows = [row for row in store.metrics(result.run_id) if "grpo/reward_score_mean" in row]
    assert [row["grpo/reward_failures"] for row in rows] == [0.0] * 4
    for row in rows:
        assert row["grpo/return_mean"] == pytest.approx(row["grpo/reward_score_mean"])
        assert row["grpo/clean_return_mean"] == pytest.approx(row["grpo/score_mean"])


def test_a_policy_learns_what_it_is_paid_for(tmp_path: Path) -> None:
    with AnsweringServer() as server:
        server.answer = long_words
        table = {"kind": "server", "url": server.url.partition("#")[0]}
        grpo = {"steps": 12, "tasks_per_step": 4, "group_size": 8, "lr": 3e-3}
        settings: dict[str, Any] = {"phases": ["grpo"], "sft": None, "evaluation": {"n": 4, "baselines": []}}
        found = train(toy_recipe(reward=table, grpo=grpo, **settings), store=tmp_path)
        with RunStore(tmp_path) as store:
            means = [row["grpo/reward_score_mean"] for row in store.metrics(found.run_id) if "grpo/reward_score_mean" in row]
    assert sum(means[-3:]) / 3 > sum(means[:3]) / 3 + 0.2


def test_what_nobody_can_score_stops_training_and_one_failure_does_not(tmp_path: Path) -> None:
    with AnsweringServer() as server:
        url = server.url.partition("#")[0]
        server.answer = lambda body: (400, {"error": "gone"})
        with pytest.raises(TrainingStopped, match=r"None of 8 episodes could be scored by \[reward\].*400"):
            train(recipe(url), store=tmp_path / "stopped")
        asked: list[int] = []

        def sometimes(body: dict[str, Any]) -> Any:
            asked.append(1)
            return (400, {}) if len(asked) % 4 == 0 else long_words(body)

        server.answer = sometimes
        result = train(recipe(url, batch_size=2), store=tmp_path / "some")
    with RunStore(tmp_path / "some") as store:
        failures = [row["grpo/reward_failures"] for row in store.metrics(result.run_id) if "grpo/reward_failures" in row]
    assert failures == [2.0] * 4


def test_scores_and_rewards_are_added_by_their_weights() -> None:
    played = episode("e", [segment([0, 1, 1], [(1, 2, 0), (2, 3, 1)])], [0.5, 0.25])
    config = RewardConfig(kind="server", url="http://127.0.0.1:9/score", weight=2.0, env_weight=0.5)
    found = with_score(played, Score(0.75), config)
    assert [step.reward for step in found.steps] == [0.25, 0.125 + 1.5]
    assert [step.info["clean_reward"] for step in found.steps] == [0.5, 0.25]
    assert found.steps[-1].info["reward_parts"] == {"task": 0.125, "judged": 1.5}
    assert found.outcome == played.outcome
    assert observed_score(found) == pytest.approx(0.25 + 0.125 + 1.5)
    lost = with_score(played, NoScore("no answer"), config)
    assert lost.outcome.error is not None
    assert (lost.outcome.error.boundary, lost.outcome.score) == ("judge", None)


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"kind": "server"}, "needs url"),
        ({"kind": "model"}, "needs path"),
        ({"kind": "judge"}, "needs model"),
        ({"kind": "server", "url": "ftp://x"}, "expected the address of a server"),
        ({"kind": "server", "url": "http://me:secret@host/x"}, "api_key_env"),
        ({"kind": "server", "url": "http://host/x?key=secret"}, "api_key_env"),
        ({"kind": "server", "url": "http://host", "api_key_env": "sk-not a name"}, "api_key_env"),
        ({"kind": "server", "url": "http://host", "low": 1, "high": 0}, "expected low below high"),
        ({"kind": "judge", "model": "scripted:x", "weight": float("inf")}, "weight"),
        ({"kind": "oracle"}, "kind"),
    ],
)
def test_a_table_that_cannot_work_is_refused(table: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as refused:
        toy_recipe(reward=table)
    assert "secret" not in str(refused.value)


def test_what_is_missing_is_found_before_a_run_is_created(tmp_path: Path) -> None:
    for table in ({"kind": "model", "path": str(tmp_path / "gone")}, {"kind": "judge", "model": "no_such_module:Judge"}):
        with pytest.raises(Exception, match=r"gone|no_such_module"):
            train(toy_recipe(reward=table), store=tmp_path / "runs")
    with RunStore(tmp_path / "runs") as store:
        assert store.runs() == []


def test_phases_with_one_table_share_the_reward_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[RewardConfig] = []

    class Halves(RewardSource):
        def score(self, trajectories: Any) -> list[Any]:
            return [Score(0.5) for _ in trajectories]

    def build(config: RewardConfig) -> RewardSource:
        built.append(config)
        return Halves()

    checked: list[str] = []
    monkeypatch.setattr(RewardConfig, "build", build)
    monkeypatch.setattr(RewardModel, "check", checked.append)
    phases = [{"algorithm": "grpo", "name": name, "steps": 1, "tasks_per_step": 1, "group_size": 2} for name in ("a", "b")]
    plain = toy_recipe(sft=None, phases=["grpo"], evaluation={"n": 1, "baselines": []}).to_json()
    data = {key: value for key, value in plain.items() if key not in ("phases", "grpo")}
    train({**data, "phase": phases, "reward": {"kind": "model", "path": "anywhere"}}, store=tmp_path)
    assert checked == ["anywhere"] * 2  # for each phase in which the table holds, before the run is created
    assert len(built) == 1, "the weights are loaded once"

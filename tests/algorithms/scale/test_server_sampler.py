from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from palaestra.agents.backends.token_sampling import random_stream
from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.agents.store.store import RunStore
from palaestra.algorithms.grpo import GRPOConfig
from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.run.active_extensions import ActiveExtensions
from palaestra.algorithms.run.extension import ExtensionContext
from palaestra.algorithms.run.extensions.asynchronous import AsynchronousCollection
from palaestra.algorithms.run.metrics import read_metrics
from palaestra.algorithms.run.phase import ProgressEvent
from palaestra.algorithms.run.recipe import Recipe, parse_recipe
from palaestra.algorithms.run.training import TrainingResult, train
from palaestra.algorithms.scale.asynchronous import AsynchronousConfig
from palaestra.algorithms.scale.ranks import Ranks, training_ranks
from palaestra.algorithms.scale.server_sampler import ServerSampler
from palaestra.errors import ConfigError, StoreError, TrainingStopped, UsageError
from tests.agents.backends.vllm_server import VLLMServer, vllm_server
from tests.algorithms.toy_recipe import toy_policy, toy_recipe

pytest.importorskip("aiohttp")

GRPO = {"steps": 3, "tasks_per_step": 4, "group_size": 4, "lr": 2e-3, "warmup_updates": 1, "epochs": 1}


@pytest.fixture(scope="module", autouse=True)
def same_chance_on_both_sides() -> Iterator[None]:
    """A local model draws from a request's seed and its number of messages, which a server that is sent ids cannot know."""

    def stream(kind: str, seed: int, *more: Any) -> Any:
        return random_stream(kind, seed) if kind == "request" else random_stream(kind, seed, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("palaestra.agents.backends.local.random_stream", stream)
        yield


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that is right now and then."""
    sft = {"episodes": 64, "epochs": 8, "batch_size": 16, "lr": 6e-3, "warmup_updates": 4}
    recipe = toy_recipe(phases=["sft"], sft=sft, evaluation={"n": 1, "baselines": []}, checkpoint={"every": 100})
    return train(recipe, store=tmp_path_factory.mktemp("clone")).policy_path


@pytest.fixture
def server(clone: Path, tmp_path: Path) -> Iterator[VLLMServer]:
    shutil.copytree(clone, tmp_path / "served")
    with vllm_server(tmp_path / "served") as running:
        yield running


def recipe_for(clone: Path, server: VLLMServer | None, table: dict[str, Any] | None = None, **tables: Any) -> Recipe:
    settings: dict[str, Any] = {"phases": ["grpo"], "model": {"path": str(clone)}, "grpo": GRPO, "checkpoint": {"every": 1}}
    settings |= {"evaluation": {"n": 4, "baselines": []}, "agent": {"concurrency": 8}}
    if server is not None:
        settings["sampler"] = {"url": server.base_url, "model": "policy", "weights": str(server.path), **(table or {})}
    for name, values in tables.items():
        settings[name] = {**settings.get(name, {}), **values} if isinstance(values, dict) else values
    return toy_recipe(**settings)


def rows_of(result_folder: Path, phase: str = "grpo") -> list[dict[str, Any]]:
    return [row for row in read_metrics(result_folder / "metrics.jsonl") if row["phase"] == phase]


def weights(path: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(path / "model.safetensors")
    return found


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], atol: float = 0.0) -> bool:
    return one.keys() == other.keys() and all(torch.allclose(one[name], other[name], rtol=0, atol=atol) for name in one)


class Killed(BaseException):
    """Nothing in the library catches it."""


def killing(step: int) -> Any:
    def progress(event: ProgressEvent) -> None:
        if (event.phase, event.done) == ("grpo", step):
            raise Killed

    return progress


# -- training


@pytest.fixture(scope="module")
def whole(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingResult, VLLMServer]:
    """A run that a server sampled and nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    shutil.copytree(clone, folder / "served")
    with vllm_server(folder / "served") as server:
        recipe = recipe_for(clone, server, evaluation={"n": 4, "baselines": ["untrained"]})
        return train(recipe, store=folder / "runs", run_id="toy"), server


def test_a_run_that_a_server_samples_is_the_run_sampled_here(
    whole: tuple[TrainingResult, VLLMServer], clone: Path, tmp_path: Path
) -> None:
    far, _ = whole
    near = train(recipe_for(clone, None, grpo={**GRPO, "correction": "token"}), store=tmp_path, run_id="toy")
    names = ("episodes", "errors", "score_mean", "return_mean", "sampled_tokens", "env_steps", "row_tokens_mean")
    pairs = list(zip(rows_of(far.folder), rows_of(near.folder), strict=True))
    assert [[row[name] for name in names] for row, _ in pairs] == [[row[name] for name in names] for _, row in pairs]
    assert any(row["no_signal"] == 0 for row, _ in pairs)
    assert all(row.get("drift_max", 0.0) < 1e-4 for row, _ in pairs)
    assert same(weights(far.policy_path), weights(near.policy_path), atol=1e-5)
    assert not same(weights(far.policy_path), weights(clone), atol=1e-5)
    assert far.arms["trained"].summary.total == near.arms["trained"].summary.total


def test_the_server_has_the_weights_of_every_update(whole: tuple[TrainingResult, VLLMServer]) -> None:
    result, server = whole
    updates = sum(row["no_signal"] == 0 for row in rows_of(result.folder))
    reloads = server.calls.count("/collective_rpc")
    assert updates + 1 <= reloads <= updates + 2  # before the first step, and where the phase begins with the same
    assert same(weights(server.path), weights(result.policy_path))
    served = dict(server.model.state_dict())
    trained = weights(result.policy_path)
    assert all(torch.equal(served[name], trained[name]) for name in trained)
    assert not list(server.path.glob(".*"))
    assert any(session and session.startswith("grpo/") for session in server.sessions)


def test_the_final_evaluation_is_of_the_trained_weights(whole: tuple[TrainingResult, VLLMServer]) -> None:
    result, _ = whole
    versions: dict[str, set[int]] = {}
    with RunStore(result.folder.parent) as store:
        for arm in ("untrained", "trained"):
            segments = [s for t in store.trajectories(f"toy-{arm}") for s in t.segments]
            versions[arm] = {v for s in segments for v, sampled in zip(s.version, s.action, strict=True) if sampled}
    updates = sum(row["no_signal"] == 0 for row in rows_of(result.folder))
    assert versions == {"untrained": {0}, "trained": {updates}}


def test_a_killed_run_gives_a_new_server_its_checkpoint_and_ends_as_if_undisturbed(
    whole: tuple[TrainingResult, VLLMServer], clone: Path, tmp_path: Path
) -> None:
    expected, _ = whole
    for name in ("first", "second"):
        shutil.copytree(clone, tmp_path / name)
    with vllm_server(tmp_path / "first") as server, pytest.raises(Killed):
        train(recipe_for(clone, server), store=tmp_path / "runs", run_id="toy", progress=killing(3))
    with vllm_server(tmp_path / "second") as server:  # elsewhere, and with the weights of the start
        result = train(recipe_for(clone, server), store=tmp_path / "runs", run_id="toy")
        assert {session for session in server.sessions if session and session.startswith("grpo")} <= {
            f"grpo/00003/{task:03d}/{sample:02d}" for task in range(4) for sample in range(4)
        }
        assert any(session and session.startswith("probe") for session in server.sessions)
    # a server batches as requests come, so the last bits of log-probs differ
    assert same(weights(result.policy_path), weights(expected.policy_path), atol=1e-5)
    with vllm_server(tmp_path / "first") as server:
        recipe = recipe_for(clone, server)
    again = train(recipe, store=tmp_path / "runs", run_id="toy")  # a finished run needs no server
    assert again.arms["trained"].summary.total == result.arms["trained"].summary.total


def test_asynchronous_steps_are_sampled_while_the_policy_is_updated(server: VLLMServer, clone: Path, tmp_path: Path) -> None:
    server.delay_s = 0.01
    recipe = recipe_for(clone, server, asynchronous={"max_staleness": 1}, evaluation={"n": 4, "baselines": [], "every": 2})
    settings = recipe.phase("grpo").settings
    assert settings.correction.level == "token"  # type: ignore[attr-defined]
    with pytest.raises(Killed):
        train(recipe, store=tmp_path / "runs", run_id="toy", progress=killing(2))
    result = train(recipe, store=tmp_path / "runs", run_id="toy")
    rows = rows_of(result.folder)
    assert [row["episodes"] for row in rows] == [16.0] * 3
    assert [row["errors"] for row in rows] == [0.0] * 3
    assert max(row["staleness_max"] for row in rows) <= 1
    assert "test_success" in rows[1]
    served, trained = dict(server.model.state_dict()), weights(result.policy_path)
    assert all(torch.equal(served[name], trained[name]) for name in trained)


def test_rejection_sampling_plays_through_the_server_too(server: VLLMServer, clone: Path, tmp_path: Path) -> None:
    rft = {"rounds": 1, "tasks_per_round": 4, "samples": 2, "min_keep": 0, "threshold": 0.1, "experts": False}
    sft = {"episodes": 4, "epochs": 1, "lr": 1e-3, "warmup_updates": 1}
    recipe = recipe_for(clone, server, phases=["rft"], rft={**rft, "sft": sft, "temperature": 1.1})
    result = train(recipe, store=tmp_path / "runs", run_id="toy")
    played = [b for b, s in zip(server.bodies, server.sessions, strict=True) if s and s.startswith("rft/")]
    assert played
    assert {body["temperature"] for body in played} == {1.1}
    assert same(weights(server.path), weights(result.policy_path))


def test_evaluation_may_stay_in_the_process_that_trains(server: VLLMServer, clone: Path, tmp_path: Path) -> None:
    recipe = recipe_for(clone, server, {"evaluation": "local"}, grpo={**GRPO, "steps": 1})
    result = train(recipe, store=tmp_path / "runs", run_id="toy")
    assert result.arms["trained"].summary.total.num_episodes == 4
    assert all(session and session.startswith(("grpo/", "probe-")) for session in server.sessions)


def test_the_token_goes_to_the_server_and_nowhere_else(
    server: VLLMServer, clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_for(clone, server, {"api_key_env": "TOY_SERVER_KEY"}, grpo={**GRPO, "steps": 1})
    with pytest.raises(ConfigError, match=r"variable that sampler.api_key_env names is not set"):
        train(recipe, store=tmp_path / "runs", run_id="toy")
    monkeypatch.setenv("TOY_SERVER_KEY", "s3cr3t-t0ken")
    train(recipe, store=tmp_path / "runs", run_id="toy")
    assert server.keys == {"Bearer s3cr3t-t0ken"}
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and b"s3cr3t-t0ken" in p.read_bytes()]


# -- failures


def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/v1"


def test_a_server_that_is_not_there_is_found_out_before_anything_is_trained_or_written(
    server: VLLMServer, clone: Path, tmp_path: Path
) -> None:
    before = (server.path / "model.safetensors").stat().st_mtime_ns
    recipe = recipe_for(clone, server, {"url": closed_port()}, phases=["sft", "grpo"])
    with pytest.raises(TrainingStopped, match=r"connection to .* failed.*VLLM_SERVER_DEV_MODE=1 vllm serve .*served"):
        train(recipe, store=tmp_path / "runs", run_id="toy")
    assert not (tmp_path / "runs" / "toy" / "checkpoints" / "sft").exists()
    assert (server.path / "model.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("fault", "match"),
    [({"text_only": True}, "no token ids and log-probs"), ({"shift": -0.2}, "log-probs differ by 0.2")],
)
def test_a_server_that_cannot_be_trained_with_is_refused(
    server: VLLMServer, clone: Path, tmp_path: Path, fault: dict[str, Any], match: str
) -> None:
    for name, value in fault.items():
        setattr(server, name, value)
    with pytest.raises(UsageError, match=match):
        train(recipe_for(clone, server), store=tmp_path / "runs", run_id="toy")
    assert not any(session and session.startswith("grpo/") for session in server.sessions)


def test_the_probe_is_as_strict_as_the_recipe_says(server: VLLMServer, clone: Path, tmp_path: Path) -> None:
    server.shift = -0.2
    result = train(
        recipe_for(clone, server, {"tolerance": 0.5}, grpo={**GRPO, "steps": 1}), store=tmp_path / "runs", run_id="toy"
    )
    assert rows_of(result.folder)[0]["drift_mean"] == pytest.approx(0.2, abs=1e-3)


def test_a_server_that_dies_costs_the_step_and_no_more(server: VLLMServer, clone: Path, tmp_path: Path) -> None:
    recipe = recipe_for(clone, server, {"retries": 0})
    server.refuses = lambda body, session: bool(session and session.startswith("grpo/00002/"))
    with pytest.raises(TrainingStopped, match=r"All 16 episodes failed at the server.*the engine died.*resume the same"):
        train(recipe, store=tmp_path / "runs", run_id="toy")
    assert len(rows_of(tmp_path / "runs" / "toy")) == 1  # nothing was logged, let alone learned, of the second step
    with RunStore(tmp_path / "runs") as store:
        assert store.status("toy") == "failed"
    server.refuses = lambda body, session: False
    result = train(recipe, store=tmp_path / "runs", run_id="toy")
    assert [row["errors"] for row in rows_of(result.folder)] == [0.0] * 3


def test_episodes_that_fail_at_the_server_have_no_score(server: VLLMServer, clone: Path, tmp_path: Path) -> None:
    server.refuses = lambda body, session: bool(session and session.startswith("grpo/") and session.endswith("/01"))
    recipe = recipe_for(clone, server, {"retries": 0}, grpo={**GRPO, "steps": 1})
    (row,) = rows_of(train(recipe, store=tmp_path / "runs", run_id="toy").folder)
    assert (row["episodes"], row["errors"], row["excluded_errors"]) == (16, 4, 4)


def test_requests_that_fail_now_and_then_are_repeated(server: VLLMServer, clone: Path, tmp_path: Path) -> None:
    seen: set[str] = set()

    def first_time(body: dict[str, Any], session: str | None) -> bool:
        is_first = bool(session and session.endswith("000/00") and session not in seen)
        seen.add(session or "")
        return is_first

    server.refuses = first_time
    (row,) = rows_of(train(recipe_for(clone, server, grpo={**GRPO, "steps": 1}), store=tmp_path / "runs").folder)
    assert len(server.bodies) > len(server.served)
    assert row["errors"] == 0


def test_a_folder_with_another_model_is_not_written_over(server: VLLMServer, clone: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(clone, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "hidden_size": 64}))
    before = (other / "model.safetensors").read_bytes()
    with pytest.raises(ConfigError, match=r"hidden_size = 64; the policy has 32. Nothing was written"):
        train(recipe_for(clone, server, {"weights": str(other)}), store=tmp_path / "runs")
    assert (other / "model.safetensors").read_bytes() == before


# -- several processes


class Seat(Ranks):
    """One of two processes, without the other one."""

    size = 2

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def on_main(self, function: Any) -> Any:
        return function() if self.is_main else None


def test_the_first_process_gives_the_server_its_weights_and_all_know_the_version(
    server: VLLMServer, clone: Path, tmp_path: Path
) -> None:
    policy = Policy.from_path(clone)
    table = recipe_for(clone, server).extensions["sampler"]
    assert table is not None
    for rank, calls in ((1, 0), (0, 1)):
        sampler = ServerSampler(policy, table)
        policy.version = 7
        with training_ranks(Seat(rank)):
            sampler.refresh()
        assert (sampler.version, sampler.is_stale) == (7, False)
        assert server.calls.count("/collective_rpc") == calls


def test_asynchronous_steps_of_several_processes_are_not_sampled_by_a_server(server: VLLMServer, clone: Path) -> None:
    recipe = recipe_for(clone, server, asynchronous={"max_staleness": 1})
    context = ExtensionContext("grpo", recipe, Policy.from_path(clone), RolloutEngine(4))
    phase = SimpleNamespace(name="grpo", extensions=ActiveExtensions(recipe.phase("grpo").active, context))
    with training_ranks(Seat(0)), pytest.raises(ConfigError, match="asked for on 2 processes"):
        AsynchronousCollection(phase, GRPOConfig(correction="token"), AsynchronousConfig(max_staleness=1))


# -- the table


TABLE: dict[str, Any] = {"url": "http://127.0.0.1:8000/v1", "model": "policy", "weights": "served"}


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ({"url": "localhost:8000"}, r"sampler.*is not a base URL"),
        ({"url": "http://me:word@host/v1"}, r"holds a name or password"),
        ({"url": "http://host:8000"}, r"does not end with /v1"),
        ({"reload": []}, "reload is empty"),
        ({"reload": [["collective_rpc", {}]]}, "from the server's root"),
        ({"session_header": "Authorization"}, "cannot name episodes"),
        ({"api_key_env": "sk-abc123"}, "never the token"),
        ({"api_key": "sk-abc123"}, "Unknown key 'sampler.api_key'. Did you mean 'api_key_env'"),
        ({"tolerance": 0}, "sampler.tolerance is 0"),
        ({"evaluation": "nowhere"}, "sampler.evaluation is 'nowhere'"),
        ({"weights": ""}, "sampler.weights is ''"),
    ],
)
def test_tables_that_cannot_work_are_refused(table: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match) as caught:
        toy_recipe(sampler={**TABLE, **table})
    assert "abc123" not in str(caught.value)
    assert "word@" not in str(caught.value)


def test_a_missing_folder_is_one_clear_error(tmp_path: Path) -> None:
    recipe = toy_recipe(sampler={**TABLE, "weights": str(tmp_path / "nowhere")})
    with pytest.raises(ConfigError, match=r"nowhere', which holds no model.*vllm serve .*nowhere .*--dtype float32"):
        train(recipe, store=tmp_path / "runs", run_id="toy")
    assert not (tmp_path / "runs").exists()


def test_the_model_that_training_begins_with_is_not_written_over(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Start the server from a copy"):
        toy_recipe(model={"path": str(tmp_path)}, sampler={**TABLE, "weights": f"{tmp_path}/../{tmp_path.name}"})


def test_another_engine_is_corrected_for_unless_the_recipe_says_off() -> None:
    def correction(**tables: Any) -> str:
        recipe = toy_recipe(**tables)
        found = recipe.phase("grpo").settings.correction.level  # type: ignore[attr-defined]
        assert parse_recipe(recipe.to_json()).phase("grpo") == recipe.phase("grpo")
        return str(found)

    assert correction() == "off"
    assert correction(sampler=TABLE) == "token"
    assert correction(sampler=TABLE, grpo={"correction": "sequence"}) == "sequence"
    assert correction(sampler=TABLE, grpo={"correction": "off"}) == "off"
    assert correction(sampler=TABLE, asynchronous={"max_staleness": 1}) == "token"
    with pytest.raises(ConfigError, match=r"grpo.correction is 'off'"):
        correction(sampler=TABLE, asynchronous={"max_staleness": 1}, grpo={"correction": "off"})


def test_recipes_without_a_server_say_nothing_of_one() -> None:
    assert "sampler" not in toy_recipe().to_json()
    reload = [["/update", {"path": "{path}", "deep": {"version": "{version}"}}]]
    recipe = toy_recipe(sampler={**TABLE, "reload": reload})
    assert parse_recipe(json.loads(json.dumps(recipe.to_json()))).extensions == recipe.extensions


def test_weights_that_were_divided_into_other_files_do_not_outlive_a_refresh(
    server: VLLMServer, clone: Path, tmp_path: Path
) -> None:
    policy = Policy.from_path(clone)
    old = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"]
    for name in old:
        (server.path / name).write_text("old")
    (server.path / "notes.txt").write_text("mine")
    table = recipe_for(clone, server).extensions["sampler"]
    assert table is not None
    ServerSampler(policy, table).refresh()
    assert not any((server.path / name).exists() for name in old)
    assert (server.path / "notes.txt").read_text() == "mine"
    assert same(weights(server.path), weights(clone))


def test_a_folder_that_cannot_be_written_is_one_clear_error(server: VLLMServer, clone: Path) -> None:
    policy = Policy.from_path(clone)
    table = recipe_for(clone, server).extensions["sampler"]
    assert table is not None
    (server.path / ".palaestra-draft").write_text("in the way")  # a file where a folder has to be made
    with pytest.raises(StoreError, match=r"could not be written to sampler.weights.*Free space"):
        ServerSampler(policy, table).refresh()


def test_loading_a_checkpoint_makes_the_server_stale(server: VLLMServer, clone: Path, tmp_path: Path) -> None:
    policy = toy_policy()
    folder = policy.save(tmp_path / "policy")
    table = toy_recipe(sampler={**TABLE, "url": server.base_url, "weights": str(folder)}).extensions["sampler"]
    assert table is not None
    sampler = ServerSampler(policy, table)
    sampler.is_stale = False
    policy.load_weights(folder)  # the version stays: a rollback
    assert sampler.is_stale

"""A recipe trains from recorded episodes in every form that is read, and to the same weights whatever the form."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from palaestra.agents.evaluation.evaluation import evaluate
from palaestra.agents.export.conversations import Conversation, chat_record
from palaestra.agents.export.export import EXPORT_FORMATS, export_trajectories
from palaestra.agents.reference import ExpertAgent
from palaestra.agents.store.store import RunStore
from palaestra.algorithms.data.sources import Recorded
from palaestra.algorithms.run.recipe import parse_recipe
from palaestra.algorithms.run.training import train
from palaestra.envs.formats.hermes import parse_message
from palaestra.errors import ConfigError, UsageError
from palaestra.types import EpisodeError, Json, Outcome, Trajectory
from tests.algorithms import toy_env
from tests.algorithms.toy_recipe import toy_recipe

DESK = "palaestra/Desk-v0"
Record = Callable[[Trajectory], dict[str, Json]]


def llama_factory(episode: Trajectory) -> dict[str, Json]:
    """Return a record as LLaMA-Factory documents it: columns system and tools, turns of function_call and observation."""
    turns: list[Json] = []
    for message in episode.messages():
        read = parse_message(message.content) if message.role == "assistant" and not message.tool_calls else message
        if read.tool_calls:
            calls = [{"name": call.name, "arguments": dict(call.arguments)} for call in read.tool_calls]  # type: ignore[arg-type]
            turns.append({"from": "function_call", "value": json.dumps(calls[0] if len(calls) == 1 else calls)})
        elif message.role != "system":
            names = {"user": "human", "tool": "observation", "assistant": "gpt"}
            turns.append({"from": names[message.role], "value": message.content})
    functions = [tool["function"] for tool in episode.tools]
    return {"conversations": turns, "system": episode.instructions, "tools": json.dumps(functions)}


def roles(episode: Trajectory) -> dict[str, Json]:
    """Return a record of role and content alone, calls in the text."""
    record = Conversation.of(episode).to_sharegpt()
    names = {"human": "user", "gpt": "assistant", "system": "system", "observation": "tool"}
    turns: Any = record["conversations"]
    return {
        "messages": [{"role": names[turn["from"]], "content": turn["value"]} for turn in turns],
        "tools": record.get("tools"),
    }


OTHERS: dict[str, Record] = {"llama-factory": llama_factory, "roles": roles}


def written(form: str, episodes: list[Trajectory], folder: Path) -> Path:
    path = folder / f"{form}.json"
    if form in OTHERS:
        path.write_text("\n".join(json.dumps(OTHERS[form](one)) for one in episodes), encoding="utf-8")
        return path
    if form == "mixed":
        forms = [*OTHERS.values(), chat_record, lambda one: Conversation.of(one).to_agenttraj()]
        records = [forms[number % len(forms)](one) for number, one in enumerate(episodes)]
        path.write_text(json.dumps(records), encoding="utf-8")
        return path
    if form == "dataset":
        pytest.importorskip("datasets")
    return export_trajectories(episodes, path, form).path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    toy_env.register()
    found = RunStore(tmp_path_factory.mktemp("store"))
    evaluate(toy_env.ENV_ID, ExpertAgent(), n=8, split="train", store=found, run_id="shown")
    evaluate(DESK, ExpertAgent(), env_kwargs={"difficulty": "easy"}, n=6, split="train", store=found, run_id="desk")
    return found


def weights(store: RunStore, source: str, run_id: str) -> str:
    """Train on a source and return a digest of the weights."""
    recipe = toy_recipe(
        phases=["sft"],
        sft={"source": source, "epochs": 1, "batch_size": 4},
        evaluation={"n": 1, "baselines": []},
        model={"hidden_size": 16, "num_layers": 1, "corpus_episodes": 4},
    )
    result = train(recipe, store=store, run_id=run_id)
    return hashlib.sha256((result.policy_path / "model.safetensors").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def expected(store: RunStore) -> str:
    return weights(store, "run:shown", "from-run")


@pytest.mark.parametrize("form", [*(form for form in EXPORT_FORMATS if form != "eval"), *OTHERS, "mixed"])
def test_a_recipe_trains_from_every_form_to_the_same_weights(
    form: str, store: RunStore, expected: str, tmp_path: Path
) -> None:
    path = written(form, list(store.trajectories("shown")), tmp_path)
    assert weights(store, str(path), f"from-{form}") == expected


def test_a_recipe_with_native_calls_trains_from_function_calls_and_observations(store: RunStore, tmp_path: Path) -> None:
    episodes = list(store.trajectories("desk"))
    data = {
        "env": {"id": DESK, "difficulty": "easy"},
        "model": {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "max_positions": 4096, "corpus_episodes": 4},
        "agent": {"format": "tools", "instructions": False},
        "evaluation": {"n": 1, "baselines": [], "max_turns": 1},
        "phases": ["sft"],
    }
    digests = {}
    for form in ("agenttraj", "chat", "llama-factory"):
        path = written(form, episodes, tmp_path)
        recipe = parse_recipe({**data, "sft": {"source": str(path), "epochs": 1, "batch_size": 3}})
        result = train(recipe, store=store, run_id=f"desk-{form}")
        digests[form] = hashlib.sha256((result.policy_path / "model.safetensors").read_bytes()).hexdigest()
    recipe = parse_recipe({**data, "sft": {"source": "run:desk", "epochs": 1, "batch_size": 3}})
    result = train(recipe, store=store, run_id="desk-run")
    whole = hashlib.sha256((result.policy_path / "model.safetensors").read_bytes()).hexdigest()
    assert digests == dict.fromkeys(digests, whole)


def test_no_more_is_read_than_is_used(tmp_path: Path, store: RunStore) -> None:
    episode = next(iter(store.trajectories("shown")))
    path = tmp_path / "many.jsonl"
    path.write_text(json.dumps(llama_factory(episode)) + "\n" + "{ this line is never read\n" * 3)
    assert len(Recorded(str(path), 1).episodes(None)) == 1
    run = Recorded("run:shown", 3)
    assert len(run.episodes(store)) == len(run.origins(store)) == 3
    with pytest.raises(ConfigError, match="no run store"):
        run.episodes(None)


@pytest.mark.parametrize("form", [form for form in EXPORT_FORMATS if form != "eval"])
def test_failures_in_a_file_are_left_out_as_those_of_a_run_are(
    form: str, store: RunStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if form == "dataset":
        pytest.importorskip("datasets")
    shown = list(store.trajectories("shown"))[:3]
    steps = tuple(replace(step, reward=0.0) for step in shown[0].steps)
    failed = [replace(shown[0], episode_id=f"f{k}", steps=steps, outcome=Outcome(0.0, False, "failure")) for k in range(2)]
    broken = replace(shown[0], episode_id="b", outcome=Outcome(error=EpisodeError("model", "ModelError", "503")))
    path = str(export_trajectories([failed[0], *shown, broken, failed[1]], tmp_path / "mixed", form, select="all").path)
    for failures, number in ((False, 3), (True, 5)):
        caplog.clear()
        recorded = Recorded(path, 9, failures=failures)
        assert len(recorded.origins(store)) == len(recorded.episodes(None)) == number
        assert caplog.text.count(f"{6 - number} of the episodes read are left out") == 1
    assert len(Recorded(path, 2).episodes(None)) == 2, "as many as are wanted, failures aside"
    path = str(export_trajectories([*failed, broken], tmp_path / "failed", form, select="all").path)
    with pytest.raises(UsageError, match="holds no successful episode; there is nothing to clone"):
        Recorded(path, 9).origins(store)
    assert len(Recorded(path, 9, failures=True).episodes(None)) == 2
    path = str(export_trajectories([broken], tmp_path / "broken", form, select="all").path)
    with pytest.raises(UsageError, match="holds no episode without an error"):
        Recorded(path, 9, failures=True).episodes(None)


def test_a_file_of_bad_records_says_why_before_a_run_is_stored(store: RunStore, tmp_path: Path) -> None:
    alien = {"id": "a", "conversations": [{"from": "alien", "value": "x"}]}
    path = tmp_path / "bad.jsonl"
    path.write_text(json.dumps(alien) + "\n" + json.dumps({**alien, "id": "b"}))
    recipe = toy_recipe(phases=["sft"], sft={"source": str(path)}, evaluation={"n": 1, "baselines": []})
    first = r"bad\.jsonl, line 1, record 1: conversations\[0\].from is 'alien'.*None of its 2 records can be read"
    with pytest.raises(UsageError, match=first):
        train(recipe, store=store, run_id="bad-file")
    assert "bad-file" not in [run.run_id for run in store.runs()]
    good = {"id": "c", "conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "value": "y"}], "success": False}
    path.write_text(json.dumps(alien) + "\n" + json.dumps(good))
    with pytest.raises(UsageError, match=r"no successful episode \(1 records cannot be read; the first: .*line 1, .*alien"):
        Recorded(str(path), 9).origins(store)
    path.write_text("")
    with pytest.raises(UsageError, match="holds no episode; there is nothing to clone"):
        Recorded(str(path), 9).origins(store)


def test_failures_of_a_run_are_read_where_they_are_wanted_and_errors_never(tmp_path: Path) -> None:
    with RunStore(tmp_path) as store:
        shown = Trajectory("e", "x/Y-v0", {"key": "k", "split": "train"})
        store.create_run({}, "r")
        for name, success in (("good", True), ("bad", False)):
            store.add("r", replace(shown, episode_id=name).with_outcome(replace(shown.outcome, score=1.0, success=success)))
        for failures, names in ((False, ["good"]), (True, ["good", "bad"])):
            recorded = Recorded("run:r", 9, failures=failures)
            assert [one.episode_id for one in recorded.episodes(store)] == names
            assert len(recorded.origins(store)) == len(names)
        store.create_run({}, "none")
        for failures, kind in ((False, "successful episode"), (True, "episode without an error")):
            with pytest.raises(UsageError, match=f"holds no {kind}"):
                Recorded("run:none", 9, failures=failures).origins(store)

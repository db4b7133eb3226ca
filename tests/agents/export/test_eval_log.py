"""Logs for inspect-ai: their structure here, and whether inspect-ai reads them where it is installed."""

from __future__ import annotations

import base64
import json
import math
import subprocess
import tracemalloc
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.agents.backends.scripted import ScriptedBackend
from palaestra.agents.evaluation.evaluation import evaluate
from palaestra.agents.evaluation.summary import summarize
from palaestra.agents.export.eval_log import LoggedRun
from palaestra.agents.export.export import Export, export_trajectories
from palaestra.agents.llm import LLMAgent
from palaestra.agents.reference import ExpertAgent, RandomAgent
from palaestra.agents.rollout.engine import EpisodePlan, RolloutEngine
from palaestra.agents.store.store import RunStore
from palaestra.errors import UsageError
from palaestra.media import MemoryMedia, png_bytes, tone, use_media
from palaestra.types import EpisodeError, Message, Outcome, Step, ToolCall, Trajectory, Usage
from palaestra.types.plain_json import strict_json
from tests.agents.export.test_export import played_by_two
from tests.inspect_python import inspect_python

DESK = "palaestra/Desk-v0"


def logged(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    """Return header, summaries and samples of a log, which must hold nothing but strict JSON in UTF-8."""
    with zipfile.ZipFile(path) as log:
        assert log.testzip() is None
        members = {name: strict_json(log.read(name).decode("utf-8")) for name in log.namelist()}
        assert len(members) == len(log.namelist())
    header, summaries = members.pop("header.json"), members.pop("summaries.json")
    assert [*members] == [f"samples/{one['id']}_epoch_{one['epoch']}.json" for one in members.values()]
    assert [(one["id"], one["epoch"], one["uuid"]) for one in summaries] == [
        (one["id"], one["epoch"], one["uuid"]) for one in members.values()
    ]
    return header, summaries, [*members.values()]


def write(played: Sequence[Trajectory], folder: Path, **options: Any) -> tuple[Export, Path]:
    return export_trajectories(played, folder / "out.eval", "eval", **options), folder / "out.eval"


def figures(header: dict[str, Any]) -> dict[str, dict[str, float]]:
    scores = header["results"]["scores"]
    return {score["name"]: {key: one["value"] for key, one in score["metrics"].items()} for score in scores}


def play(agent: Any, n: int = 3, **options: Any) -> list[Trajectory]:
    plans = [EpisodePlan(f"e{i}", DESK, task_key=f"test/{i}", seed=i, **options) for i in range(n)]
    return RolloutEngine().collect(plans, agent)


def episode(key: str = "k", outcome: Outcome = Outcome(1.0, True), **fields: Any) -> Trajectory:
    steps = fields.pop("steps", (Step("see", Message("assistant", "act"), 1.0, True),))
    return Trajectory(f"e-{key}", "x/E-v0", {"key": key, "split": "test", "type": ""}, steps=steps, outcome=outcome, **fields)


texts = st.text(st.characters(), max_size=12)  # surrogates too
outcomes = st.one_of(
    st.builds(
        Outcome,
        st.floats(width=32) | st.floats(),
        st.booleans(),
        st.sampled_from(["success", "failure", "max_rounds", "max_tokens", "invalid_limit", ""]),
        metrics=st.dictionaries(st.sampled_from(["wer", "return", "success", "score", "a b"]), st.floats()),
    ),
    st.builds(lambda text: Outcome(error=EpisodeError("model", "ModelError", text, text)), texts),
)
calls = st.builds(ToolCall, texts, st.dictionaries(texts, st.integers() | st.floats() | texts) | texts, texts)
actions = st.builds(
    lambda text, found, thought, raw, error: Message("assistant", text, tuple(found), reasoning=thought, raw=raw, error=error),
    *(texts, st.lists(calls, max_size=2), texts, texts, texts),
)
results = st.lists(
    st.fixed_dictionaries(
        {"name": texts, "content": texts, "status": st.sampled_from(["ok", "unknown_tool", "timeout", "blocked"])}
    ),
    max_size=2,
)
steps = st.builds(
    lambda seen, action, reward, found: Step(seen, action, reward, info={"tool_results": found}),
    *(texts, actions, st.floats(-2, 2), results),
)
usages = st.builds(Usage, *[st.integers(0, 9)] * 5, st.floats(0, 2), st.floats(0, 2), st.floats(0, 2))
episodes = st.builds(
    lambda key, env, played, outcome, usage, sample: Trajectory(
        f"{env}{key}{sample}", env, {"key": key}, agent="a", steps=tuple(played), outcome=outcome, usage=usage, sample=sample
    ),
    st.sampled_from(["k", "test/0", "../../x", "a\\b", "", "\x00", "ü \ud800", "x" * 500]),
    *(st.sampled_from(["palaestra/A-v0", "b"]), st.lists(steps, max_size=3), outcomes, usages, st.integers(0, 3)),
)


@settings(max_examples=40, deadline=None)
@given(played=st.lists(episodes, max_size=8))
def test_every_episode_has_a_place_of_its_own_and_figures_are_those_of_a_summary(
    played: list[Trajectory], tmp_path_factory: pytest.TempPathFactory
) -> None:
    done, path = write(played, tmp_path_factory.mktemp("log"))
    header, summaries, samples = logged(path)
    assert (done.num_written, done.damaged, len(summaries)) == (len(played), {}, len(played))
    for trajectory, sample in zip(played, samples, strict=True):
        assert not {"\\", "\x00", ".."} & {*sample["id"], *(sample["id"].split("/"))}
        assert len(sample["id"]) <= 200
        assert sample["metadata"].get("rewards", []) == [step.reward for step in trajectory.steps]
        assert ("error" in sample) is (sample["scores"] is None) is (trajectory.outcome.error is not None)
        assert [one["role"] for one in sample["messages"]].count("assistant") == len(trajectory.steps)
        answered = {call["id"] for one in sample["messages"] for call in one.get("tool_calls", ())}
        assert {one["tool_call_id"] for one in sample["messages"] if one["role"] == "tool"} <= answered
    assert header["results"]["completed_samples"] == sum(one.outcome.error is None for one in played)
    assert header["eval"]["dataset"]["sample_ids"] == list(dict.fromkeys(one["id"] for one in samples))
    assert all(math.isfinite(metric["value"]) for score in header["results"]["scores"] for metric in score["metrics"].values())


def test_a_task_counts_once_however_many_samples_it_has(tmp_path: Path) -> None:
    played = [episode("a", sample=i, outcome=Outcome(float(i), i > 0)) for i in range(4)]
    played += [episode("b", Outcome(0.0, False), steps=()), episode("c", Outcome(error=EpisodeError("model", "M", "x")))]
    header, _, samples = logged(write(played, tmp_path)[1])
    assert [(one["id"], one["epoch"]) for one in samples] == [*(("e_a", i) for i in (1, 2, 3, 4)), ("e_b", 1), ("e_c", 1)]
    found = {
        score["name"]: {key: one["value"] for key, one in score["metrics"].items()} for score in header["results"]["scores"]
    }
    total = summarize(played).total
    assert found["success"] == pytest.approx({"accuracy": total.success.mean, "stderr": 0.375})
    assert found["return"]["mean"] == pytest.approx(total.return_.mean)
    assert found["score"]["mean"] == pytest.approx(total.score.mean)
    assert header["results"]["total_samples"] == 6
    again = logged(write([*played, *played], tmp_path)[1])[2]  # as with arguments that the ids do not tell
    wanted = [("e_a", i) for i in range(1, 9)] + [(name, i) for name in ("e_b", "e_c") for i in (1, 2)]
    assert sorted((one["id"], one["epoch"]) for one in again) == wanted


def test_models_of_one_run_have_figures_of_their_own(tmp_path: Path) -> None:
    played = [episode("a", agent="weak", outcome=Outcome(0.0, False)), episode("a", agent="strong", sample=1)]
    header, _, _ = logged(write(played, tmp_path)[1])
    assert figures(header)["success (weak)"] == {"accuracy": 0.0, "stderr": 0.0}
    assert figures(header)["success (strong)"] == {"accuracy": 1.0, "stderr": 0.0}
    assert header["eval"]["model"] == "weak, strong"


@pytest.mark.parametrize("agent", [ExpertAgent(), RandomAgent(seed=1)], ids=lambda agent: agent.name)
def test_calls_that_a_text_writes_are_calls_with_their_results(tmp_path: Path, agent: Any) -> None:
    played = play(agent, max_turns=8)
    for trajectory, sample in zip(played, logged(write(played, tmp_path)[1])[2], strict=True):
        told = [one for one in sample["messages"] if one["role"] == "tool"]
        wanted = [result for step in trajectory.steps for result in step.info.get("tool_results", ())]
        assert [(one["function"], one["content"]) for one in told] == [(one["name"], one["content"]) for one in wanted]
        assert ["error" in one for one in told] == [one["status"] != "ok" for one in wanted]
        acted = [one for one in sample["messages"] if one.get("tool_calls")]
        assert [call["id"] for one in acted for call in one["tool_calls"]] == [one["tool_call_id"] for one in told]
        assert [one["metadata"]["raw"] for one in acted] == [
            step.action.content for step in trajectory.steps if step.info.get("tool_results")
        ]


def test_reasoning_native_calls_usage_limits_and_errors(tmp_path: Path) -> None:
    call = ToolCall("find", {"name": "Ann"}, "c1")
    acted = Message("assistant", "Look.", (call, ToolCall("find", "{oops", "c2")), reasoning="Who?", finish_reason="length")
    found = [
        {"name": "find", "content": "1", "status": "ok"},
        {"name": "find", "content": "no", "status": "invalid_arguments"},
    ]
    step = Step("Find Ann.", acted, info={"tool_results": found})
    usage = Usage(2, 0, 100, 40, 9, 0.5, 1.5, 0.25)
    played = [
        episode(
            "a", Outcome(0.0, False, "max_rounds"), steps=(step,), final_observation="x", usage=usage, max_turns=1, agent="m"
        ),
        episode("b", Outcome(error=EpisodeError("model", "ModelError", "503", "Traceback ...")), agent="m", usage=usage),
    ]
    header, summaries, (first, second) = logged(write(played, tmp_path)[1])
    user, said, ok, bad = first["messages"]
    assert (user["content"], first["input"]) == ("Find Ann.", "Find Ann.")
    assert said["content"] == [{"type": "reasoning", "reasoning": "Who?"}, {"type": "text", "text": "Look."}]
    assert said["metadata"] == {"finish_reason": "length"}
    assert [one["arguments"] for one in said["tool_calls"]] == [{"name": "Ann"}, {}]
    assert said["tool_calls"][1]["parse_error"].endswith("{oops")
    assert (ok["content"], ok["tool_call_id"], "error" in ok) == ("1", "c1", False)
    assert bad["error"] == {"type": "parsing", "message": "no"}
    assert first["output"]["choices"][0]["stop_reason"] == "max_tokens"
    assert (first["limit"]["limit"], first["turn_count"], first["working_time"]) == (1.0, 1, 1.75)
    used = {"input_tokens": 60, "output_tokens": 9, "total_tokens": 109, "input_tokens_cache_read": 40, "total_cost": 0.5}
    assert first["model_usage"] == {"m": used}
    assert header["stats"]["model_usage"] == {"m": {key: 2 * value for key, value in used.items()}}
    assert (second["error"]["message"], second["error"]["traceback"]) == ("ModelError (model): 503", "Traceback ...")
    assert [(one["error"], one["limit"]) for one in summaries] == [(None, "custom"), ("ModelError (model): 503", None)]


def test_texts_that_do_not_answer_a_call_alone_are_kept_whole_and_calls_without_a_name_have_one(tmp_path: Path) -> None:
    wrote = '<tool_call>\n{"name": "find", "arguments": {}}\n</tool_call>'
    step = Step("?", Message("assistant", wrote), info={"tool_results": [{"name": "find", "content": "1", "status": "ok"}]})
    nameless = Step("?", Message("assistant", "", (ToolCall("", "{oops"),)))
    played = [
        episode("a", steps=(step,), final_observation="<tool_response>\n1\n</tool_response>"),
        episode("b", steps=(step,), final_observation="<tool_response>\n1\n</tool_response>\nAnd it is late."),
        episode("c", steps=(nameless,)),
    ]
    alone, more, unread = (one["messages"] for one in logged(write(played, tmp_path)[1])[2])
    assert [(one["role"], one["content"]) for one in alone[1:]] == [("assistant", ""), ("tool", "1")]
    assert [(one["role"], one["content"]) for one in more[1:]] == [
        ("assistant", wrote),
        ("user", "<tool_response>\n1\n</tool_response>\nAnd it is late."),
    ]
    assert unread[1]["tool_calls"][0]["function"] == "unreadable_call"


def test_a_seat_has_the_times_of_its_episode(tmp_path: Path) -> None:
    whole = played_by_two()
    with RunStore(tmp_path / "runs") as store:
        run_id = store.create_run({})
        store.add(run_id, whole)
        for seat in ("", "bob"):
            [sample] = logged(write([whole], tmp_path, run=LoggedRun.of(store, run_id), seat=seat)[1])[2]
            assert sample["metadata"]["episode_id"] == whole.of_seat(seat).episode_id
            assert sample["completed_at"]


def test_sounds_and_pictures_are_shown_and_unknown_ones_stay_tags(tmp_path: Path) -> None:
    with use_media(MemoryMedia()) as media:
        picture, sound = media.put(png_bytes(np.zeros((2, 2), np.uint8))), media.put(tone(99, 0.1))
        step = Step(f"Look: {picture.tag}", Message("assistant", sound.tag, media=(sound,)))
        [sample] = logged(write([episode(steps=(step,))], tmp_path)[1])[2]
        seen, said = (one["content"] for one in sample["messages"])
        assert seen[0] == {"type": "text", "text": "Look: "}
        assert base64.b64decode(seen[1]["image"].removeprefix("data:image/png;base64,")) == media.get(picture)
        assert (said[0]["type"], said[0]["format"]) == ("audio", "wav")
    with use_media(MemoryMedia()) as media:
        media.put(tone(50, 0.1))
        [sample] = logged(write([episode(steps=(replace(step, action=Message("assistant", "?")),))], tmp_path)[1])[2]
        assert sample["messages"][0]["content"] == f"Look: {picture.tag}"


def test_one_bad_episode_is_left_out_and_named(tmp_path: Path) -> None:
    broken = episode("broken", steps=(Step("o", Message("assistant", "", (ToolCall("take", {"n": {1, 2}}, "c"),))),))
    shapeless = episode(
        "shapeless", steps=(Step("o", Message("assistant", "a"), info={"tool_results": 3}),), final_observation="x"
    )
    done, path = write([episode("a"), broken, shapeless, episode("z")], tmp_path)
    header, summaries, _ = logged(path)
    assert (done.num_written, [*done.damaged]) == (2, ["e-broken", "e-shapeless"])
    assert [one["id"] for one in summaries] == ["e_a", "e_z"]
    assert header["results"]["total_samples"] == 2


def test_nothing_is_a_log_without_samples_and_names_without_the_suffix_are_refused(tmp_path: Path) -> None:
    assert logged(write([], tmp_path)[1])[1] == []
    with pytest.raises(UsageError, match=r"out\.json; inspect-ai opens files that end in \.eval"):
        export_trajectories([], tmp_path / "out.json", "eval")


def test_the_same_episodes_of_a_run_give_the_same_bytes(tmp_path: Path) -> None:
    with RunStore(tmp_path / "runs") as store:
        evaluate(DESK, ExpertAgent(), n=3, store=store, run_id="r")
        run = LoggedRun.of(store, "r")
        contents = [write([*store.trajectories("r")], tmp_path, run=run)[1].read_bytes() for _ in range(2)]
    assert contents[0] == contents[1]
    assert len(run.finished_s) == 3


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    big = episode(instructions="".join(map(chr, np.random.default_rng(0).integers(33, 0xD7FF, 20_000))))
    tracemalloc.start()
    done, path = write((replace(big, sample=i) for i in range(150)), tmp_path)  # type: ignore[arg-type]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (done.num_written, path.stat().st_size > 4_500_000) == (150, True)
    assert peak < 2_500_000


# -- read by inspect-ai itself ----------------------------------------------------------------------------------------

READ = """
import json, sys
from inspect_ai.log import read_eval_log, read_eval_log_sample, read_eval_log_sample_summaries
log = read_eval_log(sys.argv[1])
header = read_eval_log(sys.argv[1], header_only=True)
again = [read_eval_log_sample(sys.argv[1], one.id, one.epoch).id for one in log.samples]
print(json.dumps({
    "status": log.status, "model": log.eval.model, "task": log.eval.task, "again": again,
    "scores": {one.name: {key: metric.value for key, metric in one.metrics.items()} for one in header.results.scores},
    "summaries": [one.model_dump(mode="json") for one in read_eval_log_sample_summaries(sys.argv[1])],
    "samples": [one.model_dump(mode="json") for one in log.samples],
}))
"""


def read_by_inspect(path: Path) -> dict[str, Any]:
    command = [inspect_python(), "-c", READ, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def answers(request: Any) -> Message:
    turn = sum(message.role == "assistant" for message in request.messages)
    look = (ToolCall("search_notes", {"query": "a"}, "c1"), ToolCall("list_events", {"date": "tomorrow"}, "c2"))
    return Message("assistant", "Done.", () if turn else look, reasoning=f"Turn {turn}.")


def test_inspect_reads_a_run_as_it_was_played(tmp_path: Path) -> None:
    inspect_python()
    with RunStore(tmp_path / "runs") as store:
        agent = LLMAgent(ScriptedBackend(answers), name="scripted:m")
        summary = evaluate(DESK, agent, n=3, samples=2, store=store, run_id="r").summary
        played = [*store.trajectories("r")]
        read = read_by_inspect(write(played, tmp_path, run=LoggedRun.of(store, "r"))[1])
    assert (read["status"], read["model"], read["task"]) == ("success", "scripted:m", DESK)
    assert read["scores"]["success"]["accuracy"] == summary.total.success.mean
    assert len(read["summaries"]) == len(read["again"]) == len(played) == 6
    for sample in read["samples"]:
        [trajectory] = [one for one in played if one.episode_id == sample["metadata"]["episode_id"]]
        assert (sample["epoch"], sample["metadata"]["task"]) == (trajectory.sample + 1, dict(trajectory.task))
        assert sample["scores"]["return"]["value"] == trajectory.return_
        roles = [one["role"] for one in sample["messages"]]
        assert roles == ["system", "user", "assistant", "tool", "tool", "assistant", *roles[6:]]
        assert sample["messages"][2]["content"][0]["reasoning"] == "Turn 0."
        assert [one["function"] for one in sample["messages"][2]["tool_calls"]] == ["search_notes", "list_events"]
        assert sample["messages"][4]["error"]["type"] == "parsing"


def test_inspect_reads_whatever_can_be_played(tmp_path: Path) -> None:
    inspect_python()
    played: list[Trajectory] = []

    @settings(max_examples=150, deadline=None)
    @given(one=episodes)
    def gather(one: Trajectory) -> None:
        played.append(one)

    gather()
    done, path = write(played, tmp_path)
    read = read_by_inspect(path)
    assert len(read["samples"]) == len(read["again"]) == len(read["summaries"]) == done.num_written == len(played) >= 150

"""Exported files as others load them: by the `datasets` package, from which LLaMA-Factory and TRL read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from palaestra.agents.export.conversations import action_text, is_trained_on
from palaestra.agents.export.export import EXPORT_FORMATS, export_trajectories
from palaestra.agents.export.origins import Origin
from palaestra.agents.export.reading import episode_of, load_episodes
from palaestra.envs.formats.hermes import format_results
from palaestra.types import Message, Outcome, Step, ToolCall, ToolResult, Trajectory

datasets = pytest.importorskip("datasets")
TOOL = {"type": "function", "function": {"name": "get", "parameters": {"type": "object", "properties": {}}}}
CALL = ToolCall("get", {"item": "x", "count": 2}, "c0")
RESULT = ToolResult("get", "ok", "ok", "c0")


def episodes() -> list[Trajectory]:
    """Return episodes that differ in what they have: calls, tools, instructions, marks, weights, metrics, origin."""
    plain = Trajectory(
        "a",
        "x/Y-v0",
        {"key": "k/1", "split": "train", "type": ""},
        steps=(
            Step("obs0", Message("assistant", "act0"), info={"trained": False}),
            Step("obs1", Message("assistant", "act1"), 1.0, True),
        ),
        outcome=Outcome(1.0, True, "success"),
    )
    called = replace(
        plain,
        episode_id="b",
        env_id="",
        task={},
        instructions="Rules.",
        tools=(TOOL,),
        steps=(
            Step("go", Message("assistant", "Now.", (CALL,)), info={"tool_results": [RESULT.to_json()]}),
            Step(format_results([RESULT]), Message("assistant", "done"), 1.0, True),
        ),
        final_observation="the end",
        outcome=Outcome(0.25, False, "success", metrics={"wer": 0.5}),
        meta={"weight": 2.0},
    )
    return [plain, called]


def essence(episode: Trajectory) -> dict[str, Any]:
    return {
        "instructions": episode.instructions,
        "tools": [dict(tool) for tool in episode.tools],
        "steps": [(step.observation, action_text(step.action), is_trained_on(step)) for step in episode.steps],
        "weight": episode.meta.get("weight"),
        "origin": replace(Origin.of(episode), task_key=""),
    }


@pytest.mark.parametrize("form", [form for form in EXPORT_FORMATS if form not in ("dataset", "eval")])
def test_what_the_datasets_package_makes_of_a_file_is_read_as_the_file_is(form: str, tmp_path: Path) -> None:
    """It fills what a row does not have with nulls, which mean that it is absent."""
    path = tmp_path / f"in.{'json' if EXPORT_FORMATS[form].is_array else 'jsonl'}"
    export_trajectories(episodes(), path, form)
    datasets.disable_progress_bars()
    try:
        rows = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    finally:
        datasets.enable_progress_bars()
    read = [episode_of(row, str(number)) for number, row in enumerate(rows)]
    assert [essence(one) for one in read] == [essence(one) for one in load_episodes(path)]
    assert [essence(one)["steps"] for one in read] == [essence(one)["steps"] for one in episodes()]


def test_sharegpt_is_what_llama_factory_takes(tmp_path: Path) -> None:
    """Its converter: roles in alternation from human, ending with gpt, a system turn first or none, tools as JSON text."""
    path = tmp_path / "in.json"
    export_trajectories(episodes(), path, "sharegpt")
    for row in datasets.Dataset.from_json(str(path), cache_dir=str(tmp_path / "cache")):
        turns = row["conversations"]
        if turns[0]["from"] == "system":
            turns = turns[1:]
        assert len(turns) % 2 == 0
        assert all(turn["from"] in (("human", "observation"), ("gpt", "function_call"))[i % 2] for i, turn in enumerate(turns))
        assert all(isinstance(turn["value"], str) for turn in turns)
        assert row["tools"] is None or isinstance(row["tools"], str)

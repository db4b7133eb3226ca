from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from palaestra.agents.export.conversations import Conversation
from palaestra.agents.export.export import EXPORT_FORMATS, export_trajectories
from palaestra.agents.export.reading import BadRecordWarning, load_conversations, load_trajectories
from palaestra.agents.reference import ExpertAgent
from palaestra.agents.rollout.engine import EpisodePlan, RolloutEngine
from palaestra.agents.seats import Seats
from palaestra.errors import MissingExtraError, StoreError, UnknownNameError, UsageError
from palaestra.types import EpisodeError, Message, Outcome, Step, ToolCall, Trajectory
from tests.agents.countdown import Steady, plans
from tests.envs.seated_toys import GUESS_ID, register_seated_toys

FILES = [name for name in EXPORT_FORMATS if name not in ("dataset", "eval")]


@pytest.fixture(scope="module")
def played() -> list[Trajectory]:
    found = RolloutEngine().collect(plans(9, max_turns=2), Steady())
    broken = found[4].with_outcome(Outcome(error=EpisodeError("model", "ModelError", "503")))
    return [*found[:4], broken, *found[5:]]


def records(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("format", FILES)
def test_every_format_is_complete_json_and_loads_back(format: str, played: list[Trajectory], tmp_path: Path) -> None:
    path = tmp_path / f"out{EXPORT_FORMATS[format].suffix}"
    seen: list[tuple[int, int]] = []
    done = export_trajectories(played, path, format, progress=lambda *figures: seen.append(figures))
    kept = 9 if format == "jsonl" else 8
    assert (done.path, done.num_written, done.num_skipped) == (path, kept, 9 - kept)
    assert len(records(path)) == kept
    assert seen == [(i, 9) for i in range(10)]
    assert os.listdir(tmp_path) == [path.name]
    if format == "jsonl":
        assert list(load_trajectories(path)) == played
        return
    good = [trajectory for trajectory in played if not trajectory.outcome.error]
    for conversation, trajectory in zip(load_conversations(path), good, strict=True):
        back = conversation.to_trajectory()
        assert [step.action.content for step in back.steps] == ["down"] * trajectory.num_turns
        assert back.instructions == trajectory.instructions


def test_only_solved_episodes_or_all_of_them(played: list[Trajectory], tmp_path: Path) -> None:
    done = export_trajectories(played, tmp_path / "a.json", select="success")
    assert (done.num_written, done.num_skipped) == (sum(bool(t.outcome.success) for t in played), 4)
    assert export_trajectories(played, tmp_path / "b.json", select="all").num_written == 9


@pytest.mark.parametrize("format", FILES)
def test_nothing_is_an_empty_file(format: str, tmp_path: Path) -> None:
    path = tmp_path / f"out{EXPORT_FORMATS[format].suffix}"
    assert export_trajectories(iter(()), path, format).num_written == 0
    assert records(path) == []
    assert list(load_conversations(path)) == []


@pytest.mark.parametrize("format", FILES)
def test_whatever_a_model_writes_can_be_written_and_read(format: str, tmp_path: Path) -> None:
    text = 'naïve 日本 \ud800 "quoted"\n\x00\u2028'
    odd = Trajectory("e", "x/Y-v0", {"key": "k"}, steps=(Step(text, Message("assistant", text)),), outcome=Outcome(0.0, False))
    path = tmp_path / f"out{EXPORT_FORMATS[format].suffix}"
    export_trajectories([odd], path, format)
    if format == "jsonl":
        assert list(load_trajectories(path)) == [odd]
    else:
        assert [message.content for message in next(load_conversations(path)).messages] == [text, text]


def test_a_huggingface_dataset_is_written_and_loads_back(played: list[Trajectory], tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    call = ToolCall("find", {"name": "Ann \ud800"}, "call_1")
    with_tools = replace(
        played[0],
        tools=({"type": "function", "function": {"name": "find", "parameters": {}}},),
        outcome=Outcome(1.0, True, "success", metrics={"wer": 0.25}),
        steps=(
            Step("?", Message("assistant", "", (call,)), info={"tool_results": [{"name": "find", "content": "1"}]}),
            Step("1", Message("assistant", "done"), 1.0, terminated=True),
        ),
    )
    done = export_trajectories([*played, with_tools], tmp_path / "set", "dataset")
    assert done.num_written == 9
    assert os.listdir(tmp_path) == ["set"]
    loaded = datasets.load_from_disk(str(done.path))
    assert len(loaded) == 9
    assert [message["role"] for message in loaded[0]["messages"]] == ["system", "user", "assistant", "user"]
    assert loaded[0]["success"] is True
    assert loaded[0]["reward"] == pytest.approx(1)
    last = loaded[8]
    assert [message["role"] for message in last["messages"]][1:4] == ["user", "assistant", "tool"]
    assert last["messages"][2]["tool_calls"][0]["function"]["arguments"] == {"name": "Ann ?"}
    assert [json.loads(row["metrics"]) for row in (loaded[0], last)] == [{}, {"wer": 0.25}]
    assert last["tools"][0]["function"]["name"] == "find"
    assert loaded[0]["tools"] is None


def test_a_dataset_without_the_package_names_the_extra(
    played: list[Trajectory], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'palaestra\[train\]'"):
        export_trajectories(played, tmp_path / "set", "dataset")


def test_a_file_appears_only_when_it_is_complete(played: list[Trajectory], tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    path.write_text("old")

    def breaking() -> Iterator[Trajectory]:
        yield from played[:3]
        raise StoreError("the store broke")

    with pytest.raises(StoreError, match="the store broke"):
        export_trajectories(breaking(), path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.json"]


def test_a_place_that_cannot_be_written_is_told(played: list[Trajectory], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"could not be written .*choose another path"):
        export_trajectories(played, tmp_path / "file" / "out.json")
    (tmp_path / "folder.json" / "inside").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"folder.json is a folder, and the format 'agenttraj' is one file"):
        export_trajectories(played, tmp_path / "folder.json")
    with pytest.raises(UsageError, match="file is a file, and a dataset is a folder; name another path"):
        export_trajectories(played, tmp_path / "file", "dataset")
    with pytest.raises(StoreError, match=r"could not be written \(File name too long\)"):
        export_trajectories(played, tmp_path / ("x" * 300))
    assert (tmp_path / "file").read_text() == ""


def test_unknown_formats_and_selections_are_told(played: list[Trajectory], tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown export format 'sharegtp'\. Did you mean 'sharegpt'"):
        export_trajectories(played, tmp_path / "x", "sharegtp")
    with pytest.raises(UnknownNameError, match="Unknown selection 'solved'"):
        export_trajectories(played, tmp_path / "x", select="solved")  # type: ignore[arg-type]


def test_memory_does_not_grow_with_the_file(played: list[Trajectory], tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    big = replace(played[0], instructions="x" * 20_000)
    tracemalloc.start()
    export_trajectories((big for _ in range(1500)), path)
    assert sum(1 for _ in load_conversations(path)) == 1500
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert path.stat().st_size > 30_000_000
    assert peak < 10_000_000


def test_arrays_over_many_lines_and_records_longer_than_a_block_are_read(tmp_path: Path) -> None:
    path = tmp_path / "in.json"
    long = {"item_id": "b", "conversations": [{"from": "human", "loss": None, "value": "y" * 3_000_000}]}
    path.write_text("\ufeff" + json.dumps([{"item_id": "a"}, long, {"item_id": "c"}], indent=2), encoding="utf-8")
    assert [conversation.item_id for conversation in load_conversations(path)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"item_id": "a"}, {"item_id": "b", "conv', "line 1, record 2 is not JSON .*cut off"),
        ('{"item_id": "a"}\nhello\n', "line 2, record 2 is not JSON"),
        ('{"item_id": "a"}\n{"text": 1}\n', "line 2, record 2: A record has the keys"),
        ('[{"item_id": "a"},\n3]', "line 2, record 2 is a int; expected an object"),
    ],
)
def test_records_that_cannot_be_read_are_told_and_the_others_are_read(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(text)
    with pytest.warns(BadRecordWarning, match=f"in.jsonl, {message}"):
        assert [conversation.item_id for conversation in load_conversations(path)] == ["a"]


def test_missing_binary_and_foreign_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no file"):
        list(load_conversations(tmp_path / "nothing.json"))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(UsageError, match="is not UTF-8 text; save the file as UTF-8"):
        list(load_conversations(tmp_path / "binary"))
    (tmp_path / "x.jsonl").write_text('{"item_id": "a"}')
    with pytest.raises(UsageError, match="record 1: it is not a trajectory"):
        list(load_trajectories(tmp_path / "x.jsonl"))


def test_conversations_of_equal_episodes_are_equal(played: list[Trajectory]) -> None:
    assert Conversation.of(played[0]) == Conversation.of(Trajectory.from_json(played[0].to_json()))


def test_an_export_takes_the_episodes_of_one_seat_and_jsonl_the_whole(tmp_path: Path) -> None:
    whole = played_by_two()
    export_trajectories([whole], tmp_path / "whole.jsonl", "jsonl")
    assert list(load_trajectories(tmp_path / "whole.jsonl")) == [whole]
    for seat in ("", "bob"):
        for format in ("chat", "agenttraj", "jsonl"):
            if seat or format != "jsonl":
                export_trajectories([whole], tmp_path / "own", format, seat=seat)
                export_trajectories([whole.of_seat(seat)], tmp_path / "expected", format)
                assert (tmp_path / "own").read_bytes() == (tmp_path / "expected").read_bytes()
    with pytest.raises(UnknownNameError, match="Unknown seat 'zoe'"):
        export_trajectories([whole], tmp_path / "own", "chat", seat="zoe")


def played_by_two() -> Trajectory:
    register_seated_toys()
    plan = EpisodePlan("e", GUESS_ID, task_key="train/5", seed=0)
    [whole] = RolloutEngine(1).collect([plan], Seats(ExpertAgent(), bob=ExpertAgent()))
    return whole

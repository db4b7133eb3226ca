"""One bad episode never stops an export, and nothing but strict JSON is written."""

from __future__ import annotations

import json
import math
import sqlite3
from pathlib import Path

import pytest

from palaestra.agents.export.export import EXPORT_FORMATS, export_trajectories
from palaestra.agents.store.store import FILE_NAME, RunStore
from palaestra.errors import StoreError
from palaestra.types import Message, Outcome, Step, ToolCall, Trajectory
from palaestra.types.plain_json import strict_json


def episode(name: str, *calls: ToolCall, **info: object) -> Trajectory:
    step = Step("o", Message("assistant", "a", calls), 1.0, True, info=info)
    return Trajectory(name, "x/E-v0", {"key": name, "split": "test", "type": "t"}, steps=(step,), outcome=Outcome(1.0, True))


GOOD = [episode("a"), episode("z")]
LOOSE = episode("loose", ToolCall("take", {"n": math.inf, "m": [math.nan]}, "c"), figure=math.nan)
BROKEN = episode("broken", ToolCall("take", {"n": {1, 2}}, "c"))  # type: ignore[arg-type]
FORMATS = [name for name in EXPORT_FORMATS if name not in ("dataset", "eval")]


def records(path: Path) -> list[object]:
    text = path.read_text()
    return strict_json(text) if text.startswith("[") else [strict_json(line) for line in text.splitlines()]


@pytest.mark.parametrize("format", FORMATS)
def test_numbers_that_json_does_not_have_are_null(tmp_path: Path, format: str) -> None:
    done = export_trajectories([GOOD[0], LOOSE, GOOD[1]], tmp_path / "out.jsonl", format)
    assert done.num_written == len(records(tmp_path / "out.jsonl")) >= 2
    assert list(done.damaged) == ([] if done.num_written == 3 else ["loose"])
    assert done.num_written == 3 or format != "jsonl"


@pytest.mark.parametrize("format", FORMATS)
def test_an_episode_that_cannot_be_written_is_left_out_and_named(tmp_path: Path, format: str) -> None:
    done = export_trajectories([GOOD[0], BROKEN, GOOD[1]], tmp_path / "out.jsonl", format)
    assert done.num_written == len(records(tmp_path / "out.jsonl"))
    assert list(done.damaged) in ([], ["broken"])
    assert done.num_written + len(done.damaged) == 3


def test_a_damaged_episode_of_a_store_is_left_out_and_named(tmp_path: Path) -> None:
    with RunStore(tmp_path) as store:
        run = store.create_run({})
        for one in [GOOD[0], LOOSE, GOOD[1]]:
            store.add(run, one)
        loose = store.get(run, "loose")
        assert json.dumps(loose.to_json(), allow_nan=False)
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    query = "UPDATE trajectories SET data = x'00' WHERE number = (SELECT number FROM episodes WHERE episode_id = 'loose')"
    connection.execute(query)
    connection.commit()
    connection.close()
    with RunStore(tmp_path, read_only=True) as store:
        with pytest.raises(StoreError, match="is damaged"):
            list(store.trajectories(run))
        damaged: dict[str, str] = {}
        path = tmp_path / "out.jsonl"
        done = export_trajectories(store.trajectories(run, damaged=damaged), path, "jsonl", damaged=damaged)
    assert (done.num_written, list(done.damaged)) == (2, ["loose"])
    assert len(records(path)) == 2

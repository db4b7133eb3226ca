"""Recorded episodes of a run: whoever learns from them is told what they are."""

from __future__ import annotations

import logging

import pytest

from palaestra.agents.store import RunStore
from palaestra.algorithms.data.sources import Recorded
from palaestra.types import Message, Outcome, Step, Trajectory

EPISODE = Trajectory(
    episode_id="e",
    env_id="test/E-v0",
    task={"key": "t", "split": "train", "type": ""},
    steps=(Step("see", Message("assistant", "do")),),
    outcome=Outcome(score=1.0, success=True),
)


@pytest.mark.parametrize(("status", "warns"), [("finished", False), ("interrupted", True), ("stopped", True)])
def test_learning_from_a_run_that_was_cut_off_is_a_warning(
    status: str, warns: bool, tmp_path, caplog: pytest.LogCaptureFixture
) -> None:
    with RunStore(tmp_path) as store, caplog.at_level(logging.WARNING):
        store.create_run({"kind": "evaluate"}, "a")
        store.add("a", EPISODE)
        store.set_status("a", status, "" if status == "finished" else "1 of 2,000 planned")  # type: ignore[arg-type]
        assert len(Recorded("run:a", 5).episodes(store)) == 1
    assert ("1 of 2,000 planned; its numbers are those so far, and biased" in caplog.text) == warns

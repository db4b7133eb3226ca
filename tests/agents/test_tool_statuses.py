"""Every status of a tool call is known to all that reads one: formats, store, exports, report, TRL."""

import json
from typing import get_args

import gymnasium
import pytest

from palaestra.agents.backends.scripted import ScriptedBackend
from palaestra.agents.evaluation.evaluation import evaluate
from palaestra.agents.export.conversations import Conversation, chat_record
from palaestra.agents.formats import FORMATS, make_format
from palaestra.agents.llm import LLMAgent
from palaestra.agents.report.report import write_report
from palaestra.agents.store.store import RunStore
from palaestra.algorithms.trl.tool_environment import environment_class
from palaestra.envs import check_environment
from palaestra.types import Message, ToolCall, ToolResult, ToolStatus, Trajectory, known_status
from tests.agents.report.page import parse
from tests.envs.core.test_task_tools import ShelfEnv

STATUSES = get_args(ToolStatus)
FAILURES = [status for status in STATUSES if status != "ok"]
SHELF_ID = "tests/Shelf-v0"

gymnasium.register(
    SHELF_ID,
    ShelfEnv,
    vector_entry_point=f"palaestra.envs.core.vector:{SHELF_ID}",
    order_enforce=False,
    kwargs={"max_turns": 9},
)


def calling(*kinds: str) -> Message:
    return Message("assistant", "", tuple(ToolCall("put", {"kind": kind}, f"c{i}") for i, kind in enumerate(kinds)))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A stored run in which every status occurs, in one message and in messages of their own."""
    store = RunStore(tmp_path_factory.mktemp("runs") / "runs")
    script = [calling("fine", *FAILURES, "data"), *(calling(status) for status in FAILURES), Message("assistant", "done")]
    agent = LLMAgent(ScriptedBackend(script), format="tools")
    evaluation = evaluate(SHELF_ID, agent, split="train", n=1, store=store)
    assert evaluation.status == "finished"
    (trajectory,) = store.trajectories(evaluation.run_id)
    yield store, evaluation.run_id, trajectory
    store.close()


def test_the_store_keeps_them(run):
    _, _, trajectory = run
    found = [result["status"] for result in trajectory.steps[0].info["tool_results"]]
    assert found == ["ok", *FAILURES, "error"]
    assert Trajectory.from_json(json.loads(json.dumps(trajectory.to_json()))) == trajectory
    assert trajectory.outcome.error is None


@pytest.mark.parametrize("status", STATUSES)
def test_results_travel_as_json(status):
    result = ToolResult("put", "text", status, "c1")
    assert ToolResult.from_json(result.to_json()) == result
    assert known_status(status) == status


@pytest.mark.parametrize("name", FORMATS)
def test_formats_show_each_as_an_answer_to_its_call(name, run):
    _, _, trajectory = run
    step = trajectory.steps[0]
    shown = make_format(name).show(step.action, trajectory.steps[1].observation, step.info)
    if name == "tools":
        assert [message.role for message in shown] == ["tool"] * len(step.action.tool_calls)
        assert [message.tool_call_id for message in shown] == [call.id for call in step.action.tool_calls]
    text = "\n".join(message.content for message in shown)
    assert all(f"it ended with {status}" in text for status in FAILURES)


def test_exports_hold_what_the_agent_was_told(run):
    _, _, trajectory = run
    for record in (Conversation.of(trajectory).to_sharegpt(), chat_record(trajectory)):
        text = json.dumps(record)
        assert all(f"it ended with {status}" in text for status in FAILURES)


def test_reports_name_each_failure(run, tmp_path):
    store, run_id, _ = run
    page = write_report(tmp_path / "report.html", [run_id], store=store)
    episodes = json.dumps(parse(page.read_text(encoding="utf-8")).data)
    assert all(f'"status": "{status}"' in episodes for status in FAILURES)


@pytest.mark.parametrize("status", FAILURES)
def test_trl_shows_each_as_the_result_of_the_method(status):
    episode = environment_class(SHELF_ID)()
    episode.reset(task="one", seed=0)
    assert episode.put(kind=status) == f"Error: it ended with {status}"  # type: ignore[attr-defined]
    assert episode.error is None


def test_the_checker_knows_them(monkeypatch):
    report = check_environment(SHELF_ID)
    assert "step info" not in {result.name for result in report.results if not result.ok}
    monkeypatch.setattr("palaestra.types.messages.get_args", lambda of: ("ok", "lost"))
    monkeypatch.setattr(ShelfEnv, "_status", lambda self, call, value: "lost")
    assert "step info" in {result.name for result in check_environment(SHELF_ID).results if not result.ok}

"""The check over all chat templates: it finds what is wrong, and its page is written from its rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from experiments.chat_templates import checks, run
from experiments.chat_templates.checks import cloned, continuing, read_back, row_of, rows, shown, sources, template_of
from experiments.chat_templates.dialogues import CALLS, EPISODES, TEXT, chat_of, messages
from experiments.common.rows import folder_of, read_rows

needs_templates = pytest.mark.skipif(not sources(), reason="TRL, which ships the templates, is not installed")
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@needs_templates
@pytest.mark.parametrize("name", ["qwen2_5", "llama3_1", "phi3", "gemma3"])
def test_a_template_is_checked_in_full(name: str) -> None:
    row = row_of(name, template_of(sources()[name]))
    for check in ("cloned", "rows", "shown", *(("calls", "read_back") if row["syntax"] else ())):
        assert row[check]["good"] == row[check]["total"] > 0, row[check]["first"]
    assert row["end"] in row["ends"]


def test_what_is_wrong_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    template = template_of(CHATML)
    assert cloned(template, TEXT).good == 3
    assert continuing(template).good == 3
    written = template.written_turn
    monkeypatch.setattr(template, "written_turn", lambda text, **asks: (*written(text, **asks)[:-1], 0))
    found = cloned(template, TEXT)
    assert found.good == 0
    assert "for '" in found.first


@needs_templates
def test_calls_that_are_read_otherwise_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    template = template_of(sources()["qwen2_5"])
    assert read_back(template, [CALLS]).good == read_back(template, [CALLS]).total == 3
    monkeypatch.setattr(template, "written_calls", lambda action, tools: template.written_turn("get oak"))
    found = read_back(template, [CALLS])
    assert (found.good, found.total) == (1, 3)


def test_a_refusal_and_a_missing_word_are_counted() -> None:
    assert shown(template_of("{{ raise_exception('nobody may speak') }}")).good == 0
    assert shown(template_of(CHATML)).good == checks.NUM_MESSAGES
    pytest.importorskip("datasets")
    assert rows(template_of(CHATML)).good == len(EPISODES)


def test_the_material_is_the_same_every_time_and_holds_calls() -> None:
    assert list(messages(20, 1)) == list(messages(20, 1)) != list(messages(20, 2))
    assert sum(bool(message.tool_calls) for message in messages(60, 0)) > 20
    assert [message["role"] for message in chat_of(CALLS, 2)] == ["system", "user", "assistant", "tool", "assistant"]


def test_the_recorded_page_is_that_of_the_recorded_rows(tmp_path: Path) -> None:
    folder = folder_of("chat_templates")
    recorded: list[dict[str, Any]] = read_rows(folder / "rows.jsonl")
    assert len(recorded) >= 72
    assert run.page(recorded) == (folder / "README.md").read_text(encoding="utf-8")
    assert run.figure(None) == run.figure({"good": 0, "total": 0}) == "-"

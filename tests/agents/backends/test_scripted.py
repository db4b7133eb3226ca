from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from palaestra.agents.backends.scripted import ScriptedBackend
from palaestra.agents.core import Generation, Request
from palaestra.errors import ConfigError, MissingDataError, ModelError
from palaestra.types import Message, ToolCall


def ask(text: str = "hello", session: str = "") -> Request:
    return Request((Message("user", text),), session=session)


def write(path: Path, *rows: object) -> Path:
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    return path


async def test_each_session_plays_the_script_from_its_beginning() -> None:
    backend = ScriptedBackend(["one", "two"])
    order = [("a", "one"), ("b", "one"), ("a", "two"), ("b", "two")]
    for session, expected in order:
        assert (await backend.generate(ask(session=session))).message.content == expected
    assert [request.session for request in backend.requests] == ["a", "b", "a", "b"]


async def test_an_exhausted_script_says_so() -> None:
    backend = ScriptedBackend(["one"])
    await backend.generate(ask(session="s"))
    with pytest.raises(ModelError, match=r"exhausted: session 's' had all its 1 replies.*Add replies") as caught:
        await backend.generate(ask(session="s"))
    assert not caught.value.retryable


async def test_a_file_holds_messages_calls_conditions_faults_and_delays(tmp_path: Path) -> None:
    path = write(
        tmp_path / "script.jsonl",
        {"match": "door", "content": "open\u2028it", "repeat": True},
        {"content": "", "tool_calls": [{"name": "look", "arguments": {"at": "sky"}}], "reasoning": "up"},
        {"error": "slow down", "status": 429, "retry_after_s": 0.5},
        {"content": "late", "delay_s": 0.05, "usage": {"prompt_tokens": 3, "completion_tokens": 2}, "finish_reason": "length"},
    )
    backend = ScriptedBackend.from_file(path)
    assert backend.name == "scripted:script.jsonl"
    first = await backend.generate(ask())
    assert first.message == Message("assistant", "", (ToolCall("look", {"at": "sky"}, "call_1_0"),), reasoning="up")
    assert first.finish_reason == "tool_calls"
    assert (await backend.generate(ask("a door"))).message.content == "open\u2028it"
    with pytest.raises(ModelError, match="slow down") as caught:
        await backend.generate(ask())
    assert (caught.value.status, caught.value.retryable, caught.value.retry_after_s) == (429, True, 0.5)
    started = time.monotonic()
    late = await backend.generate(ask())
    assert time.monotonic() - started >= 0.05
    assert (late.finish_reason, late.usage.prompt_tokens) == ("length", 3)
    with pytest.raises(ModelError, match=r"ends in 'window'.*Widen a 'match'"):
        await backend.generate(ask("window"))
    assert (await backend.generate(ask("the door again"))).message.content == "open\u2028it"


async def test_a_function_may_answer() -> None:
    async def answer(request: Request) -> Generation:
        await asyncio.sleep(0)
        return Generation(Message("assistant", request.messages[-1].content.upper()), "stop")

    assert (await ScriptedBackend(answer).generate(ask("hi"))).message.content == "HI"
    assert (await ScriptedBackend(lambda request: "fixed").generate(ask())).message.content == "fixed"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"script\.jsonl:1: not JSON"),
        ("[1]", "a list; expected an object"),
        ('{"contents": "x"}', "Did you mean 'content'"),
        ('{"delay_s": 1}', "needs 'content', 'tool_calls', 'media' or 'error'"),
        ('{"content": 1}', "'content' is 1; expected str"),
        ('{"content": "x", "match": "("}', "is not a regular expression"),
        ('{"tool_calls": [{"arguments": {}}]}', "tool call 0 is"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "script.jsonl"
    path.write_text(line)
    with pytest.raises(ConfigError, match=message):
        ScriptedBackend.from_file(path)


def test_a_missing_or_binary_file_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="No script at"):
        ScriptedBackend.from_file(tmp_path / "none.jsonl")
    (tmp_path / "b.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        ScriptedBackend.from_file(tmp_path / "b.jsonl")


def test_only_replies_make_a_script() -> None:
    with pytest.raises(ConfigError, match="holds a int; expected str"):
        ScriptedBackend([3])  # type: ignore[list-item]

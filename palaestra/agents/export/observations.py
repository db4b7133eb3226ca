"""What an agent saw, read from a dialogue: texts of users, and results of tools for the calls that they answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from palaestra.envs.formats.hermes import CALL_OPEN, RESPONSE_CLOSE, RESPONSE_OPEN, format_results, parse_message
from palaestra.media.items import write_tags
from palaestra.types import Json, Message, Step, ToolCall, ToolResult

_BETWEEN = f"\n{RESPONSE_CLOSE}\n{RESPONSE_OPEN}\n"


def observed(steps: list[Step], messages: Sequence[Message]) -> tuple[list[Step], str]:
    """Return the observation that messages after a step stand for, and the steps with the results noted at the last.

    A tool's message for each call, or a text in the canonical form of results, is noted in `info["tool_results"]`, so that it
    is shown as an answer of a tool again. Results of calls with ids are shown in the canonical form, as tool environments do.

    Args:
        steps: What was played before.
        messages: What came between two actions, oldest first; no system's.
    """
    text = "\n".join(write_tags(message.content, message.media) for message in messages)
    if not steps or not messages:
        return steps, text
    calls = calls_of(steps[-1].action)
    results = _results(calls, messages, text)
    if results is None:
        return steps, text
    if all(call.id for call in calls) and all(message.role == "tool" for message in messages):
        text = format_results(results)
    noted: list[Json] = [result.to_json() for result in results]
    last = replace(steps[-1], info={**steps[-1].info, "tool_results": noted})
    return [*steps[:-1], last], text


def calls_of(action: Message) -> tuple[ToolCall, ...]:
    """Return the calls of an action, also those that it writes in the canonical text form."""
    if action.tool_calls or CALL_OPEN not in action.content:
        return action.tool_calls
    return parse_message(action.content, lenient=True).tool_calls


def _results(calls: Sequence[ToolCall], messages: Sequence[Message], text: str) -> list[ToolResult] | None:
    """Return one result for each call, or None if the messages are not that."""
    if not calls:
        return None
    if all(message.role == "tool" for message in messages):
        if len(messages) != len(calls):
            return None
        by_id = {message.tool_call_id: message for message in messages}
        ids = [call.id for call in calls]
        ordered = [by_id[one] for one in ids] if set(ids) == by_id.keys() and len(by_id) == len(ids) else messages
        contents = [write_tags(message.content, message.media) for message in ordered]
    else:
        contents = _blocks(text)
        if len(contents) != len(calls):
            return None
    return [ToolResult(call.name, content, "ok", call.id) for call, content in zip(calls, contents, strict=True)]


def _blocks(text: str) -> list[str]:
    """Return the results that stand between tags in a text; none if anything else is there."""
    start, end = f"{RESPONSE_OPEN}\n", f"\n{RESPONSE_CLOSE}"
    if not text.startswith(start) or not text.endswith(end) or len(text) < len(start) + len(end):
        return []
    contents = text[len(start) : -len(end)].split(_BETWEEN)
    # a tag inside a result was escaped when it was written, which cannot be told from one that was so before
    return [] if any("tool_response>" in content for content in contents) else contents


__all__ = ["calls_of", "observed"]

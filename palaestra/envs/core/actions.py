"""What an agent sent: whether it can be used at all, and how it is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from palaestra.envs.core.tasks import Task
from palaestra.envs.formats.hermes import parse_message
from palaestra.errors import UsageError
from palaestra.spaces import MAX_ACTION_CHARS, calls_problem, is_unicode
from palaestra.types import Message, ToolCall, ToolResult


def as_action(action: Any) -> str | Message:
    """Return an action as text or message; OpenAI message objects and dicts are read as the messages that they are.

    Raises:
        UsageError: If it is none of these.
    """
    if isinstance(action, (str, Message)):
        return action
    if isinstance(action, Mapping) or callable(getattr(action, "model_dump", None)):
        return Message.from_openai(action)
    raise UsageError(
        f"The action is a {type(action).__name__}; expected a str or an assistant Message (an OpenAI message object or dict "
        f"is one)."
    )


def unusable(action: object) -> str | None:
    """Return why an action cannot even be read, for the agent; None if it can.

    Args:
        action: Anything that was given to `step`.

    Raises:
        UsageError: If the caller passed something other than a text or an assistant message.
    """
    if isinstance(action, str):
        text = action
    elif isinstance(action, Message):
        if action.role != "assistant":
            raise UsageError(f"The action is a message with role {action.role!r}; expected 'assistant'.")
        if action.error:
            return sayable(action.error)
        text = action.content
    else:
        raise UsageError(f"The action is a {type(action).__name__}; expected a str or an assistant Message.")
    if len(text) > MAX_ACTION_CHARS:
        return f"Your message has {len(text)} characters; at most {MAX_ACTION_CHARS} are read. Send a shorter one."
    if not is_unicode(text):
        return "Your message is not valid Unicode (it holds lone surrogates). Send it again as plain text."
    if isinstance(action, Message) and action.tool_calls:
        return calls_problem(action.tool_calls, MAX_ACTION_CHARS - len(text)) or None
    return None


def read_message(text: str, *, lenient: bool = False) -> Message:
    """Read a text in the canonical form; the `error` of the message says why its calls cannot be used, if they cannot.

    Args:
        text: Any text that `unusable` lets through.
        lenient: See `parse_message`.
    """
    message = parse_message(text, lenient=lenient)
    if message.tool_calls and (problem := calls_problem(message.tool_calls)):
        return replace(message, error=problem)
    return message


def refused_results(calls: Sequence[ToolCall], problem: str) -> tuple[ToolResult, ...]:
    """Return one result for each call of a message that was refused as a whole; names and ids are made sayable."""
    return tuple(ToolResult(sayable(call.name), problem, "invalid_arguments", sayable(call.id)) for call in calls)


def sayable(text: object) -> str:
    """Return a text that can be written as UTF-8: lone surrogates become escapes, and what is not a text is left out."""
    if not isinstance(text, str):
        return ""
    return text if is_unicode(text) else text.encode("utf-8", "backslashreplace").decode("utf-8")


def show_turn(task: Task | None, num_turns: int, score: float, action: str | Message | None, observation: str) -> str:
    """Return a turn as a text for people: where the episode stands, the last action, what the agent is shown now.

    Args:
        task: The task, None before the first `reset`.
        num_turns: Actions played so far.
        score: The score so far.
        action: The last action, None if there was none.
        observation: The current observation.
    """
    if task is None:
        return "(not started)"
    said = "" if action is None else f"> {_action_text(action)}\n"
    return f"[{task.key}] turn {num_turns}, score {score:g}\n{said}{observation}"


def _action_text(action: str | Message) -> str:
    """Return the text of an action, else the names of the tools that it calls."""
    if isinstance(action, str):
        return sayable(action)
    return sayable(action.content) or ", ".join(sayable(call.name) for call in action.tool_calls)


__all__ = ["as_action", "read_message", "refused_results", "sayable", "show_turn", "unusable"]

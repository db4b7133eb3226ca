"""What an action calls, whatever form it is written in, and what a conversation has named so far."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import gymnasium

from palaestra.envs.core.actions import as_action, read_message, unusable
from palaestra.envs.core.command_env import CommandEnv
from palaestra.envs.formats.action_format import ActionFormatError
from palaestra.envs.formats.hermes import CALL_OPEN
from palaestra.envs.formats.plain import PlainFormat
from palaestra.envs.formats.reasoning import split_reasoning
from palaestra.types import Json, Message

MAX_VALUES = 60  # that are kept of a conversation

_QUOTED = re.compile(r"\"([^\"\n]{1,60})\"|'([^'\n]{1,60})'")
_CODE = re.compile(r"\b(?=\w*[0-9])[\w.@:-]{2,40}\b")
_NUMBER = re.compile(r"-?[0-9]+")


def read_action(env: gymnasium.Env[Any, Any], action: Any, tools: Sequence[Mapping[str, Any]]) -> Message | None:
    """Return an action as a message with its calls; None if the environment cannot read it at all.

    Args:
        env: The unwrapped environment.
        action: A text or a message.
        tools: OpenAI function schemas of the tools.

    Raises:
        UsageError: If it is neither a text nor an assistant message.
    """
    action = as_action(action)
    if unusable(action) is not None:
        return None
    if isinstance(action, Message):
        if action.tool_calls:
            return action
        kept, text = action, action.content
    else:
        kept, text = Message("assistant"), split_reasoning(action)[1]
    if isinstance(env, CommandEnv) and CALL_OPEN not in text:
        read = _command(env, text, tools)
    else:
        read = read_message(text, lenient=isinstance(env, CommandEnv) or bool(getattr(env, "lenient", False)))
    if read is None or read.error:
        return None
    return replace(kept, content=read.content, tool_calls=read.tool_calls, reasoning=kept.reasoning or read.reasoning)


def _command(env: CommandEnv, text: str, tools: Sequence[Mapping[str, Any]]) -> Message | None:
    """Return the call that a command of a world stands for, in the form in use; the bare text where it stands for none."""
    command = text
    if type(env.format) is not PlainFormat:
        try:
            read = env.format.parse(text, tools)
        except ActionFormatError:
            return None
        if read.tool_calls or read.error:
            return read
        command = read.content
    call = env.call_of(command)
    return Message("assistant", command) if call is None else Message("assistant", tool_calls=(call,))


def values_of(texts: Iterable[str]) -> list[Json]:
    """Collect values for arguments from texts: quoted words, names with digits, numbers; each once, the last ones."""
    found: dict[Json, None] = {}
    for text in texts:
        for match in _QUOTED.finditer(text[:20_000]):
            found.pop(match[1] or match[2], None)
            found[match[1] or match[2]] = None
        for match in _CODE.finditer(text[:20_000]):
            found.setdefault(match[0])
        for match in _NUMBER.finditer(text[:2_000]):
            found.setdefault(int(match[0]) if len(match[0]) < 10 else match[0])
    return list(found)[-MAX_VALUES:]


__all__ = ["read_action", "values_of"]

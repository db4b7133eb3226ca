"""Prompt formats: how a model is told to act, and how its answer becomes an action.

A format is a small stateless object: it writes the opening, turns an answer into the `Message` that is played, and
turns an observation into messages. An answer without a readable action is played as a message with `error`, which
every environment answers with that text.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from typing import Any

from palaestra.envs.formats.hermes import ensure_call_ids
from palaestra.envs.formats.published import (
    ActionFormatError,
    parameter_names,
    parse_code_call,
    parse_json_call,
    parse_react,
    signature,
)
from palaestra.errors import UsageError, unknown_name
from palaestra.types import Json, Message, ToolCall, ToolResult, result_messages

Tools = Sequence[Mapping[str, Json]]
FINAL_ANSWER = "final_answer"


class Format(ABC):
    """One way to talk to a model about actions.

    Attributes:
        name: How recipes and the command line call it.
        native_tools: Whether the tools go to the server as function schemas.
    """

    name: str
    native_tools = False

    def describe(self, tools: Tools) -> str:
        """Return what the model is told about the form of its answers, beside the environment's instructions."""
        del tools
        return ""

    @abstractmethod
    def read(self, answer: Message, tools: Tools) -> Message:
        """Return the message to play for a model's answer."""

    def show(self, played: Message | None, observation: str, info: Mapping[str, Any]) -> list[Message]:
        """Return the messages that show an observation to the model."""
        del played, info
        return [Message("user", observation)]


class TextFormat(Format):
    """The model's text is the action, as the environment's instructions ask for it."""

    name = "text"

    def read(self, answer: Message, tools: Tools) -> Message:
        """Play the answer as it is."""
        del tools
        return answer


class ReActFormat(Format):
    """`Thought: ... Action: ...`; the action is the environment's text, or a JSON call where it has tools only.

    Args:
        calls: Whether actions are tool calls; None decides by whether the environment has tools.
    """

    name = "react"

    def __init__(self, calls: bool | None = None) -> None:
        """Keep the choice."""
        self.calls = calls

    def describe(self, tools: Tools) -> str:
        """Explain the form."""
        if self._uses_calls(tools):
            return _prompt("react_tools").format(tools=_schemas(tools))
        return _prompt("react")

    def read(self, answer: Message, tools: Tools) -> Message:
        """Play what follows the last `Action:`."""
        text = answer.content
        thought, action = parse_react(text)
        if not action:
            return _unreadable(answer, 'No action was found. Write "Action:" and one action after your thought.')
        played = replace(answer, content=action, reasoning=answer.reasoning or thought, raw=text)
        if not self._uses_calls(tools) or not action.lstrip("`json \n").startswith("{"):
            return played
        try:
            call = parse_json_call(action).call
        except ActionFormatError as error:
            return _unreadable(answer, str(error))
        return replace(played, content="", tool_calls=(call,))

    def _uses_calls(self, tools: Tools) -> bool:
        """Whether actions are tool calls."""
        return bool(tools) if self.calls is None else self.calls


class ToolFormat(Format):
    """Native function calling: schemas go to the server, calls come back, results are "tool" messages."""

    name = "tools"
    native_tools = True

    def describe(self, tools: Tools) -> str:
        """Refuse environments without tools."""
        if not tools:
            raise UsageError("Format 'tools' needs an environment with tools, and this one has none; use 'react' or 'text'.")
        return ""

    def read(self, answer: Message, tools: Tools) -> Message:
        """Play the answer as it is; calls without an id get one, so that their results can be told apart."""
        del tools
        return ensure_call_ids(answer)

    def show(self, played: Message | None, observation: str, info: Mapping[str, Any]) -> list[Message]:
        """Answer each call with its result."""
        results = info.get("tool_results", ())
        known = [result if isinstance(result, ToolResult) else ToolResult.from_json(result) for result in results]
        calls = () if played is None else played.tool_calls
        if calls and len(known) != len(calls):  # e.g. an unreadable message: servers want one answer per call
            return [Message("tool", observation, tool_call_id=call.id, name=call.name) for call in calls]
        return result_messages(calls, known, observation)


class JsonFormat(Format):
    """One JSON object per message: thought, function name, arguments."""

    name = "json"

    def describe(self, tools: Tools) -> str:
        """List the functions and explain the form."""
        return _prompt("json").format(tools=_schemas(_needed(tools, self.name)))

    def read(self, answer: Message, tools: Tools) -> Message:
        """Play the call in the object."""
        del tools
        try:
            thought, call = parse_json_call(answer.content)
        except ActionFormatError as error:
            return _unreadable(answer, str(error))
        return _called(answer, thought, call)


class CodeFormat(Format):
    """Code as action: one Python call with literal arguments, parsed and never run."""

    name = "code"

    def describe(self, tools: Tools) -> str:
        """Show the functions as Python signatures and explain the form."""
        tools = _needed(tools, self.name)
        first = tools[0]["function"]
        required = first.get("parameters", {}).get("required", [])
        example = f"{first['name']}({', '.join(f'{name}=...' for name in required)})"
        return _prompt("code").format(signatures="\n\n".join(signature(tool) for tool in tools), example=example)

    def read(self, answer: Message, tools: Tools) -> Message:
        """Play the call in the code block."""
        try:
            thought, call = parse_code_call(answer.content, {**parameter_names(tools), FINAL_ANSWER: ["answer"]})
        except ActionFormatError as error:
            return _unreadable(answer, str(error))
        return _called(answer, thought, call)


class AutoFormat(Format):
    """The format that the environment's instructions describe, if any; else native calls where it has tools, else ReAct."""

    name = "auto"

    def describe(self, tools: Tools) -> str:
        """Never asked: `choose` picks the real format first."""
        return choose("auto", tools).describe(tools)

    def read(self, answer: Message, tools: Tools) -> Message:
        """Read as the chosen format does."""
        return choose("auto", tools).read(answer, tools)


FORMATS: dict[str, type[Format]] = {
    format_.name: format_ for format_ in (AutoFormat, TextFormat, ReActFormat, ToolFormat, JsonFormat, CodeFormat)
}


def make_format(name: str | Format) -> Format:
    """Return a format by name; a `Format` passes through."""
    if isinstance(name, Format):
        return name
    if name not in FORMATS:
        raise unknown_name("format", name, FORMATS)
    return FORMATS[name]()


def choose(format_: str | Format, tools: Tools, described: str = "") -> Format:
    """Resolve "auto" for an environment.

    Args:
        format_: A format or its name.
        tools: The environment's tools.
        described: Name of the format that its instructions describe (`info["format"]` of its reset), if they do.
    """
    chosen = make_format(format_)
    if isinstance(chosen, AutoFormat):
        if described and described != chosen.name:
            return make_format(described)
        return ToolFormat() if tools else ReActFormat()
    return chosen


def _prompt(name: str) -> str:
    """Read a prompt text of this package."""
    return files("palaestra.agents").joinpath("prompts", f"{name}.txt").read_text(encoding="utf-8").strip()


def _schemas(tools: Tools) -> str:
    """Write function schemas one per line."""
    return "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)


def _needed(tools: Tools, name: str) -> Tools:
    """Return the tools, or refuse an environment without any."""
    if not tools:
        raise UsageError(f"Format {name!r} needs an environment with tools, and this one has none; use 'react' or 'text'.")
    return tools


def _called(answer: Message, thought: str, call: ToolCall) -> Message:
    """Return the message to play for a call; a final answer becomes plain content."""
    played = replace(answer, content="", reasoning=answer.reasoning or thought, raw=answer.content)
    if call.name == FINAL_ANSWER:
        answer_text = call.arguments if isinstance(call.arguments, str) else call.arguments.get("answer", "")
        return replace(played, content=answer_text if isinstance(answer_text, str) else json.dumps(answer_text))
    return replace(played, tool_calls=(call,))


def _unreadable(answer: Message, why: str) -> Message:
    """Return the message to play for an answer without an action."""
    return replace(answer, content="", tool_calls=(), raw=answer.content, error=why)

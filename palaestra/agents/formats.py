"""Prompt formats: how a model is told to act, and how its answer becomes an action.

A format is a small stateless object: it writes the opening, turns an answer into the `Message` that is played, and
turns an observation into messages. An answer without a readable action is played as a message with `error`, which
every environment answers with that text. The text forms themselves are those of `palaestra.envs.formats`, each of which
is a prompt format of the same name; here are what a model is sent and native function calling.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from palaestra.envs.formats.action_format import ActionFormat, ActionFormatError, Tools
from palaestra.envs.formats.attempts import doubt_about, with_attempt
from palaestra.envs.formats.hermes import ensure_call_ids
from palaestra.envs.formats.hermes_format import HermesFormat
from palaestra.envs.formats.plain import PlainFormat
from palaestra.envs.formats.reasoning import split_reasoning
from palaestra.envs.formats.registry import ACTION_FORMATS, action_format
from palaestra.errors import UsageError, unknown_name
from palaestra.media.items import MARK, escape_tags, read_tags
from palaestra.types import Message, ToolResult, result_messages


class Format(ABC):
    """One way to talk to a model about actions.

    Attributes:
        name: How recipes and the command line call it.
        native_tools: Whether the tools go to the server as function schemas.
    """

    name: str
    native_tools = False

    def describe(self, tools: Tools) -> str:
        """Return the text about the form of answers that goes next to the environment's instructions."""
        del tools
        return ""

    @abstractmethod
    def read(self, answer: Message, tools: Tools) -> Message:
        """Return the message to play for a model's answer."""

    @abstractmethod
    def write(self, action: Message, tools: Tools) -> str:
        """Return the text with which a model plays an action.

        Raises:
            UsageError: If this format cannot express the action.
        """

    def show(self, played: Message | None, observation: str, info: Mapping[str, Any]) -> list[Message]:
        """Return the messages that show an observation to the model."""
        del played, info
        return [Message("user", observation) if MARK not in observation else Message.of_text("user", observation)]


class TextFormat(Format):
    """The model's text is the action, as the environment's instructions ask for it."""

    name = PlainFormat.name

    def read(self, answer: Message, tools: Tools) -> Message:
        """Play the answer as it is."""
        del tools
        return answer

    def write(self, action: Message, tools: Tools) -> str:
        """Write the content; tool calls in their canonical text form."""
        return PlainFormat().write(action, tools)


class WrittenFormat(Format):
    """The model writes its action in one of the text forms of `palaestra.envs.formats`.

    Args:
        form: The form or its name.
    """

    def __init__(self, form: str | ActionFormat) -> None:
        """Look the form up."""
        self.form = action_format(form)
        self.name = self.form.name

    def describe(self, tools: Tools) -> str:
        """Explain the form; a form of calls refuses environments without tools."""
        return self.form.describe(tools)

    def read(self, answer: Message, tools: Tools) -> Message:
        """Play what the text stands for."""
        text = answer.content
        try:
            read = self.form.parse(text, tools)
        except ActionFormatError as problem:
            return replace(answer, content="", tool_calls=(), raw=text, error=str(problem), media=())
        reasoning = answer.reasoning or read.reasoning
        # a tag that the model itself wrote is text; of the media of its answer those stay that the action names
        content, media = read_tags(read.content) if answer.media else (read.content, ())
        return replace(answer, content=content, tool_calls=read.tool_calls, reasoning=reasoning, raw=text, media=media)

    def write(self, action: Message, tools: Tools) -> str:
        """Write the action in the form."""
        return self.form.write(action, tools)


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
        if not answer.tool_calls and tools and answer.content:
            answer = self._read_text(answer, tools)
        elif not all(call.name for call in answer.tool_calls):
            answer = with_attempt(answer, tools)
        return ensure_call_ids(answer)

    def _read_text(self, answer: Message, tools: Tools) -> Message:
        """Read the calls that a server without a parser of its own left in the content, whatever their syntax."""
        text = answer.content if answer.media else escape_tags(answer.content)  # what it wrote is text, no medium
        read = HermesFormat().parse(text, tools)
        if not read.tool_calls:
            return answer
        if read.content and (doubt := doubt_about(split_reasoning(text)[1] if read.reasoning else text)):
            return replace(answer, content="", raw=answer.content, error=doubt, media=())
        return replace(answer, content=read.content, tool_calls=read.tool_calls, raw=answer.content, media=read.media)

    def write(self, action: Message, tools: Tools) -> str:
        """Write the calls in their canonical text form, which chat templates turn into native ones."""
        return HermesFormat().write(action, tools)

    def show(self, played: Message | None, observation: str, info: Mapping[str, Any]) -> list[Message]:
        """Answer each call with its result."""
        results = info.get("tool_results", ())
        known = [result if isinstance(result, ToolResult) else ToolResult.from_json(result) for result in results]
        calls = () if played is None else played.tool_calls
        if calls and len(known) != len(calls):  # e.g. an unreadable message: servers want one answer per call
            return [Message.of_text("tool", observation, tool_call_id=call.id, name=call.name) for call in calls]
        return result_messages(calls, known, observation)


class AutoFormat(Format):
    """The format that the environment's instructions describe, if any; else native calls where both sides can, else ReAct."""

    name = "auto"

    def describe(self, tools: Tools) -> str:
        """Never asked: `choose` picks the real format first."""
        return choose("auto", tools).describe(tools)

    def read(self, answer: Message, tools: Tools) -> Message:
        """Read as the chosen format does."""
        return choose("auto", tools).read(answer, tools)

    def write(self, action: Message, tools: Tools) -> str:
        """Write as the chosen format does."""
        return choose("auto", tools).write(action, tools)


FORMATS: dict[str, Callable[[], Format]] = {
    "auto": AutoFormat,
    "text": TextFormat,
    "tools": ToolFormat,
    **{name: partial(WrittenFormat, name) for name in ACTION_FORMATS if name != TextFormat.name},
}


def make_format(name: str | Format | ActionFormat) -> Format:
    """Return a format by name; a `Format` passes through, an `ActionFormat` is what the model writes in."""
    if isinstance(name, Format):
        return name
    if isinstance(name, ActionFormat):
        return WrittenFormat(name)
    if name not in FORMATS:
        raise unknown_name("format", name, FORMATS)
    return FORMATS[name]()


def choose(format_: str | Format | ActionFormat, tools: Tools, described: str = "", *, native: bool = True) -> Format:
    """Resolve "auto" for an environment.

    Args:
        format_: A format or its name.
        tools: The environment's tools.
        described: Name of the format that its instructions describe (`info["format"]` of its reset), if they do.
        native: Whether the model can be offered tools as function schemas.
    """
    chosen = make_format(format_)
    if isinstance(chosen, AutoFormat):
        if described and described != chosen.name:
            return make_format(described)
        return ToolFormat() if tools and native else WrittenFormat("react")
    return chosen

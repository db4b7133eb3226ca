"""What a text form of an action is: `ActionFormat`, and what all of them share."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import ClassVar, NamedTuple

from palaestra.envs.formats.reasoning import split_reasoning
from palaestra.errors import UsageError
from palaestra.types import Json, Message, ToolCall

Tools = Sequence[Mapping[str, Json]]
FINAL_ANSWER = "final_answer"
"""Function that stands for a final answer in the forms that know calls only."""


class ActionFormatError(ValueError):
    """A text holds no action of the expected form; the message is written for the model."""


class ThoughtAction(NamedTuple):
    """A thought and the action text that follows it."""

    thought: str
    action: str


class ThoughtCall(NamedTuple):
    """A thought and the tool call that follows it."""

    thought: str
    call: ToolCall


class ActionFormat(ABC):
    """One text form of what an agent does: a thought, and an action.

    The action is a text of the environment's own or a tool call, whatever the form allows. Formats are small values without
    state. A new one is a subclass in a file of its own and one entry in `palaestra.envs.formats.registry`; agents and
    environments take an object of it as well.

    Attributes:
        name: How the command line, recipes and environments call it.
        needs_tools: Whether it can only express tool calls (and a final answer).
    """

    name: ClassVar[str]
    needs_tools: ClassVar[bool] = False

    @abstractmethod
    def describe(self, tools: Tools = ()) -> str:
        """Return the explanation of the form for a model.

        Args:
            tools: OpenAI function schemas of the environment's tools.

        Raises:
            UsageError: If the form needs tools and there are none.
        """

    @abstractmethod
    def parse(self, text: str, tools: Tools = ()) -> Message:
        """Return the assistant message that a text stands for.

        Args:
            text: What a model wrote.
            tools: OpenAI function schemas of the environment's tools.

        Returns:
            The message: its content is the environment's own text or a final answer, its reasoning the thought.

        Raises:
            ActionFormatError: If the text holds no action of this form; the message is for the model.
        """

    @abstractmethod
    def write(self, message: Message, tools: Tools = ()) -> str:
        """Return the text that stands for a message; a content that has this form already stays as it is.

        Args:
            message: An assistant message.
            tools: OpenAI function schemas of the environment's tools.

        Raises:
            UsageError: If this form cannot express the message.
        """

    def needed(self, tools: Tools) -> Tools:
        """Return the tools; a UsageError where there are none."""
        if not tools:
            raise UsageError(
                f"Format {self.name!r} needs an environment with tools, and this one has none; use 'react' or 'text'."
            )
        return tools

    def only_call(self, message: Message) -> ToolCall:
        """Return the single call of a message; a UsageError where there are several."""
        if len(message.tool_calls) != 1:
            raise UsageError(
                f"Format {self.name!r} has one call in a message, and this action has {len(message.tool_calls)}; "
                f"use format 'tools'."
            )
        return message.tool_calls[0]


class CallFormat(ActionFormat):
    """Base of the forms in which every message is one call."""

    needs_tools = True
    answers: bool

    @abstractmethod
    def read_call(self, text: str, tools: Tools) -> ThoughtCall:
        """Return the thought and the call in a text, or raise `ActionFormatError`."""

    @abstractmethod
    def write_call(self, thought: str, call: ToolCall) -> str:
        """Write a thought and a call."""

    def parse(self, text: str, tools: Tools = ()) -> Message:
        """Return the call; that of `final_answer` becomes plain content where there are final answers."""
        reasoning, text = split_reasoning(text)
        thought, call = self.read_call(text, tools)
        thought = "\n\n".join(part for part in (reasoning, thought) if part)
        if not self.answers or call.name != FINAL_ANSWER:
            return Message("assistant", "", (call,), reasoning=thought)
        answer = call.arguments if isinstance(call.arguments, str) else call.arguments.get("answer", "")
        return Message("assistant", answer if isinstance(answer, str) else json.dumps(answer), reasoning=thought)

    def write(self, message: Message, tools: Tools = ()) -> str:
        """Write the call, or a final answer as the call of `final_answer`."""
        if message.tool_calls:
            return self.write_call(message.reasoning or message.content, self.only_call(message))
        try:
            self.parse(message.content, tools)
        except ActionFormatError:
            if not self.answers:
                raise UsageError(
                    f"Format {self.name!r} writes calls only, and this action is the text {message.content[:80]!r}; "
                    f"give a message with a tool call."
                ) from None
            return self.write_call(message.reasoning, ToolCall(FINAL_ANSWER, {"answer": message.content}))
        return message.content


def arguments_of(call: ToolCall) -> Mapping[str, Json]:
    """Return the arguments of a call as an object, to be written."""
    if isinstance(call.arguments, str):
        raise UsageError(f"The arguments of {call.name!r} are unparsed text; only an object can be written.")
    return call.arguments


def schema_lines(tools: Tools) -> str:
    """Return function schemas as JSON, one on a line."""
    return "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)


@cache
def prompt(name: str) -> str:
    """Return a text of this package that explains a form."""
    return files("palaestra.envs.formats").joinpath("prompts", f"{name}.txt").read_text(encoding="utf-8").strip()


__all__ = ["FINAL_ANSWER", "ActionFormat", "ActionFormatError", "CallFormat", "ThoughtAction", "ThoughtCall", "Tools"]

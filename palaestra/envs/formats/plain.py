"""The text itself is the action, as the environment's instructions ask for it."""

from __future__ import annotations

from palaestra.envs.formats.action_format import ActionFormat, Tools
from palaestra.envs.formats.hermes import format_message
from palaestra.envs.formats.reasoning import split_reasoning
from palaestra.types import Message


class PlainFormat(ActionFormat):
    """A text of the environment's own, less the spaces around it."""

    name = "text"

    def describe(self, tools: Tools = ()) -> str:
        """Return nothing: the environment's instructions say it all."""
        del tools
        return ""

    def parse(self, text: str, tools: Tools = ()) -> Message:
        """Return the text as content."""
        del tools
        reasoning, text = split_reasoning(text)
        return Message("assistant", text.strip(), reasoning=reasoning)

    def write(self, message: Message, tools: Tools = ()) -> str:
        """Return the content; tool calls are written in the canonical form."""
        del tools
        return format_message(message) if message.tool_calls else message.content


__all__ = ["PlainFormat"]

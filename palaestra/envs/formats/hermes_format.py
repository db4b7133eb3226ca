"""The canonical text form as a form that a model is asked to write in: near misses and other syntaxes are read too."""

from __future__ import annotations

from dataclasses import replace

from palaestra.envs.formats.action_format import ActionFormat, Tools, prompt, schema_lines
from palaestra.envs.formats.attempts import with_attempt
from palaestra.envs.formats.hermes import format_message, parse_message
from palaestra.types import Message


class HermesFormat(ActionFormat):
    """Tool calls as JSON between tags, with or without text around them; a message without a call is a text or an answer."""

    name = "hermes"
    needs_tools = True

    def describe(self, tools: Tools = ()) -> str:
        """List the tools and explain the form."""
        return f"{prompt('hermes')}\n\nThe tools:\n{schema_lines(self.needed(tools))}"

    def parse(self, text: str, tools: Tools = ()) -> Message:
        """Return the message; near misses and other syntaxes are accepted, an unreadable call is kept without a name."""
        return with_attempt(parse_message(text, lenient=True), tools)

    def write(self, message: Message, tools: Tools = ()) -> str:
        """Write the message without the ids of its calls, which a model has no use for."""
        del tools
        return format_message(replace(message, tool_calls=tuple(replace(call, id="") for call in message.tool_calls)))


__all__ = ["HermesFormat"]

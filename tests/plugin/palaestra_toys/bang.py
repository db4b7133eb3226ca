"""A text form of calls added from outside: a thought, then `!NAME ARGUMENTS` on the last line.

    Two presses are missing.
    !press {"times": 2}

Environments and agents take an object of it where they take the name of another form.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import ClassVar

from palaestra.envs.formats.action_format import ActionFormatError, CallFormat, ThoughtCall, Tools, arguments_of, schema_lines
from palaestra.types import MAX_DEPTH, ToolCall, is_deep

HELP = """Functions:
{tools}

Write a thought, then on the last line an exclamation mark, the name of a function and its arguments as JSON, e.g.
!{name} {{}}
To give a final answer, call final_answer with the argument "answer"."""


@dataclass(frozen=True)
class BangFormat(CallFormat):
    """One call a message, on its last line."""

    name: ClassVar[str] = "toys_bang"
    answers: bool = True

    def describe(self, tools: Tools = ()) -> str:
        """List the functions and explain the form."""
        return HELP.format(tools=schema_lines(self.needed(tools)), name=tools[0]["function"]["name"])

    def read_call(self, text: str, tools: Tools) -> ThoughtCall:
        """Read the last line."""
        thought, _, line = text.strip().rpartition("\n")
        name, _, arguments = line.removeprefix("!").partition(" ")
        if not line.startswith("!") or not name:
            raise ActionFormatError('The last line is not a call. Write !NAME ARGUMENTS there, e.g. !press {"times": 2}.')
        try:
            found = json.loads(arguments or "{}", parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise ActionFormatError(f"The arguments of {name[:40]} are not JSON ({error}).") from None
        if not isinstance(found, dict) or is_deep(found, MAX_DEPTH):
            raise ActionFormatError(f"The arguments of {name[:40]} are not an object of names and values.")
        return ThoughtCall(thought.strip(), ToolCall(name, found))

    def write_call(self, thought: str, call: ToolCall) -> str:
        """Write the thought and the call."""
        arguments = json.dumps(arguments_of(call), ensure_ascii=True, allow_nan=False)
        return f"{thought}\n!{call.name} {arguments}".strip()


def _refuse(word: str) -> None:
    """Refuse NaN and Infinity, which are no JSON."""
    raise ValueError(f"{word} is not JSON")

"""ReAct: `Thought: ... Action: ...`, read by one reader.

    Thought:
    I need two logs.

    Action:
    get 2 oak log

The action is everything after the *last* `Action:`, whatever came before it: a thought may quote the marker. Published
servers read the same text in other ways, and models and stored trajectories depend on them; the ways are options of the
reader, so that an environment with published numbers names its own:

| servers | marker | sanitise |
|---|---|---|
| everything else (AgentGym's common reading) | "last" | no |
| Maze, Wordle | "first" | no |
| TextCraft, BabyAI | "only" | yes |

Papers:
    AgentGym (arXiv:2406.04151): the action format `react` and the readings of its clients (WooooDyy/AgentGym).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from palaestra.envs.formats.action_format import (
    ActionFormat,
    ActionFormatError,
    ThoughtAction,
    Tools,
    arguments_of,
    prompt,
    schema_lines,
)
from palaestra.envs.formats.attempts import find_attempt, unread
from palaestra.envs.formats.json_call import parse_json_call
from palaestra.envs.formats.reasoning import hide_tags, split_reasoning, spoken_of
from palaestra.errors import unknown_name
from palaestra.types import Message

Marker = Literal["last", "first", "only"]

SEVERAL_ACTIONS = "Error: Only one 'Action' is allowed per response. Please adjust your response."
NO_ACTION = 'No action was found. Write "Action:" and one action after your thought.'

_ACTION_LINE = re.compile(r"Action:\s*(.*?)(?=\n|$)", re.DOTALL)
_DROPPED = re.compile(r"[^A-Za-z0-9, ]+")


def parse_react(text: str, *, marker: Marker = "last", sanitise: bool = False) -> ThoughtAction:
    """Read a thought and an action; nothing is raised unless `marker` is "only".

    Args:
        text: What a model wrote. Without a marker all of it is thought, unless it holds `search[` or `click[` (WebShop's
            actions), which makes it the action.
        marker: Which `Action:` counts: the "last", the "first", or the "only" one. "only" reads the first line after the
            marker that is not empty and leaves the rest unread.
        sanitise: Keep only letters, digits, commas and single spaces of the action.

    Raises:
        ActionFormatError: If `marker` is "only" and there are several actions.
    """
    if marker == "only":
        found = list(_ACTION_LINE.finditer(text))
        if len(found) > 1:
            raise ActionFormatError(SEVERAL_ACTIONS)
        before, action = (text[: found[0].start()], found[0][1]) if found else (text, "")
    else:
        before, separator, action = text.rpartition("Action:") if marker == "last" else text.partition("Action:")
        if not separator:
            before, action = ("", text) if "search[" in text or "click[" in text else (text, "")
    if sanitise:
        action = " ".join(_DROPPED.sub("", action).split())
    return ThoughtAction(_after_thought(before), action.strip())


def format_react(thought: str, action: str) -> str:
    """Write a thought and an action in ReAct form."""
    return f"Thought:\n{spoken_of(thought)}\n\nAction:\n{action}"


@dataclass(frozen=True)
class ReActFormat(ActionFormat):
    """A thought and an action: the environment's own text, or a tool call as JSON where it has tools only.

    Attributes:
        calls: Whether actions are tool calls; None decides by whether the environment has tools.
        marker: Which `Action:` counts; see `parse_react`.
        sanitise: Whether only letters, digits, commas and spaces are kept. What remains, even nothing, is then played, as
            the servers do that read this way.
    """

    name: ClassVar[str] = "react"
    calls: bool | None = None
    marker: Marker = "last"
    sanitise: bool = False

    def __post_init__(self) -> None:
        """Check the marker."""
        if self.marker not in get_args(Marker):
            raise unknown_name("marker", self.marker, get_args(Marker))

    def describe(self, tools: Tools = ()) -> str:
        """Explain the form."""
        return prompt("react_tools").format(tools=schema_lines(tools)) if self._uses_calls(tools) else prompt("react")

    def parse(self, text: str, tools: Tools = ()) -> Message:
        """Return the action as content, or as the call that it writes as JSON."""
        reasoning, text = split_reasoning(text)
        thought, action = parse_react(text, marker=self.marker, sanitise=self.sanitise)
        thought = "\n\n".join(part for part in (reasoning, thought) if part)
        if not action and not self.sanitise:
            raise ActionFormatError(NO_ACTION)
        if self._uses_calls(tools) and action.lstrip("`json \n").startswith("{"):
            return Message("assistant", "", (parse_json_call(action).call,), reasoning=thought)
        if self._uses_calls(tools) and (attempt := find_attempt(f"Action: {action}", tools)) is not None:
            if len(attempt.calls) != 1:
                raise ActionFormatError(unread(attempt))
            return Message("assistant", "", attempt.calls, reasoning=thought)
        return Message("assistant", action, reasoning=thought)

    def write(self, message: Message, tools: Tools = ()) -> str:
        """Write thought and action."""
        del tools
        if not message.tool_calls:
            return message.content if "Action:" in message.content else format_react(message.reasoning, message.content)
        call = self.only_call(message)
        data = {"function_name": call.name, "arguments": arguments_of(call)}
        action = json.dumps(data, ensure_ascii=False, allow_nan=False)
        return format_react(message.reasoning or message.content, hide_tags(action).replace("Action:", "Action\\u003a"))

    def _uses_calls(self, tools: Tools) -> bool:
        """Whether actions are tool calls."""
        return bool(tools) if self.calls is None else self.calls


def _after_thought(text: str) -> str:
    """Return the text after the first `Thought:`, or all of it."""
    before, marker, after = text.partition("Thought:")
    return (after if marker else before).strip()


__all__ = ["NO_ACTION", "SEVERAL_ACTIONS", "Marker", "ReActFormat", "format_react", "parse_react"]

"""`CommandEnv`: worlds that take one text command a turn, which may also come as tool calls or in a published format.

A subclass writes `_begin`, `_save`, `_load` as always, and instead of `_act` one hook: `_command(text) -> Turn`. Everything
else is read here: the environment's own text, ReAct, a JSON call, a Python call (`action_format`), native tool calls and
their canonical text form (always).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from palaestra.envs.core.actions import read_message, unusable
from palaestra.envs.core.command_calls import CommandCalls
from palaestra.envs.core.tasks import TaskSet
from palaestra.envs.core.text_env import TextEnv, Turn
from palaestra.envs.formats.action_format import ActionFormat, ActionFormatError
from palaestra.envs.formats.hermes import CALL_OPEN, format_message
from palaestra.envs.formats.json_call import JsonCallFormat
from palaestra.envs.formats.plain import PlainFormat
from palaestra.envs.formats.python_call import PythonCallFormat
from palaestra.envs.formats.react import ReActFormat
from palaestra.envs.tools import Toolkit, sample_call
from palaestra.envs.tools.copies import Copies
from palaestra.errors import ConfigError, EnvironmentFault, unknown_name
from palaestra.spaces import Sampler
from palaestra.types import Json, Message, ToolCall, ToolResult

NO_TOOLS = "There are no tools here. Send one command as plain text."
CALL_RATE = 0.1  # share of sampled actions that are tool calls, not texts


@runtime_checkable
class Commands(Protocol):
    """Turns tool calls into commands. A `Toolkit` of functions that return a command's text is one."""

    def schemas(self) -> list[dict[str, Json]]:
        """Return the OpenAI function schemas of the tools."""
        ...

    def call(self, call: ToolCall) -> ToolResult:
        """Return the text of the command with status "ok", or what is wrong with the call."""
        ...


class CommandEnv(TextEnv):
    """Base of worlds that take one text command a turn.

    Action: a text in the form that `action_format` names, or tool calls: as an assistant `Message`, or as a text in the form
    of `palaestra.envs.formats.hermes`. Calls of one message are played in order, up to the one that ends the episode.

    Observation: what the world answers; the answers to several calls are on lines of their own. `info["tool_results"]` holds
    one `ToolResult` per call. `info["action_error"]` is set if the message did nothing at all.

    Args:
        tasks: The environment's tasks.
        action_format: Form of an action; the name of one of `formats`.
        sampler: Draws actions; by default the commands with arguments that fit their schemas, in the form asked for.
        split: Split that `reset` draws from unless told otherwise.
        max_turns: Number of messages after which the episode is truncated; None for no limit.
        render_mode: None or "ansi".

    Attributes:
        commands: A class whose methods under `@tool` return the text of a command: their schemas, checks and samples come
            from signature and docstring. None for a world without tools. (An object with `schemas()` and `call(call)` of its
            own makes do without `@tool`.)
        formats: The text forms that the environment takes.
        format: The one in use; its `describe(env.tools())` belongs into the instructions.

    Subclasses write `_command`, `_begin`, `_save`, `_load`, and `instructions` and `expert` where they apply; an expert says
    its commands by `written`, which puts them into the form in use.
    """

    commands: ClassVar[type[Any] | None] = None
    formats: ClassVar[tuple[ActionFormat, ...]] = (
        PlainFormat(),
        ReActFormat(calls=False),
        JsonCallFormat(answers=False),
        PythonCallFormat(answers=False),
    )

    def __init__(
        self,
        tasks: TaskSet,
        *,
        action_format: str = "text",
        sampler: Sampler | None = None,
        split: str = "train",
        max_turns: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Look the format up and collect the commands."""
        forms = {form.name: form for form in self.formats}
        if action_format not in forms:
            raise unknown_name("action format", action_format, forms)
        self.action_format, self.format = action_format, forms[action_format]
        made = None if self.commands is None else self.commands()
        self._commands: Commands = NoCommands() if made is None else made if isinstance(made, Commands) else Toolkit(made)
        self._schemas = self._commands.schemas()
        self._copies = Copies(self._schemas)
        if self.format.needs_tools and not self._schemas:
            raise ConfigError(f"action_format is {action_format!r}, which needs tools, and {type(self).__name__} has none.")
        if sampler is None and self._schemas:
            sampler = CommandSampler(self._commands, self._schemas, self.format)
        super().__init__(tasks, split=split, max_turns=max_turns, sampler=sampler, render_mode=render_mode)
        self._is_plain = type(self.format) is PlainFormat
        self._calls: CommandCalls | None = None

    @abstractmethod
    def _command(self, text: str) -> Turn:
        """Execute one command; one that cannot be executed changes nothing and sets `action_error`."""

    def tools(self) -> list[dict[str, Json]]:
        """Return the OpenAI function schemas of the commands, the caller's own copy of them."""
        return self._copies.one()

    def written(self, command: str | ToolCall, thought: str = "") -> str:
        """Return a command as a text in the form in use.

        Args:
            command: Text of the command, or a call of its tool (forms of calls can write nothing else).
            thought: What is said with it, where the form has a place for it.

        Raises:
            UsageError: If the form cannot express the command.
        """
        return write_command(self._commands, self.format, command, thought)

    def call_of(self, command: str) -> ToolCall | None:
        """Return the call of a tool that a command's text stands for; None if none is known that writes this text."""
        if self._calls is None:
            self._calls = CommandCalls(self._commands.call, self._schemas)
        return self._calls.read(command)

    def answer_calls(self, results: Sequence[ToolResult]) -> tuple[str, tuple[ToolResult, ...]]:
        """Return results as the world answers: on lines of their own."""
        return "\n".join(result.content for result in results), tuple(results)

    def _draw_from(self, **values: Sequence[Json]) -> None:
        """Let `action_space.sample()` draw arguments from an episode's own values instead of the examples in the schemas.

        Called by `_begin` and `_load` where what may be named differs between tasks. A sampler passed to the constructor is
        left alone.

        Args:
            **values: By name of the argument, the values; an argument without any keeps the examples of its schema.
        """
        sampler = self.action_space.sampler  # type: ignore[attr-defined]
        if isinstance(sampler, CommandSampler):
            self.action_space.sampler = replace(sampler, values=values)  # type: ignore[attr-defined]

    def _act(self, action: str | Message) -> Turn:
        """Read an action and play it."""
        calls: Sequence[ToolCall] = ()
        if isinstance(action, Message):
            calls, action = action.tool_calls, action.content
        if not calls and CALL_OPEN in action:
            message = read_message(action, lenient=True)
            if message.error:
                return self._refuse_action(message, message.error)
            calls, action = message.tool_calls, message.content
        if calls:
            return self._play_calls(calls)
        if self._is_plain:  # nearly always: the short way
            return self._command(action.strip())
        try:
            message = self.format.parse(action, self._schemas)
        except ActionFormatError as problem:
            return self._refuse(str(problem))
        if (unread := unusable(message)) is not None:
            return self._refuse_action(message, unread)
        return self._play_calls(message.tool_calls) if message.tool_calls else self._command(message.content)

    def _play_calls(self, calls: Sequence[ToolCall]) -> Turn:
        """Play tool calls one after the other, up to the one that ends the episode, and return one turn for all."""
        results: list[ToolResult] = []
        whole = last = Turn("", reward_parts={})
        for call in calls:
            if last.terminated:
                reason = "the goal was reached" if last.success else "the episode was ended"
                results.append(
                    ToolResult(call.name, f"Not done: {reason} by an earlier call of this message.", "error", call.id)
                )
                continue
            written = self._commands.call(call)
            if written.status != "ok":
                results.append(written)
                continue
            last = self._command(written.content)
            whole = _joined(whole, last)
            results.append(ToolResult(call.name, last.observation, "error" if last.action_error else "ok", call.id))
        whole.observation = "\n".join(result.content for result in results)
        whole.action_error = "" if any(result.status == "ok" for result in results) else whole.observation
        whole.tool_results = tuple(results)
        return whole


class NoCommands:
    """The commands of a world without tools: every call is refused."""

    def schemas(self) -> list[dict[str, Json]]:
        """Return nothing."""
        return []

    def call(self, call: ToolCall) -> ToolResult:
        """Say that there are no tools."""
        return ToolResult(call.name, NO_TOOLS, "unknown_tool", call.id)


@dataclass(frozen=True)
class CommandSampler:
    """Draws commands with arguments that fit their schemas, now and then as tool calls; plain data, so it pickles.

    Attributes:
        commands: Turns calls into commands.
        schemas: OpenAI function schemas of the tools.
        format: Form of the action.
        call_rate: Probability of tool calls, one or two of them.
        values: Values of arguments by name, which are drawn instead of the examples in the schemas.
    """

    commands: Commands
    schemas: Sequence[dict[str, Any]]
    format: ActionFormat
    call_rate: float = CALL_RATE
    values: Mapping[str, Sequence[Json]] = field(default_factory=dict)

    def __call__(self, rng: np.random.Generator) -> str:
        """Draw an action."""
        calls = [self._call(rng)]
        if rng.random() >= self.call_rate:
            return write_command(self.commands, self.format, calls[0])
        if rng.random() < 0.5:
            calls.append(self._call(rng))
        return format_message(Message("assistant", "", tuple(calls)))

    def _call(self, rng: np.random.Generator) -> ToolCall:
        """Draw a call."""
        call = sample_call(self.schemas, rng)
        if not self.values or not isinstance(call.arguments, Mapping):
            return call
        arguments = dict(call.arguments)
        for name in arguments:
            if values := self.values.get(name):
                arguments[name] = values[int(rng.integers(len(values)))]
        return replace(call, arguments=arguments)


def write_command(commands: Commands, form: ActionFormat, command: str | ToolCall, thought: str = "") -> str:
    """Return a command as a text of some form.

    Args:
        commands: Turns calls into commands.
        form: The form; one that needs tools writes the call, the others its text.
        command: Text of the command, or a call of its tool.
        thought: What is said with it.

    Raises:
        UsageError: If the form cannot express the command.
        EnvironmentFault: If a call of the environment's own does not fit its schema.
    """
    if isinstance(command, ToolCall):
        if form.needs_tools:
            return form.write(Message("assistant", "", (command,), reasoning=thought))
        made = commands.call(command)
        if made.status != "ok":
            raise EnvironmentFault(f"The call {command} is not one of this environment's commands: {made.content}")
        command = made.content
    return form.write(Message("assistant", command, reasoning=thought))


def _joined(whole: Turn, turn: Turn) -> Turn:
    """Return one turn for several commands: rewards, flags, infos and metrics, without the text."""
    parts = dict(whole.reward_parts or {})
    for name, part in (turn.reward_parts or {"task": turn.reward}).items():
        parts[name] = parts.get(name, 0.0) + part
    return Turn(
        "",
        whole.reward + turn.reward,
        turn.terminated,
        turn.success,
        score=whole.score if turn.score is None else turn.score,
        reward_parts=parts,
        stop_reason=turn.stop_reason,
        info={**(whole.info or {}), **(turn.info or {})} or None,
        metrics={**(whole.metrics or {}), **(turn.metrics or {})},
    )


__all__ = ["CommandEnv", "CommandSampler", "Commands"]

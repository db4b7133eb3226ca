"""`ToolEnv`: environments in which an agent acts by calling tools and ends with an answer.

A subclass builds its world and a `Toolkit` on it in `_begin` and `_load`, says in `_save` what the world's state is, and
scores in `_finish`. Reading calls (native ones and their text form alike), checking, running and answering them is done
here.
"""

from __future__ import annotations

from abc import abstractmethod

from palaestra.envs.core.actions import read_message
from palaestra.envs.core.tasks import TaskSet
from palaestra.envs.core.text_env import TextEnv, Turn
from palaestra.envs.formats.action_format import prompt
from palaestra.envs.formats.hermes import format_results
from palaestra.envs.tools import Toolkit
from palaestra.errors import ConfigError
from palaestra.types import Json, Message, ToolCall, ToolResult

EMPTY_MESSAGE = "Your message holds neither a tool call nor an answer. Call a tool, or write your final answer as plain text."


class ToolEnv(TextEnv):
    """Base of tool environments.

    Action: an assistant `Message` with native tool calls, or a text in the form of `palaestra.envs.formats.hermes`. Calls
    of one message run in order, each on its own: one that fails changes nothing and does not stop the next. A message
    without calls is the final answer; it ends the episode and is scored.

    Observation: the results in the order of the calls, each between `<tool_response>` tags. `info["tool_results"]` holds
    one `ToolResult` per call, with its status. `info["action_error"]` is set if the message did nothing at all: it was
    empty, or every call in it failed (its text is then what those calls were told).

    Args:
        tasks: The environment's tasks.
        toolkit: The tools, on a world of any state; `_begin` and `_load` set `self.toolkit` to one on the task's world.
        rules: What an agent must know in addition to the format of calls; opens the instructions.
        max_calls_per_turn: Calls of one message that are run; further ones are refused.
        lenient: Also accept near misses: see `parse_message` and `Toolkit`.
        split: Split that `reset` draws from unless told otherwise.
        max_turns: Number of messages after which the episode is truncated; None for no limit.
        render_mode: None or "ansi".

    Subclasses write `_begin`, `_finish`, `_save`, `_load`, and `expert` where there is one. One whose calls bring reward or
    end the episode overrides `_act` and changes the `Turn` that `super()._act(action)` returns.
    """

    def __init__(
        self,
        tasks: TaskSet,
        toolkit: Toolkit,
        *,
        rules: str = "",
        max_calls_per_turn: int = 8,
        lenient: bool = False,
        split: str = "train",
        max_turns: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Check the arguments and write the instructions once."""
        super().__init__(tasks, split=split, max_turns=max_turns, sampler=toolkit.sampler(), render_mode=render_mode)
        if not isinstance(max_calls_per_turn, int) or isinstance(max_calls_per_turn, bool) or max_calls_per_turn < 1:
            raise ConfigError(f"max_calls_per_turn is {max_calls_per_turn!r}; expected an integer of at least 1.")
        if not isinstance(lenient, bool):
            raise ConfigError(f"lenient is {lenient!r}; expected True or False.")
        self.toolkit = toolkit
        self.max_calls_per_turn = max_calls_per_turn
        self.lenient = lenient
        self._schemas = toolkit.schemas()
        tools = f"The tools (? marks an argument that may be left out):\n{toolkit.signatures()}"
        self._instructions = f"{rules.strip()}\n\n{prompt('hermes')}\n\n{tools}".lstrip()

    @abstractmethod
    def _finish(self, answer: str) -> Turn:
        """Score the final answer and the state of the world; the episode ends with it."""

    def instructions(self) -> str:
        """Return the rules, the format of calls, and one line per tool."""
        return self._instructions

    def tools(self) -> list[dict[str, Json]]:
        """Return the OpenAI function schemas of the tools."""
        return list(self._schemas)

    def _act(self, action: str | Message) -> Turn:
        """Run the calls of a message, or score its answer."""
        if isinstance(action, str):
            message = read_message(action, lenient=self.lenient)
        elif action.tool_calls:
            message = action
        else:  # a server without a parser of its own leaves calls in the content
            message = read_message(action.content, lenient=self.lenient)
        if message.error:
            return self._refuse_action(message, message.error)
        if message.tool_calls:
            return self._run(message.tool_calls)
        answer = message.content.strip()
        if not answer:
            return Turn(EMPTY_MESSAGE, action_error=EMPTY_MESSAGE)
        turn = self._finish(answer)
        turn.terminated = True
        return turn

    def _run(self, calls: tuple[ToolCall, ...]) -> Turn:
        """Run calls in order, each on its own."""
        limit = self.max_calls_per_turn
        results = self.toolkit.call_all(calls[:limit])
        if len(calls) > limit:
            refusal = f"Error: not run: at most {limit} calls of one message are run, and it held {len(calls)}. Send it again."
            results += [ToolResult(call.name, refusal, "error", call.id) for call in calls[limit:]]
        observation = format_results(results)
        if any(result.status == "ok" for result in results):
            return Turn(observation, tool_results=results)
        return Turn(observation, tool_results=results, action_error="\n".join(result.content for result in results))


__all__ = ["ToolEnv"]

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
from palaestra.envs.formats.attempts import find_attempt, unread
from palaestra.envs.formats.hermes import format_results
from palaestra.envs.tools import Toolkit
from palaestra.envs.tools.copies import Copies
from palaestra.errors import ConfigError
from palaestra.types import Json, Message, ToolCall, ToolResult, ToolStatus

EMPTY_MESSAGE = "Your message holds neither a tool call nor an answer. Call a tool, or write your final answer as plain text."
NO_TOOLS = "This task has no tools. Write your final answer as plain text."


class ToolEnv(TextEnv):
    """Base of tool environments.

    Action: an assistant `Message` with native tool calls, or a text in the form of `palaestra.envs.formats.hermes`. Calls
    of one message run in order, each on its own: one that fails changes nothing and does not stop the next. A message
    without calls is the final answer; it ends the episode and is scored. A text that plainly tries to call a tool in another
    way is not an answer: it is told how calls are written (with `lenient` it is read where that is unambiguous).

    Observation: the results in the order of the calls, each between `<tool_response>` tags. `info["tool_results"]` holds
    one `ToolResult` per call, with its status. `info["action_error"]` is set if the message did nothing at all: it was
    empty, or every call in it failed (its text is then what those calls were told).

    Every task may have tools of its own: schemas, instructions and `action_space.sample()` are those of `self.toolkit`, which
    `_begin` and `_load` set. The action space is the same object and compares equal whatever the tools are. A toolkit that a
    call sets in the middle of an episode is announced by `info["tools"]` of that step.

    Args:
        tasks: The environment's tasks.
        toolkit: The tools, on a world of any state; `_begin` and `_load` set `self.toolkit` to one on the task's world. None
            where there are no tools before the first task: only answers are drawn until then.
        rules: What an agent must know in addition to the format of calls; opens the instructions.
        max_calls_per_turn: Calls of one message that are run; further ones are refused.
        lenient: Also accept near misses: see `parse_message` and `Toolkit`.
        split: Split that `reset` draws from unless told otherwise.
        max_turns: Number of messages after which the episode is truncated; None for no limit.
        render_mode: None or "ansi".

    Subclasses write `_begin`, `_finish`, `_save`, `_load`, `expert` where there is one, and `_status` where results of tools
    report failures as data. One whose calls bring reward or
    end the episode overrides `_act` and changes the `Turn` that `super()._act(action)` returns.
    """

    def __init__(
        self,
        tasks: TaskSet,
        toolkit: Toolkit | None = None,
        *,
        rules: str = "",
        max_calls_per_turn: int = 8,
        lenient: bool = False,
        split: str = "train",
        max_turns: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Check the arguments."""
        super().__init__(tasks, split=split, max_turns=max_turns, render_mode=render_mode)
        if not isinstance(max_calls_per_turn, int) or isinstance(max_calls_per_turn, bool) or max_calls_per_turn < 1:
            raise ConfigError(f"max_calls_per_turn is {max_calls_per_turn!r}; expected an integer of at least 1.")
        if not isinstance(lenient, bool):
            raise ConfigError(f"lenient is {lenient!r}; expected True or False.")
        self.max_calls_per_turn = max_calls_per_turn
        self.lenient = lenient
        self._rules = rules.strip()
        self._toolkit: Toolkit
        self._offer(Toolkit(names=(), lenient=lenient) if toolkit is None else toolkit)

    @property
    def toolkit(self) -> Toolkit:
        """The tools of the current task."""
        return self._toolkit

    @toolkit.setter
    def toolkit(self, toolkit: Toolkit) -> None:
        """Offer other tools from now on."""
        if toolkit.declarations == self._toolkit.declarations:
            self._toolkit = toolkit  # the same tools on another world, as at most resets: what is said of them holds
        else:
            self._offer(toolkit)

    def _offer(self, toolkit: Toolkit) -> None:
        """Take tools and make again what follows from their declarations."""
        self._toolkit = toolkit
        self._schemas = toolkit.schemas()
        self._copies = Copies(self._schemas)
        self._instructions = ""
        self.action_space.sampler = toolkit.sampler()  # type: ignore[attr-defined]

    @abstractmethod
    def _finish(self, answer: str) -> Turn:
        """Score the final answer and the state of the world; the episode ends with it."""

    def instructions(self) -> str:
        """Return the rules, the format of calls, and one line per tool of the current task."""
        if not self._instructions:
            tools = f"The tools (? marks an argument that may be left out):\n{self._toolkit.signatures()}"
            parts = (self._rules, prompt("hermes"), tools) if len(self._toolkit) else (self._rules, NO_TOOLS)
            self._instructions = "\n\n".join(part for part in parts if part)
        return self._instructions

    def tools(self) -> list[dict[str, Json]]:
        """Return the OpenAI function schemas of the current task's tools, the caller's own copy of them."""
        return self._copies.one()

    def _status(self, call: ToolCall, value: object) -> ToolStatus:
        """Return the status of a call that went through; an environment whose tools report failures as data says "error".

        A call that is not "ok" changes nothing: what its tool did to the world is undone.

        Args:
            call: The call.
            value: What its tool returned.
        """
        del call, value
        return "ok"

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
        if (attempt := find_attempt(answer, self._schemas)) is not None:
            if self.lenient and attempt.calls:
                return self._run(attempt.calls)
            advice = unread(attempt)
            return Turn(advice, action_error=advice)
        turn = self._finish(answer)
        turn.terminated = True
        return turn

    def _run(self, calls: tuple[ToolCall, ...]) -> Turn:
        """Run calls in order, each on its own."""
        limit = self.max_calls_per_turn
        offered = self._toolkit.declarations
        has_rule = type(self)._status is not ToolEnv._status
        results = self._toolkit.call_all(calls[:limit], status_of=self._status if has_rule else None)
        if len(calls) > limit:
            refusal = f"Error: not run: at most {limit} calls of one message are run, and it held {len(calls)}. Send it again."
            results += [ToolResult(call.name, refusal, "error", call.id) for call in calls[limit:]]
        turn = Turn(format_results(results), tool_results=results)
        if not any(result.status == "ok" for result in results):
            turn.action_error = "\n".join(result.content for result in results)
        if self._toolkit.declarations != offered:
            turn.info = {"tools": self.tools()}
        return turn


__all__ = ["ToolEnv"]

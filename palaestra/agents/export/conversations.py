"""Conversations: trajectories as the chat data that other tools read and write.

A `Conversation` is a list of messages with a training mark each. It converts to and from trajectories, and to and from
the record forms in use: AgentTraj (`from`/`value`/`loss`), ShareGPT, and role/content messages. Actions appear in them
as the model wrote them: verbatim where that is known, otherwise in the canonical text form of tool calls.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from palaestra.agents.export.observations import observed
from palaestra.agents.export.origins import UNKNOWN, Origin
from palaestra.agents.export.record_fields import (
    Turn,
    read_error,
    read_metrics,
    read_number,
    read_origin,
    read_success,
    read_tools,
    read_turn,
    read_weight,
)
from palaestra.envs.formats.hermes import format_message
from palaestra.errors import UsageError
from palaestra.media.items import write_tags
from palaestra.spaces import is_unicode
from palaestra.types import EpisodeError, Json, Message, Outcome, Step, ToolCall, Trajectory

ACKNOWLEDGEMENT = "Understood."
_ACKNOWLEDGED = Message("assistant", ACKNOWLEDGEMENT)

_NAMES = {"user": "human", "tool": "human", "system": "human", "assistant": "gpt"}

Pair = tuple[Message, bool | None]
"""A message and its mark."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """One dialogue with its marks.

    Attributes:
        item_id: Name of the task; empty if unknown.
        messages: The dialogue, oldest first; assistant texts are kept as they were written.
        loss: One per message: True to train on it, False for an assistant message that is not trained on, None elsewhere.
        reward: Return of the episode, where it is known.
        success: Whether it solved its task, where it is known.
        tools: OpenAI function schemas the assistant was given.
        metrics: What else the environment measured, by name.
        instructions_as: How the instructions open the dialogue: a "system" message, a "user" message that the assistant
            acknowledges, not at all ("none"), or "" where only the marks can tell.
        weight: How much the dialogue counts in training, where that is said.
        origin: Where it was played, where that is known.
        error: The failure that ended it, if one did; its detail is not kept.
    """

    item_id: str
    messages: tuple[Message, ...]
    loss: tuple[bool | None, ...]
    reward: float | None = None
    success: bool | None = None
    tools: tuple[Mapping[str, Json], ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    instructions_as: str = field(default="", compare=False)
    weight: float | None = None
    origin: Origin = UNKNOWN
    error: EpisodeError | None = None

    @classmethod
    def of(cls, trajectory: Trajectory) -> Conversation:
        """Return an episode as a conversation: instructions and acknowledgement, then observations and actions in turn."""
        messages: list[Message] = []
        loss: list[bool | None] = []
        if trajectory.instructions:
            messages += [Message.of_text("user", trajectory.instructions), Message("assistant", ACKNOWLEDGEMENT)]
            loss += [None, False]
        for step in trajectory.steps:
            messages += [
                Message.of_text("user", step.observation),
                Message.of_text("assistant", action_text(step.action)),
            ]
            loss += [None, is_trained_on(step)]
        if trajectory.final_observation and trajectory.steps:
            messages.append(Message.of_text("user", trajectory.final_observation))
            loss.append(None)
        scored = trajectory.outcome.error is None
        return cls(
            item_id=item_id(trajectory),
            messages=tuple(messages),
            loss=tuple(loss),
            reward=trajectory.return_ if scored else None,
            success=trajectory.outcome.success,
            tools=trajectory.tools,
            metrics=trajectory.outcome.metrics,
            instructions_as="user" if trajectory.instructions else "none",
            weight=trajectory.meta.get("weight"),
            origin=Origin.of(trajectory),
            error=trajectory.outcome.error,
        )

    def to_trajectory(self, env_id: str = "") -> Trajectory:
        """Return the dialogue as an episode.

        System messages that open it, and a first user message whose answer is marked as not trained on, are the instructions;
        a system message later on is part of the observation there. Turns that are not trained on have `info["trained"]`
        False; what tools answered is in `info["tool_results"]`. The reward, where it is known, is given for the last step.

        Args:
            env_id: Environment of dialogues that name none.

        Raises:
            UsageError: If the dialogue is not one of observations and actions in turn.
        """
        instructions, steps, final_observation = self._in_turn()
        if steps and (self.reward is not None or self.success is not None):
            steps[-1] = replace(steps[-1], reward=self.reward or 0.0, terminated=True)
        return Trajectory(
            episode_id=self.item_id,
            env_id=self.origin.env_id or env_id,
            task={"key": self.origin.task_key or self.item_id, "split": self.origin.split, "type": ""},
            instructions=instructions,
            tools=self.tools,
            steps=tuple(steps),
            final_observation=final_observation,
            outcome=Outcome(error=self.error) if self.error else Outcome(self.reward, self.success, metrics=self.metrics),
            meta={} if self.weight is None else {"weight": self.weight},
        )

    def to_agenttraj(self) -> dict[str, Json]:
        """Return an AgentTraj record (specs/agentgym, section 4), with what else is known: see `_columns`.

        The instructions are the pair that opens it, whose answer is not trained on. Where there are none and the first answer
        is not trained on, the pair is empty, so that the answer is not taken for an acknowledgement.
        """
        system, pair, rest = self._parts()
        if system or (not pair and rest[1:2] and rest[0][0].role != "assistant" and rest[1][1] is False):
            texts = [*system, *(action_text(message) for message, _ in pair[:1])]
            pair = [(Message.of_text("user", "\n\n".join(texts)), None), *(pair[1:] or [(_ACKNOWLEDGED, False)])]
        turns = [
            {"from": _NAMES[message.role], "loss": mark, "value": action_text(message)} for message, mark in (*pair, *rest)
        ]
        return {"item_id": self.item_id, "conversations": turns, **self._columns()}

    def to_experience(self) -> dict[str, Json]:
        """Return an experience record: AgentTraj with reward, success (1 or 0), and metrics where there are any."""
        success = None if self.success is None else int(self.success)
        record: dict[str, Json] = {**self.to_agenttraj(), "reward": self.reward, "success": success}
        return {**record, "metrics": dict(self.metrics)} if self.metrics else record

    def to_sharegpt(self) -> dict[str, Json]:
        """Return a ShareGPT record, as trainers take it that want an even number of turns, human and gpt in turn.

        Instructions are its system message, a turn that is not trained on has `weight` 0, and what was seen after the last
        answer is in `final_observation`.
        """
        system, pair, rest = self._parts()
        instructions = "\n\n".join([*system, *(action_text(message) for message, _ in pair[:1])])
        turns: list[dict[str, Json]] = [{"from": "system", "value": instructions}] if instructions else []
        waiting: list[Message] = []
        for message, mark in rest:
            if message.role != "assistant":
                waiting.append(message)
                continue
            speaker = "observation" if waiting and all(one.role == "tool" for one in waiting) else "human"
            turns.append({"from": speaker, "value": _joined(waiting)})
            turns.append({"from": "gpt", "value": action_text(message), **({"weight": 0} if mark is False else {})})
            waiting = []
        record: dict[str, Json] = {"id": self.item_id, "conversations": turns, **self._columns()}
        return {**record, "final_observation": final} if (final := _joined(waiting)) else record

    @classmethod
    def from_record(cls, record: Mapping[str, Json]) -> Conversation:
        """Read an AgentTraj, experience, ShareGPT, LLaMA-Factory or chat record; which it is shows in its keys.

        Raises:
            UsageError: If it is none of them; the message says what is missing, or which field cannot be read.
        """
        name = str(next((record[key] for key in ("item_id", "id") if record.get(key) is not None), ""))
        known = [key for key in ("conversations", "messages") if key in record]  # a null column is one that is not there
        key = next((key for key in known if record[key] is not None), known[0] if known else "messages")
        if key not in record and "item_id" not in record:
            raise UsageError(f"A record has the keys {sorted(record)}; expected item_id, conversations or messages.")
        said = record.get(key) or []
        if not isinstance(said, list):
            raise UsageError(f"{key} of item {name!r} is a {type(said).__name__}; expected a list of messages.")
        turns = [read_turn(turn, f"{key}[{number}]") for number, turn in enumerate(said)]
        system = record.get("system")
        if system and not isinstance(system, str):
            raise UsageError(f"system of item {name!r} is a {type(system).__name__}; expected a text.")
        if system and not any(turn.message.role == "system" for turn in turns[:1]):  # a turn goes first, as in LLaMA-Factory
            turns.insert(0, Turn(Message.of_text("system", system)))
        if final := record.get("final_observation"):
            turns.append(read_turn({"from": "human", "value": final}, "final_observation"))
        return cls(
            item_id=name,
            messages=tuple(turn.message for turn in turns),
            loss=tuple((turn.mark is not False) if turn.message.role == "assistant" else None for turn in turns),
            reward=read_number(record.get("reward"), "reward"),
            success=read_success(record.get("success")),
            tools=read_tools(record.get("tools")),
            metrics=read_metrics(record.get("metrics")),
            instructions_as=_opening(turns),
            weight=read_weight(record.get("weight")),
            origin=read_origin(record),
            error=read_error(record.get("error")),
        )

    def _parts(self) -> tuple[list[str], list[Pair], list[Pair]]:
        """Return the system's texts, the instructions and their acknowledgement if there are any, and the rest."""
        pairs = list(zip(self.messages, self.loss, strict=True))
        opening = _num_opening([message for message, _ in pairs])
        system = [action_text(message) for message, _ in pairs[:opening]]
        rest = pairs[opening:]
        if self.instructions_as in ("", "user") and _is_acknowledged(rest):
            return system, rest[:2], rest[2:]
        return system, [], rest

    def _in_turn(self) -> tuple[str, list[Step], str]:
        """Return instructions, steps, and what was seen after the last of them."""
        system, pair, rest = self._parts()
        texts = [*system, *(action_text(message) for message, _ in pair[:1])]
        steps: list[Step] = []
        waiting: list[Message] = []
        for number, (message, mark) in enumerate(rest, start=1):
            if message.role != "assistant":
                waiting.append(message)
                continue
            if not waiting:
                before = "two assistant messages in a row" if steps else "an assistant message before any other"
                raise UsageError(f"Item {self.item_id!r} has {before} (turn {number}); expected a turn of the user first.")
            steps, observation = observed(steps, waiting)
            steps.append(Step(observation, message, info={} if mark is not False else {"trained": False}))
            waiting = []
        steps, final_observation = observed(steps, waiting)
        return "\n\n".join(text for text in texts if text), steps, final_observation

    def _columns(self) -> dict[str, Json]:
        """Return the columns about the whole dialogue: where it was played, tools as JSON text, weight, how it ended."""
        columns = self.origin.to_json()
        if self.tools:
            columns["tools"] = json.dumps([dict(tool) for tool in self.tools], ensure_ascii=False)
        if self.weight is not None:
            columns["weight"] = self.weight
        return {**columns, **_ending(self.reward, self.success, self.error)}


def is_trained_on(step: Step) -> bool:
    """Whether a step is to be imitated: all are but those marked by `info["trained"]` False, and answers that were cut."""
    return step.info.get("trained") is not False and step.finish_reason != "length"  # which ends where no answer ends


def action_text(message: Message) -> str:
    """Return the text form of a message: for an action what the model wrote, tool calls and reasoning included."""
    if message.role == "assistant" and not message.raw and (message.tool_calls or message.reasoning):
        return format_message(message)
    return message.raw or write_tags(message.content, message.media)


def item_id(trajectory: Trajectory) -> str:
    """Return the AgentTraj name of an episode's task: its key, with the environment's name in front of it."""
    name = trajectory.env_id.rpartition("/")[2].rpartition("-v")[0].lower() or trajectory.env_id.lower()
    key = str(trajectory.task.get("key", "")) or trajectory.episode_id
    return key if not name or key.startswith(f"{name}_") else f"{name}_{key}"


def chat_record(trajectory: Trajectory) -> dict[str, Json]:
    """Return an episode in the form of OpenAI's chat fine-tuning files: messages with native tool calls, and tools.

    An action that is not trained on has `weight` 0. A weight of the whole episode is a `weight` of the record, and the record
    says where the episode was played and how it ended.
    """
    steps = iter(trajectory.of_seat().steps)
    record: dict[str, Json] = {
        "id": trajectory.episode_id,
        "messages": [
            {**_chat_message(message), **_mark(message, steps)}  # actions are the assistant's only messages
            for message in trajectory.messages()
        ],
        **Origin.of(trajectory).to_json(),
    }
    if trajectory.tools:
        record["tools"] = [dict(tool) for tool in trajectory.tools]
    if "weight" in trajectory.meta:
        record["weight"] = trajectory.meta["weight"]
    outcome = trajectory.outcome
    reward = trajectory.return_ if outcome.error is None else None
    return {**record, **_ending(reward, outcome.success, outcome.error)}


def _ending(reward: float | None, success: bool | None, error: EpisodeError | None) -> dict[str, Json]:
    """Return how an episode ended, as far as it is known: without it a failure would be read as a demonstration."""
    known: dict[str, Json] = {"reward": reward, "success": success}
    if error is not None:  # without the traceback
        known["error"] = {"boundary": error.boundary, "type": error.type, "message": error.message}
    return {name: value for name, value in known.items() if value is not None}


def _mark(message: Message, steps: Iterator[Step]) -> dict[str, Json]:
    """Return the mark of a message, if it is an action that is not trained on."""
    return {} if message.role != "assistant" or is_trained_on(next(steps)) else {"weight": 0}


def _chat_message(message: Message) -> dict[str, Json]:
    """Return one message in OpenAI's form."""
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_call_id, "name": message.name, "content": message.content}
    if message.role != "assistant":
        return {"role": message.role, "content": message.content}
    if not message.tool_calls or not all(call.id and call.name for call in message.tool_calls):
        # calls without ids were made in the text, and are answered there
        return {"role": "assistant", "content": action_text(message)}
    data: dict[str, Json] = {"role": "assistant", "content": message.content}
    if message.reasoning:
        data["reasoning_content"] = message.reasoning
    data["tool_calls"] = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": _arguments_text(call)}}
        for call in message.tool_calls
    ]
    return data


def _arguments_text(call: ToolCall) -> str:
    """Return a call's arguments as the JSON text that OpenAI's form carries."""
    if isinstance(call.arguments, str):
        return call.arguments
    text = json.dumps(dict(call.arguments), ensure_ascii=False)
    return text if is_unicode(text) else json.dumps(dict(call.arguments))


def _num_opening(messages: Sequence[Message]) -> int:
    """Return how many system messages open a dialogue; one that comes later was seen later, and stays where it is."""
    return next((number for number, message in enumerate(messages) if message.role != "system"), len(messages))


def _is_acknowledged(rest: Sequence[Pair]) -> bool:
    """Whether a dialogue begins with instructions and an answer that is not trained on."""
    return len(rest) >= 2 and rest[0][0].role == "user" and rest[1][0].role == "assistant" and rest[1][1] is False


def _opening(turns: Sequence[Turn]) -> str:
    """Return how the instructions open a record; only AgentTraj's own mark tells an acknowledgement."""
    rest = turns[_num_opening([turn.message for turn in turns]) :]
    if _is_acknowledged([(turn.message, turn.mark) for turn in rest]) and rest[1].by_loss:
        return "user"
    return "system" if len(rest) < len(turns) else "none"


def _joined(messages: Sequence[Message]) -> str:
    """Return messages that came one after the other as one text."""
    return "\n".join(action_text(message) for message in messages)


__all__ = ["Conversation", "action_text", "chat_record", "is_trained_on", "item_id"]

"""Conversations: trajectories as the chat data that other tools read and write.

A `Conversation` is a list of messages with a training mark each. It converts to and from trajectories, and to and from
the record forms in use: AgentTraj (`from`/`value`/`loss`), ShareGPT, and role/content messages. Actions appear in them
as the model wrote them: verbatim where that is known, otherwise in the canonical text form of tool calls.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from palaestra.agents.backends.wire_media import text_of_parts
from palaestra.envs.formats.hermes import format_message
from palaestra.errors import UsageError
from palaestra.media.items import write_tags
from palaestra.results.metrics import is_number
from palaestra.spaces import is_unicode
from palaestra.types import Json, Message, Outcome, Role, Step, ToolCall, Trajectory
from palaestra.types.plain_json import strict_json

ACKNOWLEDGEMENT = "Understood."

_ROLES: dict[str, Role] = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "observation": "tool",
    "function_response": "tool",
}


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
            acknowledges, or "" where nobody can tell.
    """

    item_id: str
    messages: tuple[Message, ...]
    loss: tuple[bool | None, ...]
    reward: float | None = None
    success: bool | None = None
    tools: tuple[Mapping[str, Json], ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    instructions_as: str = field(default="", compare=False)

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
            loss += [None, True]
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
            instructions_as="user" if trajectory.instructions else "",
        )

    def to_trajectory(self, env_id: str = "") -> Trajectory:
        """Return the dialogue as an episode.

        System messages, and a first user message whose answer is marked as not trained on, are the instructions. The
        reward, where it is known, is given for the last step.

        Args:
            env_id: Environment to write into the trajectory.

        Raises:
            UsageError: If the dialogue is not one of observations and actions in turn.
        """
        messages, loss = list(self.messages), list(self.loss)
        instructions = [action_text(message) for message in messages if message.role == "system"]
        kept = [(message, mark) for message, mark in zip(messages, loss, strict=True) if message.role != "system"]
        if len(kept) >= 2 and kept[1][0].role == "assistant" and kept[1][1] is False:
            instructions.append(action_text(kept[0][0]))
            kept = kept[2:]
        steps: list[Step] = []
        waiting: list[str] = []
        for message, _ in kept:
            if message.role != "assistant":
                waiting.append(action_text(message))
                continue
            if not waiting:
                raise UsageError(
                    f"Item {self.item_id!r} has two assistant messages in a row; expected a turn of the user first."
                )
            steps.append(Step("\n".join(waiting), message))
            waiting = []
        if steps and (self.reward is not None or self.success is not None):
            last = steps[-1]
            steps[-1] = Step(last.observation, last.action, self.reward or 0.0, terminated=True)
        return Trajectory(
            episode_id=self.item_id,
            env_id=env_id,
            task={"key": self.item_id, "split": "", "type": ""},
            instructions="\n\n".join(instructions),
            tools=self.tools,
            steps=tuple(steps),
            final_observation="\n".join(waiting),
            outcome=Outcome(score=self.reward, success=self.success, metrics=self.metrics),
        )

    def to_agenttraj(self) -> dict[str, Json]:
        """Return an AgentTraj record (specs/agentgym, section 4)."""
        names = {"user": "human", "tool": "human", "system": "human", "assistant": "gpt"}
        return {
            "item_id": self.item_id,
            "conversations": [
                {"from": names[message.role], "loss": mark, "value": action_text(message)}
                for message, mark in zip(self.messages, self.loss, strict=True)
            ],
        }

    def to_experience(self) -> dict[str, Json]:
        """Return an experience record: AgentTraj with reward, success (1 or 0), and metrics where there are any."""
        success = None if self.success is None else int(self.success)
        record: dict[str, Json] = {**self.to_agenttraj(), "reward": self.reward, "success": success}
        return {**record, "metrics": dict(self.metrics)} if self.metrics else record

    def to_sharegpt(self) -> dict[str, Json]:
        """Return a ShareGPT record; instructions become its system message."""
        names = {"user": "human", "tool": "tool", "system": "system", "assistant": "gpt"}
        messages = list(self.messages)
        if self.instructions_as == "user":
            messages = [replace(messages[0], role="system"), *messages[2:]]
        record: dict[str, Json] = {
            "id": self.item_id,
            "conversations": [{"from": names[message.role], "value": action_text(message)} for message in messages],
        }
        if self.tools:
            record["tools"] = json.dumps([dict(tool) for tool in self.tools], ensure_ascii=False)
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, Json]) -> Conversation:
        """Read an AgentTraj, experience, ShareGPT or role/content record; which it is shows in its keys.

        Raises:
            UsageError: If it is none of them; the message says what is missing.
        """
        turns = record.get("conversations", record.get("messages"))
        name = str(record.get("item_id", record.get("id", "")))
        if turns is None and not ({"item_id", "conversations", "messages"} & record.keys()):
            raise UsageError(f"A record has the keys {sorted(record)}; expected item_id, conversations or messages.")
        if not isinstance(turns or [], list):
            raise UsageError(f"The conversation of item {name!r} is a {type(turns).__name__}; expected a list of messages.")
        messages: list[Message] = []
        loss: list[bool | None] = []
        for turn in turns or []:
            message = _read_turn(turn, name)
            mark = turn.get("loss")
            messages.append(message)
            loss.append((mark is not False) if message.role == "assistant" else None)
        reward, success = record.get("reward"), record.get("success")
        tools = record.get("tools") or []
        metrics = record.get("metrics")
        metrics = metrics if isinstance(metrics, Mapping) else {}
        return cls(
            item_id=name,
            messages=tuple(messages),
            loss=tuple(loss),
            reward=None if reward is None else float(reward),
            success=None if success is None else bool(success),
            tools=tuple(json.loads(tools) if isinstance(tools, str) else tools),
            metrics={name: float(value) for name, value in metrics.items() if is_number(value)},
            instructions_as="system" if messages and messages[0].role == "system" else "",
        )


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
    """Return an episode in the form of OpenAI's chat fine-tuning files: messages with native tool calls, and tools."""
    record: dict[str, Json] = {
        "id": trajectory.episode_id,
        "messages": [_chat_message(message) for message in trajectory.messages()],
    }
    if trajectory.tools:
        record["tools"] = [dict(tool) for tool in trajectory.tools]
    return record


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


def _read_turn(turn: Any, name: str) -> Message:
    """Read one message of a record."""
    if not isinstance(turn, Mapping):
        raise UsageError(f"A message of item {name!r} is a {type(turn).__name__}; expected an object.")
    speaker = turn.get("from", turn.get("role"))
    role = _ROLES.get(str(speaker))
    if role is None:
        raise UsageError(f"A message of item {name!r} is from {speaker!r}; expected one of {', '.join(_ROLES)}.")
    content = turn.get("value", turn.get("content"))
    if isinstance(content, list):
        content = text_of_parts(content)
    if content is not None and not isinstance(content, str):
        raise UsageError(f"A message of item {name!r} holds a {type(content).__name__}; expected a text.")
    calls = tuple(_read_call(call) for call in turn.get("tool_calls") or ())
    reasoning = str(turn.get("reasoning_content") or turn.get("reasoning") or "") if role == "assistant" else ""
    return Message.of_text(
        role,
        content or "",
        tool_calls=calls,
        tool_call_id=str(turn.get("tool_call_id") or "") if role == "tool" else "",
        name=str(turn.get("name") or "") if role == "tool" else "",
        reasoning=reasoning,
    )


def _read_call(call: Mapping[str, Json]) -> ToolCall:
    """Read a tool call in OpenAI's form, or in ours."""
    function = call.get("function", call)
    arguments = function.get("arguments") or {}
    if isinstance(arguments, str):
        try:
            parsed = strict_json(arguments)
        except (ValueError, RecursionError):
            parsed = None
        arguments = parsed if isinstance(parsed, dict) else arguments
    return ToolCall(str(function.get("name", "")), arguments, str(call.get("id") or ""))


__all__ = ["Conversation", "action_text", "chat_record", "item_id"]

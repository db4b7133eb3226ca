"""Prompts as token ids that extend the very ids sampled before, for every backend that samples tokens.

A finished turn remembers its ids; the next prompt of the session appends to them what the new messages add, so that sampled
tokens are never decoded and encoded again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from palaestra.agents.backends.chat_template import ChatTemplate
from palaestra.agents.core import Request
from palaestra.envs.formats.reasoning import split_reasoning, without_reasoning
from palaestra.types import Json, Message

Stop = Literal["eos", "length", "stop_string"]


@dataclass(frozen=True, slots=True)
class TokenTurn:
    """The last finished turn of a session, which the next prompt is to extend.

    Attributes:
        messages: The dialogue that was answered.
        tools: Tools it offered.
        ids: Prompt and completion.
        prompt_length: Tokens of the prompt.
        text: What the completion says.
        answer: The message made of it.
        stop: Why it ended.
    """

    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Json], ...]
    ids: tuple[int, ...]
    prompt_length: int
    text: str
    answer: Message
    stop: Stop


def extended_prompt(template: ChatTemplate, turn: TokenTurn, request: Request) -> tuple[int, ...] | None:
    """Append to the tokens of the last turn, or None if the history is not its continuation."""
    num_old = len(turn.messages)
    if request.tools != turn.tools or request.messages[:num_old] != turn.messages:
        return None
    if len(request.messages) == num_old:
        return turn.ids[: turn.prompt_length]  # the same question once more
    if not _is_same_answer(request.messages[num_old], turn):
        return None
    if turn.stop == "eos" and turn.ids[-1] in template.call_end_ids - {template.frame.end}:
        return None  # what follows such an end is not what follows an answer
    added = template.continuation(request.messages[num_old + 1 :], request.tools)
    if added is None:
        return None
    return turn.ids + added.after(turn.ids, ended=turn.stop == "eos")


def finished_turn(
    template: ChatTemplate, request: Request, prompt: tuple[int, ...], ids: tuple[int, ...], stop: Stop
) -> TokenTurn:
    """Return a turn that has just been sampled.

    Args:
        template: Decodes.
        request: What was asked.
        prompt: Its ids.
        ids: What was sampled.
        stop: Why sampling ended; after a stop text the message ends before that text.
    """
    text = template.decode(ids)
    if stop == "stop_string":
        text = text[: min((place for place in map(text.find, request.sampling.stop) if place >= 0), default=None)]
    if stop == "length" and template.opens_thought and split_reasoning(text) == ("", text):
        answer = Message("assistant", reasoning=text)  # cut off in the thought that the prompt opened
    else:
        answer = template.read(text, request.tools) if request.tools else without_reasoning(Message("assistant", text))
    return TokenTurn(request.messages, request.tools, prompt + ids, len(prompt), text, answer, stop)


def _is_same_answer(message: Message, turn: TokenTurn) -> bool:
    """Whether a message of the history is what the model wrote in a turn; ids of calls may have been filled in."""
    if message == turn.answer:
        return True
    if message.role != "assistant":
        return False
    if not message.tool_calls and not message.reasoning:
        return (message.raw or message.content) == turn.text
    return _without_ids(message) == _without_ids(turn.answer)


def _without_ids(message: Message) -> Message:
    """Return a message whose calls have no ids."""
    return replace(message, tool_calls=tuple(replace(call, id="") for call in message.tool_calls))

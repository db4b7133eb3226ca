"""What one chat template takes and shows: found out by rendering samples, never by its name.

Templates differ in what they do with a dialogue: some know no system role, some take contents as lists of parts, some drop
the results of tools or refuse calls whose arguments are not an object, and each writes calls in the syntax that its model was
trained on. `TemplateFace` gives a template messages in a form that it takes, so that they show what the model wrote.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

from palaestra.envs.formats.dialects import HERMES, Dialect, dialect_of
from palaestra.envs.formats.hermes import RESPONSE_CLOSE, RESPONSE_OPEN, format_call
from palaestra.types import Json, Message, ToolCall

Render = Callable[[list[dict[str, Json]], list[dict[str, Json]], bool], str]
"""Messages, tools, whether the assistant is to write next -> text; raises whatever the template raises."""

STAND_IN_OPEN, STAND_IN_CLOSE = "\ue0f3", "\ue0f4"
_STAND_IN = re.compile(f"{STAND_IN_OPEN}(\\d+){STAND_IN_CLOSE}")
_CALLS = (
    ToolCall("probe_tool", {"item": "oak log", "count": 2}, "call00001"),
    ToolCall("probe_tool", {"item": "elm log", "count": 3}, "call00002"),
)
_TOOL: dict[str, Json] = {
    "type": "function",
    "function": {
        "name": "probe_tool",
        "description": "Probe.",
        "parameters": {
            "type": "object",
            "properties": {"item": {"type": "string", "description": "i"}, "count": {"type": "integer", "description": "c"}},
            "required": ["item"],
        },
    },
}
QUESTION, _RESULT = "\ue0f2ask", "\ue0f2result"


@dataclass(frozen=True, slots=True)
class Shaped:
    """A dialogue in the form that a template takes.

    Attributes:
        messages: For `apply_chat_template`.
        written: Texts for which stand-ins are in the messages.
        shown: Alternatives of which one has to be in the rendered text, for each message.
    """

    messages: list[dict[str, Json]]
    written: list[str]
    shown: list[tuple[str, ...]]

    def finish(self, text: str) -> str:
        """Put the texts where their stand-ins are."""
        return _STAND_IN.sub(lambda found: self.written[int(found[1])], text) if self.written else text

    def holds(self, text: str) -> bool:
        """Whether a rendered text shows every message."""
        return all(any(one in text for one in alternatives) for alternatives in self.shown)


class TemplateFace:
    """How a template shows calls, results, system messages and contents.

    Args:
        render: Renders with the template.
    """

    def __init__(self, render: Render) -> None:
        """Nothing is rendered yet."""
        self._render = render
        self.follows_text = lru_cache(maxsize=None)(self._follows_text)
        self._shows_calls = lru_cache(maxsize=None)(self._find_shown_calls)

    @cached_property
    def takes_parts(self) -> bool:
        """Whether contents have to be lists of parts: a text is not shown."""
        user = {"role": "user", "content": QUESTION}
        return QUESTION not in self._sample([user]) and QUESTION in self._sample([_in_parts(user)])

    @cached_property
    def takes_system(self) -> bool:
        """Whether a system message is shown."""
        messages = [{"role": "system", "content": _RESULT}, {"role": "user", "content": QUESTION}]
        return _RESULT in self._sample(messages) or not self._sample(messages[1:])

    @cached_property
    def written_call(self) -> str:
        """What a model would write to make the sample call, up to the next turn; empty if calls are not shown."""
        asked = [{"role": "user", "content": QUESTION}]
        opened = self._sample(asked, [_TOOL], generate=True).rpartition(QUESTION)[2]
        for as_text in (False, True):
            call = {"role": "assistant", "content": "", "tool_calls": [_native(_CALLS[0], as_text)]}
            text = self._sample([*asked, call], [_TOOL]).rpartition(QUESTION)[2]
            written = text[shared_length(opened, text) :]
            if "probe_tool" in written:
                return written
        return ""

    @cached_property
    def dialect(self) -> Dialect | None:
        """The syntax of calls that the template teaches; None if it shows none, or one that cannot be read."""
        return dialect_of(self.written_call, _CALLS[0], [_TOOL]) if self.written_call else None

    @cached_property
    def tools_problem(self) -> str:
        """Why tools cannot be offered through this template; empty if they can."""
        if "probe_tool" not in self._sample([{"role": "user", "content": QUESTION}], [_TOOL], generate=True):
            return "it does not show the tools to the model"
        if not self.written_call:
            return "it does not show calls of tools"
        if self.dialect is None:
            return f"it writes calls in a form that cannot be read: {' '.join(self.written_call.split())[:150]!r}"
        if not self.follows_text(True) and not self._shows_results:
            return "it does not show the results of tools"
        return ""

    def shaped(
        self, messages: Sequence[Message], *, has_tools: bool, stand_ins: bool, native: bool, verbatim: bool = True
    ) -> Shaped:
        """Return a dialogue in a form that the template takes.

        Args:
            messages: The dialogue.
            has_tools: Whether tools are offered.
            stand_ins: Give the template stand-ins for what the assistant wrote, which it cannot cut, trim or refuse.
            native: Give it calls as calls where it shows them; else as the text that the model wrote.
            verbatim: Give it calls as text where it is known how the model wrote them. Otherwise the rendered text has to hold
                what the model wrote, word for word.
        """
        result = Shaped([], [], [])
        as_user = False
        for message in self._with_system_shown(messages):
            shown: tuple[str, ...] = (message.content,)
            if message.role == "assistant":
                is_native = native and self._is_native(message, has_tools, verbatim)
                as_user = not is_native and not self.follows_text(has_tools)
                written = message.content if is_native else written_text(message)
                data = self._assistant(message, written, is_native)
                shown = (message.raw.strip() or written if is_native else written,)
                if stand_ins and (written or not is_native):
                    data["content"] = f"{STAND_IN_OPEN}{len(result.written)}{STAND_IN_CLOSE}"
                    shown = (data["content"],)
                    result.written.append(written)
            elif message.role == "tool" and as_user:
                data = {"role": "user", "content": f"{RESPONSE_OPEN}\n{message.content}\n{RESPONSE_CLOSE}"}
                if result.messages and result.messages[-1]["role"] == "user":
                    data["content"] = f"{result.messages.pop()['content']}\n{data['content']}"
            else:
                data = template_message(message)
            if message.role != "assistant":
                stripped = message.content.strip()
                shown = (stripped, json.dumps(stripped, ensure_ascii=False)[1:-1])
            result.messages.append(data)
            result.shown.append(shown)
        if self.takes_parts:
            result.messages[:] = [_in_parts(data) for data in result.messages]
        return result

    def _is_native(self, message: Message, has_tools: bool, verbatim: bool) -> bool:
        """Whether the template is given the calls of a message as calls."""
        calls = message.tool_calls
        if not calls or (verbatim and message.raw and self.follows_text(has_tools)):
            return False
        readable = all(call.name and isinstance(call.arguments, Mapping) for call in calls)
        return readable and self._shows_calls(has_tools, len(calls) > 1, bool(message.content))

    def _assistant(self, message: Message, written: str, is_native: bool) -> dict[str, Json]:
        """Return an assistant message for the template."""
        data: dict[str, Json] = {"role": "assistant", "content": written}
        if is_native:
            data["tool_calls"] = [_native(call, self._arguments_as_text) for call in message.tool_calls]
        if message.name:
            data["name"] = message.name
        if message.reasoning and message.reasoning not in written:
            data[self._thought_key] = message.reasoning
        return data

    def _with_system_shown(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Move what a system message says into the user message after it where the template shows none."""
        if len(messages) < 2 or messages[0].role != "system" or self.takes_system:
            return messages
        first, second, *rest = messages
        if second.role != "user":
            return messages
        return [replace(second, content=f"{first.content}\n\n{second.content}"), *rest]

    @cached_property
    def _thought_key(self) -> str:
        """The key under which the template takes what was thought before a call."""
        for key in ("reasoning_content", "thinking", "reasoning"):
            call = _native(_CALLS[0], self._arguments_as_text)
            answer: dict[str, Json] = {"role": "assistant", "content": "", "tool_calls": [call], key: "thought of it"}
            if "thought of it" in self._sample([{"role": "user", "content": QUESTION}, answer], [_TOOL]):
                return key
        return "reasoning_content"

    @cached_property
    def _arguments_as_text(self) -> bool:
        """Whether the template takes arguments as JSON text only."""
        asked: dict[str, Json] = {"role": "user", "content": QUESTION}
        shown: list[bool] = []
        for as_text in (False, True):
            call: dict[str, Json] = {"role": "assistant", "content": "", "tool_calls": [_native(_CALLS[0], as_text)]}
            shown.append("oak log" in self._sample([asked, call]))
        return shown == [False, True]

    @cached_property
    def _shows_results(self) -> bool:
        """Whether the result of a call is shown after it."""
        call = {"role": "assistant", "content": "", "tool_calls": [_native(_CALLS[0], self._arguments_as_text)]}
        text = self._sample([{"role": "user", "content": QUESTION}, call, _result()], [_TOOL], generate=True)
        return _RESULT in text.rpartition("oak log")[2]

    def _follows_text(self, has_tools: bool) -> bool:
        """Whether the result of a call is shown after an answer in text."""
        answer: dict[str, Json] = {"role": "assistant", "content": "answered"}
        messages: list[dict[str, Json]] = [{"role": "user", "content": QUESTION}, answer, _result()]
        if self.takes_parts:
            messages = [_in_parts(message) for message in messages]
        return _RESULT in self._sample(messages, [_TOOL] if has_tools else [], generate=True).rpartition("answered")[2]

    def _find_shown_calls(self, has_tools: bool, several: bool, has_content: bool) -> bool:
        """Whether calls, and the text before them, are shown."""
        calls = [_native(call, self._arguments_as_text) for call in _CALLS[: 1 + several]]
        content = "content of it" if has_content else ""
        answer: dict[str, Json] = {"role": "assistant", "content": content, "tool_calls": calls}
        asked = {"role": "user", "content": QUESTION}
        text = self._sample([asked, answer], [_TOOL] if has_tools else []).rpartition(QUESTION)[2]
        return all(word in text for word in ("probe_tool", "oak log", "elm log" if several else "", content))

    def _sample(self, messages: Sequence[Mapping[str, Json]], tools: Sequence[Any] = (), *, generate: bool = False) -> str:
        """Render a sample; empty if the template refuses it."""
        try:
            return self._render([dict(message) for message in messages], list(tools), generate)
        except Exception:  # templates raise errors of many kinds
            return ""


def written_text(message: Message) -> str:
    """Return the text of an assistant, its reasoning apart: verbatim where it is known, else calls in the canonical form."""
    if message.raw or not message.tool_calls:
        return message.raw or message.content
    calls = [
        call.arguments if not call.name and isinstance(call.arguments, str) else format_call(replace(call, id=""))
        for call in message.tool_calls
    ]
    return "\n".join([message.content, *calls] if message.content else calls)


def template_message(message: Message) -> dict[str, Json]:
    """Return a message of a user, a system or a tool as chat templates expect it."""
    data: dict[str, Json] = {"role": message.role, "content": message.content}
    if message.tool_call_id:
        data["tool_call_id"] = message.tool_call_id
    if message.name:
        data["name"] = message.name
    return data


def call_tokens(written: str, special: Sequence[str]) -> frozenset[str]:
    """Return those special tokens with which a call is written."""
    return frozenset(token for token in special if token in written)


def shared_length(opened: str, text: str) -> int:
    """Return how far a text begins like a prompt; a mark of which only the beginning is alike is not alike.

    A prompt may open a thought (`<think>`) where the history has a call (`<tool_call>`).
    """
    shorter = min(len(opened), len(text))
    end = next((i for i, pair in enumerate(zip(opened, text, strict=False)) if pair[0] != pair[1]), shorter)
    mark = max(text.rfind(sign, 0, end) for sign in "<[")
    is_split = end < len(opened) and mark >= 0 and not re.search(r"[>\]\s]", text[mark:end])
    return mark if is_split else end


def _native(call: ToolCall, as_text: bool) -> dict[str, Json]:
    """Return a call in OpenAI's form, its arguments as an object or as text."""
    arguments = dict(call.arguments) if isinstance(call.arguments, Mapping) else call.arguments
    given = json.dumps(arguments, ensure_ascii=False) if as_text else arguments
    return {"type": "function", "id": call.id, "function": {"name": call.name, "arguments": given}}


def _result() -> dict[str, Json]:
    """Return the result of the sample call."""
    return {"role": "tool", "content": _RESULT, "tool_call_id": _CALLS[0].id, "name": _CALLS[0].name}


def _in_parts(message: Mapping[str, Json]) -> dict[str, Json]:
    """Return a message whose content is a list of parts."""
    return {**message, "content": [{"type": "text", "text": message["content"]}]}


__all__ = ["HERMES", "Shaped", "TemplateFace", "call_tokens", "shared_length", "written_text"]

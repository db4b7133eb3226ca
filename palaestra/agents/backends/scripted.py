"""A backend that answers from a script: a list, a JSON Lines file or a function.

It belongs to the library: agents, engines and examples run against it offline, and it can fail and dawdle on purpose.
Every session plays the script from its beginning, so that the answers do not depend on how episodes interleave.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from palaestra.agents.backends.wire import read_arguments
from palaestra.agents.core import Generation, Request, Tokens
from palaestra.envs.core.data_files import kind_of, read_data, read_text, shown
from palaestra.errors import ConfigError, MissingDataError, ModelError, UsageError, unknown_name
from palaestra.media.headers import describe
from palaestra.media.items import escape_tags, read_tags
from palaestra.media.store import current_media
from palaestra.types import Json, Message, ToolCall, Usage

MAX_BYTES = 64 * 2**20
"""Largest script, and largest file that one shows."""

_ROW_KEYS = (
    "content",
    "tool_calls",
    "media",
    "reasoning",
    "finish_reason",
    "usage",
    "match",
    "repeat",
    "delay_s",
    "error",
    "status",
    "retryable",
    "retry_after_s",
)


@dataclass(frozen=True, slots=True)
class ScriptedReply:
    """One entry of a script.

    Attributes:
        message: What the model says.
        finish_reason: Why it stopped.
        usage: What the reply is said to cost.
        match: Pattern that the last message must contain for this reply to be given; None fits always.
        repeat: Whether the reply may be given any number of times.
        delay_s: Seconds before the reply, or the fault, comes.
        error: A fault that is raised in place of the message.
        tokens: Ids and log-probs to report with it.
        media: Files of sounds and pictures that the message shows after its content.
    """

    message: Message = field(default_factory=lambda: Message("assistant"))
    finish_reason: str = ""
    usage: Usage = Usage(calls=1)
    match: re.Pattern[str] | None = None
    repeat: bool = False
    delay_s: float = 0.0
    error: ModelError | None = None
    tokens: Tokens | None = None
    media: tuple[bytes, ...] = ()

    def fits(self, request: Request) -> bool:
        """Tell whether the last message of the request matches."""
        return self.match is None or bool(request.messages and self.match.search(request.messages[-1].content))


Reply = str | Message | Generation | ModelError | ScriptedReply
Function = Callable[[Request], Reply | Awaitable[Reply]]
Script = Iterable[Reply] | Function


class ScriptedBackend:
    """Answers requests from a script, each session from its beginning.

    A request gets the first reply that this session has not had yet and whose `match` fits; replies marked `repeat` are
    never used up. A fault counts as a reply, so that a repeated request gets the next one.

    Attributes:
        name: Shown in reports.
        requests: Every request so far, in the order of arrival.
        takes_media: It takes whatever it is shown.
    """

    takes_media = True

    def __init__(self, script: Script, *, name: str = "scripted") -> None:
        """Read the script.

        Args:
            script: Replies in order (texts, messages, generations, faults, `ScriptedReply`), or a function from the
                request to a reply, plain or async.
            name: Shown in reports.
        """
        self.name = name
        self.requests: list[Request] = []
        self._function = script if callable(script) else None
        self._replies = () if callable(script) else tuple(_as_reply(entry) for entry in script)
        self._given: dict[str, set[int]] = {}

    @classmethod
    def from_file(cls, path: str | Path) -> ScriptedBackend:
        """Read a script from a JSON Lines file: one reply per line, `docs/backends.md` lists the keys.

        Raises:
            MissingDataError: If there is no such file.
            ConfigError: If a line is not a reply; the message names the line.
        """
        if not str(path).strip():
            raise UsageError(
                "The model string 'scripted:' names no file. Expected scripted:FILE, as in scripted:replies.jsonl."
            )
        path = Path(path)
        if kind_of(path) == "nothing":
            raise MissingDataError(f"No script at {shown(path)}. Expected a JSON Lines file with one reply per line.")
        lines = read_text(path, max_bytes=MAX_BYTES).split("\n")  # splitlines() would also break at U+2028 inside a text
        replies = [
            reply_from_json(_row(line, f"{path}:{n}"), f"{path}:{n}", folder=path.parent)
            for n, line in enumerate(lines, 1)
            if line.strip()
        ]
        return cls(replies, name=f"scripted:{path.name}")

    async def generate(self, request: Request) -> Generation:
        """Give the next reply of the request's session.

        Raises:
            ModelError: If the reply is a fault, or no reply is left.
        """
        self.requests.append(request)
        reply = self._next(request) if self._function is None else await self._ask(self._function, request)
        if isinstance(reply, Generation):
            return reply
        if reply.delay_s:
            await asyncio.sleep(reply.delay_s)
        if reply.error is not None:
            # a fresh copy each time: an exception object raised in two tasks would share one traceback
            fault = reply.error
            raise fault.told(str(fault))
        message = _showing(reply.message, reply.media) if reply.media else reply.message
        default = "tool_calls" if message.tool_calls else "stop"
        return Generation(_with_ids(message, request), reply.finish_reason or default, reply.usage, reply.tokens)

    async def aclose(self) -> None:
        """There is nothing to free."""

    async def _ask(
        self, function: Callable[[Request], Reply | Awaitable[Reply]], request: Request
    ) -> Generation | ScriptedReply:
        """Let the function answer."""
        reply = function(request)
        if inspect.isawaitable(reply):
            reply = await reply
        return reply if isinstance(reply, Generation) else _as_reply(reply)

    def _next(self, request: Request) -> ScriptedReply:
        """Choose the reply and remember that it was given."""
        given = self._given.setdefault(request.session, set())
        for index, reply in enumerate(self._replies):
            if index not in given and reply.fits(request):
                if not reply.repeat:
                    given.add(index)
                return reply
        where = f"session {request.session!r}" if request.session else "the unnamed session"
        if len(given) == len(self._replies):
            raise ModelError(
                f"The script '{self.name}' is exhausted: {where} had all its {len(self._replies)} replies and asked for one "
                "more. Add replies, or mark one with repeat."
            )
        last = request.messages[-1].content[-80:] if request.messages else ""
        raise ModelError(
            f"No reply left in the script '{self.name}' matches the last message of {where} (it ends in {last!r}). "
            "Widen a 'match' pattern or add a reply without one."
        )


def reply_from_json(row: Mapping[str, Json], where: str = "reply", *, folder: Path | None = None) -> ScriptedReply:
    """Build a reply from one row of a script file.

    Args:
        row: The decoded line.
        where: Named in errors, e.g. "script.jsonl:3".
        folder: Where the files of `media` lie; the working folder by default.

    Raises:
        ConfigError: If the row is not a reply.
    """
    for key in row:
        if key not in _ROW_KEYS:
            raise ConfigError(f"{where}: {unknown_name('key', key, _ROW_KEYS)}")
    fault = None
    if row.get("error"):
        status = _typed(row, "status", int, where)
        retryable = row.get("retryable", status in (408, 429) or (status or 0) >= 500)
        wait = _typed(row, "retry_after_s", (int, float), where)
        fault = ModelError(str(row["error"]), status=status, retryable=bool(retryable), retry_after_s=wait)
    elif "content" not in row and "tool_calls" not in row and "media" not in row:
        raise ConfigError(f"{where}: a reply needs 'content', 'tool_calls', 'media' or 'error'; it has {sorted(row)}.")
    pattern = _typed(row, "match", str, where)
    try:
        match = None if pattern is None else re.compile(pattern, re.DOTALL)
    except re.error as error:
        raise ConfigError(f"{where}: 'match' is {pattern!r}, which is not a regular expression ({error}).") from None
    message = Message(
        "assistant",
        _typed(row, "content", str, where) or "",
        tuple(_call(call, index, where) for index, call in enumerate(_typed(row, "tool_calls", list, where) or ())),
        reasoning=_typed(row, "reasoning", str, where) or "",
    )
    usage = Usage.from_json({"calls": 1, **(_typed(row, "usage", dict, where) or {})})
    return ScriptedReply(
        message=message,
        finish_reason=_typed(row, "finish_reason", str, where) or "",
        usage=usage,
        match=match,
        repeat=bool(row.get("repeat", False)),
        delay_s=float(_typed(row, "delay_s", (int, float), where) or 0.0),
        error=fault,
        media=tuple(_file(name, folder or Path(), where) for name in _typed(row, "media", list, where) or ()),
    )


def _as_reply(entry: Reply) -> ScriptedReply:
    """Bring any form of entry into one."""
    if isinstance(entry, ScriptedReply):
        return entry
    if isinstance(entry, str):
        return ScriptedReply(Message("assistant", entry))
    if isinstance(entry, Message):
        return ScriptedReply(entry)
    if isinstance(entry, Generation):
        return ScriptedReply(entry.message, entry.finish_reason, entry.usage, tokens=entry.tokens)
    if isinstance(entry, ModelError):
        return ScriptedReply(error=entry)
    raise ConfigError(
        f"A script holds a {type(entry).__name__}; expected str, Message, Generation, ModelError or ScriptedReply."
    )


def _row(line: str, where: str) -> Mapping[str, Json]:
    """Decode one line of a script file."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not JSON ({error}). Expected one reply per line.") from None
    if not isinstance(row, dict):
        raise ConfigError(f'{where}: a {type(row).__name__}; expected an object such as {{"content": "look around"}}.')
    return row


def _file(name: Json, folder: Path, where: str) -> bytes:
    """Read a file of a sound or a picture."""
    if not isinstance(name, str):
        raise ConfigError(f"{where}: 'media' holds {name!r}; expected names of files.")
    try:
        data = read_data(folder / name, max_bytes=MAX_BYTES)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    try:
        describe(data)
    except UsageError as error:
        raise ConfigError(f"{where}: the file {folder / name} cannot be shown. {error}") from None
    return data


def _showing(message: Message, files: tuple[bytes, ...]) -> Message:
    """Return a message that shows files after its content."""
    tags = [current_media().put(data).tag for data in files]
    text = message.content if message.media else escape_tags(message.content)
    content, media = read_tags("\n".join([*([text] if text else []), *tags]))
    return replace(message, content=content, media=media)


def _typed(row: Mapping[str, Json], key: str, kind: type | tuple[type, ...], where: str) -> Any:
    """Return `row[key]`, checked, or None if it is absent or null."""
    value = row.get(key)
    if value is None or (isinstance(value, kind) and not isinstance(value, bool)):
        return value
    kinds = kind if isinstance(kind, tuple) else (kind,)
    expected = " or ".join(one.__name__ for one in kinds)
    raise ConfigError(f"{where}: {key!r} is {value!r}; expected {expected}.")


def _call(data: Json, index: int, where: str) -> ToolCall:
    """Read a call in our form or OpenAI's."""
    call = data.get("function", data) if isinstance(data, dict) else None
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        raise ConfigError(f'{where}: tool call {index} is {data!r}; expected {{"name": ..., "arguments": {{...}}}}.')
    return ToolCall(call["name"], read_arguments(call.get("arguments")), str(data.get("id") or ""))


def _with_ids(message: Message, request: Request) -> Message:
    """Number the calls that have no id, as a server would."""
    if all(call.id for call in message.tool_calls):
        return message
    prefix = f"call_{len(request.messages)}"
    calls = tuple(replace(call, id=call.id or f"{prefix}_{n}") for n, call in enumerate(message.tool_calls))
    return replace(message, tool_calls=calls)

"""Texts that plainly try to act: read where that is unambiguous, answered with advice elsewhere, never taken for an answer.

Models write calls in many ways where nothing keeps them from it: in another family's syntax (`dialects.py`), as bare JSON, in
a fence, as a line of code, as a name and an object, as XML or YAML (`attempt_readers.py`). `find_attempt` finds them in a text
that holds no call in the form that was asked for. One rule says what becomes of it:

- It is *read* where calls of known tools stand on lines of their own, nothing is said after them, and what is said before
  them neither quotes, denies, exemplifies nor reports them (`speech.py`).
- It is answered with *advice* where a known tool's name stands next to what looks like arguments, an object has the keys of a
  call, or marks say that a call is made (`attempt_signs.py`, `marks.py`), and it cannot be read or may be only spoken of.
- It is a *plain answer* where it holds none of this, or only inside of sentences that speak of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from palaestra.envs.formats.action_format import Tools
from palaestra.envs.formats.attempt_readers import (
    ARGUMENT_KEYS,
    NAME_KEYS,
    Doubt,
    Found,
    Known,
    any_of,
    read_code,
    read_named,
    read_values,
    read_yaml,
)
from palaestra.envs.formats.attempt_signs import misspelt, sign_in
from palaestra.envs.formats.attempt_xml import read_xml
from palaestra.envs.formats.call_values import read_json
from palaestra.envs.formats.dialects import DIALECTS
from palaestra.envs.formats.hermes import CALL_CLOSE, CALL_EXAMPLE, CALL_OPEN
from palaestra.envs.formats.marks import MARK, NOISE, OPEN_THOUGHT, plain_tags
from palaestra.envs.formats.speech import is_made, speaks_of
from palaestra.types import Message, ToolCall

_SIGNS = re.compile(r"[{(\[<｜`✿=\"“]")  # each of these three begins with a set: searching skips all other characters
_SIGNS_TOO = re.compile(r"[:/@!$%-](?:(?<=:)[\s*]|(?<=[/@!$%])\w|(?<=-)[->]\S?)")
_MARKED = re.compile(r"[<\[✿`*>fF](?:(?<=[fF])unct|(?<=>)\s?tool|(?<=`)``|(?<=[<\[✿*]))")
_CANONICAL = re.compile(rf"{CALL_OPEN}.*?(?:{CALL_CLOSE}|\Z)", re.DOTALL)
_CODE_SPAN = re.compile(r"(?<!`)`[^`\n]+`(?!`)")
_WIDE = re.compile(
    r"^([ \t*#_]{0,8}(?:Thought|Action|Action[ _]Input|Tool|Function|Call|Input|Arguments|Parameters)[ \t*_]{0,4})：",
    re.M | re.I,
)
_INPUT = re.compile(r"Action:\s*`?([\w.-]+)`?\s*\n\s*(?:Action[ _]Input|Arguments|Input)\s*:\s*", re.IGNORECASE)
_IN_DOUBT = "it is not clear whether it makes a call or speaks of one; a call stands alone, at the end of a message"


class Attempt(NamedTuple):
    """What a text tries to do.

    Attributes:
        calls: The calls, where they can be read without doubt; else none.
        advice: What to tell the agent where they cannot; empty if they can.
        rest: The text around the calls.
    """

    calls: tuple[ToolCall, ...]
    advice: str = ""
    rest: str = ""


def find_attempt(text: str, tools: Tools) -> Attempt | None:
    """Find an attempt to act in a text that holds no call in the canonical form.

    Args:
        text: What a model wrote, without its reasoning.
        tools: OpenAI function schemas of the tools on offer.

    Returns:
        The attempt, or None where the text is a plain answer.
    """
    if not _is_worth_it(text):
        return None
    has_name = _names_any(text, tools)
    if has_name:
        text = _plain_names(text, tuple(tool["function"]["name"] for tool in tools))
    bare = _CODE_SPAN.sub(lambda span: " " * len(span[0]), text) if "`" in text else text  # a code span is spoken of
    mark = MARK.search(bare) if _MARKED.search(bare) else None
    if not has_name and mark is None and "{" not in text and not OPEN_THOUGHT.search(bare) and ")" not in text[-4:]:
        return None
    known = {tool["function"]["name"]: tool["function"].get("parameters", {}).get("properties", {}) for tool in tools}
    try:
        found = _read(text, bare, tools, known, mark)
    except Doubt as doubt:
        return Attempt((), _advice(str(doubt)))
    if found is not None:
        before = [_without_name(piece, found.calls) for piece in found.pieces[:-1]]
        if is_made(before, found.pieces[-1], labelled=found.labelled or mark is not None):
            return Attempt(found.calls, "", found.rest)
        return Attempt((), _advice(_IN_DOUBT))
    if mark is not None:
        return Attempt((), _advice(f"it holds {mark[0]!r}, and no call that can be read"))
    if why := sign_in(text, known) or ("" if has_name else misspelt(text, known)):
        return Attempt((), _advice(why))
    return Attempt((), _advice("it begins a thought and does not end it")) if OPEN_THOUGHT.search(bare) else None


def doubt_about(text: str) -> str:
    """Return advice on a text with calls in the canonical form that may be only spoken of; empty where they are made.

    Args:
        text: What a model wrote, without its reasoning.
    """
    *before, after = _CANONICAL.split(text.replace("]<]minimax[>[", ""))
    return _advice(_IN_DOUBT) if before and speaks_of(before, after) else ""


def _is_worth_it(text: str) -> bool:
    """Return whether a text holds anything that an attempt would: ordinary sentences do not."""
    return (
        _SIGNS.search(text) is not None
        or "_" in text
        or "Action" in text
        or "call:" in text
        or _SIGNS_TOO.search(text) is not None
    )


def _plain_names(text: str, names: tuple[str, ...]) -> str:
    """Return a text with the names of tools as they are offered: without a server before them or a channel around them."""
    if "：" in text:
        text = _WIDE.sub(r"\1:", text)
    if "__" in text:
        text = _server_pattern(names).sub(lambda found: found[0] if found[0] in names else found[1], text)
    if "to=" in text:
        text = _channel_pattern(names).sub(r"\nto=\1 ", text)
    return text


@lru_cache(maxsize=64)
def _server_pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    """Return the pattern of a tool's name behind that of its server: `mcp__desk__search_notes`."""
    return re.compile(rf"(?<![\w.-])(?:(?!__)[\w-]){{1,40}}__(?:(?:(?!__)[\w-]){{1,40}}__){{0,2}}({any_of(names)})(?![\w-])")


@lru_cache(maxsize=64)
def _channel_pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    """Return the pattern of the head of a call in harmony whose special tokens were dropped."""
    words = r"(?:[ \t]{0,3}(?:<\|constrain\|>)?(?:json|code|commentary|analysis)){0,3}"
    return re.compile(
        rf"(?:assistant)?(?:commentary|analysis)?[ \t]{{0,3}}\bto=(?:functions\.)?({any_of(names)}){words}[ \t]{{0,3}}(?=\{{)"
    )


def _names_any(text: str, tools: Tools) -> bool:
    """Return whether a text holds the name of a tool."""
    lowered = text.lower()
    return any(tool["function"]["name"].lower() in lowered for tool in tools)


def _without_name(text: str, calls: Sequence[ToolCall]) -> str:
    """Return the text before calls without the name of one at its end, which some families write before their marks."""
    text = text.rstrip()
    return next((text.removesuffix(call.name) for call in calls if text.endswith(call.name)), text)


def _read(text: str, bare: str, tools: Tools, known: Known, mark: re.Match[str] | None) -> Found | None:
    """Return the calls of known tools in a text, by the first reader that finds some.

    Raises:
        Doubt: If there are some that cannot be read.
    """
    found = _in_dialect(text, bare, tools, known, first=True, has_mark=mark is not None)
    if found is None and mark is not None and (plain := plain_tags(text)) != text:
        found = _in_dialect(plain, plain, tools, known, first=True, has_mark=True)
        text = plain
    if found is None and known and "<" in text:
        found = read_xml(text, known)
    if found is not None:
        return found
    stripped = NOISE.sub("", MARK.sub("\n", text) if mark is not None else text)
    if known:
        return (
            read_values(stripped, known)
            or read_code(stripped, known)
            or _named_input(text, known)
            or read_named(stripped, known)
            or read_yaml(text, known)
            or _in_dialect(text, bare, tools, known, first=False, has_mark=mark is not None)
        )
    return read_values(stripped, known)


def _in_dialect(text: str, bare: str, tools: Tools, known: Known, *, first: bool, has_mark: bool) -> Found | None:
    """Return the calls of known tools in the syntax of a model family; that of marked JSON comes last."""
    for dialect in DIALECTS:
        if dialect.name in ("hermes", "llama") or first == (dialect.name == "marked"):
            continue
        if (has_mark or dialect.name == "pythonic") and (mark := dialect.mark.search(bare)):
            read = dialect.parse(text, tools)
            if read.tool_calls and all(call.name in known for call in read.tool_calls):
                before = text[: mark.start()]
                after = NOISE.sub("", read.content).strip().removeprefix(before.strip())
                return Found(read.tool_calls, (before, after), labelled=True)
    return None


def _named_input(text: str, known: Known) -> Found | None:
    """Return the call that a name after "Action:" and JSON after "Action Input:" make, the last there is.

    Raises:
        Doubt: If the input is not an object.
    """
    found = next(reversed(list(_INPUT.finditer(text))), None)
    if found is None or found[1] not in known:
        return None
    read = read_json(text, found.end())
    if read is None or not isinstance(read[0], dict):
        raise Doubt(f"the input of {found[1]!r} is not a JSON object")
    return Found((ToolCall(found[1], read[0]),), (text[: found.start()], text[read[1] :]), labelled=True)


def _advice(why: str) -> str:
    """Return what to tell an agent whose attempt was not read."""
    return (
        f"Your message looks like a tool call and was not read as one ({why}); nothing was done and nothing has ended. "
        f"Write each call as:\n{CALL_EXAMPLE}\nTo end the task, write your final answer as plain text without a call."
    )


def with_attempt(message: Message, tools: Tools) -> Message:
    """Return a message with the calls that it writes in another syntax than the canonical one, where that is unambiguous.

    Args:
        message: An assistant message, read in the canonical form.
        tools: OpenAI function schemas of the tools on offer.
    """
    if not tools:
        return message
    if message.tool_calls:
        calls = [one for call in message.tool_calls for one in ((call,) if call.name else _repaired(call, tools))]
        return message if tuple(calls) == message.tool_calls else replace(message, tool_calls=tuple(calls))
    attempt = find_attempt(message.content, tools) if message.content else None
    if attempt is None or not attempt.calls:
        return message
    return replace(message.with_content(attempt.rest), tool_calls=attempt.calls)


def _repaired(call: ToolCall, tools: Tools) -> tuple[ToolCall, ...]:
    """Return the calls of known tools in the source of a call that could not be read; else the call."""
    attempt = find_attempt(call.arguments, tools) if isinstance(call.arguments, str) else None
    if attempt is None or not attempt.calls:
        return (call,)
    return tuple(replace(one, id=call.id) for one in attempt.calls) if len(attempt.calls) == 1 else attempt.calls


def unread(attempt: Attempt) -> str:
    """Return the advice on an attempt; also where its calls can be read, for who insists on the canonical form."""
    if attempt.advice:
        return attempt.advice
    names: Sequence[str] = list(dict.fromkeys(call.name for call in attempt.calls))
    return _advice(f"it seems to call {', '.join(names[:5])} in another form")


__all__ = ["ARGUMENT_KEYS", "NAME_KEYS", "Attempt", "doubt_about", "find_attempt", "unread", "with_attempt"]

"""Texts that plainly try to act: read where that is unambiguous, answered with advice elsewhere, never taken for an answer.

Models write calls in many ways where nothing keeps them from it: in another family's syntax (`dialects.py`), as bare JSON, in
a fence, as a line of code, after "Action:". `find_attempt` finds them in a text that holds no call in the form that was asked
for. A text that merely speaks of a tool, JSON that names no tool, and code that calls none are plain answers.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from palaestra.envs.formats.action_format import Tools
from palaestra.envs.formats.call_values import read_json, read_python_calls
from palaestra.envs.formats.dialects import DIALECTS
from palaestra.envs.formats.hermes import CALL_EXAMPLE
from palaestra.types import Json, Message, ToolCall

NAME_KEYS = ("name", "function_name", "tool_name", "tool", "function", "action", "recipient_name", "api", "command")
ARGUMENT_KEYS = (
    "arguments", "parameters", "args", "params", "input", "action_input", "tool_input", "kwargs", "inputs", "tool_args",
    "function_args", "tool_arguments", "function_arguments",
)  # fmt: skip
SIDE_KEYS = frozenset({"id", "type", "thought", "thoughts", "reasoning", "call_id", "index", "explanation", "rationale"})
MAX_LOOKED_AT = 200  # values and lines of one text; what stands after them is not looked at

_WORTH = re.compile(r"[{(\[<｜`]|Action|call:")
_MARK = re.compile(
    r"</?tool_calls?>|</?function_?calls?>|<function=[\w.\"'-]+>|</function>|<parameter=[^<>\s]+>|</parameter>"
    r"|<(?:[\w.-]+:|｜DSML｜)?invoke\s+name=|</(?:[\w.-]+:|｜DSML｜)?invoke>|<arg_key>|</arg_value>"
    r"|\[/?TOOL_CALLS?\]|<\|python_(?:tag|start)\|>|<\|/?tool_calls?[\w▁|]*\|?>|<tool_call\|>|<｜tool[▁\w]+｜>"
    r"|</?TOOLCALL>|<\|(?:START|END)_ACTION\|>|<\|action_start\|>|</?start_function_call>|<\|channel\|>commentary"
    r"|</?tool_code>|```tool_(?:code|call)",
    re.IGNORECASE,
)
_NOISE = re.compile(r"<\|(?:eo[mt]_id|im_end|end|eot)\|>|</s>")
_CODE_SPAN = re.compile(r"(?<!`)`[^`\n]+`(?!`)")
_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n]*\n?(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
_ONE_LINE_FENCE = re.compile(r"```(?:\w+[ \t]+)?([^`\n]+)```")
_LEAD = r"(?:[-*>]\s+|\d+[.)]\s+|(?:Action|Call|Tool call|Tool|Command|Function call)\s*:\s*|`)?"
_VALUE = re.compile(rf"^[ \t]*{_LEAD}(?=[{{\[])", re.MULTILINE | re.IGNORECASE)
_CODE_LEAD = rf"^[ \t]*{_LEAD}(?:[A-Za-z_]\w*\s*=\s*)?(?:await\s+)?(?:print\(\s*)?(?:[A-Za-z_]\w*\.)?"
_PARAMETERS = re.compile(r"Action:\s*`?([\w.-]+)`?\s*\n\s*(?:Action[ _]Input|Arguments|Input)\s*:\s*", re.IGNORECASE)
_INTENT = (
    r"(?:\bI(?:'|’)?ll\b|\bI will\b|\bI am going to\b|\bI(?:'|’)m going to\b|\bI need to\b|\bI should\b"
    r"|\blet me\b|\blet(?:'|’)s\b|\bcalling\b|\bnext,|\bnow,? (?:I )?(?:call|use|run)\b)"
)
_LEFT = re.compile(r"^(?:[\s`)\]};,]|json|python|assistant|Action\s*:)*$", re.IGNORECASE)


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
    if not _WORTH.search(text):
        return None
    known = {tool["function"]["name"]: tool["function"].get("parameters", {}).get("properties", {}) for tool in tools}
    bare = _CODE_SPAN.sub(lambda span: " " * len(span[0]), text)  # what stands in a code span is spoken of
    mark = _MARK.search(bare)
    stripped = _NOISE.sub("", _MARK.sub("\n", text) if mark else text)
    found = (
        _in_dialect(text, bare, tools, known, first=True, has_mark=mark is not None)
        or _json_calls(stripped, known)
        or _code_calls(stripped, known)
        or _named_input(text, known)
        or _in_dialect(text, bare, tools, known, first=False, has_mark=mark is not None)
    )
    if found is None and mark:
        found = Attempt((), _advice(f"it holds {mark[0]!r}, and no call that can be read"))
    return found or _intended(text, known)


def _in_dialect(
    text: str, bare: str, tools: Tools, known: Mapping[str, Mapping[str, Json]], *, first: bool, has_mark: bool
) -> Attempt | None:
    """Return the calls of known tools in the syntax of a model family; that of marked JSON comes last."""
    for dialect in DIALECTS:
        if dialect.name in ("hermes", "llama") or first == (dialect.name == "marked"):
            continue
        if (has_mark or dialect.name == "pythonic") and dialect.mark.search(bare):
            read = dialect.parse(text, tools)
            if read.tool_calls and all(call.name in known for call in read.tool_calls):
                return Attempt(read.tool_calls, "", read.content)
    return None


class _Doubt(Exception):
    """A value is a call that cannot be read; the text says why."""


def _json_calls(text: str, known: Mapping[str, Mapping[str, Json]]) -> Attempt | None:
    """Return the calls in JSON at the beginning of lines."""
    calls: list[ToolCall] = []
    kept: list[str] = []
    position = kept_to = count = 0
    while (start := _VALUE.search(text, position)) and count < MAX_LOOKED_AT:
        count += 1
        read = read_json(text, start.end())
        if read is None:
            if (name := _named_in(text[start.end() : start.end() + 2000], known)) is not None:
                return Attempt((), _advice(f"its JSON, a call of {name!r}, is not valid"))
            position = start.end() + 1
            continue
        try:
            found = _calls_in(read[0], known)
        except _Doubt as doubt:
            return Attempt((), _advice(str(doubt)))
        if found:
            kept.append(text[kept_to : start.start()])
            calls += found
            kept_to = read[1]
        position = read[1]
    if not calls:
        return None
    return Attempt(tuple(calls), "", _without_fences("".join([*kept, text[kept_to:]])))


def _calls_in(value: Json, known: Mapping[str, Mapping[str, Json]]) -> list[ToolCall]:
    """Return the calls of known tools that a JSON value stands for; none for any other value."""
    if isinstance(value, list):
        found = [_calls_in(item, known) for item in value[:MAX_LOOKED_AT] if isinstance(item, dict)]
        if any(found) and (len(found) < len(value) or not all(found)):
            raise _Doubt("some of the calls in its list cannot be read")
        return [call for calls in found for call in calls]
    if not isinstance(value, dict):
        return []
    for key in ("tool_calls", "calls", "function_calls", "actions"):
        if isinstance(value.get(key), list):
            return _calls_in(value[key], known)
    for key in ("function", "tool_call", "function_call", "call", "action"):
        if isinstance(value.get(key), dict):
            return _calls_in(value[key], known)
    if len(value) == 1 and (name := next(iter(value))) in known and isinstance(value[name], dict):
        return [ToolCall(name, value[name])]
    return _call_in(value, known)


def _call_in(value: Mapping[str, Json], known: Mapping[str, Mapping[str, Json]]) -> list[ToolCall]:
    """Return the call that one object stands for."""
    name_key = next((key for key in NAME_KEYS if isinstance(value.get(key), str)), "")
    argument_key = next((key for key in ARGUMENT_KEYS if key in value), "")
    name = str(value.get(name_key, "")).removeprefix("functions.")
    if name not in known:
        if not name_key and argument_key and any(key in value and value[key] is None for key in NAME_KEYS):
            raise _Doubt("its call names no tool")
        if argument_key and isinstance(value[argument_key], dict) and (near := _near(name, known)):
            raise _Doubt(f"there is no tool {name[:60]!r}; did you mean {near!r}?")
        return []
    others = {key: item for key, item in value.items() if key not in (name_key, argument_key) and key not in SIDE_KEYS}
    if not argument_key:
        if not set(others) <= set(known[name]):
            raise _Doubt(f"its call of {name!r} has no arguments that can be told from other keys")
        return [ToolCall(name, others)]
    arguments = value[argument_key]
    if isinstance(arguments, str):
        read = read_json(arguments, len(arguments) - len(arguments.lstrip()))
        arguments = read[0] if read is not None and not arguments[read[1] :].strip() else arguments
    if arguments is None or arguments == "":
        arguments = {}
    if not isinstance(arguments, dict):
        raise _Doubt(f"the arguments of {name!r} are not an object")
    return [ToolCall(name, arguments)]


def _code_calls(text: str, known: Mapping[str, Mapping[str, Json]]) -> Attempt | None:
    """Return the calls of known tools that stand on lines of their own, in fences or without."""
    if not known:
        return None
    names = "|".join(sorted(map(re.escape, known), key=len, reverse=True))
    head = re.compile(rf"{_CODE_LEAD}(?=(?:{names})\s*\()", re.MULTILINE | re.IGNORECASE)
    text = _ONE_LINE_FENCE.sub(r"\n\1\n", text)
    calls: list[ToolCall] = []
    kept: list[str] = []
    position = kept_to = count = 0
    while (start := head.search(text, position)) and count < MAX_LOOKED_AT:
        count += 1
        read = read_python_calls(text, start.end(), known)
        if read is None or not all(call.name in known for call in read[0]):
            return Attempt((), _advice("its call is code that cannot be read: values must be literals"))
        line_end = text.find("\n", read[1])
        line_end = len(text) if line_end < 0 else line_end
        if not _LEFT.match(text[read[1] : line_end]):  # the line goes on: a sentence about the call, or an expression on it
            position = line_end
            continue
        kept.append(text[kept_to : start.start()])
        calls += read[0]
        position = kept_to = line_end
    if not calls:
        return None
    return Attempt(tuple(calls), "", _without_fences("".join([*kept, text[kept_to:]])))


def _named_input(text: str, known: Mapping[str, Mapping[str, Json]]) -> Attempt | None:
    """Return the call that a name after "Action:" and JSON after "Action Input:" make."""
    found = next(reversed(list(_PARAMETERS.finditer(text))), None)
    if found is None or found[1] not in known:
        return None
    read = read_json(text, found.end())
    if read is None or not isinstance(read[0], dict):
        return Attempt((), _advice(f"the input of {found[1]!r} is not a JSON object"))
    return Attempt((ToolCall(found[1], read[0]),), "", text[: found.start()].strip())


def _intended(text: str, known: Mapping[str, Mapping[str, Json]]) -> Attempt | None:
    """Return advice for a sentence that announces a call with arguments of a known tool, as the last thing that is said."""
    if not known or "(" not in text:
        return None
    names = "|".join(sorted(map(re.escape, known), key=len, reverse=True))
    said = re.compile(rf"{_INTENT}[^.!?\n]{{0,200}}?\b({names})\((?!\))[^\n]*\Z", re.IGNORECASE)
    found = said.search(text.rstrip()[-4000:])
    return None if found is None else Attempt((), _advice(f"it announces a call of {found[1]!r} and makes none"))


def _named_in(text: str, known: Mapping[str, Mapping[str, Json]]) -> str | None:
    """Return the known tool that broken JSON names where a call has its name."""
    keys = "|".join(NAME_KEYS)
    for found in re.finditer(rf"[\"'](?:{keys})[\"']\s*:\s*[\"']([\w.-]{{1,100}})[\"']", text):
        if found[1] in known:
            return found[1]
    return None


def _near(name: str, known: Mapping[str, Mapping[str, Json]]) -> str:
    """Return the tool that an unknown name is probably meant for; empty if there is none."""
    return next(iter(difflib.get_close_matches(name[:100], list(known), n=1, cutoff=0.75)), "")


def _without_fences(text: str) -> str:
    """Return what stood around calls without the fences that held them."""
    lines = [line for line in text.split("\n") if not re.fullmatch(r"\s*(?:`{3,}|~{3,})[^`]*", line)]
    rest = "\n".join(lines).strip()
    return "" if _LEFT.match(rest) else rest


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


__all__ = ["Attempt", "find_attempt", "unread", "with_attempt"]

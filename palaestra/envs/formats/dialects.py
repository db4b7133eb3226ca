"""Tool calls in the syntaxes that models were trained to write, as their chat templates teach them.

    functions   <tool_call><function=NAME><parameter=KEY>VALUE</parameter></function></tool_call>     Qwen3-Coder, Qwen3.5
    arguments   <tool_call>NAME<arg_key>KEY</arg_key><arg_value>VALUE</arg_value></tool_call>         GLM-4.5
    invoke      <function_calls><invoke name="NAME"><parameter name="KEY">VALUE</parameter>...        MiniMax, DeepSeek V3.2
    marked      [TOOL_CALLS] [{"name": ..., "arguments": {...}}]                                      Mistral, Granite, Phi-4
    llama       {"name": ..., "parameters": {...}}, or <|python_tag|> before it                       Llama 3.1
    pythonic    <|tool_call_start|>[NAME(KEY=VALUE)]<|tool_call_end|>                                 LFM2, Llama 3.2
    deepseek    <｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME, fenced JSON                             DeepSeek V3, R1
    kimi        <|tool_call_begin|>functions.NAME:0<|tool_call_argument_begin|>{...}                  Kimi K2
    gemma       <|tool_call>call:NAME{KEY:<|"|>VALUE<|"|>}<tool_call|>                                Gemma 4
    harmony     <|channel|>commentary to=functions.NAME<|message|>{...}<|call|>                       gpt-oss

The first of all, Hermes tags, has a page of its own (`hermes.py`). Everything is parsed, nothing evaluated. Where a syntax
writes values as bare text, the tool's schema says what they are. A call that cannot be read is kept as a `ToolCall` without a
name whose arguments are the source text, as everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from palaestra.envs.formats.action_format import Tools
from palaestra.envs.formats.call_values import (
    Properties,
    read_gemma_object,
    read_json,
    read_python_calls,
    skip_space,
    typed_value,
)
from palaestra.envs.formats.hermes import CALL_CLOSE, CALL_EXAMPLE, CALL_OPEN, MAX_UNREADABLE, parse_message, read_block
from palaestra.media.items import escape_tags
from palaestra.types import Json, Message, ToolCall

Schemas = Mapping[str, Properties]
Found = tuple[tuple[ToolCall, ...], int]
"""Calls, and the position after them."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One syntax of calls.

    Attributes:
        name: How messages call it.
        example: One call, for advice.
        mark: What a call begins with.
        reader: Reads the calls that begin with a mark: the text, where the mark begins and ends, and the tools' parameters;
            None if they cannot be read.
        proof: What stands in every call, where a reader also takes other calls.
    """

    name: str
    example: str
    mark: re.Pattern[str]
    reader: Callable[[str, int, int, Schemas], Found | None]
    proof: str = ""

    def parse(self, text: str, tools: Tools = ()) -> Message:
        """Return the message that an assistant wrote; see `parse_message`, the reasoning already split off.

        Args:
            text: Any text at all; nothing is raised.
            tools: The tools on offer: their schemas tell a number from a text.
        """
        schemas = {tool["function"]["name"]: tool["function"].get("parameters", {}).get("properties", {}) for tool in tools}
        pieces: list[str] = []
        calls: list[ToolCall] = []
        position = num_unreadable = 0
        while (mark := self.mark.search(text, position)) is not None:
            pieces.append(text[position : mark.start()])
            found = self.reader(text, mark.start(), mark.end(), schemas) if num_unreadable < MAX_UNREADABLE else None
            if found is None:
                num_unreadable += 1
                following = self.mark.search(text, max(mark.end(), mark.start() + 1))
                stop = following.start() if following and num_unreadable <= MAX_UNREADABLE else len(text)
                found = (ToolCall("", text[mark.start() : stop].strip()),), stop
            calls += found[0]
            position = found[1]
        if not calls:  # most models know Hermes tags too
            return parse_message(escape_tags(text), lenient=True)
        pieces.append(text[position:])
        kept = [piece.strip("\n") for piece in pieces if not (piece.isspace() or _HEADER.fullmatch(piece))]
        return Message("assistant", "\n".join(piece for piece in kept if piece), tuple(calls))

    def advice(self, calls: Sequence[ToolCall]) -> str:
        """Return advice for an agent none of whose calls can be read; empty if one can, or if there is none."""
        if not calls or any(call.name for call in calls):
            return ""
        source = " ".join(str(calls[0].arguments)[:200].split())
        return f"This call could not be read: {source!r}. Write each call as:\n{self.example}"


class HermesDialect(Dialect):
    """Hermes tags, strictly as their own page says."""

    __slots__ = ()

    def parse(self, text: str, tools: Tools = ()) -> Message:
        """Return the message that an assistant wrote; advice about calls that cannot be read is the environment's."""
        del tools
        return parse_message(escape_tags(text))  # a tag of a medium that a model writes is text

    def advice(self, calls: Sequence[ToolCall]) -> str:
        """Environments explain this syntax themselves."""
        del calls
        return ""


# the address that a few models write at the head of a message, which a template puts into its frame
_HEADER = re.compile(r"\s*to=[\w.:-]+\s*(?:<\|message\|>)?\s*|(?:<\|[a-z_]+\|>|<\|tool_response>|assistant|commentary|\s)+")
_ID = r"[\w.:/-]+"


def _read_tagged(text: str, start: int, end: int, schemas: Schemas) -> Found | None:
    """Read one `<tool_call>` block, whatever is in it: functions, arguments, or JSON."""
    if not text.startswith(CALL_OPEN, start):
        return _read_functions(text, start, schemas)
    del end
    begin = skip_space(text, start + len(CALL_OPEN))
    if text.startswith("<function=", begin):
        return _read_functions(text, begin, schemas)
    if text.startswith("{", begin):
        call, stop = read_block(text, start, lenient=True)
        return ((call,), stop) if call.name else None
    return _read_arguments(text, begin, schemas)


def _read_functions(text: str, position: int, schemas: Schemas) -> Found | None:
    """Read `<function=NAME>` blocks up to the closing tag, which may be missing."""
    calls: list[ToolCall] = []
    while head := _FUNCTION.match(text, position):
        properties = schemas.get(head[1], {})
        arguments: dict[str, Json] = {}
        position = skip_space(text, head.end())
        while parameter := _PARAMETER.match(text, position):
            value = _value_end(text, parameter.end(), "</parameter>", ("<parameter=", "</function>", CALL_CLOSE))
            if value is None:
                return None
            raw = text[parameter.end() : value[0]].removeprefix("\n").removesuffix("\n")
            arguments[parameter[1]] = typed_value(raw, properties.get(parameter[1]))
            position = skip_space(text, value[1])
        if text.startswith("</function>", position):
            position = skip_space(text, position + len("</function>"))
        elif position < len(text) and not text.startswith(CALL_CLOSE, position):
            return None
        calls.append(ToolCall(head[1], arguments))
    if text.startswith(CALL_CLOSE, position):
        position += len(CALL_CLOSE)
    return (tuple(calls), position) if calls else None


_FUNCTION = re.compile(rf"<function=[\"']?({_ID})[\"']?\s*>")
_PARAMETER = re.compile(r"<parameter=[\"']?([^\s<>\"']+)[\"']?\s*>")


def _value_end(text: str, begin: int, closing: str, after: tuple[str, ...]) -> tuple[int, int] | None:
    """Return where a value and its closing tag end: a tag that what may follow one does not follow is part of the value."""
    position = begin
    while (end := text.find(closing, position)) >= 0:
        rest = skip_space(text, end + len(closing))
        if rest == len(text) or text.startswith(after, rest):
            return end, end + len(closing)
        position = end + len(closing)
    return None


def _read_arguments(text: str, position: int, schemas: Schemas) -> Found | None:
    """Read a name, then pairs of `<arg_key>` and `<arg_value>`."""
    head = re.compile(rf"({_ID})\s*(?=<arg_key>|{CALL_CLOSE}|\Z)").match(text, position)
    if head is None:
        return None
    properties = schemas.get(head[1], {})
    arguments: dict[str, Json] = {}
    position = head.end()
    while text.startswith("<arg_key>", position):
        key_end = text.find("</arg_key>", position)
        begin = skip_space(text, key_end + len("</arg_key>"))
        if key_end < 0 or not text.startswith("<arg_value>", begin):
            return None
        begin += len("<arg_value>")
        value = _value_end(text, begin, "</arg_value>", ("<arg_key>", CALL_CLOSE))
        if value is None:
            return None
        key = text[position + len("<arg_key>") : key_end].strip()
        arguments[key] = typed_value(text[begin : value[0]], properties.get(key))
        position = skip_space(text, value[1])
    if text.startswith(CALL_CLOSE, position):
        return (ToolCall(head[1], arguments),), position + len(CALL_CLOSE)
    return ((ToolCall(head[1], arguments),), position) if position == len(text) and arguments else None


_SPACE_NAME = r"(?:[\w.-]+:|｜DSML｜)?"
_INVOKE = re.compile(rf"<({_SPACE_NAME})invoke\s+name=[\"']({_ID})[\"']\s*>")
_INVOKE_PARAMETER = re.compile(
    rf"<{_SPACE_NAME}parameter\s+name=[\"']([^\"'<>]+)[\"'](?:\s+string=[\"'](true|false)[\"'])?\s*>"
)
_WRAPPER = r"(?:function_calls|tool_calls|tool_call)"
_WRAPPER_END = re.compile(rf"\s*</{_SPACE_NAME}{_WRAPPER}>")


def _read_invoke(text: str, start: int, end: int, schemas: Schemas) -> Found | None:
    """Read `<invoke name=...>` blocks with named parameters, in any XML namespace."""
    del start
    calls: list[ToolCall] = []
    position = skip_space(text, end)
    while head := _INVOKE.match(text, position):
        prefix, name = head.groups()
        arguments: dict[str, Json] = {}
        position = skip_space(text, head.end())
        closing, after = f"</{prefix}parameter>", (f"<{prefix}parameter", f"</{prefix}invoke>")
        while parameter := _INVOKE_PARAMETER.match(text, position):
            value = _value_end(text, parameter.end(), closing, after)
            if value is None:
                return None
            schema = {"type": "string"} if parameter[2] == "true" else schemas.get(name, {}).get(parameter[1])
            arguments[parameter[1]] = typed_value(text[parameter.end() : value[0]], schema)
            position = skip_space(text, value[1])
        if not text.startswith(f"</{prefix}invoke>", position):
            return None
        calls.append(ToolCall(name, arguments))
        position = skip_space(text, position + len(f"</{prefix}invoke>"))
    if not calls:
        return None
    close = _WRAPPER_END.match(text, position)
    return tuple(calls), close.end() if close else position


_NAME_KEYS = ("name", "tool_name", "function_name", "function")
_ARGUMENT_KEYS = ("arguments", "parameters", "args", "input")
_SEPARATOR = re.compile(r"[\s;,]*")
_MARK_END = re.compile(
    r"\s*(?:\[/TOOL_CALLS\]|<\|/tool_calls?\|>|</tool_calls?>|<\|END_ACTION\|>|</TOOLCALL>|<\|action_end\|>|<\|eom_id\|>)"
)
_NAMED_JSON = re.compile(r"([\w.-]+)\s*(?:\[CALL_ID\]\s*[\w-]*\s*)?(?:\[ARGS\])?\s*(?=\{)")


def call_of(value: Json) -> ToolCall | None:
    """Return the call that a JSON object stands for, under the keys that models use, or None."""
    if not isinstance(value, Mapping):
        return None
    if isinstance(value.get("function"), Mapping):
        value = value["function"]
    name = next((value[key] for key in _NAME_KEYS if isinstance(value.get(key), str)), "")
    arguments: Json = next((value[key] for key in _ARGUMENT_KEYS if key in value), {})
    if isinstance(arguments, str):
        read = read_json(arguments, 0)
        arguments = read[0] if read is not None and not arguments[read[1] :].strip() else arguments
    return ToolCall(name, arguments) if name and isinstance(arguments, dict) else None


def _read_marked(text: str, start: int, end: int, schemas: Schemas) -> Found | None:
    """Read what stands after a mark: JSON objects or lists of them, names before JSON, or Python calls."""
    del start
    calls: list[ToolCall] = []
    position = skip_space(text, end)
    while position < len(text):
        if named := _NAMED_JSON.match(text, position):
            read = read_json(text, named.end())
            if read is None or not isinstance(read[0], dict):
                return None
            calls.append(ToolCall(named[1], read[0]))
        else:
            read = read_json(text, position)
            if read is None:
                break
            items = read[0] if isinstance(read[0], list) else [read[0]]
            found = [call_of(item) for item in items]
            if not found or None in found:
                return None
            calls += [call for call in found if call is not None]
        position = _SEPARATOR.match(text, read[1]).end()  # type: ignore[union-attr]
        if text.startswith("[TOOL_CALLS]", position):
            position = skip_space(text, position + len("[TOOL_CALLS]"))
    if not calls:
        python = read_python_calls(text, position, schemas)
        if python is None:
            return None
        calls, position = list(python[0]), python[1]
    close = _MARK_END.match(text, position)
    return tuple(calls), close.end() if close else position


def _read_pythonic(text: str, start: int, end: int, schemas: Schemas) -> Found | None:
    """Read a list of Python calls, between marks or as the whole text."""
    del start
    found = read_python_calls(text, end, schemas)
    if found is None:
        return None
    position = skip_space(text, found[1])
    if text.startswith("<|tool_call_end|>", position):
        position += len("<|tool_call_end|>")
    return found[0], position


_DEEPSEEK_CALL = re.compile(
    r"\s*<｜tool▁call▁begin｜>(?:function<｜tool▁sep｜>)?\s*([\w.-]+)\s*(?:<｜tool▁sep｜>)?\s*(?:```(?:json)?)?\s*"
)
_DEEPSEEK_END = re.compile(r"\s*(?:```)?\s*(?:<｜tool▁call▁end｜>|\Z)")
_DEEPSEEK_LAST = re.compile(r"\s*<｜tool▁calls▁end｜>")


def _read_deepseek(text: str, start: int, end: int, schemas: Schemas) -> Found | None:
    """Read calls between DeepSeek's marks."""
    del schemas
    position = start if text.startswith("<｜tool▁call▁begin｜>", start) else end
    return _read_named(text, position, _DEEPSEEK_CALL, _DEEPSEEK_END, _DEEPSEEK_LAST)


_KIMI_CALL = re.compile(r"\s*<\|tool_call_begin\|>\s*(?:functions\.)?([\w.-]+?)(?::\d+)?\s*<\|tool_call_argument_begin\|>\s*")
_KIMI_END = re.compile(r"\s*(?:<\|tool_call_end\|>|\Z)")
_KIMI_LAST = re.compile(r"\s*<\|tool_calls_section_end\|>")


def _read_kimi(text: str, start: int, end: int, schemas: Schemas) -> Found | None:
    """Read calls between Kimi's marks."""
    del schemas
    position = start if text.startswith("<|tool_call_begin|>", start) else end
    return _read_named(text, position, _KIMI_CALL, _KIMI_END, _KIMI_LAST)


def _read_named(text: str, position: int, head: re.Pattern[str], tail: re.Pattern[str], last: re.Pattern[str]) -> Found | None:
    """Read calls of the form HEAD with a name, a JSON object, TAIL."""
    calls: list[ToolCall] = []
    while found := head.match(text, position):
        read = read_json(text, found.end())
        end = None if read is None else tail.match(text, read[1])
        if read is None or end is None or not isinstance(read[0], dict):
            return None
        calls.append(ToolCall(found[1], read[0]))
        position = end.end()
    if not calls:
        return None
    close = last.match(text, position)
    return tuple(calls), close.end() if close else position


_GEMMA_END = re.compile(r"\s*(?:<tool_call\|>|\Z)(?:<\|tool_response>)?")


def _read_gemma(text: str, start: int, end: int, schemas: Schemas) -> Found | None:
    """Read `call:NAME{...}`."""
    del start, schemas
    name = re.compile(rf"({_ID})(?=\{{)").match(text, end)
    read = None if name is None else read_gemma_object(text, name.end())
    close = None if read is None else _GEMMA_END.match(text, read[1])
    if name is None or read is None or close is None:
        return None
    return (ToolCall(name[1], read[0]),), close.end()


def _read_harmony(text: str, start: int, end: int, schemas: Schemas) -> Found | None:
    """Read the arguments of a call whose head, up to `<|message|>`, is the mark."""
    del schemas
    name = _HARMONY_NAME.search(text, start, end)
    read = read_json(text, skip_space(text, end))
    if name is None or read is None or not isinstance(read[0], dict):
        return None
    position = skip_space(text, read[1])
    return (ToolCall(name[1], read[0]),), position + (len("<|call|>") if text.startswith("<|call|>", position) else 0)


_HARMONY_NAME = re.compile(r"to=functions\.([\w.-]+)")

_TAGGED = re.compile(rf"{CALL_OPEN}(?:\s*<function=)?|<function=")

HERMES = HermesDialect("hermes", CALL_EXAMPLE, re.compile(re.escape(CALL_OPEN)), lambda *_: None)

HARMONY = Dialect(
    "harmony",
    '<|channel|>commentary to=functions.TOOL <|constrain|>json<|message|>{"ARGUMENT": "VALUE"}<|call|>',
    re.compile(
        r"(?:<\|start\|>assistant ?)?(?:<\|channel\|>(?:commentary|analysis) ?)?to=functions\.[\w.-]+"
        r"(?:\s|<\|channel\|>|<\|constrain\|>|commentary|analysis|json)*<\|message\|>"
    ),
    _read_harmony,
)

DIALECTS: tuple[Dialect, ...] = (
    HERMES,
    Dialect(
        "functions",
        "<tool_call>\n<function=TOOL>\n<parameter=ARGUMENT>\nVALUE\n</parameter>\n</function>\n</tool_call>",
        _TAGGED,
        _read_tagged,
        "<function=",
    ),
    Dialect(
        "arguments",
        "<tool_call>TOOL\n<arg_key>ARGUMENT</arg_key>\n<arg_value>VALUE</arg_value>\n</tool_call>",
        _TAGGED,
        _read_tagged,
    ),
    Dialect(
        "invoke",
        '<function_calls>\n<invoke name="TOOL">\n<parameter name="ARGUMENT">VALUE</parameter>\n</invoke>\n</function_calls>',
        re.compile(rf"<{_SPACE_NAME}{_WRAPPER}>\s*(?=<{_SPACE_NAME}invoke\b)|(?=<{_SPACE_NAME}invoke\s)"),
        _read_invoke,
    ),
    Dialect(
        "marked",
        '[TOOL_CALLS] [{"name": "TOOL", "arguments": {"ARGUMENT": "VALUE"}}]',
        re.compile(
            r"\[TOOL_CALLS\]|<\|tool_calls?\|>|<tool_calls>|<\|START_ACTION\|>|<TOOLCALL>|<\|action_start\|>\s*<\|plugin\|>"
        ),
        _read_marked,
    ),
    Dialect(
        "kimi",
        '<|tool_call_begin|>functions.TOOL:0<|tool_call_argument_begin|>{"ARGUMENT": "VALUE"}<|tool_call_end|>',
        re.compile(r"<\|tool_calls_section_begin\|>|<\|tool_call_begin\|>"),
        _read_kimi,
    ),
    Dialect(
        "deepseek",
        '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>TOOL\n```json\n{"ARGUMENT": "VALUE"}\n```'
        "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        re.compile(r"<｜tool▁calls▁begin｜>|<｜tool▁call▁begin｜>"),
        _read_deepseek,
    ),
    Dialect(
        "gemma",
        '<|tool_call>call:TOOL{ARGUMENT:<|"|>VALUE<|"|>}<tool_call|>',
        re.compile(r"<\|tool_call>\s*call:\s*"),
        _read_gemma,
    ),
    HARMONY,
    Dialect(
        "pythonic",
        "[TOOL(ARGUMENT='VALUE')]",
        re.compile(rf"<\|tool_call_start\|>|<\|python_start\|>|\A\s*(?=\[\s*{_ID}\()"),
        _read_pythonic,
    ),
    Dialect(
        "llama",
        '{"name": "TOOL", "parameters": {"ARGUMENT": "VALUE"}}',
        re.compile(r"<\|python_tag\|>|\A\s*(?=\{\s*\"(?:name|type|function)\"\s*:)"),
        _read_marked,
    ),
)
"""All syntaxes, the canonical one first."""


def dialect_of(written: str, call: ToolCall, tools: Tools) -> Dialect | None:
    """Return the syntax in which a text writes a call, or None if it is none of these.

    Args:
        written: What a chat template writes for the call, from where a model would begin.
        call: The call, with arguments.
        tools: The tools it belongs to.
    """
    return next((dialect for dialect in DIALECTS if _reads(dialect, written, call, tools)), None)


def _reads(dialect: Dialect, written: str, call: ToolCall, tools: Tools) -> bool:
    """Whether a syntax reads exactly this call from a text."""
    if dialect.proof not in written or not dialect.mark.search(written):
        return False
    read = dialect.parse(written, tools).tool_calls
    return [(one.name, one.arguments) for one in read] == [(call.name, call.arguments)]


__all__ = ["DIALECTS", "HARMONY", "HERMES", "Dialect", "call_of", "dialect_of"]

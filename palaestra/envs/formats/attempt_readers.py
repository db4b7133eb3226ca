"""Calls as models write them where nothing keeps them to a syntax: JSON, code, a name and JSON, YAML (XML: `attempt_xml.py`).

Each reader finds the calls of known tools that stand on lines of their own and returns them with the text around them; what
looks like a call and cannot be read raises `Doubt`. Whether the calls are made or spoken of is for `speech.py`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from palaestra.envs.formats.call_values import Properties, end_of_line, read_json, read_python_calls, typed_value
from palaestra.types import Json, ToolCall

Known = Mapping[str, Properties]
"""Parameters of the tools on offer, by the tools' names."""

NAME_KEYS = (
    "name", "function_name", "tool_name", "tool", "function", "action", "recipient_name", "api", "command", "method",
    "op", "operation", "cmd", "call", "func", "fn", "intent", "use_tool", "tool_to_use", "next_action", "next_tool",
)  # fmt: skip
ARGUMENT_KEYS = (
    "arguments", "parameters", "args", "params", "input", "action_input", "tool_input", "kwargs", "inputs", "tool_args",
    "function_args", "tool_arguments", "function_arguments",
)  # fmt: skip
NAME_WORDS = f"(?:{'|'.join(NAME_KEYS)}|tool name|function name)"
"""Pattern of the keys under which lines of text have a tool's name."""
SIDE_KEYS = frozenset({"id", "type", "thought", "thoughts", "reasoning", "call_id", "index", "explanation", "rationale"})
MAX_LOOKED_AT = 200  # values and lines of one text; what stands after them is not looked at

_DATA_KEYS = frozenset({"input", "inputs", "params"})  # of recipes and the like, where a name stands next to them
_DATA_NAMES = frozenset({"name", "action", "command", "method", *NAME_KEYS[10:]})  # keys of names of other things, too
_RESULT_KEYS = frozenset(
    {
        "result",
        "results",
        "output",
        "outputs",
        "response",
        "returned",
        "status",
        "success",
        "outcome",
        "observation",
        "count",
        "error",
    }
)  # of reports about a call
_CALL_TYPES = ("tool_use", "tool_call", "function", "function_call")
_SERVER = re.compile(r"\A.*(?:__|[./:])", re.DOTALL)
_IDENTIFIER = re.compile(r"[A-Za-z_][\w.:/-]{0,99}")
_WORDS = r"(?:Tool|Function|Action|Call|Command|Invoke)(?:[ _](?:call|name|use))?|name|to"
_LABEL = rf"(?:(?:{_WORDS})\*{{0,2}}\s{{0,3}}[:=]\*{{0,2}}\s{{0,3}}(?:```\w*\s{{0,3}})?|`)"
_VALUE = re.compile(rf"^[ \t]*{_LABEL}?(?=[{{\[])", re.MULTILINE | re.IGNORECASE)
_LABELLED = re.compile(rf"(?:^|\n)[ \t*]*(?:{_WORDS})\*{{0,2}}\s*[:=]\*{{0,2}}\s*(?:```\w*)?\s*\Z", re.IGNORECASE)
_ONE_LINE_FENCE = re.compile(r"```(?:\w+[ \t]+)?([^`\n]+)```")
_CLOSERS = r"(?:[\s`)\]};,*>✿]|</?[^<>\n]{1,60}>|json|python|assistant|Action\s*:|Observation\s*:)*"
LEFT = re.compile(rf"^{_CLOSERS}$", re.IGNORECASE)
_ITEM = r"(?:arguments?|args|parameters?|params|input|action[ _]input|tool[ _]input|kwargs|json)"
GLUE = rf"(?:[\s:,=*_`\"'\])>|✿.–—-]|<[^<>\n]{{1,60}}>|{_ITEM}(?![\w])){{0,24}}?"
"""What may stand between a tool's name and the object of its arguments."""


class Found(NamedTuple):
    """Calls, and the text before, between and after them.

    Attributes:
        calls: The calls.
        pieces: One text more than there are calls, or fewer where calls stand together.
        labelled: Whether marks or a word like "Action:" say that they are calls.
    """

    calls: tuple[ToolCall, ...]
    pieces: tuple[str, ...]
    labelled: bool = False

    @property
    def rest(self) -> str:
        """The text around the calls, without the fences that held them."""
        lines = [line for line in "".join(self.pieces).split("\n") if not re.fullmatch(r"\s*(?:`{3,}|~{3,})[^`]*", line)]
        rest = "\n".join(lines).strip()
        return "" if LEFT.match(rest) else rest


class Taken:
    """Calls that a reader takes out of a text one after the other."""

    def __init__(self, text: str) -> None:
        """Begin without a call."""
        self._text, self._kept_to = text, 0
        self._calls: list[ToolCall] = []
        self._pieces: list[str] = []
        self._labelled = False

    def add(self, calls: Sequence[ToolCall], start: int, end: int, labelled: bool = False) -> None:
        """Take the calls that stand between two places; `labelled` as in `Found`."""
        self._pieces.append(self._text[self._kept_to : start])
        self._calls += calls
        self._kept_to = end
        self._labelled = self._labelled or labelled

    def follows_label(self, start: int) -> bool:
        """Return whether a label like "Action:" stands right before a place."""
        return _LABELLED.search(self._text[max(self._kept_to, start - 60) : start]) is not None

    def found(self) -> Found | None:
        """Return the calls that were taken; None without any."""
        if not self._calls:
            return None
        return Found(tuple(self._calls), (*self._pieces, self._text[self._kept_to :]), self._labelled)


class Doubt(Exception):
    """A text holds a call that cannot be read; the text says why."""


@lru_cache(maxsize=64)
def any_of(names: tuple[str, ...]) -> str:
    """Return a pattern of some names, longer ones first."""
    return "|".join(sorted(map(re.escape, names), key=len, reverse=True))


@lru_cache(maxsize=64)
def _patterns(names: tuple[str, ...]) -> Mapping[str, re.Pattern[str]]:
    """Return the patterns that depend on the names of tools."""
    alternatives = any_of(names)
    lead = rf"^[ \t]*{_LABEL}?(?:[A-Za-z_]\w*\s*=\s*)?(?:await\s+)?(?:print\(\s*)?(?:[A-Za-z_]\w*\.)?"
    opening = rf"^[ \t]*(?:[*_`\[(\"'✿@/<:]|<[^<>\n]{{1,60}}>|{_LABEL}|FUNCTION✿\s?:\s*|functions\.){{0,8}}[ \t]*"
    return {
        "code": re.compile(rf"{lead}(?=(?:{alternatives})\s*\()", re.MULTILINE | re.IGNORECASE),
        "bold": re.compile(rf"[*_`]{{1,3}}({alternatives})[*_`]{{1,3}}(?=\()"),
        "framed": re.compile(rf"<{{1,2}}(?:[^<>\s]{{1,40}}>)?[ \t]*(?=(?:[A-Za-z_]\w*\.)?(?:{alternatives})\()"),
        "named": re.compile(
            rf"{opening}({alternatives})(?:(?:json|code)(?=\s?\{{)|(?![\w-]){GLUE})(?=\{{)", re.MULTILINE | re.IGNORECASE
        ),
        "yaml": re.compile(
            rf"^[ \t]*(?:- )?[\"'*]*{NAME_WORDS}[\"'*]*[ \t]*:"
            rf"[ \t]*[\"'`*]*({alternatives})[\"'`*]*[ \t]*$",
            re.MULTILINE | re.IGNORECASE,
        ),
    }


def read_values(text: str, known: Known) -> Found | None:
    """Return the calls in JSON at the beginning of lines.

    Raises:
        Doubt: If one of them cannot be read.
    """
    taken = Taken(text)
    position = count = 0
    while (start := _VALUE.search(text, position)) and count < MAX_LOOKED_AT:
        count += 1
        read = read_json(text, start.end())
        if read is None:
            if (name := named_in(text[start.end() : start.end() + 2000], known)) is not None:
                raise Doubt(f"its JSON, a call of {name!r}, is not valid")
            position = start.end() + 1
            continue
        found = calls_in(read[0], known)
        if found:
            labelled = start[0].strip().endswith((":", "=")) or taken.follows_label(start.start())
            taken.add(found, start.start(), read[1], labelled)
        position = read[1]
    return taken.found()


def calls_in(value: Json, known: Known) -> list[ToolCall]:
    """Return the calls of known tools that a JSON value stands for; none for a value that is not a call.

    Raises:
        Doubt: If it is a call that cannot be read, or one of a tool that there is not.
    """
    if isinstance(value, list):
        found = [calls_in(item, known) for item in value[:MAX_LOOKED_AT] if isinstance(item, dict)]
        if any(found) and (len(found) < len(value) or not all(found)):
            raise Doubt("some of the calls in its list cannot be read")
        return [call for calls in found for call in calls]
    if not isinstance(value, dict):
        return []
    for key in ("tool_calls", "calls", "function_calls", "actions", "tool_uses"):
        if isinstance(value.get(key), list):
            return calls_in(value[key], known)
    for key in ("function", "tool_call", "function_call", "call", "action", "next_action"):
        if isinstance(value.get(key), dict):
            return calls_in(value[key], known)
    if "method" in value and isinstance(value.get("params"), dict) and "name" in value["params"]:
        return calls_in(value["params"], known)
    if len(value) == 1 and (name := known_name(next(iter(value)), known)):
        return _call_of_pair(name, next(iter(value.values())), known[name])
    return _call_in(value, known)


def _call_of_pair(name: str, arguments: Json, properties: Properties) -> list[ToolCall]:
    """Return the call that a tool's name as the only key stands for; data under an ordinary word is none."""
    if isinstance(arguments, dict) and (is_telling(name) or set(arguments) <= set(properties)):
        return [ToolCall(name, arguments)]
    if isinstance(arguments, (dict, list)) and not is_telling(name):
        return []
    raise Doubt(f"the arguments of {name!r} are not an object")


def is_telling(name: str) -> bool:
    """Return whether a tool's name cannot be an ordinary word."""
    return not name.isalpha() or name.lower() != name


def known_name(name: str, known: Known) -> str:
    """Return the tool on offer that a name stands for, also behind the name of a server; empty if there is none.

    Args:
        name: What was written: `search_notes`, `functions.search_notes`, `mcp__desk__search_notes`, `desk/search_notes`.
        known: Parameters of the tools on offer, by the tools' names.
    """
    if name in known:
        return name
    last = _SERVER.sub("", name[-200:])
    return last if last in known and (is_telling(last) or "__" in name or name.startswith("functions.")) else ""


def _call_in(value: Mapping[str, Json], known: Known) -> list[ToolCall]:
    """Return the call that one object stands for."""
    name_key = next((key for key in NAME_KEYS if isinstance(value.get(key), str)), "")
    argument_key = next((key for key in ARGUMENT_KEYS if key in value), "")
    written = str(value.get(name_key, ""))
    name = known_name(written, known) or written.removeprefix("functions.")
    others = {key: item for key, item in value.items() if key not in (name_key, argument_key) and key not in SIDE_KEYS}
    if name not in known:
        if not name_key and argument_key and any(key in value and value[key] is None for key in NAME_KEYS):
            raise Doubt("its call names no tool")
        if argument_key and not others and _is_call_of_none(value, name_key, name, argument_key):
            near = _near(name, known)
            raise Doubt(f"there is no tool {name[:60]!r}" + (f"; did you mean {near!r}?" if near else ""))
        return []
    if not argument_key:
        if not _RESULT_KEYS.isdisjoint(set(others) - set(known[name])):
            return []  # a report about a call
        if not set(others) <= set(known[name]):
            raise Doubt(f"its call of {name!r} has no arguments that can be told from other keys")
        return [ToolCall(name, others)]
    arguments = _decoded(value[argument_key])
    if not isinstance(arguments, dict):
        raise Doubt(f"the arguments of {name!r} are not an object")
    return [ToolCall(name, arguments)]


def _is_call_of_none(value: Mapping[str, Json], name_key: str, name: str, argument_key: str) -> bool:
    """Return whether an object with a name and arguments is a call, though there is no tool of this name."""
    arguments = value[argument_key]
    kind = value.get("type")
    if (kind is not None or (name_key in _DATA_NAMES and argument_key in _DATA_KEYS)) and kind not in _CALL_TYPES:
        return False
    return _IDENTIFIER.fullmatch(name) is not None and arguments not in (None, "") and isinstance(_decoded(arguments), dict)


def _decoded(arguments: Json) -> Json:
    """Return arguments, those in a string of JSON too; none are an empty object."""
    if isinstance(arguments, str):
        read = read_json(arguments, len(arguments) - len(arguments.lstrip()))
        arguments = read[0] if read is not None and not arguments[read[1] :].strip() else arguments
    return {} if arguments is None or arguments == "" else arguments


def _near(name: str, known: Known) -> str:
    """Return the tool that an unknown name is probably meant for; empty if there is none."""
    return next(iter(difflib.get_close_matches(name[:100], list(known), n=1, cutoff=0.75)), "")


def named_in(text: str, known: Known) -> str | None:
    """Return the known tool that broken JSON names where a call has its name."""
    keys = "|".join(NAME_KEYS)
    for found in re.finditer(rf"[\"'](?:{keys})[\"']\s*:\s*[\"']([\w.-]{{1,100}})[\"']", text):
        if name := known_name(found[1], known):
            return name
    return None


def read_code(text: str, known: Known) -> Found | None:
    """Return the calls of known tools in code on lines of their own, in fences or without.

    Raises:
        Doubt: If one of them cannot be read.
    """
    patterns = _patterns(tuple(known))
    text = _ONE_LINE_FENCE.sub(r"\n\1\n", text)
    if "<" in text:
        text = patterns["framed"].sub("\n", text)
    if "*" in text or "`" in text or "_" in text:
        text = patterns["bold"].sub(r"\1", text)
    taken = Taken(text)
    position = count = 0
    while (start := patterns["code"].search(text, position)) and count < MAX_LOOKED_AT:
        count += 1
        read = read_python_calls(text, start.end(), known)
        if read is None or not all(call.name in known for call in read[0]):
            raise Doubt("its call is code that cannot be read: values must be literals")
        position = end_of_line(text, read[1])
        if LEFT.match(text[read[1] : position]):  # else the line goes on: a sentence about the call, or an expression on it
            taken.add(read[0], start.start(), position, ":" in start[0] or taken.follows_label(start.start()))
    return taken.found()


def read_named(text: str, known: Known) -> Found | None:
    """Return the calls that a tool's name and an object of arguments make: `NAME {...}`, `Tool: NAME`, `Arguments: {...}`.

    Raises:
        Doubt: If an object cannot be read.
    """
    taken = Taken(text)
    position = count = 0
    while (start := _patterns(tuple(known))["named"].search(text, position)) and count < MAX_LOOKED_AT:
        count += 1
        name = start[1] if start[1] in known else next((one for one in known if one.lower() == start[1].lower()), "")
        read = read_json(text, start.end())
        if read is None or not isinstance(read[0], dict):
            if re.match(r"\{\s*(?:[\"'}]|\w+\s*:)", text[start.end() : start.end() + 80]):
                raise Doubt(f"the input of {name!r} is not a JSON object")
            position = start.end()
            continue
        position = end_of_line(text, read[1])
        if LEFT.match(text[read[1] : position]):
            inner = calls_in(read[0], known) if set(read[0]) - set(known[name]) else []
            labelled = "✿" in start[0] or re.search(_LABEL, start[0], re.IGNORECASE) is not None
            taken.add(inner or [ToolCall(name, read[0])], start.start(), position, labelled)
    return taken.found()


def read_yaml(text: str, known: Known) -> Found | None:
    """Return the call that lines of keys and values make: the name of a tool, then its arguments, each on a line.

    Raises:
        Doubt: If the lines after the name are not its arguments.
    """
    if "**" in text:
        text = _BOLD_KEY.sub(r"\1\2:", text)
    start = _patterns(tuple(known))["yaml"].search(text)
    if start is None:
        return None
    name = start[1] if start[1] in known else next(one for one in known if one.lower() == start[1].lower())
    arguments: dict[str, Any] = {}
    position = start.end() + 1
    seen = False
    while line := _PAIR.match(text, position):
        key, raw = line[1], line[2].strip()
        key = key if key in known[name] else next((one for one in known[name] if one.lower() == key.lower()), key)
        if key.lower().replace(" ", "_") in ARGUMENT_KEYS and key not in known[name]:
            if raw not in ("", "{}"):
                raise Doubt(f"the arguments of {name!r} are not one a line")
        elif key not in known[name]:
            break
        elif not raw or raw[0] in "|>&*" or (raw[0] in "[{" and read_json(raw, 0) is None):
            raise Doubt(f"the value of {key!r} does not stand on its line")
        else:
            arguments[key] = _yaml_value(raw, known[name].get(key))
        seen = True
        position = line.end() + 1
    is_tool = start[0].lstrip(" -\t\"'*").lower().startswith(("tool", "function"))
    if not seen and (not is_tool or text[start.end() :].strip()):
        return None  # a line of other data
    return Found((ToolCall(name, arguments),), (text[: start.start()], text[position:]))


def _yaml_value(raw: str, schema: Any) -> Json:
    """Return the value that stands on a line of YAML: a text in quotes, or what the schema makes of the words."""
    quoted = read_json(raw, 0) if raw[0] == '"' else None
    if quoted is not None and quoted[1] == len(raw):
        return quoted[0]
    return typed_value(raw[1:-1].replace("''", "'") if len(raw) > 1 and raw[0] == raw[-1] == "'" else raw, schema)


_BOLD_KEY = re.compile(r"^([ \t]*(?:[-*] )?)\*\*([A-Za-z_][\w -]{0,60}):\*\*", re.MULTILINE)
_PAIR = re.compile(r"[ \t]*(?:- )?[\"'*]*([A-Za-z_][\w -]{0,60}?)[\"'*]*[ \t]*:(?:[ \t]+|$)([^\n]*)$", re.MULTILINE)

__all__ = [
    "ARGUMENT_KEYS",
    "GLUE",
    "LEFT",
    "MAX_LOOKED_AT",
    "NAME_KEYS",
    "NAME_WORDS",
    "SIDE_KEYS",
    "Doubt",
    "Found",
    "Known",
    "Taken",
    "any_of",
    "calls_in",
    "is_telling",
    "known_name",
    "named_in",
    "read_code",
    "read_named",
    "read_values",
    "read_yaml",
]

"""Signs that a text tries to act, where no call can be read in it: they are answered with advice.

A sign is the name of a known tool next to something that looks like arguments (brackets, an object, tags, options, keys), an
object with the keys of a call, or a thought that was cut off. What is only spoken of, in the words of `speech.py`, is none.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from functools import lru_cache

from palaestra.envs.formats.attempt_readers import (
    ARGUMENT_KEYS,
    GLUE,
    MAX_LOOKED_AT,
    NAME_KEYS,
    NAME_WORDS,
    Doubt,
    Known,
    any_of,
    calls_in,
    is_telling,
    named_in,
)
from palaestra.envs.formats.call_values import code_end, end_of_line, read_json
from palaestra.envs.formats.speech import announces, has_words, manner

_BRACKET = re.compile(r"[*_`\]\"']{0,4}[(（]|\s\((?=\s*\)|\s*\w{1,60}\s*=|\s*[\"'{\[])")
_OBJECT = re.compile(rf"(?:\s*(?:with|using)\b)?{GLUE}\[?\s*(?=\{{\s*(?:\}}|[\"'“]|\w{{1,60}}\s*:))", re.IGNORECASE)
_ONLY_CALL = re.compile(r"\A\W{0,12}(?:await |print\()?(?:\w{1,60}\.){0,3}([A-Za-z][\w -]{2,60})\([^\n]*\)\W*\Z")
_MADE_UP = re.compile(
    r"\A[^\w\n]{0,12}(?:\w{1,60}\.){0,3}(?!(?:final|submit|give|send)_answer\b)([a-z]\w{0,60}(?:_|(?<=[a-z])[A-Z])\w{1,60})"
    r"\(\s*\w{1,60}\s*=\s*[\"'\d\[{TFN-][^\n]*\)\W*\Z"
)
_OPTION = re.compile(r"[ \t]+--\w")
_COMMAND = re.compile(r"(?:\A|\n)[ \t]*[/@!$%] ?\Z")
_LABELLED = re.compile(
    r"[ \t*#_>-]{0,8}(?:Action|Tool|Tool call|Function|Function call|Call|Command|Invoke)[ \t*_]{0,4}:[ \t*_`]{0,4}\Z",
    re.IGNORECASE,
)
_PROMPT = re.compile(r"[ \t]*(?:[$>%] )?\Z")
_SHELL = re.compile(r"(?:`{3,}|~{3,})(?:bash|sh|shell|zsh|console|terminal|cmd|powershell|text|plaintext)?", re.IGNORECASE)
_STAGE = re.compile(r"[*\[(]\s?(?:calls?|uses?|invokes?|runs?)\s\Z", re.IGNORECASE)
_PARAMETER = r"[ \t]*\w{1,60}[ \t]*\??(?:[ \t]*:[ \t]*[A-Za-z][\w \[\]|.]{0,40})?"
_SIGNATURE = re.compile(rf"[`*_]{{0,3}}\(({_PARAMETER}(?:,{_PARAMETER}){{0,12}}[ \t]*)\)")
_INDEX = re.compile(r"\[(?!\d+\])[^\]\n]{1,300}\]|[ \t]+[\"“][^\"\n]{0,300}[\"”][ \t]*(?=\n|\Z)")
_FIRST_ARGUMENT = re.compile(r"(?<![\w.])[\w.]{1,60}\(\s*[\"']\Z")
_NEXT_ARGUMENT = re.compile(r"[\"']\s*,\s*(?:[{\[\"']|\w{1,60}\s*=)")
_NAME_VALUE = re.compile(rf"(?<!\w)[\"']?(?:{'|'.join(NAME_KEYS)})[\"']?\s*[:=]\s*[\"']\Z", re.IGNORECASE)
_ARGUMENT_KEY = re.compile(rf"[\"']\s*,\s*[\"']?(?:{'|'.join(ARGUMENT_KEYS)})[\"']?\s*[:=]", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"<[\w.:|-]{1,40}(?:\s[^<>\n]{0,60})?=\s*[\"']?\Z")
_KEY = re.compile(
    rf"(?:\A|\n)[ \t]*(?:[-*] )?[\"'*]*(?:\w{{1,20}} ){{0,2}}{NAME_WORDS}[\"'*]*[ \t]*[:=][ \t]*[\"'`*]*\Z",
    re.IGNORECASE,
)
_HTML = frozenset(
    re.findall(r"\w+", "a b i u em strong code tt kbd samp var mark span p li td th pre q small sub sup h1 h2 h3 h4")
)
_CALL_OBJECT = re.compile(r"\[?\s*\{\s*[\"'](?:[\w ]{1,40})[\"']\s*:")
_ARGUMENTS = re.compile(rf"[\"'](?:{'|'.join(ARGUMENT_KEYS)})[\"']\s*:")
_FIRST_WORD = re.compile(rf"[\"'](?:{'|'.join((*NAME_KEYS, *ARGUMENT_KEYS))})[\"']\s*:")


@lru_cache(maxsize=64)
def _name_pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    """Return the pattern of a tool's name, with what a model may write before it and a dot; particles may stand behind it."""
    return re.compile(rf"(?<![A-Za-z0-9_-])(?:[A-Za-z_]\w{{0,60}}\.){{0,3}}({any_of(names)})(?![A-Za-z0-9_-])", re.IGNORECASE)


def sign_in(text: str, known: Known) -> str:
    """Return why a text looks as if it tried to act; empty if it does not.

    Args:
        text: What a model wrote, without its reasoning and without a call that can be read.
        known: Parameters of the tools on offer, by the tools' names.
    """
    if known:
        position = count = 0
        pattern = _name_pattern(tuple(known))
        while (found := pattern.search(text, position)) and count < MAX_LOOKED_AT:
            count += 1
            position = found.end()
            span = _shape(text, found, known)
            if span is None:
                if is_telling(found[1]) and _is_last_act(text, *found.span()):
                    return f"it says that it calls {found[1]!r}, and makes no call"
                continue
            position = max(position, span[1])
            if span[0] < 0 or manner(text, *span) != "spoken":
                return f"it names {found[1]!r} next to what looks like arguments"
    return _object_sign(text, known) if "{" in text else ""


def misspelt(text: str, known: Known) -> str:
    """Return why a text that is nothing but a call of a tool that there is not was not meant as an answer; empty otherwise."""
    found = _ONLY_CALL.match(text[:4000])
    names = {re.sub(r"[_-]", "", name).lower(): name for name in known}
    near = (
        None
        if found is None
        else difflib.get_close_matches(re.sub(r"[_ -]", "", found[1]).lower(), list(names), n=1, cutoff=0.8)
    )
    if found and near:
        return f"there is no tool {found[1]!r}; did you mean {names[near[0]]!r}?"
    other = _MADE_UP.match(text[:4000]) if known else None  # a name as tools have it, with arguments by name
    return f"there is no tool {other[1]!r}" if other else ""


def _shape(text: str, found: re.Match[str], known: Known) -> tuple[int, int] | None:
    """Return where a call of a named tool begins and ends, if arguments seem to follow; a start of -1: without doubt."""
    start, end = found.span()
    line_end = end_of_line(text, end)
    if _NAME_VALUE.search(text[max(0, start - 100) : start]) and _ARGUMENT_KEY.match(text, end):
        brace = text.rfind("{", max(0, start - 100), start)
        return brace, (code_end(text, brace) if brace >= 0 else None) or line_end
    if _BRACKET.match(text, end):
        if _is_signature(text, start, end, known.get(found[1], {})):
            return None
        return start, code_end(text, end) or line_end
    before = text[max(0, start - 100) : start]
    if (function := _FIRST_ARGUMENT.search(before)) and _NEXT_ARGUMENT.match(text, end):
        begin = start - len(before) + function.start()
        return begin, code_end(text, text.rfind("(", begin, start)) or line_end
    if opening := _OBJECT.match(text, end):
        read = read_json(text, opening.end())
        if not is_telling(found[1]) and before.endswith(('"', "'")) and _is_data(read, known.get(found[1], {})):
            return None
        return start, line_end if read is None else read[1]
    if _OPTION.match(text, end) or _is_command(text, before, found):
        return start, line_end
    if "<" in before and (span := _tag(text, before, start, end)) is not None:
        return span
    if is_telling(found[1]) and (_INDEX.match(text, end) or _leads_to_value(text, end, known.get(found[1], {}))):
        return start, line_end
    if _KEY.search(before) and _key_follows(text, end, known.get(found[1], {})):
        return -1, end
    rest = text[end : min(line_end, end + 200)]
    if is_telling(found[1]) and _names_values(rest, known.get(found[1], {})) and manner(text, start, end) == "announced":
        return start, end
    return None


def _is_data(read: tuple[object, int] | None, properties: Mapping[str, object]) -> bool:
    """Return whether the value of a key that is an ordinary word is data: an object with keys that no parameter has."""
    return read is not None and isinstance(read[0], dict) and not set(read[0]) <= set(properties)


def _is_last_act(text: str, start: int, end: int) -> bool:
    """Return whether the last sentence of a text announces the call of a tool that it names, or a command names it."""
    line = text.rfind("\n", 0, start) + 1
    stop = end_of_line(text, end)
    before = text[max(line, start - 100) : start]
    if text[end:stop].strip() and (_LABELLED.match(before) or (_PROMPT.match(before) and _in_shell(text, line))):
        return True
    return not has_words(text[stop : stop + 2000]) and (_STAGE.search(before) is not None or announces(text, start, end))


def _in_shell(text: str, line: int) -> bool:
    """Return whether a line is the first of a fenced block without a language, or with that of a shell."""
    opening = text.rfind("\n", 0, max(line - 1, 0)) + 1
    return _SHELL.fullmatch(text[opening:line].strip()) is not None


def _is_signature(text: str, start: int, end: int, properties: Mapping[str, object]) -> bool:
    """Return whether brackets hold the names of a tool's parameters and no values, next to other words."""
    found = _SIGNATURE.match(text, end)
    if found is None or not (has_words(text[max(0, start - 600) : start]) or has_words(text[found.end() : found.end() + 600])):
        return False
    return all(part.partition(":")[0].strip(" ?*`[]").partition("=")[0].strip() in properties for part in found[1].split(","))


def _is_command(text: str, before: str, found: re.Match[str]) -> bool:
    """Return whether a tool is named as commands of a chat are; one that is an ordinary word, on the last line."""
    return _COMMAND.search(before) is not None and (is_telling(found[1]) or "\n" not in text[found.end() :].rstrip())


def _tag(text: str, before: str, start: int, end: int) -> tuple[int, int] | None:
    """Return where an element ends that is named after a tool or names one."""
    if text[start - 1] == "<" and re.match(r"(?:\s[^<>\n]{0,300})?/?>", text[end : end + 310]):
        close = text.find(f"</{text[start:end]}>", end)
        stop = text.find(">", end) + 1 if close < 0 else close + (end - start) + 3
        return start - 1, stop
    if _ATTRIBUTE.search(before):
        return -1, end
    opening = re.search(r"<[|｜]?([\w.:|｜-]{1,40})>\s*\Z", before)
    if opening and opening[1] not in _HTML and text[end : end + 1] in ("<", "\n", ""):
        return start - len(opening[0]), end
    return None


def _leads_to_value(text: str, end: int, properties: Mapping[str, object]) -> bool:
    """Return whether an argument and its value follow a name."""
    if not properties:
        return False
    glue = r"[\s:?&\[(<*,-]{1,8}(?:(?:with|using)\s)?[\"'`]?"
    return (
        re.match(rf"{glue}(?:{any_of(tuple(properties))})[\"'`]?\s?(?:[:=>]|[\"“])", text[end : end + 200], re.IGNORECASE)
        is not None
    )


def _key_follows(text: str, end: int, properties: Mapping[str, object]) -> bool:
    """Return whether the next line holds a key of arguments."""
    names = any_of((*ARGUMENT_KEYS, *properties))
    return (
        re.match(
            rf"[\"'`*,]{{0,3}}\s{{0,20}}[\"'*\[]*(?:{names}|arguments?|action input)[\"'*]*\s?[:=\]]",
            text[end : end + 200],
            re.I,
        )
        is not None
    )


def _names_values(rest: str, properties: Mapping[str, object]) -> bool:
    """Return whether the rest of a sentence names an argument and says what it is."""
    return any(
        re.search(rf"\b{re.escape(key)}\b[\"'`*]{{0,2}}\s*(?:[:=]|\bis\b|\bto\b|\bas\b|[\"'“‘`])", rest, re.IGNORECASE)
        for key in properties
    )


def _object_sign(text: str, known: Known) -> str:
    """Return why an object in a text is a call."""
    position = count = 0
    while (found := _CALL_OBJECT.search(text, position)) and count < MAX_LOOKED_AT:
        count += 1
        position = found.end()
        read = read_json(text, found.start())
        end = end_of_line(text, found.end()) if read is None else read[1]
        why = _call_sign(text[found.start() : found.start() + 2000], None if read is None else read[0], known)
        position = max(position, end) if read is not None else position
        # a name alone is a call where nothing else is said
        how = manner(text, found.start(), end) if why else "spoken"
        if how == "free" or (how == "announced" and _ARGUMENTS.search(text, found.start(), end)):
            return why
    return ""


def _call_sign(source: str, value: object, known: Known) -> str:
    """Return why a value, or its source where it cannot be read, is a call."""
    if value is None:
        name = named_in(source, known) if _FIRST_WORD.search(source) else None
        return "" if name is None else f"its JSON, a call of {name!r}, is not valid"
    try:
        calls = calls_in(value, known)
    except Doubt as doubt:
        return str(doubt)
    return f"it names {calls[0].name!r} next to what looks like arguments" if calls else ""


__all__ = ["misspelt", "sign_in"]

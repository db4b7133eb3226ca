"""Reasoning that a model wrote into its answer: split off once, before anything is read as an action.

    <think>                     an opening tag at the front, in the middle or at the end, in any spelling of `NAMES`
    maybe delete the note
    </think>                    a closing tag without an opening one (the prompt opened it) ends reasoning too

What was thought is never run and never sent back as content. Where tags are unbalanced, the doubt goes against acting: all
before a closing tag that nothing opened was thought, and so is what follows an opening tag that nothing closes. A tag that is
quoted, stands in the JSON of a tool call or, with its closing tag, in one fenced block, is text.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace

from palaestra.types import Message
from palaestra.types.plain_json import strict_json

NAMES = ("think", "thinking", "thought", "thoughts", "reasoning", "scratchpad", "seed:think", "antthinking")
"""Names of tags between which models think, in any letter case; `[THINK]` is one more."""

TAG_NAMES = rf"(?i:{'|'.join(NAMES)})"
"""Pattern of the names."""

_MAYBE = re.compile(rf"(?:{TAG_NAMES})>|(?i:think)\]|<\|channel\|>")
_TAG = re.compile(
    rf"<(?P<closes>/?){TAG_NAMES}>|\[(?P<ends>/?)(?i:THINK)\]"
    r"|<\|channel\|>(?:analysis|(?P<final>final))<\|message\|>"  # gpt-oss, where a server leaves its channels in the text
    r"|(?P<acts><\|end\|>)(?=<\|start\|>assistant(?: to=|<\|channel\|>commentary))"
)
_BARE = re.compile(rf"<(?=/?{TAG_NAMES}>)|\[(?=/?(?i:THINK)\])|<(?=\|channel\|>)")
_QUOTES = frozenset("`\"'")
_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})([^\n`]*)$", re.MULTILINE)
_CALL_BODY = re.compile(r"<tool_call>\s*(?=[{\[])")
_ACTS = re.compile(r"[<{\[(`]|Action:")
_HARMONY = re.compile(r"<\|(?:start|end|return|message|channel)\|>(?:assistant)?(?:analysis|final)?")
_DECODER = json.JSONDecoder()
_MAX_PASSES = 8


def split_reasoning(text: str) -> tuple[str, str]:
    """Split what a model wrote into its reasoning and its answer.

    Args:
        text: Any text at all.

    Returns:
        The reasoning, empty if there is none, and the rest. Splitting the rest again changes nothing.
    """
    if not _MAYBE.search(text):
        return "", text
    parts: list[str] = []
    for _ in range(_MAX_PASSES):
        reasoning, rest = _split_once(text)
        if rest == text:
            break
        if reasoning:
            parts.append(reasoning)
        text = rest
    else:  # tags within tags within tags: none of it is an answer
        if _split_once(text)[1] != text:
            parts.append(text)
            text = ""
    return "\n\n".join(parts), text


def without_reasoning(message: Message) -> Message:
    """Return a message whose content holds no reasoning; it is added to what the message already reports apart."""
    reasoning, content = split_reasoning(message.content)
    if content == message.content:
        return message
    both = "\n\n".join(part for part in (message.reasoning, reasoning) if part)
    return replace(message.with_content(content), reasoning=both)


def said(action: str | Message) -> str | Message:
    """Return an action, a text or a message, without the reasoning in it."""
    return split_reasoning(action)[1] if isinstance(action, str) else without_reasoning(action)


def is_tag(text: str) -> bool:
    """Return whether a text is one tag that opens or ends reasoning."""
    return _TAG.fullmatch(text) is not None


def hide_tags(text: str) -> str:
    """Return the text of JSON or of a Python literal in which no string holds a tag: its first character is escaped."""
    return _BARE.sub(lambda found: f"\\u{ord(found[0]):04x}", text) if _MAYBE.search(text) else text


def _split_once(text: str) -> tuple[str, str]:
    """Split a text; what is left may hold tags that only now belong together."""
    tags = _tags(text)
    if not tags:
        return "", text
    fences = _Spans(_fences(text) if "```" in text or "~~~" in text else [])
    last_close = max((i for i, tag in enumerate(tags) if _closes(tag)), default=-1)
    reasoning: list[str] = []
    kept: list[str] = []
    position = index = 0
    begun: re.Match[str] | None = None
    while index < len(tags):
        tag = tags[index]
        if _closes(tag):  # nothing opened it: whatever came before was thought
            begun, reasoning, kept, position, index = tag, [], [""], tag.end(), index + 1
            continue
        if index > last_close:
            if _is_prose(text, tag):
                index += 1
                continue
            kept.append(text[position : tag.start()])
            reasoning.append(_thought(text[tag.end() :], tag))
            position = len(text)
            break
        close = next(i for i in range(index + 1, len(tags)) if _closes(tags[i]))
        if tags[close].end() > fences.end_at(tag.start()):
            kept.append(text[position : tag.start()])
            reasoning.append(_thought(text[tag.end() : tags[close].start()], tag))
            position = tags[close].end()
        index = close + 1
    if not position:
        return "", text
    kept.append(text[position:])
    if begun is not None:
        reasoning.insert(0, _thought(_TAG.sub("", text[: begun.start()]), begun))
    return "\n\n".join(part for part in reasoning if part), _joined(kept)


def _tags(text: str) -> list[re.Match[str]]:
    """Return the tags of a text, without those that are quoted or belong to what is written."""
    found = [tag for tag in _TAG.finditer(text) if not _is_quoted(text, tag)]
    # a call of gpt-oss, or what it says next to one, ends a thought that was open; what it said before one was none
    found = [tag for i, tag in enumerate(found) if not tag["acts"] or (i and "analysis" in found[i - 1][0])]
    if not found or _is_json(text):
        return []
    bodies = _Spans(_call_bodies(text))
    return [tag for tag in found if tag.start() >= bodies.end_at(tag.start() - 1)]


class _Spans:
    """Parts of a text that do not overlap, in order."""

    def __init__(self, spans: Sequence[tuple[int, int]]) -> None:
        self._starts = [start for start, _ in spans]
        self._ends = [end for _, end in spans]

    def end_at(self, position: int) -> int:
        """Return the end of the last part that begins at a position or before it; -1 where none does."""
        index = bisect_right(self._starts, position)
        return self._ends[index - 1] if index else -1


def _fences(text: str) -> list[tuple[int, int]]:
    """Return where fenced blocks stand: from a line that opens one to the next line of the same marks and no other text."""
    lines = [(found.start(), found.end(), found[1], found[2]) for found in _FENCE.finditer(text)]
    closing: dict[str, list[int]] = {}
    for index, (_, _, marks, rest) in enumerate(lines):
        if not rest.strip(" \t"):
            closing.setdefault(marks, []).append(index)
    tildes = sorted((marks for marks in closing if marks[0] == "~"), key=len)
    lengths = [len(marks) for marks in tildes]
    spans: list[tuple[int, int]] = []
    index = 0
    while index < len(lines):
        start, end, marks, _ = lines[index]
        # tildes may be taken as fewer of them and other text
        choices = [marks] if marks[0] == "`" else reversed(tildes[: bisect_right(lengths, len(marks))])
        found = (
            closing[choice][at]
            for choice in choices
            if (at := bisect_right(closing.get(choice, ()), index)) < len(closing.get(choice, ()))
        )
        close = next(found, None) if end < len(text) else None
        if close is None:
            index += 1
            continue
        spans.append((start, lines[close][1]))
        index = close + 1
    return spans


def _closes(tag: re.Match[str]) -> bool:
    """Whether a tag ends reasoning."""
    return bool(tag["closes"] or tag["ends"] or tag["final"] or tag["acts"])


def _is_quoted(text: str, tag: re.Match[str]) -> bool:
    """Whether a tag stands alone between two marks of one kind, as in a sentence about it."""
    start, end = tag.span()
    return (
        start > 0
        and end < len(text)
        and text[start - 1] == text[end]
        and text[end] in _QUOTES
        and "``"
        not in (
            text[start - 2 : start],
            text[end : end + 2],
        )
    )  # two backticks are of a fence


def _is_json(text: str) -> bool:
    """Whether the whole text is one JSON object or list, whose strings may hold anything."""
    if text.lstrip()[:1] not in ("{", "["):
        return False
    try:
        value = strict_json(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, (dict, list))


def _call_bodies(text: str) -> list[tuple[int, int]]:
    """Return where the JSON of tool calls stands."""
    bodies: list[tuple[int, int]] = []
    for found in _CALL_BODY.finditer(text):
        if bodies and found.start() < bodies[-1][1]:
            continue
        try:
            bodies.append((found.end(), _DECODER.raw_decode(text, found.end())[1]))
        except (ValueError, RecursionError):
            continue
    return bodies


def _is_prose(text: str, tag: re.Match[str]) -> bool:
    """Whether an opening tag that nothing closes is a word of a sentence, after which nothing looks like an action."""
    before = text[text.rfind("\n", 0, tag.start()) + 1 : tag.start()]
    return bool(before.strip()) and not _ACTS.search(text, tag.end())


def _thought(text: str, tag: re.Match[str]) -> str:
    """Return reasoning without the line breaks that set it apart."""
    return (_HARMONY.sub("", text) if "channel" in tag[0] else text).removeprefix("\n").removesuffix("\n")


def _joined(pieces: Sequence[str]) -> str:
    """Join what stood around reasoning; a break or a space stays between, so that no new tag comes about."""
    first = next((index for index, piece in enumerate(pieces) if piece and not piece.isspace()), len(pieces) - 1)
    parts = [pieces[first].removeprefix("\n").removeprefix("\n") if first else pieces[0]]
    for piece in pieces[first + 1 :]:
        if not piece or piece.isspace():
            continue
        last = parts[-1]
        if last.endswith("\n") or piece.startswith("\n"):
            parts[-1] = last.rstrip("\n")
            parts += ["\n", piece.lstrip("\n")]
        else:
            parts.append(piece if last[-1:].isspace() or piece[0].isspace() else f" {piece}")
    return "".join(parts)


__all__ = ["NAMES", "TAG_NAMES", "hide_tags", "is_tag", "said", "split_reasoning", "without_reasoning"]

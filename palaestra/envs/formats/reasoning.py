"""Reasoning that a model wrote into its answer: split off once, before anything is read as an action.

    <think>                     an opening mark at the front, in the middle or at the end, as `thought_marks` knows them
    maybe delete the note
    </think>                    a closing mark without an opening one (the prompt opened it) ends reasoning too

What was thought is never run and never sent back as content. Where marks are unbalanced, the doubt goes against acting: all
before a closing mark that nothing opened was thought, and so is what follows an opening mark that nothing closes, even where
thoughts within it are closed. A mark that is quoted, stands in the JSON of a tool call or, with its closing mark, in one
fenced block, is text; but a fenced block that begins with a thought in which something looks like an action is one.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from palaestra.envs.formats.thought_marks import ENTITIES, FRONT, FRONTS, NAMED, THOUGHT_MARK, first_characters, front_end
from palaestra.types import Message
from palaestra.types.plain_json import strict_json

_FIRST = re.compile(first_characters())
_NAME = re.compile(r"[^\s<>/|｜▁◁▷\[\]]+")
_QUOTES = frozenset("`\"'")
_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})([^\n`]*)$", re.MULTILINE)
_FENCE_HEAD = re.compile(r"[^\n]*\n\s*")
_CALL_BODY = re.compile(r"<tool_call>\s*(?=[{\[])")
_ACTS = re.compile(r"[<{\[(`◁]|Action:")
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
    if not THOUGHT_MARK.search(text) and not FRONT.match(text):
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
    """Return whether a text is one mark that opens or ends reasoning, wherever it stands."""
    found = THOUGHT_MARK.fullmatch(text)
    return found is not None and found.lastgroup not in _SOFT


def hide_tags(text: str) -> str:
    """Return the text of JSON or of a Python literal in which no string holds a mark: its first character is escaped."""
    return _FIRST.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def spoken_of(text: str) -> str:
    """Return the text of a thought in which no mark opens or ends one: its first character is written as an entity."""
    return _FIRST.sub(lambda found: ENTITIES[found[0]], text)


_SOFT = ("ends", "trails")


class _Mark(NamedTuple):
    """A mark in a text.

    Attributes:
        start: Where it begins.
        end: Where it ends.
        kind: "opens", "closes", "ends" or "trails".
        family: Its name in the table.
        key: What an opening and a closing mark that belong together share.
    """

    start: int
    end: int
    kind: str
    family: str
    key: str


class _Block(NamedTuple):
    """Text that was thought: where it begins and ends, and its reasoning."""

    start: int
    end: int
    thought: str


@dataclass(slots=True)
class _Open:
    """The thoughts that are open at one place, the outermost first."""

    marks: list[_Mark] = field(default_factory=list)
    count: Counter[str] = field(default_factory=Counter)
    last_end: int = -1

    def open(self, text: str, mark: _Mark) -> None:
        """Open a thought, or continue the one that is open: a prompt and a model may open it both."""
        top = self.marks[-1] if self.marks else None
        begins_again = (
            top is not None and top.key == mark.key and self.last_end >= 0 and not text[self.last_end : mark.start].strip()
        )
        if not begins_again:
            self.marks.append(mark)
            self.count[mark.key] += 1
        self.last_end = mark.end

    def close(self, mark: _Mark) -> None:
        """Close the innermost thought of a mark's kind and those within it; else the innermost of all."""
        self.last_end = -1
        is_known = self.count[mark.key] > 0
        while self.marks:
            top = self.marks.pop()
            self.count[top.key] -= 1
            if not is_known or top.key == mark.key:
                return

    def clear(self) -> None:
        """Forget all."""
        self.marks.clear()
        self.count.clear()
        self.last_end = -1


def _split_once(text: str) -> tuple[str, str]:
    """Split a text; what is left may hold marks that only now belong together."""
    if (front := _front(text)) is not None:
        return front
    marks = _marks(text)
    if not marks:
        return "", text
    fences = _Spans(_fences(text) if "```" in text or "~~~" in text else [])
    begun, blocks = _blocks(text, marks, fences)
    if begun is None and not blocks:
        return "", text
    position = 0
    kept: list[str] = []
    reasoning: list[str] = []
    if begun is not None:
        kept.append("")
        position = fences.end_of_rest(text, begun)
        reasoning.append(_trimmed(THOUGHT_MARK.sub("", text[: begun.start]), begun))
    for block in blocks:
        kept.append(text[position : block.start])
        reasoning.append(block.thought)
        position = block.end
    kept.append(text[position:])
    return "\n\n".join(part for part in reasoning if part), _joined(kept)


def _front(text: str) -> tuple[str, str] | None:
    """Split a text at the words that end a thought which its first words open; None where it begins otherwise."""
    if (found := FRONT.match(text)) is None:
        return None
    index = int(str(found.lastgroup).removeprefix("front_"))
    ending = front_end(text, index, found.end())
    if ending is None:
        return None if FRONTS[index].must_end else (text[found.end() :].strip(), "")
    return text[found.end() : ending[0]].strip(), text[ending[1] :].lstrip()


def _blocks(text: str, marks: Sequence[_Mark], fences: _Spans) -> tuple[_Mark | None, list[_Block]]:
    """Return the last mark that ended what nothing had opened, and what was thought after it."""
    begun: _Mark | None = None
    blocks: list[_Block] = []
    opened = _Open()
    first = index = 0  # the mark that opened the outermost thought, and the next one
    while True:
        if index == len(marks):
            if not opened.marks:
                return begun, blocks
            outer = marks[first]
            if not _is_prose(text, outer):
                start = fences.start_of(text, outer, len(text))
                blocks.append(_Block(start, len(text), _trimmed(text[outer.end :], outer)))
                return begun, blocks
            opened.clear()
            index = first + 1
            continue
        mark = marks[index]
        if mark.kind == "opens":
            first = first if opened.marks else index
            opened.open(text, mark)
        elif mark.kind == "trails":
            if begun is not None and begun.family == "response" and not opened.marks:
                blocks.append(_Block(mark.start, mark.end, ""))
        elif mark.kind == "ends" and not (opened.marks and NAMED[opened.marks[-1].family].is_ended):
            pass  # what ends there is no thought
        elif not opened.marks:
            begun, blocks = mark, []
        else:
            opened.close(mark)  # one that only ends has the key of no thought, and closes the innermost
            if not opened.marks and (found := _block(text, marks[first], mark, fences)):
                blocks.append(found)
        index += 1


def _block(text: str, first: _Mark, last: _Mark, fences: _Spans) -> _Block | None:
    """Return the thought between two marks; None if they are text in a fenced block."""
    thought = _trimmed(text[first.end : last.start], first)
    if last.end > fences.end_at(first.start):
        return _Block(fences.start_of(text, first, last.end), last.end, thought)
    if not fences.is_head(text, first) or not _ACTS.search(text, first.end, last.start):
        return None
    end = fences.end_of_rest(text, last)
    return _Block(first.start if end == last.end else fences.start_at(first.start), end, thought)


def _marks(text: str) -> list[_Mark]:
    """Return the marks of a text, without those that are quoted or belong to what is written."""
    found = [mark for mark in THOUGHT_MARK.finditer(text) if not _is_quoted(text, mark)]
    if not found or _is_json(text):
        return []
    bodies = _Spans(_call_bodies(text))
    return [_read_mark(mark) for mark in found if mark.start() >= bodies.end_at(mark.start() - 1)]


def _read_mark(found: re.Match[str]) -> _Mark:
    """Return a mark as the table describes it."""
    kind, _, family = str(found.lastgroup).partition("_")
    name = _NAME.search(found[0]) if family == "tags" else None
    if name and found[0].endswith("/>"):
        kind = "closes"
    return _Mark(found.start(), found.end(), kind, family, name[0].lower() if name else family)


class _Spans:
    """Parts of a text that do not overlap, in order."""

    def __init__(self, spans: Sequence[tuple[int, int]]) -> None:
        self._starts = [start for start, _ in spans]
        self._ends = [end for _, end in spans]
        self._heads: dict[int, int] = {}

    def end_at(self, position: int) -> int:
        """Return the end of the last part that begins at a position or before it; -1 where none does."""
        index = bisect_right(self._starts, position)
        return self._ends[index - 1] if index else -1

    def start_at(self, position: int) -> int:
        """Return the beginning of that part."""
        return self._starts[bisect_right(self._starts, position) - 1]

    def is_head(self, text: str, mark: _Mark) -> bool:
        """Whether a fenced block begins with a mark."""
        if self.end_at(mark.start) < mark.end:
            return False
        start = self.start_at(mark.start)
        if start not in self._heads:
            head = _FENCE_HEAD.match(text, start)
            self._heads[start] = head.end() if head else -1
        return self._heads[start] == mark.start

    def start_of(self, text: str, mark: _Mark, end: int) -> int:
        """Return where to cut what a mark opens and what ends behind its fenced block: the fence goes with its beginning."""
        return self.start_at(mark.start) if end > self.end_at(mark.start) and self.is_head(text, mark) else mark.start

    def end_of_rest(self, text: str, mark: _Mark) -> int:
        """Return where to cut behind a mark: after its fenced block, if nothing else stands in it."""
        end = self.end_at(mark.start)
        if end < mark.end:
            return mark.end
        rest = text.find("\n", mark.end, end)
        is_empty = rest >= 0 and not text[mark.end : text.rfind("\n", mark.end, end)].strip()
        return end if is_empty else mark.end


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


def _is_prose(text: str, tag: _Mark) -> bool:
    """Whether an opening mark that nothing closes is a word of a sentence, after which nothing looks like an action."""
    before = text[text.rfind("\n", 0, tag.start) + 1 : tag.start]
    return bool(before.strip()) and not _ACTS.search(text, tag.end)


def _trimmed(text: str, mark: _Mark) -> str:
    """Return reasoning without the line breaks that set it apart."""
    return (_HARMONY.sub("", text) if mark.family == "harmony" else text).removeprefix("\n").removesuffix("\n")


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


__all__ = ["hide_tags", "is_tag", "said", "split_reasoning", "spoken_of", "without_reasoning"]

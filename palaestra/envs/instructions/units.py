"""Parts of a response: lines, paragraphs, sentences, table cells, headings. Every function takes linear time on any string."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

FENCE = re.compile(r" {0,3}(`{3,}+|~{3,}+)([^\n]*)")
HEADING = re.compile(r"(#{1,6})[ \t]+(.*)")
BULLET = re.compile(r"\s*+(?:[-*+•]|\d{1,9}[.)])[ \t]+(?=\S)")
_TERMINATORS = re.compile(r"(?<![.!?])[.!?]++[\"'”’)\]»*_]*+|[。！？]++[」』”’）]*+")
_TOKEN = re.compile(r"\S*\Z")
_SEPARATOR = re.compile(r"[-: |\t]*\Z")
_QUOTE_MARKS = re.compile(r"[> \t]*+")
_ABBREVIATIONS = frozenset(
    ["mr", "mrs", "ms", "dr", "prof", "st", "jr", "sr", "vs", "etc", "e.g", "i.e", "u.s", "no", "inc", "ltd"]
)
_WORD = re.compile(r"\w")


class Line(NamedTuple):
    """One line, without its line break.

    Attributes:
        text: The line.
        part: "prose", or of a fenced code block: "open", "code" or "close".
    """

    text: str
    part: Literal["prose", "open", "code", "close"]

    @property
    def fenced(self) -> bool:
        """Whether the line belongs to a fenced code block."""
        return self.part != "prose"


class Table(NamedTuple):
    """A Markdown table.

    Attributes:
        header: Cells of the first line.
        rows: Cells of the other lines, without those that only separate.
    """

    header: list[str]
    rows: list[list[str]]


def lines_of(text: str) -> list[Line]:
    """Return the lines of a text, and the part that each has in a fenced code block; an open block reaches to the end."""
    if "```" not in text and "~~~" not in text:
        return [Line(raw.removesuffix("\r"), "prose") for raw in text.split("\n")]
    found: list[Line] = []
    mark = ""
    for raw in text.split("\n"):
        line = raw.removesuffix("\r")
        match = FENCE.match(line)
        if not mark:
            if match is None or (match[1][0] == "`" and "`" in match[2]):
                found.append(Line(line, "prose"))
            else:
                mark = match[1]
                found.append(Line(line, "open"))
        elif match is None or match[1][0] != mark[0] or len(match[1]) < len(mark) or match[2].strip():
            found.append(Line(line, "code"))
        else:
            mark = ""
            found.append(Line(line, "close"))
    return found


def headings(text: str, in_fences: bool = False) -> list[tuple[int, str]]:
    """Return level and title of each heading (`#` to `######`, a blank, a title)."""
    if "#" not in text:
        return []
    lines = (line.text.strip() for line in lines_of(text) if in_fences or line.part == "prose")
    matches = (HEADING.match(line) for line in lines if line.startswith("#"))
    return [(len(match[1]), match[2].strip()) for match in matches if match]


def paragraphs(text: str) -> list[str]:
    """Return the blocks of lines that blank lines separate."""
    found: list[list[str]] = [[]]
    for line in text.split("\n"):
        if line.strip():
            found[-1].append(line)
        elif found[-1]:
            found.append([])
    return ["\n".join(block).strip() for block in found if block]


def tables(text: str) -> list[Table]:
    """Return the tables: runs of two or more lines that begin and end with `|`, outside fenced code."""
    if "|" not in text:
        return []
    return [_table_of(run) for run in _table_runs(lines_of(text)) if len(run) > 1]


def is_separator(line: str) -> bool:
    """Whether a line of a table only separates its header from its rows."""
    return "-" in line and _SEPARATOR.match(line) is not None


def is_table_line(line: str) -> bool:
    """Whether a line begins and ends with `|`."""
    stripped = line.strip()
    return len(stripped) > 1 and stripped[0] == "|" and stripped[-1] == "|"


def sentences(text: str) -> list[str]:
    """Return the sentences; each heading, list item without an end mark, and table row is one as well."""
    found: list[str] = []
    table = False
    for line, part in lines_of(text):
        fenced = part != "prose"
        in_table, table = table, not fenced and is_table_line(line)
        if fenced:
            continue
        if table:
            if in_table and not is_separator(line.strip()) and _WORD.search(line):
                found.append(line.strip())
            continue
        found += _sentences_of_line(_unmarked(line))
    return found


def json_of(text: str) -> Any:
    """Return the JSON value of the first fenced block tagged json, else of the whole response.

    Numbers are returned as texts, since only the structure is of interest.

    Raises:
        ValueError: If it is not JSON, or nested so deeply that Python cannot read it.
    """
    block = fenced_block(text, "json")
    try:
        return json.loads(text if block is None else block, parse_int=str, parse_float=str, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply to be read") from None


def fenced_block(text: str, tag: str) -> str | None:
    """Return the content of the first fenced block with this tag, or None."""
    if "```" not in text and "~~~" not in text:
        return None
    inside: list[str] | None = None
    for line in lines_of(text):
        if inside is not None:
            if line.part != "code":
                break
            inside.append(line.text)
        elif line.part == "open" and line.text.strip("`~ \t").lower() == tag:
            inside = []
    return None if inside is None else "\n".join(inside)


def units(text: str, scope: str) -> list[str]:
    """Return the parts of a response that a scope names; blank ones are left out.

    Args:
        text: The response.
        scope: One of `palaestra.envs.instructions.kinds.SCOPES`.
    """
    if scope == "whole":
        return [text]
    return [part for part in _PARTS[scope](text) if part.strip()]


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _table_runs(lines: list[Line]) -> Iterator[list[str]]:
    run: list[str] = []
    for line in lines:
        if not line.fenced and is_table_line(line.text):
            run.append(line.text.strip())
        elif run:
            yield run
            run = []
    if run:
        yield run


def _table_of(run: list[str]) -> Table:
    return Table(_cells(run[0]), [_cells(line) for line in run[1:] if not is_separator(line)])


def _cells(line: str) -> list[str]:
    r"""Return the cells of a line of a table; `\|` is a bar in a cell."""
    inner = line[1:-1].replace("\\|", "\0")
    return [cell.strip().replace("\0", "|") for cell in inner.split("|")]


def _unmarked(line: str) -> str:
    """Return a line without the marks of quotes, headings and list items."""
    rest = line[_QUOTE_MARKS.match(line).end() :]  # type: ignore[union-attr]  # matches every line
    if match := HEADING.match(rest):
        return match[2].strip()
    return (rest[match.end() :] if (match := BULLET.match(rest)) else rest).strip()


def _sentences_of_line(line: str) -> list[str]:
    found: list[str] = []
    start = 0
    for match in _TERMINATORS.finditer(line):
        end = match.end()
        if line[match.start()] in ".!?":
            if end < len(line) and not line[end].isspace():
                continue
            if end < len(line) and _is_abbreviation(line, start, match.start(), match[0]):
                continue
        if _WORD.search(line, start, end):
            found.append(line[start:end].strip())
        start = end
    if _WORD.search(line, start):
        found.append(line[start:].strip())
    return found


def _is_abbreviation(line: str, start: int, end: int, mark: str) -> bool:
    """Whether the token before a single full stop is a listed abbreviation."""
    if mark != ".":
        return False
    token = line[max(start, end - 8) : end]
    match = _TOKEN.search(token)
    return match is not None and match[0].lstrip("(\"'[").lower() in _ABBREVIATIONS


def _bullets(text: str) -> list[str]:
    lines = (line.text for line in lines_of(text) if not line.fenced)
    return [line[match.end() :] for line in lines if (match := BULLET.match(line))]


def _lines(text: str) -> list[str]:
    """Return the lines of prose and lists: no headings, tables or code."""
    return [
        line
        for line, part in lines_of(text)
        if part == "prose" and not is_table_line(line) and not HEADING.match(line.strip())
    ]


def _json_parts(text: str, keys: bool) -> list[str]:
    try:
        pending = [json_of(text)]
    except ValueError:
        return []
    found: list[str] = []
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            found += value if keys else []
            pending += value.values()
        elif isinstance(value, list):
            pending += value
        elif isinstance(value, str) and not keys:
            found.append(value)
    return found[::-1]


_PARTS: dict[str, Any] = {
    "sentence": sentences,
    "line": _lines,
    "para": paragraphs,
    "cell": lambda text: [cell for table in tables(text) for row in table.rows for cell in row],
    "bullet": _bullets,
    "word": str.split,
    "headings": lambda text: [title for _, title in headings(text)],
    "table_header": lambda text: [cell for table in tables(text) for cell in table.header],
    "json_keys": lambda text: _json_parts(text, True),
    "json_values": lambda text: _json_parts(text, False),
}

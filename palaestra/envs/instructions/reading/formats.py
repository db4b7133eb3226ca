"""Sentences about tables, JSON and XML."""

from __future__ import annotations

import re

from palaestra.envs.instructions.reading.length import Typed
from palaestra.envs.instructions.reading.numbers import Bounds, bounds, plain
from palaestra.envs.instructions.reading.quotes import quotes
from palaestra.types import Json

_OPTIONAL = re.compile(r"\b(?:if|when|whenever)\b|\bany (?:\w+ ){0,2}(?:tables?|tabular)\b")
_HEADERS = re.compile(r"\bheaders?\b|\bcolumn (?:names|titles)\b")
_LEVELS = r"(?:object )?(?:nesting )?levels?(?: of (?:nesting|nested objects))?|nesting|(?:nesting )?depth"


def table(text: str) -> Typed | None:
    """Read a sentence about the rows and columns of tables."""
    clear = plain(text)
    rows, cols = bounds(clear, "(?:rows?|entries|names)"), bounds(clear, "columns?")
    mentioned = re.search(r"\btables?\b|\btabular\b", clear) is not None
    if rows is None and cols is None and not mentioned:
        return None
    required = mentioned and not _OPTIONAL.search(clear) and not re.search(r"\blimit (?:any )?tables\b", clear)
    params: dict[str, Json] = {"rows": _pair(rows), "cols": _pair(cols), "required": bool(required)}
    names = [quote.text for quote in quotes(text)]
    if names and _HEADERS.search(clear):
        params["headers"] = list(names)
    return "format.table", params


def json_depth(text: str) -> Typed | None:
    """Read a sentence about how deep JSON is nested."""
    found = bounds(plain(text), _LEVELS)
    return None if found is None else ("format.json_depth", {"lo": found.lo, "hi": found.hi})


def xml_attributes(text: str) -> Typed | None:
    """Read a sentence about the number of attributes of XML elements."""
    found = bounds(plain(text), "attributes?")
    return None if found is None else ("format.xml_attributes", {"lo": found.lo, "hi": found.hi})


def _pair(found: Bounds | None) -> list[Json]:
    return [None, None] if found is None else [found.lo, found.hi]

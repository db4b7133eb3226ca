"""Names of tools and keys taken apart and changed: synonyms, plurals, case styles, typing errors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

_GROUPS = (
    ("get", "fetch", "read", "retrieve", "show"),
    ("find", "search", "lookup", "query", "locate"),
    ("create", "add", "make", "insert", "new"),
    ("delete", "remove", "cancel", "erase", "drop"),
    ("update", "edit", "change", "modify"),
    ("set", "adjust", "put", "configure"),
    ("list", "enumerate", "index", "browse"),
    ("move", "shift", "transfer", "relocate"),
    ("send", "deliver", "submit", "post"),
    ("open", "start", "launch", "activate"),
    ("close", "stop", "end", "shut", "deactivate"),
    ("switch", "toggle", "turn", "flip"),
    ("take", "grab", "pick", "pickup", "collect"),
    ("go", "walk", "travel", "goto"),
    ("look", "examine", "inspect", "observe"),
    ("use", "apply", "operate"),
    ("check", "verify", "test", "validate"),
    ("invite", "ask", "call"),
    ("event", "appointment", "meeting", "entry"),
    ("note", "memo", "remark", "record"),
    ("contact", "person", "address", "card"),
    ("item", "object", "thing", "element"),
    ("name", "label", "title", "caption"),
    ("id", "identifier", "key", "number"),
    ("text", "content", "body", "message"),
    ("date", "day", "when"),
    ("time", "hour", "moment"),
    ("place", "location", "position", "site"),
    ("query", "keyword", "term", "phrase"),
    ("value", "amount", "quantity", "count"),
    ("level", "degree", "grade", "step"),
    ("mode", "kind", "type", "style"),
    ("email", "mail", "address"),
    ("city", "town", "place"),
    ("user", "account", "customer"),
    ("file", "document", "path"),
    ("start", "begin", "from"),
    ("end", "finish", "until"),
    ("guest", "participant", "attendee"),
    ("direction", "heading", "way"),
    ("info", "details", "data"),
)
SYNONYMS: dict[str, tuple[str, ...]] = {}
for _group in _GROUPS:
    for _word in _group:
        SYNONYMS[_word] = (*SYNONYMS.get(_word, ()), *(other for other in _group if other != _word))

_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^A-Za-z0-9_\-. ]+")
_WORD = re.compile(r"[^\W_]+")


def parts_of(name: str) -> list[str]:
    """Return the words of a name, whatever style it is written in."""
    return _PART.findall(name)


def joined(parts: Sequence[str], name: str) -> str:
    """Return words in the style of a name."""
    if "_" in name or "-" in name:
        return ("_" if "_" in name else "-").join(parts)
    if len(parts_of(name)) > 1 and name != name.lower():
        first, *rest = parts
        head = first[:1].upper() + first[1:] if name[:1].isupper() else first.lower()
        return head + "".join(part[:1].upper() + part[1:] for part in rest)
    return "_".join(parts)


def with_synonym(name: str, rng: np.random.Generator) -> str | None:
    """Return a name with one of its words replaced by another of its meaning; None if no word is known."""
    parts = parts_of(name)
    known = [i for i, part in enumerate(parts) if part.lower() in SYNONYMS]
    if not known:
        return None
    at = known[int(rng.integers(len(known)))]
    choices = SYNONYMS[parts[at].lower()]
    word = choices[int(rng.integers(len(choices)))]
    word = word.capitalize() if parts[at][:1].isupper() and at else word
    return joined([*parts[:at], word, *parts[at + 1 :]], name)


def in_other_case(name: str) -> str:
    """Return a name in another style: snake for camel, camel for snake, a capital letter for a single word."""
    parts = parts_of(name)
    if len(parts) < 2:
        return name.swapcase() if not name[:1].isalpha() else name[:1].swapcase() + name[1:]
    if "_" in name or "-" in name:
        return parts[0].lower() + "".join(part[:1].upper() + part[1:] for part in parts[1:])
    return "_".join(part.lower() for part in parts)


def in_other_number(name: str) -> str:
    """Return a name in the plural, or in the singular if it is in the plural."""
    return name[:-1] if name.endswith("s") and len(name) > 2 else name + "s"


def with_typo(text: str, rng: np.random.Generator) -> str | None:
    """Return a text with two letters changed over, one left out or one doubled; None if it has too few letters."""
    places = [i for i in range(1, len(text) - 1) if text[i].isalpha() and text[i + 1].isalpha()]
    if not places:
        return None
    at, way = places[int(rng.integers(len(places)))], int(rng.integers(3))
    if way == 0 and text[at] != text[at + 1]:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text[:at] + text[at + 1 :] if way == 1 else text[: at + 1] + text[at:]


@lru_cache(maxsize=4096)
def words_of(text: str) -> frozenset[str]:
    """Return the words of a text in lower case."""
    return frozenset(piece.lower() for part in _WORD.findall(text) for piece in parts_of(part) or [part])


def overlap(first: str, second: str) -> float:
    """Return the share of words that two texts have in common (Jaccard), 0 if either has none."""
    a, b = words_of(first), words_of(second)
    return len(a & b) / len(a | b) if a and b else 0.0


__all__ = [
    "SYNONYMS",
    "in_other_case",
    "in_other_number",
    "joined",
    "overlap",
    "parts_of",
    "with_synonym",
    "with_typo",
    "words_of",
]

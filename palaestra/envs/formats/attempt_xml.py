"""Calls as models write them in XML: elements named after a tool, with its name as an attribute, inside, or next to them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from palaestra.envs.formats.attempt_readers import (
    ARGUMENT_KEYS,
    MAX_LOOKED_AT,
    NAME_KEYS,
    SIDE_KEYS,
    Doubt,
    Found,
    Known,
    Taken,
    is_telling,
)
from palaestra.envs.formats.call_values import Properties, read_json, typed_value
from palaestra.types import ToolCall

_TAG = re.compile(
    r"<((?:[\w.-]{1,30}:)?[\w.-]{1,100})((?:\s+[\w:.-]+\s*=\s*(?:\"[^\"<>]*\"|'[^'<>]*'|[^\s<>\"'/]+)){0,20})\s*(/?)>"
)
_ATTRIBUTE = re.compile(r"([\w:.-]+)\s*=\s*(?:\"([^\"<>]*)\"|'([^'<>]*)'|([^\s<>\"'/]+))")
_PARTS = frozenset({"param", "parameter", "arg", "argument", "input", "property"})


class _Element(NamedTuple):
    """One XML element: its name without a namespace, its attributes, what is in it, where it begins and ends."""

    tag: str
    attributes: Mapping[str, str]
    inner: str
    start: int
    end: int


def _elements(text: str, limit: int = MAX_LOOKED_AT) -> Iterator[_Element]:
    """Yield the outermost elements of a text; tags that nothing closes are passed over."""
    position = count = 0
    while (head := _TAG.search(text, position)) and count < limit:
        count += 1
        full, _, closed = head.groups()
        attributes = {found[1]: next(filter(None, found.groups()[1:]), "") for found in _ATTRIBUTE.finditer(head[2])}
        end = head.end() if closed else text.find(f"</{full}>", head.end())
        position = head.end()
        if end < 0:
            continue
        position = end if closed else end + len(full) + 3
        yield _Element(full.rpartition(":")[2], attributes, "" if closed else text[head.end() : end], head.start(), position)


def read_xml(text: str, known: Known) -> Found | None:
    """Return the calls that elements make: named after a tool, or with a tool's name as an attribute or inside.

    Raises:
        Doubt: If one of them holds what is not an argument.
    """
    taken = Taken(text)
    elements = list(_elements(text))
    skip_to = -1
    for index, element in enumerate(elements):
        if element.start < skip_to:
            continue
        if element.tag in NAME_KEYS and (name := element.inner.strip()) in known and not element.attributes:
            parts = _following(text, elements[index + 1 :], element.end, known[name])
            skip_to = parts[-1].end if parts else element.end
            if parts or is_telling(name):
                taken.add(
                    [ToolCall(name, _arguments_in(text[element.end : skip_to], name, known[name]))], element.start, skip_to
                )
            continue
        call = _call_of_element(element, known)
        if call is not None:
            taken.add([call], element.start, element.end)
    return taken.found()


def _following(text: str, elements: Sequence[_Element], position: int, properties: Properties) -> list[_Element]:
    """Return the elements right behind a place that are arguments of a call."""
    parts: list[_Element] = []
    for element in elements:
        is_part = element.tag in properties or element.tag in ARGUMENT_KEYS or element.tag in _PARTS
        if not is_part or text[position : element.start].strip():
            break
        parts.append(element)
        position = element.end
    return parts


def _call_of_element(element: _Element, known: Known) -> ToolCall | None:
    """Return the call that an element makes, None if it makes none."""
    attributes = dict(element.attributes)
    body = element.inner
    if element.tag in known:
        name = element.tag
    else:
        key = next((key for key in NAME_KEYS if attributes.get(key, "").removeprefix("functions.") in known), "")
        if key:
            name = attributes.pop(key).removeprefix("functions.")
            attributes = {item: text for item, text in attributes.items() if item in known[name]}
        else:
            return _call_inside(body, known) if "<" in body else None
    arguments = {key: typed_value(text, known[name].get(key)) for key, text in attributes.items()}
    arguments |= _arguments_in(body, name, known[name])
    return ToolCall(name, arguments)


def _call_inside(body: str, known: Known) -> ToolCall | None:
    """Return the call of an element whose parts are a tool's name and arguments, or that holds one call."""
    parts = list(_elements(body, 20))
    name = next((part.inner.strip() for part in parts if part.tag in NAME_KEYS and part.inner.strip() in known), "")
    if name:
        rest = "".join(
            f"<{part.tag}>{part.inner}</{part.tag}>"
            for part in parts
            if part.tag not in NAME_KEYS and part.tag not in SIDE_KEYS
        )
        return ToolCall(name, _arguments_in(rest, name, known[name]))
    return _call_of_element(parts[0], known) if len(parts) == 1 else None


def _arguments_in(body: str, name: str, properties: Properties) -> dict[str, Any]:
    """Return the arguments that an element holds: elements by name, or one object of JSON.

    Raises:
        Doubt: If it holds anything else.
    """
    text = body.strip()
    if text.startswith("{"):
        read = read_json(text, 0)
        if read is None or text[read[1] :].strip() or not isinstance(read[0], dict):
            raise Doubt(f"the input of {name!r} is not a JSON object")
        return read[0]
    arguments: dict[str, Any] = {}
    position = 0
    for part in _elements(text):
        if text[position : part.start].strip():
            break
        position = part.end
        key = part.attributes.get("name", "") if part.tag in _PARTS else part.tag
        if part.tag in ARGUMENT_KEYS and part.tag not in properties and not part.attributes:
            arguments |= _arguments_in(part.inner, name, properties)
        elif key:
            raw = part.inner.removeprefix("\n").removesuffix("\n")
            arguments[key] = typed_value(raw, properties.get(key))
    if text[position:].strip():
        raise Doubt(f"what stands in the call of {name!r} is not its arguments by name")
    return arguments


__all__ = ["read_xml"]

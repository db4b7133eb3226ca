"""What answers cost in tokens: one reader for every API.

Servers write counts as integers, as floats and as texts. What is plainly a number is read; what is not, or cannot be a count
of one answer, counts as 0, so that neither a sum nor a budget depends on nonsense.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from palaestra.types import Json, Usage

MOST_TOKENS = 10**9
"""More tokens than any answer has: a larger number is a mistake of the server."""

_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?(?:[eE]\+?[0-9]+)?")
_MOST_DIGITS = 32  # of a count that is written as a text


@dataclass(frozen=True, slots=True)
class UsageFields:
    """Where an API writes its counts.

    Attributes:
        block: Key of the block with counts.
        prompt: Fields that add up to the tokens read.
        cached: Those of them that came from a cache; a dot leads into a block of details. The first that is there counts.
        completion: Fields that add up to the tokens written.
    """

    block: str
    prompt: tuple[str, ...]
    cached: tuple[str, ...]
    completion: tuple[str, ...]


CHAT_USAGE = UsageFields(
    "usage", ("prompt_tokens",), ("prompt_tokens_details.cached_tokens", "prompt_cache_hit_tokens"), ("completion_tokens",)
)
ANTHROPIC_USAGE = UsageFields(
    "usage",
    ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"),
    ("cache_read_input_tokens",),
    ("output_tokens",),
)
RESPONSES_USAGE = UsageFields(
    "usage",
    ANTHROPIC_USAGE.prompt,  # of a gateway to Anthropic, which counts what came from its cache apart
    ("input_tokens_details.cached_tokens", *ANTHROPIC_USAGE.cached),
    ("output_tokens",),
)
GOOGLE_USAGE = UsageFields(
    "usageMetadata",
    ("promptTokenCount", "toolUsePromptTokenCount"),
    ("cachedContentTokenCount",),
    ("candidatesTokenCount", "thoughtsTokenCount"),  # thoughts are counted apart and cost the same
)


_CAMEL = UsageFields("usage", ("promptTokens",), ("cachedTokens",), ("completionTokens",))
_BEDROCK = UsageFields("usage", ("inputTokens", "cacheReadInputTokens"), ("cacheReadInputTokens",), ("outputTokens",))
_NAMINGS = (CHAT_USAGE, RESPONSES_USAGE, _CAMEL, _BEDROCK, GOOGLE_USAGE)
"""Names that gateways use for each other's counts."""


def token_count(value: Json) -> int:
    """Return a count of tokens: what is plainly a number between 0 and a billion, else 0."""
    if type(value) is int:  # nearly always
        return value if 0 < value <= MOST_TOKENS else 0
    if isinstance(value, str):
        text = value.strip()
        if len(text) > _MOST_DIGITS or _NUMBER.fullmatch(text) is None:
            return 0
        value = float(text)
    if not isinstance(value, float) or not math.isfinite(value):
        return 0
    return round(value) if 0 < value <= MOST_TOKENS else 0


def usage_of(block: Json, fields: UsageFields = CHAT_USAGE) -> Usage:
    """Return the tokens of one answer.

    Args:
        block: The block of counts; anything else counts as none.
        fields: How the API names them. Where nothing stands under these names, those of other APIs are read.
    """
    if not isinstance(block, Mapping):
        return Usage(calls=1)
    names = _names(fields)
    prompt = next((count for one in names.prompt if (count := _sum(block, one))), 0)
    cached = next((count for outer, inner in names.cached if outer in block and (count := _at(block, outer, inner))), 0)
    completion = next((count for one in names.completion if (count := _sum(block, one))), 0)
    return Usage(calls=1, prompt_tokens=prompt, cached_tokens=min(cached, prompt), completion_tokens=completion)


def usage_in(data: Json, fields: UsageFields = CHAT_USAGE) -> Usage | None:
    """Return the usage that an answer reports, which may be an error, or None if it reports none."""
    block = data.get(fields.block) if isinstance(data, Mapping) else None
    return usage_of(block, fields) if isinstance(block, Mapping) else None


def _sum(block: Mapping[str, Json], names: tuple[str, ...]) -> int:
    """Return the sum of the counts under some names."""
    return sum(token_count(block.get(name)) for name in names)


def _at(block: Mapping[str, Json], outer: str, inner: str) -> int:
    """Return the count under a name, or under a second one in the block of details that stands there."""
    value = block[outer]
    if inner:
        value = value.get(inner) if isinstance(value, Mapping) else None
    return token_count(value)


class _Names(NamedTuple):
    """Names of counts, those of one API before those of others, each once."""

    prompt: tuple[tuple[str, ...], ...]
    cached: tuple[tuple[str, str], ...]
    completion: tuple[tuple[str, ...], ...]


@cache
def _names(fields: UsageFields) -> _Names:
    """Return the names under which counts are looked for."""
    namings = (fields, *_NAMINGS)
    cached = (name.partition(".") for one in namings for name in one.cached)
    return _Names(
        tuple(dict.fromkeys(one.prompt for one in namings)),
        tuple(dict.fromkeys((outer, inner) for outer, _, inner in cached)),
        tuple(dict.fromkeys(one.completion for one in namings)),
    )


__all__ = [
    "ANTHROPIC_USAGE",
    "CHAT_USAGE",
    "GOOGLE_USAGE",
    "MOST_TOKENS",
    "RESPONSES_USAGE",
    "UsageFields",
    "token_count",
    "usage_in",
    "usage_of",
]
